import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { manifestFile } from "../../src/workspace/manifest.ts";
import { RunFolder, verifiedAdapterFolder } from "../../src/app/runFolder.ts";
import { keptVersions, readStore, readVersion, StoreFolder } from "../../src/app/store/storeFolder.ts";
import { AccreteError } from "../../src/core/errors.ts";
import { type FileSystem, nodeFileSystem } from "../../src/io/atomic.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";
import { header } from "../support/records.ts";
import { configAt } from "../support/runs.ts";

const filesOf = (text: string) => new Map([["statistics.safetensors", new TextEncoder().encode(text)]]);

async function begun(): Promise<string> {
  const folder = await temporaryFolder();
  const { dataHash: _, ...own } = header;
  const manifest = { schemaVersion: 1 as const, ...own, configHash: "d".repeat(64), seed: 1, tasks: [] };
  await StoreFolder.begin(folder, manifest, "begun");
  return folder;
}

/** One change: a task called `name` joins. */
async function addTask(folder: string, name: string, fs?: FileSystem): Promise<void> {
  await using store = await StoreFolder.open(folder, fs && { fs });
  const task = { name, labels: [name], statisticsOnly: true as const };
  const written = await store.writeTask(task, filesOf(`rows of ${name}`));
  await store.commit([...store.manifest.tasks, written], `learned ${name}`);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readStore(folder)).tasks.map(({ name }) => name);
}

describe("versions", () => {
  test("every change makes one, the ones before are kept, and each names whole files", async () => {
    const folder = await begun();
    for (const name of ["one", "two", "three"]) await addTask(folder, name);
    expect(await keptVersions(folder)).toEqual([1, 2, 3]);
    for (const [version, count] of [
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 3],
    ] as const) {
      const { tasks, store } = await readVersion(folder, version);
      expect(store.version).toBe(version);
      expect(tasks).toHaveLength(count);
      for (const task of tasks) await verifiedAdapterFolder(folder, task);
    }
    expect((await readdir(folder)).sort()).toEqual(["adapters", manifestFile, "versions"]);
  });

  test("going back makes a next version that holds what was before, and goes on from there", async () => {
    const folder = await begun();
    for (const name of ["one", "two", "three"]) await addTask(folder, name);
    const back = async (version?: number) => {
      await using store = await StoreFolder.open(folder);
      return (await store.rollback(version)).store.version;
    };
    expect(await back()).toBe(5);
    expect(await namesIn(folder)).toEqual(["one", "two"]);
    expect(await back()).toBe(6);
    expect(await namesIn(folder)).toEqual(["one"]);
    expect(await back(4)).toBe(7);
    expect(await namesIn(folder)).toEqual(["one", "two", "three"]);
    // A task of a name that was taken back gets files of its own: those of the earlier version stay as they are.
    await back(2);
    await addTask(folder, "two");
    const [, again] = (await readStore(folder)).tasks;
    expect(again?.adapter.folder).toBe("adapters/two-2");
    await back(1);
    await expect(back()).rejects.toThrow(/nothing to go back to/);
    await expect(back(77)).rejects.toMatchObject({ exitCode: 2, message: /version 77 is not kept/ });
  });

  test("a purge leaves the present version alone, with its files and no others", async () => {
    const folder = await begun();
    for (const name of ["one", "two"]) await addTask(folder, name);
    await using store = await StoreFolder.open(folder);
    await store.commit(store.manifest.tasks.slice(1), "forgot a task");
    await store.purge();
    expect(await keptVersions(folder)).toEqual([]);
    expect(await readdir(join(folder, "adapters"))).toEqual(["two"]);
    await expect(store.rollback()).rejects.toThrow(/nothing to go back to/);
    expect(await namesIn(folder)).toEqual(["two"]);
  });

  test("the folder of an experiment is version 1, and is no experiment any more once it learned", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    {
      await using run = await RunFolder.create(config);
      await run.begin(header);
      await run.commitTask({ name: "travel", labels: ["fly", "stay"] }, filesOf("weights"));
    }
    const before = await readFile(join(config.out, manifestFile), "utf8");
    await addTask(config.out, "music");
    expect(await namesIn(config.out)).toEqual(["travel", "music"]);
    expect((await readStore(config.out)).store).toMatchObject({ version: 2, parent: 1 });
    const { store: _, ...first } = JSON.parse(
      await readFile(join(config.out, "versions", "000001.json"), "utf8"),
    );
    expect(first).toEqual(JSON.parse(before));
    await expect(RunFolder.resume(config)).rejects.toMatchObject({
      exitCode: 2,
      message: /is a store by now, at version 2/,
    });
  });
});

