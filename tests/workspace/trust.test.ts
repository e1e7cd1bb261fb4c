/** What a folder of states withstands: errors after a change was made, foreign files, damage, full disks. */
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/core/errors.ts";
import { Recorder } from "../../src/experiment/recorder.ts";
import { type FileSystem, nodeFileSystem } from "../../src/io/atomic.ts";
import { noteName } from "../../src/io/notes.ts";
import { manifestFile } from "../../src/workspace/manifest.ts";
import { inTurn } from "../../src/workspace/queue.ts";
import { keptVersions, readStore, readVersion, verifiedTaskFolder } from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { temporaryFolder } from "../support/folders.ts";
import { adapterTask, statisticsTask } from "../support/states.ts";
import { addTask, begunStore, namesIn } from "../support/workspaces.ts";

/** An error as Node's file calls throw it. */
class SystemError extends StoreError {
  override readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** Notes that are said while `work` runs. */
async function notesDuring(work: () => Promise<void>): Promise<string[]> {
  const heard: string[] = [];
  const hear = (warning: Error) => {
    if (warning.name === noteName) heard.push(warning.message);
  };
  process.on("warning", hear);
  await work();
  // Warnings are told in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", hear);
  return heard;
}

async function twoTasks(): Promise<string> {
  const folder = await begunStore();
  for (const name of ["one", "two"]) await addTask(folder, name);
  return folder;
}

/** Fails in one kind of call from the moment that the manifest has its new name. */
function failingAfterCommit(call: "flushFolder" | "remove", code: string): FileSystem {
  let committed = false;
  return {
    ...nodeFileSystem,
    async rename(from, to) {
      await nodeFileSystem.rename(from, to);
      if (to.endsWith(manifestFile)) committed = true;
    },
    [call]: (path: string) =>
      committed ? Promise.reject(new SystemError(code)) : nodeFileSystem[call](path),
  };
}

describe("an error after the commit point", () => {
  test.each([
    ["flushFolder", "EIO"],
    ["flushFolder", "EINVAL"],
    ["remove", "EIO"],
  ] as const)("%s failing with %s does not undo the change", async (call, code) => {
    const folder = await twoTasks();
    await addTask(folder, "three", failingAfterCommit(call, code));
    const { tasks, store } = await readStore(folder);
    expect(tasks.map(({ name }) => name)).toEqual(["one", "two", "three"]);
    for (const task of tasks) await verifiedTaskFolder(folder, task, "");
    expect(store.version).toBe(4);
    await addTask(folder, "four");
    expect(await namesIn(folder)).toEqual(["one", "two", "three", "four"]);
  });

  test("a disk that does not confirm a change is told of once", async () => {
    const folder = await twoTasks();
    const heard = await notesDuring(async () => {
      for (const name of ["three", "four"])
        await addTask(folder, name, failingAfterCommit("flushFolder", "EIO"));
    });
    expect(heard).toEqual([
      expect.stringMatching(/manifest\.json: is written, but the disk did not confirm/),
    ]);
  });

  test("a change that failed leaves no task behind that only seems to be saved", async () => {
    const folder = await twoTasks();
    await using workspace = await Workspace.open(folder, {
      fs: {
        ...nodeFileSystem,
        link: once(
          (_from: string, _to: string) => Promise.reject(new SystemError("ENOSPC")),
          nodeFileSystem.link,
        ),
      },
    });
    const state = { tasks: [adapterTask("again")] };
    await expect(workspace.commit(state, "fails")).rejects.toThrow(/the disk is full/);
    await workspace.commit(state, "works");
    for (const task of (await readStore(folder)).tasks) await verifiedTaskFolder(folder, task, "");
  });
});

function once<A extends readonly unknown[], R>(first: (...args: A) => R, then: (...args: A) => R) {
  let called = false;
  return (...args: A): R => {
    if (called) return then(...args);
    called = true;
    return first(...args);
  };
}

describe("foreign files", () => {
  const foreign = [".DS_Store", "000002.json.bak", ".tmp-000002.json", "notes.txt", "7.json"];

  test("in versions/ are no versions, hinder nothing, and stay", async () => {
    const folder = await twoTasks();
    for (const name of foreign) await writeFile(join(folder, "versions", name), "somebody's");
    expect(await keptVersions(folder)).toEqual([1, 2]);
    await addTask(folder, "three");
    {
      await using workspace = await Workspace.open(folder);
      await workspace.purge();
    }
    expect((await readdir(join(folder, "versions"))).sort()).toEqual([...foreign].sort());
    expect(await namesIn(folder)).toEqual(["one", "two", "three"]);
  });

  test("in adapters/ stay, whatever fails and whatever is purged, copies of ours too", async () => {
    const folder = await twoTasks();
    const backup = join(folder, "adapters", "my-backup");
    await cp(join(folder, "adapters", "one"), backup, { recursive: true });
    await mkdir(join(folder, "adapters", "empty"));
    const full = { ...nodeFileSystem, link: () => Promise.reject(new SystemError("ENOSPC")) };
    await expect(addTask(folder, "three", full)).rejects.toThrow(/disk is full/);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.removeLeftovers();
      await workspace.purge();
    }
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["empty", "my-backup", "one", "two"]);
    expect(await readdir(backup)).toEqual(await readdir(join(folder, "adapters", "one")));
  });

