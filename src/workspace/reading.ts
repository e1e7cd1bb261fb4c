/** Reading what lies in a folder of states: the present manifest, those before it, and the state that one names. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  checkSameConstants,
  distinctContributions,
  type KeptContribution,
} from "../continual/statistics/statistics.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { sha256 } from "../io/hash.ts";
import { noteOnce } from "../io/notes.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { configFile, type ModelSettings, readModelSettings } from "../model/settings/settings.ts";
import { emptyState, type ModelState, type TaskState } from "../model/state.ts";
import { readContributions, readTask, statisticsFile } from "../model/taskFiles.ts";
import { listFolder } from "./listing.ts";
import {
  foldersOf,
  type Manifest,
  type ManifestTask,
  manifestFile,
  readManifest,
  readManifestFile,
  type StoreVersion,
} from "./manifest.ts";
import { rememberPlace, type TaskFolder } from "./placing.ts";

export const versionsFolder = "versions";
const versionFile = /^(\d{6,})\.json$/;

/** A manifest that has its place in a store's history. */
export type StoreManifest = Manifest & { readonly store: StoreVersion };

/** What the folder of an experiment is, seen as a store. */
export const adopted: StoreVersion = { version: 1, change: "learned by an experiment", time: "" };

/** Whether two manifests are the same version: where a change was not published, another one has its number later. */
export function isSameVersion({ store: a }: StoreManifest, { store: b }: StoreManifest): boolean {
  return a.version === b.version && a.time === b.time && a.change === b.change;
}

export function asStore(manifest: Manifest): StoreManifest {
  return { ...manifest, store: manifest.store ?? adopted };
}

/**
 * The present manifest. Where that is damaged, the newest version before it whose files are all there, with a note;
 * whoever would change the folder is refused then.
 * @throws StoreError where the folder is neither store nor run, or nothing whole is left
 */
export async function readStore(folder: string): Promise<StoreManifest> {
  let damage: StoreError | undefined;
  try {
    const manifest = await readManifest(folder);
    if (manifest !== undefined) return asStore(manifest);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
    damage = error;
  }
  const whole = await newestWhole(folder);
  if (whole !== undefined) {
    const what = damage?.message ?? `${join(folder, manifestFile)}: is missing`;
    noteOnce(
      `${folder} ${whole.store.version}`,
      `${what}; answers come from version ${whole.store.version}, the newest that is whole. accrete repair ${folder} makes it the present one.`,
    );
    return whole;
  }
  if (damage !== undefined) throw damage;
  throw new StoreError(`${folder}: no run there, and no store: ${manifestFile} is missing`, {
    hint: "Give the folder that a configuration calls out, e.g. runs/demo, or begin a store: accrete init <store> --backbone <model>, or accrete learn <store> --backbone <model> ….",
  });
}

/** The newest version before the present one whose manifest can be read and whose files are as it says. */
export async function newestWhole(folder: string): Promise<StoreManifest | undefined> {
  for (const version of (await keptVersions(folder)).reverse()) {
    try {
      const manifest = await readManifestFile(versionPath(folder, version));
      if (manifest === undefined) continue;
      for (const task of manifest.tasks) await verifiedTaskFolder(folder, task, "");
      return asStore(manifest);
    } catch {
      // The one before it may be whole.
    }
  }
  return undefined;
}

export function versionPath(folder: string, version: number): string {
  return join(folder, versionsFolder, `${String(version).padStart(6, "0")}.json`);
}

/** Numbers of the versions before the present one that are kept, oldest first. */
export async function keptVersions(folder: string): Promise<number[]> {
  const names = await listFolder(join(folder, versionsFolder));
  const numbers = names.flatMap((name) => {
    const number = versionFile.exec(name)?.[1];
    // Whatever else lies there is somebody's, or a torn temporary.
    return number === undefined ? [] : [Number(number)];
  });
  return numbers.sort((a, b) => a - b);
}

/** @throws StoreError naming the versions there are */
export async function readVersion(folder: string, version: number): Promise<StoreManifest> {
  const now = await readStore(folder);
  if (now.store.version === version) return now;
  const manifest = await readManifestFile(versionPath(folder, version));
  if (manifest !== undefined) return asStore(manifest);
  const kept = await keptVersions(folder);
  throw new StoreError(`${folder}: version ${version} is not kept`, {
    hint: `It is at version ${now.store.version}; kept: ${kept.join(", ") || "none before it"}.`,
  });
}

/** SHA-256 of the settings' file; undefined where there is none. */
export async function hashSettings(folder: string): Promise<string | undefined> {
  return await readFile(join(folder, configFile)).then(sha256, () => undefined);
}

/**
 * The settings of a folder as they were written when it was begun.
 * @throws CheckpointError where they were changed since: what was learned with them would answer otherwise
 */
