import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { adapterId, readManifest, slugFor } from "../../src/workspace/manifest.ts";
import { RunFolder } from "../../src/app/runFolder.ts";
import { CheckpointError, ConfigError, StoreError } from "../../src/core/errors.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";
import { header } from "../support/records.ts";
import { configAt } from "../support/runs.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const files = new Map([
  ["adapter_config.json", bytes("{}")],
  ["adapter_model.safetensors", bytes("weights")],
]);
const travel = { name: "Travel & more", labels: ["fly", "stay"] };

/** A run with one task, its lock released. */
async function runWithOneTask(folder: string) {
  const config = configAt(folder);
  await using run = await RunFolder.create(config);
  await run.begin(header);
  await run.commitTask(travel, files);
  return config;
}

describe("a new run", () => {
  test("writes its resolved configuration, and a manifest that names everything by id and hash", async () => {
    const folder = await temporaryFolder();
    const config = await runWithOneTask(folder);
    expect((await loadConfig(join(config.out, "config.resolved.yaml"))).config).toEqual(config);
    const manifest = await readManifest(config.out);
    const hashes = {
      "adapter_config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
      "adapter_model.safetensors": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    };
    expect(manifest).toMatchObject({ schemaVersion: 1, ...header, seed: 1 });
    expect(manifest?.tasks).toEqual([
      {
        ...travel,
        slug: "travel-more",
        adapter: { folder: "adapters/travel-more", id: adapterId(hashes), files: hashes },
      },
    ]);
    expect((await readdir(config.out)).sort()).toEqual(["adapters", "config.resolved.yaml", "manifest.json"]);
  });

  test("refuses a folder that holds something, and leaves it as it was", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "run"));
    await writeFile(join(folder, "run", "thesis.tex"), "years of work");
    await expect(RunFolder.create(configAt(folder))).rejects.toMatchObject({ exitCode: 2, code: "STORE" });
    expect(await readdir(join(folder, "run"))).toEqual(["thesis.tex"]);
  });

  test("takes an empty folder, and one with only the lock of a dead writer, which it breaks", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    await mkdir(config.out);
    const { pid } = deadOwner();
    await writeFile(join(config.out, "lock.json"), JSON.stringify(deadOwner()));
    await using run = await RunFolder.create(config);
    expect(run.brokenLock).toMatchObject({ pid });
  });

  test("two runs in one folder: the second is refused, the first goes on", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    await using run = await RunFolder.create(config);
    await expect(RunFolder.create(config)).rejects.toMatchObject({ exitCode: 2 });
    await expect(RunFolder.resume(config)).rejects.toThrow(/is being written by process \d+/);
    await run.begin(header);
    await run.commitTask(travel, files);
    expect(run.finishedTasks).toHaveLength(1);
  });

  test("a file in place of the folder is refused", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "run"), "");
    await expect(RunFolder.create(configAt(folder))).rejects.toThrow(StoreError);
  });
});

