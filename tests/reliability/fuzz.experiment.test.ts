/**
 * Mutated files: whatever the bytes are, reading them ends soon, with an answer or with an error of ours; and nothing that
 * is under a hash is taken once a byte of it changed. ACCRETE_ATTACK=1 tries 10,000 of them.
 */
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readYaml } from "../../src/config/load.ts";
import { decodeTagCounts } from "../../src/continual/routing/tagCounts.ts";
import { decodeContributions } from "../../src/continual/statistics/contributionFile.ts";
import { AccreteError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { readLabelled } from "../../src/data/files/items.ts";
import { readSafetensorsHeader } from "../../src/io/safetensors.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { readManifestFile } from "../../src/workspace/manifest.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { adapterTask, grownTask, statisticsTask } from "../support/states.ts";
import { beginStoreAt } from "../support/workspaces.ts";

const perKind = process.env.ACCRETE_ATTACK === "1" ? 1000 : 40;
const deadlineMs = 20_000;

const interesting = [
  "0",
  "-1",
  "1e999",
  "NaN",
  "null",
  "99999999999999999999",
  '"',
  "{",
  "[",
  "\\",
  "\u0000",
  "(a+)+",
];

/** One of several ways to damage bytes. */
function mutate(bytes: Uint8Array, rng: Rng): Uint8Array {
  const at = rng.integer(Math.max(1, bytes.length));
  const some = 1 + rng.integer(16);
  const before = bytes.subarray(0, at);
  const ways = [
    () => bytes.with(at, (bytes[at] ?? 0) ^ (1 << rng.integer(8))),
    () => before,
    () => Buffer.concat([before, bytes.subarray(at + some)]),
    () => Buffer.concat([before, bytes.subarray(at, at + some), bytes.subarray(at)]),
    () =>
      Buffer.concat([
        before,
        Buffer.from(interesting[rng.integer(interesting.length)] ?? ""),
        bytes.subarray(at + some),
      ]),
    () => Buffer.concat([before, Buffer.alloc(some * 64, rng.integer(256)), bytes.subarray(at)]),
  ];
  return ways[rng.integer(ways.length)]?.() ?? bytes;
}

interface Kind {
  /** A whole file, and what reads it. */
  readonly file: string;
  readonly read: (path: string) => Promise<unknown>;
}

let folder = "";
let adapter = "";
const bytesOf = (name: string) => readFile(join(adapter, name));
const inAdapter = (file: string): Kind => ({
  file,
  read: async (path) => {
    const copy = join(folder, "mutated-adapter");
    await rm(copy, { recursive: true, force: true });
    await cp(adapter, copy, { recursive: true });
    await cp(path, join(copy, file));
    const saved = await readPeftFolder(copy);
    for (const { data } of [...saved.adapter.tensors.values(), ...(saved.head?.tensors.values() ?? [])])
      expect(data.every(Number.isFinite)).toBe(true);
  },
});

const kinds: Readonly<Record<string, Kind>> = {
  "an adapter's configuration": inAdapter("adapter_config.json"),
  "an adapter's weights": inAdapter("adapter_model.safetensors"),
  "a head": inAdapter("head.safetensors"),
  "an adapter's metadata": inAdapter("accrete.json"),
  "a header of weights": { file: "adapter_model.safetensors", read: readSafetensorsHeader },
  statistics: {
    file: "statistics.safetensors",
    read: async (path) => decodeContributions(await readFile(path), path),
  },
  "counts of tags": { file: "words.json", read: async (path) => decodeTagCounts(await readFile(path), path) },
  "a manifest": { file: "manifest.json", read: readManifestFile },
  "a configuration": { file: "demo.yaml", read: readYaml },
  "lines of JSON": { file: "rows.jsonl", read: (path) => readLabelled(path, "sentence") },
  "a table": { file: "rows.csv", read: (path) => readLabelled(path, "sentence") },
  "tagged words": { file: "rows.conll", read: (path) => readLabelled(path, "word") },
};

beforeAll(async () => {
  folder = folderOfTestFile("fuzz");
  adapter = join(folder, "adapter");
  const store = join(folder, "store");
  await teachStoreAt(store);
  await cp(join(store, "adapters", "first"), adapter, { recursive: true });
  await rm(join(adapter, ".accrete"));
  await cp(join(store, "manifest.json"), join(adapter, "manifest.json"));
  await cp(join(packageRoot, "demo", "demo.yaml"), join(adapter, "demo.yaml"));
  const rows = Array.from({ length: 20 }, (_, i) => ({ text: `text "${i}", é`, label: `label ${i % 3}` }));
  await writeFile(join(adapter, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  await writeFile(
    join(adapter, "rows.csv"),
    `text,label\n${rows.map(({ text, label }) => `${cell(text)},${label}\n`).join("")}`,
  );
  await writeFile(join(adapter, "rows.conll"), "Anna B-PER\nlives O\nin O\nOslo B-LOC\n\n".repeat(8));
  await writeFile(
    join(adapter, "words.json"),
    JSON.stringify({ version: 2, totals: { O: 3 }, pairs: { O: { O: 2 } }, counts: [] }),
  );
});

async function teachStoreAt(store: string): Promise<void> {
  const { rows } = statisticsTask("first", adapterTask("first").labels);
  await beginStoreAt(store);
  await using workspace = await Workspace.open(store);
  const task = { ...adapterTask("first"), ...(rows && { rows }) };
  await workspace.commit({ tasks: [task] }, "learned first");
  await workspace.commit({ tasks: [grownTask(task, "more")] }, "learned more");
}

/** Reads what may be anything. @throws whatever is no error of ours, or came too late */
async function readAnything(read: () => Promise<unknown>, what: string): Promise<"read" | "refused"> {
  const start = performance.now();
  const outcome = await read().then(
    () => "read" as const,
    (error: unknown) => {
      if (!(error instanceof AccreteError)) throw Object.assign(new TypeError(what), { cause: error });
      return "refused" as const;
    },
  );
  expect(performance.now() - start, what).toBeLessThan(deadlineMs);
  return outcome;
}

describe("mutated bytes", () => {
  test.each(Object.keys(kinds))("of %s are read or refused", async (name) => {
    const { file, read } = kinds[name] ?? expect.unreachable();
    const whole = await bytesOf(file);
    const original = join(folder, `whole-${file}`);
    await writeFile(original, whole);
    // What is mutated is a file that can be read, but for counts of tags, whose form is the test's own.
    if (file !== "words.json") expect(await readAnything(() => read(original), name)).toBe("read");
    const outcomes = { read: 0, refused: 0 };
    for (let seed = 0; seed < perKind; seed++) {
      const rng = createRng(seed);
      let bytes: Uint8Array = whole;
      for (let n = rng.integer(3); n >= 0; n--) bytes = mutate(bytes, rng);
      const path = join(folder, `mutated-${file}`);
      await writeFile(path, bytes);
      outcomes[await readAnything(() => read(path), `${name}, seed ${seed}`)] += 1;
    }
    expect(outcomes.refused).toBeGreaterThan(0);
  });

  test("of a store are noticed, whichever file they are in", async () => {
    const store = join(folder, "store");
    const files = [
      "config.resolved.yaml",
      ...(await readdir(join(store, "adapters", "first"))).map((f) => `adapters/first/${f}`),
      "adapters/first-2/statistics.safetensors",
    ];
    for (const file of files.filter((name) => !name.endsWith(".accrete"))) {
      const whole = await readFile(join(store, file));
      for (let seed = 0; seed < perKind / 4; seed++) {
        const bytes = mutate(whole, createRng(seed));
        if (Buffer.compare(bytes, whole) === 0) continue;
        await writeFile(join(store, file), bytes);
        const { problems } = await checkFolder(store);
        expect(
          problems.map(({ path }) => path),
          `${file}, seed ${seed}`,
        ).toEqual([file]);
      }
      await writeFile(join(store, file), whole);
    }
  });
});

describe("the corpus", () => {
  const corpus = join(packageRoot, "tests/reliability/corpus");
  const readers: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
    yaml: readYaml,
    jsonl: (path) => readLabelled(path, "sentence"),
    safetensors: readSafetensorsHeader,
    manifest: readManifestFile,
    adapter: async (path) => {
      const copy = join(folder, "corpus-adapter");
      await rm(copy, { recursive: true, force: true });
      await cp(adapter, copy, { recursive: true });
      await cp(path, join(copy, "adapter_config.json"));
      const { adapter: read } = await readPeftFolder(copy);
      return read;
    },
  };

  test("is refused, each file by its reader", async () => {
    const names = await readdir(corpus);
    expect(names.length).toBeGreaterThan(8);
    for (const name of names.filter((each) => each !== "README.md")) {
      const read = readers[name.split(".").at(-1) ?? ""] ?? expect.unreachable(name);
      expect(await readAnything(() => read(join(corpus, name)), name), name).toBe("refused");
    }
  });
});
