import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AccreteError } from "../../src/core/errors.ts";
import { beginRun, openRunFolder } from "../../src/experiment/runFolder.ts";
import { type FileSystem, nodeFileSystem, writeFolderAtomic } from "../../src/io/atomic.ts";
import { purgeStore, rollbackStore } from "../../src/store/upkeep.ts";
import { markOf } from "../../src/workspace/listing.ts";
import { manifestFile } from "../../src/workspace/manifest.ts";
import {
  keptVersions,
  readState,
  readStore,
  readVersion,
  verifiedTaskFolder,
} from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";
import { header } from "../support/records.ts";
import { configAt } from "../support/runs.ts";
import { adapterTask, anyModel, statisticsTask } from "../support/states.ts";
import { addTask, begunStore, namesIn } from "../support/workspaces.ts";

describe("versions", () => {
  test("every change makes one, the ones before are kept, and each names whole files", async () => {
    const folder = await begunStore();
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
      for (const task of tasks) await verifiedTaskFolder(folder, task, "");
    }
    expect((await readdir(folder)).sort()).toEqual([
      "adapters",
      "config.resolved.yaml",
      manifestFile,
      "versions",
    ]);
  });

  test("a state is read as it was committed, and a task that did not change is not written again", async () => {
    const folder = await begunStore();
    const [one, two] = [adapterTask("one"), statisticsTask("two", ["dd", "cc"])];
    {
      await using workspace = await Workspace.open(folder);
      await workspace.commit({ tasks: [one, two] }, "learned both");
      await workspace.commit({ tasks: [two, one] }, "turned them round");
    }
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "two"]);
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    expect(tasks).toEqual([
      two,
      {
        ...one,
        saved: expect.objectContaining({ labels: one.labels }),
        learned: expect.objectContaining({ name: "one", adapter: one.saved?.adapter.tensors }),
      },
    ]);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.commit({ tasks: tasks.toReversed() }, "and back");
    }
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "two"]);
  });

  test("going back makes a next version that holds what was before, and goes on from there", async () => {
    const folder = await begunStore();
    for (const name of ["one", "two", "three"]) await addTask(folder, name);
    const back = async (version?: number) => {
      await using workspace = await Workspace.open(folder);
      await workspace.rollback(version);
      return workspace.manifest?.store?.version;
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
    await expect(back(77)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/version 77 is not kept/),
    });
  });

  test("a purge leaves the present version alone, with its files and no others", async () => {
    const folder = await begunStore();
    for (const name of ["one", "two"]) await addTask(folder, name);
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await using workspace = await Workspace.open(folder);
    await workspace.commit({ tasks: tasks.slice(1) }, "forgot a task");
    await workspace.purge();
    expect(await keptVersions(folder)).toEqual([]);
    expect(await readdir(join(folder, "adapters"))).toEqual(["two"]);
    await expect(workspace.rollback()).rejects.toThrow(/nothing to go back to/);
    expect(await namesIn(folder)).toEqual(["two"]);
  });

  test("the folder of an experiment is version 1, and is no experiment any more once it learned", async () => {
    const folder = await temporaryFolder();
    const config = configAt(folder);
    {
      const { workspace: opened } = await openRunFolder(config, {});
      await using workspace = opened;
      await beginRun(workspace, config, { ...header, seed: 1 });
      await workspace.commit({ tasks: [adapterTask("travel")] });
    }
    const before = await readFile(join(config.out, manifestFile), "utf8");
    await addTask(config.out, "music");
    expect(await namesIn(config.out)).toEqual(["travel", "music"]);
    expect((await readStore(config.out)).store).toMatchObject({ version: 2, parent: 1 });
    const { store: _, ...first } = JSON.parse(
      await readFile(join(config.out, "versions", "000001.json"), "utf8"),
    );
    expect(first).toEqual(JSON.parse(before));
    await expect(openRunFolder(config, { resume: true })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/is a store by now, at version 2/),
    });
  });
});

describe("writers and readers", () => {
  test("a second writer is told who is writing; a reader sees the version before meanwhile", async () => {
    const folder = await begunStore();
    await addTask(folder, "one");
    let looked = 0;
    const look = async (path: string) => {
      if (!path.endsWith("adapters/two")) return;
      looked += 1;
      await expect(addTask(folder, "three")).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(new RegExp(`is being written by process ${process.pid} on`)),
      });
      expect(await namesIn(folder)).toEqual(["one"]);
    };
    await addTask(folder, "two", {
      ...nodeFileSystem,
      rename: async (from, to) => {
        await nodeFileSystem.rename(from, to);
        await look(to);
      },
    });
    expect(looked).toBe(1);
    expect(await namesIn(folder)).toEqual(["one", "two"]);
  });

  test("what a dead writer left is tidied up by the next", async () => {
    const folder = await begunStore();
    await addTask(folder, "one");
    await writeFile(join(folder, "lock.json"), JSON.stringify(deadOwner()));
    await writeFile(join(folder, ".tmp-manifest.json-1-0123abcd"), "{");
    await writeFolderAtomic(join(folder, "adapters", "half"), new Map([markOf("adapters/half")]));
    await addTask(folder, "two");
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "two"]);
    expect((await readdir(folder)).sort()).toEqual([
      "adapters",
      "config.resolved.yaml",
      manifestFile,
      "versions",
    ]);
  });

  test("a change that cannot be written takes its files away again", async () => {
    const folder = await begunStore();
    await addTask(folder, "one");
    const full = new AccreteError("FULL", "no room");
    const changing = addTask(folder, "two", {
      ...nodeFileSystem,
      rename: (from, to) =>
        to.endsWith(manifestFile) ? Promise.reject(full) : nodeFileSystem.rename(from, to),
    });
    await expect(changing).rejects.toThrow("no room");
    expect(await namesIn(folder)).toEqual(["one"]);
    expect(await readdir(join(folder, "adapters"))).toEqual(["one"]);
    expect((await readdir(folder)).sort()).toEqual([
      "adapters",
      "config.resolved.yaml",
      manifestFile,
      "versions",
    ]);
  });

  test("a folder without a store is refused, with the way to begin one", async () => {
    const folder = await temporaryFolder();
    for (const refused of [readStore, rollbackStore, purgeStore])
      await expect(refused(join(folder, "nowhere"))).rejects.toMatchObject({
        exitCode: 2,
        hint: expect.stringMatching(/accrete init/),
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
    writePieces: guard(nodeFileSystem.writePieces),
    makeFolder: guard(nodeFileSystem.makeFolder),
    rename: guard(nodeFileSystem.rename),
    link: guard(nodeFileSystem.link),
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
    for (const task of tasks) await verifiedTaskFolder(folder, task, "");
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
        const folder = await begunStore();
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
      expect(reached).toBeGreaterThan(0);
    },
  );
});