describe("resume", () => {
  test("starts where nothing was begun", async () => {
    await using run = await RunFolder.resume(configAt(await temporaryFolder()));
    expect(run.resumed).toBe(false);
  });

  test("keeps what the manifest names, and removes what an interruption left", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    await mkdir(join(config.out, "adapters", "music"));
    await writeFile(join(config.out, "adapters", "music", "adapter_config.json"), "{");
    await mkdir(join(config.out, "adapters", ".tmp-music-1-abc"));
    await writeFile(join(config.out, ".tmp-manifest.json-1-abc"), "");
    await using run = await RunFolder.resume(config);
    expect(run.resumed).toBe(true);
    expect(run.finishedTasks.map((task) => task.name)).toEqual([travel.name]);
    expect(await readdir(join(config.out, "adapters"))).toEqual(["travel-more"]);
    expect((await readdir(config.out)).filter((name) => name.startsWith(".tmp"))).toEqual([]);
    await run.begin(header);
    await run.commitTask({ name: "music", labels: ["play", "stop"] }, files);
    expect((await readManifest(config.out))?.tasks.map((task) => task.slug)).toEqual([
      "travel-more",
      "music",
    ]);
  });

  test("with another configuration is refused, naming what differs; another out is not", async () => {
    const folder = await temporaryFolder();
    const { out } = await runWithOneTask(folder);
    const other = configAt(folder, { seed: 2, training: { epochs: 9 } });
    await expect(RunFolder.resume(other)).rejects.toThrow(ConfigError);
    await expect(RunFolder.resume(other)).rejects.toThrow(/different: seed, training\.epochs$/);
    await using run = await RunFolder.resume(configAt(folder, { out: `${out}/../run` }));
    expect(run.resumed).toBe(true);
  });

  test("with another backbone, tokenizer, pooling or data is refused", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    await using run = await RunFolder.resume(config);
    const changed = "d".repeat(64);
    const { backbone } = header;
    await expect(run.begin({ ...header, dataHash: changed })).rejects.toThrow(/the data changed/);
    await expect(run.begin({ ...header, backbone: { ...backbone, hash: changed } })).rejects.toThrow(
      /backbone/,
    );
    await expect(run.begin({ ...header, backbone: { ...backbone, tokenizerHash: changed } })).rejects.toThrow(
      /tokenizer/,
    );
    await expect(run.begin({ ...header, feature: { pooling: "cls", normalize: false } })).rejects.toThrow(
      /pooling/,
    );
    await run.begin({ ...header, versions: { ...header.versions, node: "99.0.0" } });
  });

  test("of a folder that is no run is refused, and nothing in it is touched", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "run", "adapters", "mine"), { recursive: true });
    await expect(RunFolder.resume(configAt(folder))).rejects.toThrow(/not the folder of a run/);
    expect(await readdir(join(folder, "run"))).toEqual(["adapters"]);
    expect(await readdir(join(folder, "run", "adapters"))).toEqual(["mine"]);
  });

  test.each([
    ["{ torn", /not valid JSON/],
    ['{"schemaVersion": 2}', /not a manifest of this version/],
  ])("of a damaged manifest is refused: %s", async (text, message) => {
    const config = await runWithOneTask(await temporaryFolder());
    await writeFile(join(config.out, "manifest.json"), text);
    await expect(RunFolder.resume(config)).rejects.toThrow(message);
    await writeFile(join(config.out, "manifest.json"), text);
    // The refusal gave the lock back.
    await expect(RunFolder.resume(config)).rejects.toThrow(message);
  });
});

describe("reading", () => {
  test("finds a task by its true name, and its checked folder", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const run = await RunFolder.open(config.out);
    const folder = await run.adapterFolder(run.task("Travel & more"));
    expect(await readFile(join(folder, "adapter_model.safetensors"), "utf8")).toBe("weights");
    expect(() => run.task("music")).toThrow(StoreError);
  });

  test("says which file is damaged or missing", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const run = await RunFolder.open(config.out);
    const task = run.task(travel.name);
    const path = join(config.out, task.adapter.folder, "adapter_model.safetensors");
    await writeFile(path, "weightz");
    await expect(run.adapterFolder(task)).rejects.toThrow(CheckpointError);
    await expect(run.adapterFolder(task)).rejects.toThrow(/adapter_model\.safetensors: .* is damaged/);
    await rm(path);
    await expect(run.adapterFolder(task)).rejects.toThrow(/adapter_model\.safetensors: .* is missing/);
  });

  test("a manifest cannot point out of its folder", async () => {
    const config = await runWithOneTask(await temporaryFolder());
    const path = join(config.out, "manifest.json");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace("adapters/travel-more", "adapters/../../secret"));
    await expect(RunFolder.open(config.out)).rejects.toThrow(/tasks\.0\.adapter\.folder/);
  });

  test("of a folder without a run is refused", async () => {
    await expect(RunFolder.open(await temporaryFolder())).rejects.toThrow(/no run there, and no store/);
  });
});

describe("slugFor", () => {
  test.each([
    ["task-0", "task-0"],
    ["Credit Cards", "credit-cards"],
    ["Čeština / Übung", "cestina-ubung"],
    ["..", "task"],
    [".hidden", "hidden"],
    ["日本語", "task"],
    ["a".repeat(80), "a".repeat(64)],
  ])("%s → %s", (name, slug) => {
    expect(slugFor(name, new Set())).toBe(slug);
  });

  test("a second task of the same slug gets another, which is no later version's name", () => {
    expect(slugFor("A b", new Set(["a-b"]))).toBe("a-b.2");
    expect(slugFor("a".repeat(80), new Set(["a".repeat(64)]))).toBe(`${"a".repeat(62)}.2`);
  });

  test("is always a safe name, and always a new one", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 90 }), { maxLength: 20 }), (names) => {
        const taken = new Set<string>();
        for (const name of names) {
          const slug = slugFor(name, taken);
          expect(slug).toMatch(/^[a-z0-9_][a-z0-9._-]{0,63}$/);
          expect(taken.has(slug)).toBe(false);
          taken.add(slug);
        }
      }),
    );
  });
});
