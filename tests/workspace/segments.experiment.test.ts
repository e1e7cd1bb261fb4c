/** Rows that a task gains are written beside those that it has. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { TaskState } from "../../src/model/state.ts";
import { backupFolder } from "../../src/workspace/backup.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { sizeOfFolder } from "../../src/workspace/listing.ts";
import { manifestFile } from "../../src/workspace/manifest.ts";
import { contributionsOf, readState, readStore, readVersion } from "../../src/workspace/reading.ts";
import { repairFolder } from "../../src/workspace/repair.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { bytesBelow, temporaryFolder } from "../support/folders.ts";
import { adapterTask, anyModel, grownTask, statisticsTask } from "../support/states.ts";
import { begunStore } from "../support/workspaces.ts";

const statistics = "statistics.safetensors";

/** A task of which a small part is new. */
function large(name: string): TaskState {
  return statisticsTask(
    name,
    Array.from({ length: 20 }, (_, i) => `${name} ${i}`),
  );
}

async function stateOf(folder: string, version?: number) {
  const manifest = version === undefined ? await readStore(folder) : await readVersion(folder, version);
  return await readState(folder, manifest, anyModel);
}

async function commit(folder: string, ...tasks: readonly TaskState[]): Promise<void> {
  await using workspace = await Workspace.open(folder, { elsewhere: false });
  await workspace.commit({ tasks }, "changed");
}

/** By identity: the order in which rows came is no matter. */
function idsOf({ rows }: TaskState): readonly string[] {
  return (rows?.contributions ?? []).map(({ id }) => id).sort();
}

function without(task: TaskState, label: string): TaskState {
  const { rows } = task;
  if (rows === undefined) return task;
  const contributions = rows.contributions.filter((each) => each.label !== label);
  return { ...task, labels: task.labels.filter((each) => each !== label), rows: { ...rows, contributions } };
}