  test("a link in the place of the record is not written through", async () => {
    const folder = await temporaryFolder();
    const target = join(folder, "precious");
    await writeFile(target, "no newline at its end");
    await symlink(target, join(folder, "events.jsonl"));
    await expect(Recorder.open(folder)).rejects.toThrow(/events\.jsonl: is a link/);
    expect(await readFile(target, "utf8")).toBe("no newline at its end");
  });
});

describe("purging", () => {
  test("rests on the present manifest alone: a damaged earlier one goes, with its folders", async () => {
    const folder = await twoTasks();
    {
      await using workspace = await Workspace.open(folder);
      await workspace.commit({ tasks: [] }, "forgot everything");
      await writeFile(join(folder, "versions", "000003.json"), "{ torn");
      await workspace.purge();
    }
    expect(await readdir(join(folder, "adapters"))).toEqual([]);
    expect(await readdir(join(folder, "versions"))).toEqual([]);
  });

  test("works on a disk on which nothing can be written", async () => {
    const folder = await twoTasks();
    const { tasks } = await readStore(folder);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.commit({ tasks: [] }, "forgot everything");
    }
    const full = () => Promise.reject(new SystemError("ENOSPC"));
    {
      const fs = { ...nodeFileSystem, writeNew: full, makeFolder: full, link: full };
      await using workspace = await Workspace.open(folder, { fs });
      await workspace.purge();
    }
    expect(await keptVersions(folder)).toEqual([]);
    for (const { adapter } of tasks) await expect(readdir(join(folder, adapter.folder))).rejects.toThrow();
    {
      await using workspace = await Workspace.open(folder);
      await expect(workspace.rollback()).rejects.toThrow(/nothing to go back to/);
    }
    await addTask(folder, "next");
    expect(await namesIn(folder)).toEqual(["next"]);
  });
});

describe("clean-up", () => {
  test("keeps the newest versions, and every file that one of them names", async () => {
    const folder = await begunStore();
    for (let n = 1; n <= 8; n++) {
      await using workspace = await Workspace.open(folder);
      // Each version has a task of its own, and one that lasts for two.
      const tasks = [statisticsTask(`task ${n}`), statisticsTask(`pair ${n >> 1}`)];
      await workspace.commit({ tasks }, `change ${n}`);
      expect((await workspace.expire(3)).length).toBeLessThanOrEqual(1);
    }
    expect(await keptVersions(folder)).toEqual([6, 7, 8]);
    for (const version of [6, 7, 8, 9])
      for (const task of (await readVersion(folder, version)).tasks)
        await verifiedTaskFolder(folder, task, "");
    expect(await readdir(join(folder, "adapters"))).toHaveLength(8);
    await using workspace = await Workspace.open(folder);
    expect(await workspace.expire(3)).toEqual([]);
    expect(await workspace.expire(0)).toEqual([6, 7, 8]);
    expect(await readdir(join(folder, "adapters"))).toHaveLength(2);
    await expect(workspace.rollback()).rejects.toThrow(/nothing to go back to/);
  });
});

