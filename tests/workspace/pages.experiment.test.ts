/** A store of many tasks: its manifest names pages, which versions share. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { TaskState } from "../../src/model/state.ts";
import { backupFolder } from "../../src/workspace/backup.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { forgetPages, manifestFile } from "../../src/workspace/manifest.ts";
import { divide, pagesFolder } from "../../src/workspace/pages.ts";
import { readState, readStore } from "../../src/workspace/reading.ts";
import { repairFolder } from "../../src/workspace/repair.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { bytesBelow } from "../support/folders.ts";
import { anyModel, statisticsTask } from "../support/states.ts";
import { addTask, begunStore, namesIn } from "../support/workspaces.ts";

const many = Array.from({ length: 150 }, (_, i) => `task ${i}`);

async function commit(folder: string, tasks: readonly TaskState[]): Promise<void> {
  await using workspace = await Workspace.open(folder, { elsewhere: false });
  await workspace.commit({ tasks }, "changed");
}

async function manyTasks(): Promise<string> {
  const folder = await begunStore();
  await commit(
    folder,
    many.map((name) => statisticsTask(name)),
  );
  return folder;
}

async function pagesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(join(folder, pagesFolder))).sort();
}

async function rawOf(folder: string) {
  return JSON.parse(await readFile(join(folder, manifestFile), "utf8"));
}

describe("pages", () => {
  test("hold every task once, in order, and few stay in the manifest", async () => {
    const folder = await manyTasks();
    expect(await namesIn(folder)).toEqual(many);
    const { schemaVersion, pages, tasks } = await rawOf(folder);
    expect(schemaVersion).toBe(2);
    expect(tasks.length).toBeLessThan(many.length / 2);
    expect(await pagesIn(folder)).toHaveLength(2 * pages.length);
    expect((await checkFolder(folder)).problems).toEqual([]);
  });

  test("a change writes no page but those that it touches", async () => {
    const folder = await manyTasks();
    const before = await bytesBelow(join(folder, pagesFolder));
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await commit(folder, tasks.toSpliced(20, 1));
    const after = await bytesBelow(join(folder, pagesFolder));
    expect(after).toMatchObject(before);
    expect(Object.keys(after).length - Object.keys(before).length).toBeLessThanOrEqual(4);
    await commit(folder, [...tasks.toSpliced(20, 1), statisticsTask("new")]);
    expect(await namesIn(folder)).toEqual([...many.toSpliced(20, 1), "new"]);
  });

  test("one task more or less changes one page, or joins two", () => {
    const tasks = Array.from({ length: 1000 }, (_, i) => ({ slug: `task-${i}` }));
    const keysOf = (all: typeof tasks) =>
      divide(all).pages.map((page) => page.map(({ slug }) => slug).join());
    const before = new Set(keysOf(tasks));
    expect(before.size).toBeGreaterThan(15);
    for (const at of [0, 99, 500, 999])
      expect(keysOf(tasks.toSpliced(at, 1)).filter((key) => !before.has(key)).length).toBeLessThanOrEqual(1);
  });

  test("go with the versions that named them", async () => {
    const folder = await manyTasks();
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    for (let n = 0; n < 3; n++) await commit(folder, tasks.toSpliced(n * 30, 1));
    const { pages } = await rawOf(folder);
    expect((await pagesIn(folder)).length).toBeGreaterThan(2 * pages.length);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.expire(1);
    }
    expect((await checkFolder(folder)).problems).toEqual([]);
    const before = await pagesIn(folder);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.removeLeftovers();
    }
    expect(await pagesIn(folder)).toEqual(before);
    await writeFile(join(folder, pagesFolder, `${"a".repeat(64)}.json`), "somebody's");
    {
      await using workspace = await Workspace.open(folder);
      await workspace.purge();
    }
    expect(await pagesIn(folder)).toHaveLength(2 * pages.length + 1);
    expect((await checkFolder(folder)).problems).toEqual([]);
    expect(await namesIn(folder)).toEqual(many.toSpliced(60, 1));
  });

  test("a backup has them, and is whole by itself", async () => {
    const folder = await manyTasks();
    await addTask(folder, "last");
    const copy = join(folder, "..", `${Date.now()} copy`);
    await backupFolder(folder, copy);
    expect(await checkFolder(copy)).toMatchObject({ problems: [], leftovers: [] });
    expect(await namesIn(copy)).toEqual([...many, "last"]);
    await rm(copy, { recursive: true });
  });
});

test("a manifest of before there were pages is read, changed, and gone back to", async () => {
  const folder = await manyTasks();
  const old = { schemaVersion: 1, ...(await readStore(folder)) };
  await rm(join(folder, pagesFolder), { recursive: true });
  await writeFile(join(folder, manifestFile), `${JSON.stringify(old, null, 2)}\n`);
  forgetPages();
  expect(await namesIn(folder)).toEqual(many);
  expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
  await addTask(folder, "new");
  forgetPages();
  expect(await namesIn(folder)).toEqual([...many, "new"]);
  {
    await using workspace = await Workspace.open(folder);
    await workspace.rollback();
  }
  expect(await namesIn(folder)).toEqual(many);
  expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
});

describe("damage to pages", () => {
  /** Another text of the same length: what was read before is told from it by its hash alone. */
  async function damage(path: string): Promise<void> {
    const bytes = await readFile(path);
    bytes[40]! ^= 1;
    await writeFile(path, bytes);
  }

  /** Its pages were read by nobody in this process. */
  async function unread(): Promise<string> {
    const folder = await manyTasks();
    forgetPages();
    return folder;
  }

  test("a damaged copy is told and written again from the other; answers do not wait for that", async () => {
    const folder = await unread();
    const [first, second, third] = await pagesIn(folder);
    await damage(join(folder, pagesFolder, first!));
    await rm(join(folder, pagesFolder, third!));
    expect(await namesIn(folder)).toHaveLength(many.length);
    expect((await checkFolder(folder)).problems.map(({ path }) => path).sort()).toEqual([
      `${pagesFolder}/${first}`,
      `${pagesFolder}/${third}`,
    ]);
    expect(second).toBeDefined();
    const { done, lost, left } = await repairFolder(folder);
    expect(done).toHaveLength(2);
    expect(lost).toEqual([]);
    expect(left.problems).toEqual([]);
  });

  test("where both copies are damaged, the newest version without that page answers, and a repair goes back to it", async () => {
    const folder = await unread();
    const [, second] = await pagesIn(folder);
    const hash = second!.slice(0, 64);
    for (const name of await pagesIn(folder))
      if (name.startsWith(hash)) await damage(join(folder, pagesFolder, name));
    expect((await readStore(folder)).store.version).toBe(1);
    const { lost } = await repairFolder(folder);
    expect(lost[0]).toMatch(/version 2/);
    expect(await namesIn(folder)).toEqual([]);
  });
});
