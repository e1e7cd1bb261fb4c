/** Whatever happens to a store's router files, answers are those of a whole one: they are read, or the router is made anew. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Prediction } from "../../src/continual/answers.ts";
import { createRng } from "../../src/core/random.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { rollbackStore } from "../../src/store/upkeep.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { faultKinds, withFaults } from "../support/faults.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { fittedFiles, questions, settings, statisticsOnly, unversioned } from "../support/stores.ts";
import { writeTinyModel } from "../support/tinyModels.ts";
import { texts } from "../support/tinyStreams.ts";

const root = folderOfTestFile("routers");
const at = (...parts: readonly string[]) => join(root, ...parts);
const open = (name: string): Promise<Store> => openStore(at(name), { background: false });

/** What each router answers while its files are whole. */
const right = new Map<string, readonly unknown[]>();
/** A router of one class less. */
let past = "";

async function ask(store: Store): Promise<readonly Prediction[]> {
  return await store.predict(questions, { top: 9 });
}

function stageOf(answers: readonly Prediction[]): string {
  return answers[0]?.router ?? "none";
}

async function expectRight(name: string, what: string): Promise<void> {
  await using store = await open(name);
  const answers = await ask(store);
  expect(unversioned(answers), what).toEqual(right.get(stageOf(answers)));
}

beforeAll(async () => {
  await writeTinyModel(at("model"));
  // Fitted by iterations, so that another router answers first.
  const create = { backbone: at("model"), ...settings, router: { kind: "network" } } as const;
  await using store = await openStore(at("immediate"), { create, background: false });
  await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
  await cp(at("immediate/router"), at("past"), { recursive: true });
  past = at("past", "000002", "immediate");
  await store.learnClass("cc", ["c train number 1 c", "c train number 2 c"]);
  const first = await ask(store);
  right.set(stageOf(first), unversioned(first));
  await cp(at("immediate"), at("consolidated"), { recursive: true });
  await using other = await open("consolidated");
  await other.consolidate();
  const second = await ask(other);
  right.set(stageOf(second), unversioned(second));
  expect([...right.keys()]).toEqual(["immediate", "consolidated"]);
});

type Damage = (path: string, seed: number) => Promise<void>;

const damages: Readonly<Record<string, Damage>> = {
  "a bit is flipped": async (path, seed) => {
    const bytes = await readFile(path);
    const place = createRng(seed).integer(bytes.length);
    bytes[place]! ^= 1 << (seed % 8);
    await writeFile(path, bytes);
  },
  "half is gone": async (path) => {
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length >> 1));
  },
  "it is empty": (path) => writeFile(path, ""),
  "it is missing": (path) => rm(path),
  "a folder is in its place": async (path) => {
    await rm(path);
    await mkdir(path);
  },
  "it is of an earlier version": async (path) => {
    const name = path.split("/").at(-1) ?? "";
    if ((await readdir(past)).includes(name)) await cp(join(past, name), path);
  },
};

describe.each(["immediate", "consolidated"])("of a store with a router that is %s", (template) => {
  test.each(Object.keys(damages))("where %s, answers are right", async (kind) => {
    const files = await fittedFiles(at(template));
    expect(files.length).toBeGreaterThan(1);
    for (const [i, file] of files.entries())
      for (let seed = 0; seed < (kind === "a bit is flipped" ? 6 : 1); seed++) {
        const name = `${template} ${i} ${seed} ${kind}`;
        await cp(at(template), at(name), { recursive: true });
        await damages[kind]?.(at(name, "router", file), seed);
        await expectRight(name, `${file}: ${name}`);
        // And whoever comes next finds what was made anew.
        await expectRight(name, `${file}: ${name}, again`);
        await rm(at(name), { recursive: true });
      }
  });

  test("where all files are of an earlier version, answers are right", async () => {
    const name = `${template} past`;
    await cp(at(template), at(name), { recursive: true });
    await rm(at(name, "router"), { recursive: true });
    await cp(past, at(name, "router/000003/immediate"), { recursive: true });
    await cp(past, at(name, "router/000003/consolidated"), { recursive: true });
    await expectRight(name, name);
  });
});

describe.each(faultKinds)("where the disk %s", (kind) => {
  test("while a router is kept, answers are right, now and in the next process", async () => {
    // A rollback has no router: the first answer makes it.
    await cp(at("immediate"), at(`back ${kind}`), { recursive: true });
    {
      await using store = await open(`back ${kind}`);
      await store.forget({ class: "cc" });
    }
    await rollbackStore(at(`back ${kind}`));
    let changes = 1;
    for (let n = 0; n <= changes; n++) {
      const name = `kept ${kind} ${n}`;
      await cp(at(`back ${kind}`), at(name), { recursive: true });
      const asked = await withFaults(kind, n, "ENOSPC", async () => {
        await using store = await open(name);
        expect(unversioned(await ask(store)), name).toEqual(right.get("immediate"));
      });
      if (n === 0) changes = asked;
      expect((await checkFolder(at(name))).problems).toEqual([]);
      await expectRight(name, name);
      await rm(at(name), { recursive: true });
    }
    expect(changes).toBeGreaterThan(5);
  });

  test("while a store is consolidated, answers are right in the next process", async () => {
    for (const n of [1, 4, 7, 10]) {
      const name = `consolidating ${kind} ${n}`;
      await cp(at("immediate"), at(name), { recursive: true });
      await withFaults(kind, n, "ENOSPC", async () => {
        await using store = await open(name);
        await store.consolidate();
      }).catch(() => {});
      await expectRight(name, name);
      await rm(at(name), { recursive: true });
    }
  });
});
