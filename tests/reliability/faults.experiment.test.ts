/**
 * A fault at every change of the file system, for every command that changes a folder of states. What goes wrong is in turn
 * that the disk fails and that it is full; with ACCRETE_ATTACK=1 both are tried at every change, and every kind of fault.
 */
import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FileSystem } from "../../src/io/atomic.ts";
import { checkFolder } from "../../src/workspace/check.ts";
import { keptVersions, readState, readStore } from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { type FaultKind, type Faulty, faultKinds, faultyFileSystem } from "../support/faults.ts";
import { deadOwner } from "../support/folders.ts";
import { adapterTask, anyModel, grownTask, statisticsTask } from "../support/states.ts";
import { addTask, beginStoreAt } from "../support/workspaces.ts";

const full = process.env.ACCRETE_ATTACK === "1";
let root = "";
let template = "";
let paged = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "accrete-faults-"));
  template = join(root, "template");
  await beginStoreAt(template);
  for (const name of ["one", "two", "three"]) await addTask(template, name);
  paged = join(root, "paged");
  await beginStoreAt(paged);
  await using workspace = await Workspace.open(paged);
  const names = ["one", "two", ...Array.from({ length: 68 }, (_, i) => `task ${i}`)];
  await workspace.commit({ tasks: names.map((each) => statisticsTask(each)) }, "learned all");
  await workspace.commit({ tasks: names.slice(0, -1).map((each) => statisticsTask(each)) }, "forgot one");
});
afterAll(() => rm(root, { recursive: true, force: true }));

type Command = (workspace: Workspace, folder: string) => Promise<void>;

/** How the n-th change may go wrong; what is dead says nothing. */
function codesAt(kind: FaultKind, at: number): readonly string[] {
  if (kind.startsWith("dies")) return ["EIO"];
  return full ? ["EIO", "ENOSPC"] : [at % 2 === 0 ? "EIO" : "ENOSPC"];
}

/**
 * Which changes go wrong. Behind one is before the next, so that it is the last one alone behind which a process need die; and
 * what writes no content fails where it would be torn.
 */
function placesOf(kind: FaultKind, { changes, writes }: Faulty): readonly number[] {
  const all = Array.from({ length: changes() }, (_, i) => i + 1);
  if (full) return all;
  if (kind === "dies after") return all.slice(-1);
  return kind === "tears" ? writes() : all;
}

/** What every command of a store asks of its folder. */
const commands: Readonly<Record<string, Command>> = {
  "learn a task": async (workspace, folder) => {
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await workspace.commit({ tasks: [...tasks, adapterTask("four")] }, "learned task four");
  },
  "learn a class into a task": async (workspace, folder) => {
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await workspace.commit(
      { tasks: tasks.map((task) => (task.name === "two" ? grownTask(task, "more") : task)) },
      "learned class more",
    );
    await workspace.expire(2);
  },
  forget: async (workspace, folder) => {
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await workspace.commit({ tasks: tasks.filter(({ name }) => name !== "two") }, "forgot a task");
  },
  rollback: async (workspace) => {
    await workspace.rollback();
  },
  "forget --purge": async (workspace, folder) => {
    const { tasks } = await readState(folder, await readStore(folder), anyModel);
    await workspace.commit({ tasks: tasks.filter(({ name }) => name !== "two") }, "forgot a task");
    await workspace.purge();
  },
  gc: async (workspace) => {
    await workspace.expire(1);
    await workspace.removeLeftovers();
  },
};

async function contentOf(folder: string): Promise<string> {
  const { tasks } = await readStore(folder);
  return tasks.map(({ name, labels }) => `${name}: ${labels.join()}`).join("; ");
}

async function run(command: Command, folder: string, fs: FileSystem | undefined): Promise<void> {
  await using workspace = await Workspace.open(folder, { fs, elsewhere: false });
  await command(workspace, folder);
}

/** Commands of a store whose tasks stand on pages. */
const pagedCommands: Readonly<Record<string, Command>> = {
  "learn a task": commands["learn a task"]!,
  "learn a class into a task": commands["learn a class into a task"]!,
  forget: commands.forget!,
  gc: commands.gc!,
};