describe("damage", () => {
  test("nothing is written that nobody could read again", async () => {
    const folder = await twoTasks();
    const before = await readFile(join(folder, manifestFile), "utf8");
    const wrong = { ...adapterTask("three"), labels: [1, 2, 3] };
    {
      await using workspace = await Workspace.open(folder);
      // What a program in plain JavaScript passes on.
      await expect(Reflect.apply(workspace.commit, workspace, [{ tasks: [wrong] }, "wrong"])).rejects.toThrow(
        /manifest\.json: is not written: nobody could read it again at tasks\.0\.labels\.0/,
      );
    }
    expect(await readFile(join(folder, manifestFile), "utf8")).toBe(before);
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "two"]);
    expect(await keptVersions(folder)).toEqual([1, 2]);
    await addTask(folder, "three");
  });

  test.each(["{ torn", "", "{}", undefined])(
    "readers of a manifest that is %j see the newest whole version, with a note; writers are refused",
    async (text) => {
      const folder = await twoTasks();
      await addTask(folder, "three");
      // The newest of the earlier ones is damaged as well.
      await rm(join(folder, "adapters", "two"), { recursive: true });
      if (text === undefined) await rm(join(folder, manifestFile));
      else await writeFile(join(folder, manifestFile), text);
      const heard = await notesDuring(async () => {
        for (let i = 0; i < 2; i++) expect(await namesIn(folder)).toEqual(["one"]);
      });
      expect(heard).toEqual([
        expect.stringMatching(/manifest\.json: .*; answers come from version 2, .*accrete repair/),
      ]);
      if (text !== undefined)
        await expect(addTask(folder, "four")).rejects.toMatchObject({
          code: "STORE_DAMAGED",
          hint: expect.stringMatching(/accrete repair/),
        });
    },
  );

  test("a manifest of a later version is refused by its version, not read as damage", async () => {
    const folder = await twoTasks();
    const path = join(folder, manifestFile);
    await writeFile(path, (await readFile(path, "utf8")).replace('"schemaVersion": 1', '"schemaVersion": 7'));
    await expect(readStore(folder)).rejects.toMatchObject({
      code: "STORE_NEWER",
      message: expect.stringMatching(/later version of Accrete: schema 7, this one reads up to 2/),
    });
  });

  test("going back to a version whose files are gone is refused before anything changes", async () => {
    const folder = await twoTasks();
    {
      await using workspace = await Workspace.open(folder);
      await workspace.commit({ tasks: [] }, "forgot everything");
    }
    await rm(join(folder, "adapters", "two"), { recursive: true });
    await using workspace = await Workspace.open(folder);
    await expect(workspace.rollback()).rejects.toThrow(/the file of task two is missing/);
    expect((await readStore(folder)).store.version).toBe(4);
  });
});

describe("several writers", () => {
  test("two that opened the same version never both make the next one", async () => {
    const folder = await twoTasks();
    await using workspace = await Workspace.open(folder);
    // As if the lock did not hold: another machine, or somebody deleted the file.
    await rm(join(folder, "lock.json"));
    await addTask(folder, "theirs");
    await expect(workspace.commit({ tasks: [adapterTask("ours")] }, "ours")).rejects.toMatchObject({
      code: "STORE_BUSY",
    });
    expect(await namesIn(folder)).toEqual(["one", "two", "theirs"]);
    for (const version of [1, 2, 3]) await readVersion(folder, version);
    expect((await readdir(join(folder, "adapters"))).sort()).toEqual(["one", "theirs", "two"]);
  });

  test("an older manifest that is put back does not make a number twice", async () => {
    const folder = await twoTasks();
    const older = await readFile(join(folder, "versions", "000002.json"), "utf8");
    await writeFile(join(folder, manifestFile), older);
    await addTask(folder, "three");
    const { store } = await readStore(folder);
    expect(store).toMatchObject({ version: 3, parent: 2 });
    await addTask(folder, "four");
    expect((await readStore(folder)).store.version).toBe(4);
    expect(await keptVersions(folder)).toEqual([1, 2, 3]);
  });

  test("changes inside a process wait for their turn, and one that fails holds nobody up", async () => {
    const folder = await begunStore();
    const names = ["a", "b", "c", "d"];
    const changes = names.map((name) =>
      inTurn(folder, async () => {
        if (name === "b") throw new StoreError("b fails");
        await addTask(folder, name);
      }),
    );
    const ended = await Promise.allSettled(changes);
    expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect(await namesIn(folder)).toEqual(["a", "c", "d"]);
  });
});