describe("writers and readers", () => {
  test("a second writer is told who is writing; a reader sees the version before meanwhile", async () => {
    const folder = await begun();
    await addTask(folder, "one");
    await using store = await StoreFolder.open(folder);
    const task = { name: "two", labels: ["two"], statisticsOnly: true as const };
    const written = await store.writeTask(task, filesOf("rows of two"));
    await expect(addTask(folder, "three")).rejects.toMatchObject({
      exitCode: 2,
      message: new RegExp(`is being written by process ${process.pid} on`),
    });
    expect(await namesIn(folder)).toEqual(["one"]);
    await store.commit([...store.manifest.tasks, written], "learned two");
    expect(await namesIn(folder)).toEqual(["one", "two"]);
  });

  test("what a dead writer left is tidied up by the next", async () => {
    const folder = await begun();
    await addTask(folder, "one");
    await writeFile(join(folder, "lock.json"), JSON.stringify(deadOwner()));
    await writeFile(join(folder, ".tmp-manifest.json-1-ab"), "{");
    await nodeFileSystem.makeFolder(join(folder, "adapters", "half"));
    await addTask(folder, "two");
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "two"]);
    expect((await readdir(folder)).sort()).toEqual(["adapters", manifestFile, "versions"]);
  });

  test("a folder without a store is refused, with the way to begin one", async () => {
    const folder = await temporaryFolder();
    await expect(StoreFolder.open(join(folder, "nowhere"))).rejects.toMatchObject({
      exitCode: 2,
      hint: /accrete init/,
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

/** A process that dies at its n-th step: that step and all after it do not happen, or happen and are not heard of. */
function dyingAt(step: number, when: "before" | "after"): FileSystem {
  let steps = 0;
  const die = () => new AccreteError("DEAD", "the process died");
  const guard =
    <A extends readonly unknown[]>(call: (...args: A) => Promise<void>) =>
    async (...args: A): Promise<void> => {
      steps += 1;
      if (steps > step || (steps === step && when === "before")) throw die();
      await call(...args);
      if (steps === step) throw die();
    };
  return {
    writeNew: guard(nodeFileSystem.writeNew),
    makeFolder: guard(nodeFileSystem.makeFolder),
    rename: guard(nodeFileSystem.rename),
    remove: guard(nodeFileSystem.remove),
    flushFolder: guard(nodeFileSystem.flushFolder),
  };
}

describe("a crash at any step", () => {
  async function check(
    folder: string,
    before: readonly string[],
    after: readonly string[],
  ): Promise<boolean> {
    const { tasks, store } = await readStore(folder);
    const names = tasks.map(({ name }) => name);
    expect([before, after]).toContainEqual(names);
    for (const task of tasks) await verifiedAdapterFolder(folder, task);
    expect((await readVersion(folder, store.parent ?? 0)).tasks).toHaveLength(names.length - 1);
    await addTask(folder, "next");
    expect(await namesIn(folder)).toEqual([...names, "next"]);
    return names.length === after.length;
  }

  test.each(["before", "after"] as const)(
    "leaves the version before or the one after (%s it)",
    async (when) => {
      let reached = 0;
      for (let step = 1; ; step++) {
        const folder = await begun();
        await addTask(folder, "one");
        const died = await addTask(folder, "two", dyingAt(step, when)).then(
          () => false,
          () => true,
        );
        if (await check(folder, ["one"], ["one", "two"])) reached += 1;
        if (!died) {
          // Whatever is written, in two manifests and a folder, takes many steps; the last few come after the change.
          expect(step).toBeGreaterThan(10);
          break;
        }
      }
      expect(reached).toBeGreaterThan(1);
    },
  );
});