/** Names that the whole store does not have: temporaries, and folders that no version names. */
async function litterOf(folder: string): Promise<string[]> {
  return [...(await checkFolder(folder)).leftovers];
}

describe.each(faultKinds)("where the disk %s", (kind) => {
  test.each(Object.keys(commands))("%s leaves the version before or after, whole", async (name) => {
    const command = commands[name]!;
    const whole = join(root, `${kind} ${name}`);
    await cp(template, whole, { recursive: true });
    const counting = faultyFileSystem(kind, 0);
    await run(command, whole, counting.fs);
    const [before, after] = [await contentOf(template), await contentOf(whole)];
    expect(counting.changes()).toBeGreaterThan(1);
    for (const at of placesOf(kind, counting))
      for (const code of codesAt(kind, at)) {
        const folder = join(root, `${kind} ${name} ${code} ${at}`);
        await cp(template, folder, { recursive: true });
        const failed = await run(command, folder, faultyFileSystem(kind, at, code).fs).then(
          () => false,
          () => true,
        );
        const there = await contentOf(folder);
        expect([before, after], `${code} at ${at}`).toContain(there);
        if (!failed) expect(there).toBe(after);
        expect((await checkFolder(folder)).problems, `${code} at ${at}`).toEqual([]);
        // A process that died holds no lock; its record is still there.
        if (kind.startsWith("dies"))
          await writeFile(join(folder, "lock.json"), JSON.stringify({ ...deadOwner(), held: "os" }));
        await addTask(folder, "next");
        expect(await contentOf(folder)).toBe(there === "" ? "next: next" : `${there}; next: next`);
        {
          await using workspace = await Workspace.open(folder);
          await workspace.removeLeftovers();
        }
        expect(await litterOf(folder)).toEqual([]);
        expect(await keptVersions(folder)).not.toEqual([]);
        await rm(folder, { recursive: true });
      }
  });
});

describe.each(["fails", "dies", "dies after"] as const)("with pages, where the disk %s", (kind) => {
  test.each(Object.keys(pagedCommands))("%s leaves the version before or after, whole", async (name) => {
    const command = pagedCommands[name]!;
    const own = `${paged} ${kind} ${name}`;
    const whole = `${own} whole`;
    await cp(paged, whole, { recursive: true });
    const counting = faultyFileSystem(kind, 0);
    await run(command, whole, counting.fs);
    const [before, after] = [await contentOf(paged), await contentOf(whole)];
    const places = placesOf(kind, counting);
    for (const at of full || places.length === 1 ? places : places.filter((place) => place % 4 === 1)) {
      const folder = `${own} ${at}`;
      await cp(paged, folder, { recursive: true });
      await run(command, folder, faultyFileSystem(kind, at).fs).catch(() => {});
      expect([before, after], `at ${at}`).toContain(await contentOf(folder));
      expect((await checkFolder(folder)).problems, `at ${at}`).toEqual([]);
      if (kind !== "fails")
        await writeFile(join(folder, "lock.json"), JSON.stringify({ ...deadOwner(), held: "os" }));
      await addTask(folder, "next");
      {
        await using workspace = await Workspace.open(folder);
        await workspace.removeLeftovers();
      }
      expect(await litterOf(folder), `at ${at}`).toEqual([]);
      expect((await checkFolder(folder)).problems, `at ${at}`).toEqual([]);
      await rm(folder, { recursive: true });
    }
  });
});

test.each(faultKinds)("where the disk %s, a store that is begun is there or can be begun", async (kind) => {
  const counting = faultyFileSystem(kind, 0);
  await beginStoreAt(join(root, `begin ${kind}`), { fs: counting.fs });
  for (let at = 1; at <= counting.changes(); at++) {
    const folder = join(root, `begin ${kind} ${at}`);
    await beginStoreAt(folder, { fs: faultyFileSystem(kind, at).fs }).catch(() => {});
    if (!(await readdir(folder)).includes("manifest.json")) await beginStoreAt(folder);
    await addTask(folder, "first");
    expect(await contentOf(folder)).toBe("first: first");
  }
});