export async function readSettings(
  folder: string,
  { settingsFile, store }: Manifest,
): Promise<ModelSettings> {
  const found = settingsFile === undefined ? undefined : await hashSettings(folder);
  if (found !== undefined && found !== settingsFile)
    throw new CheckpointError(`${join(folder, configFile)}: was changed since the folder was begun`, {
      hint: `Restore it from a copy. Where the change is meant: accrete repair ${folder} takes it as it is now. A backbone that lies elsewhere is given with --backbone.`,
    });
  return await readModelSettings(folder, store?.settings);
}

/** What to do where a file that a manifest names is missing or damaged. */
export function damageHintOf({ store }: Pick<Manifest, "store">): string {
  return store?.parent === undefined
    ? "Restore it from a copy, or learn anew in another folder."
    : `Restore it from a copy, or go back to a version that does without it: accrete rollback, to version ${store.parent}, or further with --to.`;
}

/** @returns bytes of the folder's files, each checked against the manifest */
async function verify(
  root: string,
  { folder, files }: TaskFolder,
  task: ManifestTask,
  hint: string,
): Promise<number> {
  let size = 0;
  for (const [name, expected] of Object.entries(files)) {
    const path = join(root, folder, name);
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw new CheckpointError(`${path}: the file of task ${task.name} is missing`, { hint, cause });
    });
    const found = sha256(bytes);
    if (found !== expected)
      throw new CheckpointError(
        `${path}: the file of task ${task.name} is damaged: SHA-256 ${found}, the manifest says ${expected}`,
        { hint },
      );
    size += bytes.length;
  }
  return size;
}

/**
 * The absolute folder of a task, each file of it and of its segments checked against the manifest.
 * @throws CheckpointError naming the file that is missing or damaged
 */
export async function verifiedTaskFolder(root: string, task: ManifestTask, hint: string): Promise<string> {
  for (const folder of foldersOf(task)) await verify(root, folder, task, hint);
  return join(root, task.adapter.folder);
}

/** What is kept of a task's classes; its files were checked. */
export async function contributionsOf(
  root: string,
  task: ManifestTask,
): Promise<readonly KeptContribution[]> {
  const found: KeptContribution[] = [];
  for (const { folder, files } of foldersOf(task))
    if (statisticsFile in files) found.push(...(await readContributions(join(root, folder))).contributions);
  return found;
}

/** Which task of a state lies where: what did not change is not written again. */
export const placed = new WeakMap<TaskState, { readonly root: string; readonly entry: ManifestTask }>();

/** Where a task of a state that was read or committed lies. */
export function entryOf(task: TaskState): ManifestTask | undefined {
  return placed.get(task)?.entry;
}

async function readTaskOf(
  root: string,
  entry: ManifestTask,
  model: Pick<ContinualModel, "restore" | "loaded" | "feature">,
  hint: string,
): Promise<TaskState> {
  const { adapter, segments = [] } = entry;
  const bytes = await verify(root, adapter, entry, hint);
  const task = await readTask(model, entry, Object.keys(adapter.files), join(root, adapter.folder));
  rememberPlace(root, adapter, task, bytes);
  if (segments.length === 0) return task;
  const contributions = [...(task.rows?.contributions ?? [])];
  let constants = task.rows?.constants;
  for (const folder of segments) {
    const size = await verify(root, folder, entry, hint);
    const rows = await readContributions(join(root, folder.folder));
    if (constants !== undefined) checkSameConstants(constants, rows.constants);
    constants = rows.constants;
    rememberPlace(root, folder, { rows }, size);
    contributions.push(...rows.contributions);
  }
  if (constants === undefined) return task;
  return { ...task, rows: { ...task.rows, constants, contributions: distinctContributions(contributions) } };
}

/**
 * Reads the state that a manifest names.
 * @throws CheckpointError where a file is missing or damaged
 */
export async function readState(
  root: string,
  manifest: Manifest,
  model: Pick<ContinualModel, "restore" | "loaded" | "feature">,
): Promise<ModelState> {
  const hint = damageHintOf(manifest);
  const tasks = await Promise.all(
    manifest.tasks.map(async (entry) => {
      const task = await readTaskOf(root, entry, model, hint);
      placed.set(task, { root, entry });
      return task;
    }),
  );
  return tasks.length === 0 ? emptyState : { tasks };
}

/**
 * Reads the present state. A purge may take files away between the manifest and them: then there is a newer manifest.
 */
export async function readPresent(
  root: string,
  model: Pick<ContinualModel, "restore" | "loaded" | "feature">,
): Promise<{ readonly manifest: StoreManifest; readonly state: ModelState }> {
  for (let manifest = await readStore(root); ; ) {
    try {
      return { manifest, state: await readState(root, manifest, model) };
    } catch (error) {
      const now = await readStore(root);
      if (!(error instanceof CheckpointError) || isSameVersion(now, manifest)) throw error;
      manifest = now;
    }
  }
}