describe("rows that come later", () => {
  test("are written alone, what was there stays, and both are read", async () => {
    const folder = await begunStore();
    const [one, two] = [large("one"), { ...adapterTask("two"), rows: large("two").rows! }];
    await commit(folder, one, two);
    const before = await bytesBelow(join(folder, "adapters"));
    const grown = [grownTask(one, "more"), grownTask(two, "of two")];
    await commit(folder, ...grown);
    const after = await bytesBelow(join(folder, "adapters"));
    expect(after).toMatchObject(before);
    expect(
      Object.keys(after)
        .filter((name) => !(name in before))
        .sort(),
    ).toEqual(["one-2/.accrete", `one-2/${statistics}`, "two-2/.accrete", `two-2/${statistics}`]);
    const { tasks } = await stateOf(folder);
    expect(tasks.map(idsOf)).toEqual(grown.map(idsOf));
    expect(tasks[1]?.saved).toEqual(grown[1]?.saved);
    expect((await stateOf(folder, 2)).tasks.map(idsOf)).toEqual([one, two].map(idsOf));
    const [entry] = (await readStore(folder)).tasks;
    expect((await contributionsOf(folder, entry!)).map(({ id }) => id).sort()).toEqual(idsOf(grown[0]!));
    expect(await checkFolder(folder)).toMatchObject({ problems: [], leftovers: [] });
  });

  test("an adapter is the same one whatever rows it has", async () => {
    const folder = await begunStore();
    const task = { ...adapterTask("two"), rows: large("two").rows! };
    await commit(folder, task);
    const id = async () => (await readStore(folder)).tasks[0]?.adapter.id;
    const was = await id();
    await commit(folder, grownTask(task, "more"));
    expect(await id()).toBe(was);
  });

  test("are put together now and then: a task of many changes has few segments, and loses nothing", async () => {
    const folder = await begunStore();
    let task = large("one");
    await commit(folder, task);
    for (let n = 0; n < 60; n++) {
      // A process of its own, every other time.
      if (n % 2 === 0) task = (await stateOf(folder)).tasks[0]!;
      task = grownTask(task, `class ${n % 25}`, n);
      await commit(folder, task);
      const [entry] = (await readStore(folder)).tasks;
      expect(entry?.segments?.length ?? 0).toBeLessThanOrEqual(7);
    }
    expect(idsOf(task)).toHaveLength(80);
    expect(idsOf((await stateOf(folder)).tasks[0]!)).toEqual(idsOf(task));
  });

  test("a class that is forgotten is in no file that is named, and the others' files stay", async () => {
    const folder = await begunStore();
    let task = large("one");
    await commit(folder, task);
    for (const label of ["aa", "bb"]) {
      task = grownTask(task, label, label.length);
      await commit(folder, task);
    }
    const labelsIn = async () => {
      const [entry] = (await readStore(folder)).tasks;
      return new Set((await contributionsOf(folder, entry!)).map(({ label }) => label));
    };
    const base = (await readStore(folder)).tasks[0]?.adapter.folder;
    task = without(task, "bb");
    await commit(folder, task);
    expect(await labelsIn()).toEqual(new Set(task.labels));
    expect((await readStore(folder)).tasks[0]?.adapter.folder).toBe(base);
    // Of what lies in the task's own folder nothing stays there.
    task = without(task, "one 3");
    await commit(folder, task);
    expect(await labelsIn()).toEqual(new Set(task.labels));
    expect((await readStore(folder)).tasks[0]?.adapter.folder).not.toBe(base);
    expect((await readStore(folder)).tasks[0]?.segments).toBeUndefined();
    {
      await using workspace = await Workspace.open(folder);
      await workspace.purge();
    }
    expect(await readdir(join(folder, "adapters"))).toEqual([
      (await readStore(folder)).tasks[0]?.adapter.folder.slice("adapters/".length),
    ]);
    expect(idsOf((await stateOf(folder)).tasks[0]!)).toEqual(idsOf(task));
  });

  test("a purge, a clean-up and a backup keep the segments", async () => {
    const folder = await begunStore();
    const task = grownTask(large("one"), "aa");
    await commit(folder, large("one"));
    await commit(folder, grownTask((await stateOf(folder)).tasks[0]!, "aa"));
    expect((await readStore(folder)).tasks[0]?.segments).toHaveLength(1);
    const copy = join(await temporaryFolder(), "copy");
    await backupFolder(folder, copy);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.expire(0);
      await workspace.removeLeftovers();
      await workspace.purge();
    }
    for (const place of [folder, copy]) {
      expect(await checkFolder(place)).toMatchObject({ problems: [], leftovers: [] });
      expect(idsOf((await stateOf(place)).tasks[0]!)).toEqual(idsOf(task));
    }
  });

  test("a damaged segment is named; a repair gives up the statistics and keeps the adapter", async () => {
    const folder = await begunStore();
    const task = { ...adapterTask("two"), rows: large("two").rows! };
    await commit(folder, task);
    await commit(folder, grownTask(task, "more"));
    await rm(join(folder, "adapters", "two-2", statistics));
    await expect(stateOf(folder)).rejects.toThrow(
      /two-2.*statistics\.safetensors: the file of task two is missing/,
    );
    expect((await checkFolder(folder)).problems).toMatchObject([{ path: `adapters/two-2/${statistics}` }]);
    const { lost } = await repairFolder(folder);
    expect(lost).toEqual([expect.stringMatching(/two-2/)]);
    const [repaired] = (await stateOf(folder)).tasks;
    expect(repaired?.rows).toBeUndefined();
    expect(repaired?.saved).toEqual(task.saved);
  });

  test("a folder without segments says that it is of the first schema, one with them of the second", async () => {
    const folder = await begunStore();
    const schema = async () => JSON.parse(await readFile(join(folder, manifestFile), "utf8")).schemaVersion;
    await commit(folder, large("one"));
    expect(await schema()).toBe(1);
    await commit(folder, grownTask((await stateOf(folder)).tasks[0]!, "aa"));
    expect(await schema()).toBe(2);
  });
});

test.each(["all into one task", "into tasks in turn", "a task each"])(
  "after 150 changes a store is at most three times its content: %s",
  async (kind) => {
    const folder = await begunStore();
    let tasks: readonly TaskState[] = [];
    for (let n = 0; n < 150; n++) {
      const of = kind === "all into one task" ? 0 : kind === "a task each" ? n : n % 3;
      const now = tasks[of];
      const next =
        now === undefined
          ? grownTask(statisticsTask(`task ${of}`), "first", n, 60)
          : grownTask(now, `class ${n}`, n, 60);
      tasks = now === undefined ? [...tasks, next] : tasks.toSpliced(of, 1, next);
      await using workspace = await Workspace.open(folder, { elsewhere: false });
      await workspace.commit({ tasks }, "changed");
      await workspace.expire(20);
    }
    const taken = await sizeOfFolder(folder);
    {
      await using workspace = await Workspace.open(folder);
      await workspace.purge();
    }
    expect(taken / (await sizeOfFolder(folder))).toBeLessThan(3);
    expect((await stateOf(folder)).tasks.map(idsOf)).toEqual(tasks.map(idsOf));
  },
);
