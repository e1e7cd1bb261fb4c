/** Folders of states that no model learned. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileSystem } from "../../src/io/atomic.ts";
import { readState, readStore } from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { temporaryFolder } from "./folders.ts";
import { header } from "./records.ts";
import { anyModel, statisticsTask } from "./states.ts";

/** Makes a folder, and an empty store in it. */
export async function beginStoreAt(
  folder: string,
  { settings = "backbone: here\n", fs }: { readonly settings?: string; readonly fs?: FileSystem } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.resolved.yaml"), settings);
  const { dataHash: _, ...own } = header;
  await using workspace = await Workspace.open(folder, { fs });
  await workspace.begin({ ...own, configHash: "d".repeat(64), seed: 1 }, "begun");
  return folder;
}

/** An empty store in a folder that goes away with the test. */
export async function begunStore(settings?: string): Promise<string> {
  return await beginStoreAt(await temporaryFolder(), settings === undefined ? {} : { settings });
}

/** One change: a task called `name` joins. */
export async function addTask(folder: string, name: string, fs?: FileSystem): Promise<void> {
  await using workspace = await Workspace.open(folder, { ...(fs && { fs }), elsewhere: false });
  const { tasks } = await readState(folder, await readStore(folder), anyModel);
  await workspace.commit({ tasks: [...tasks, statisticsTask(name)] }, `learned ${name}`);
}

export async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readStore(folder)).tasks.map(({ name }) => name);
}
