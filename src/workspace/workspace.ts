/**
 * States on the disk: one manifest that names everything, replaced atomically; files that never change once a manifest
 * named them; in a store earlier manifests beside it. So whatever moment the process dies at, the folder is as before a
 * change or has it whole, and whoever read a manifest finds its files.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { RouterStage } from "../continual/types.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { type FileSystem, nodeFileSystem, writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { acquireLock, type FolderLock } from "../io/lock.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { emptyState, type ModelState, type TaskState } from "../model/state.ts";
import { encodeTask, hashFiles, readTask, recordOf, slugFor, taskId } from "../model/taskFiles.ts";
import { isTemporary, listFolder } from "./listing.ts";
import {
  type Manifest,
  type ManifestHeader,
  type ManifestTask,
  manifestFile,
  readManifest,
  readManifestFile,
  type StoreVersion,
} from "./manifest.ts";

const versionsFolder = "versions";
const adaptersFolder = "adapters";
/** Holds what was fitted to the present version; nothing in it is needed: whoever finds it empty fits anew. */
export const routerFolder = "router";
const versionFile = /^(\d{6,})\.json$/;

/** A manifest that has its place in a store's history. */
export type StoreManifest = Manifest & { readonly store: StoreVersion };

/** What the folder of an experiment is, seen as a store. */
const adopted: StoreVersion = { version: 1, change: "learned by an experiment", time: "" };

/** @throws StoreError where the folder is neither store nor run */
export async function readStore(folder: string): Promise<StoreManifest> {
  const manifest = await readManifest(folder);
  if (manifest === undefined)
    throw new StoreError(`${folder}: no run there, and no store: ${manifestFile} is missing`, {
      hint: "Give the folder that a configuration calls out, e.g. runs/demo, or begin a store: accrete init <store> --backbone <model>, or accrete learn <store> --backbone <model> ….",
    });
  return { ...manifest, store: manifest.store ?? adopted };
}

function digitsOf(version: number): string {
  return String(version).padStart(6, "0");
}

function versionPath(folder: string, version: number): string {
  return join(folder, versionsFolder, `${digitsOf(version)}.json`);
}

/** Where the router of a version lies, in the folder. */
export function routerPlace(version: number, stage: RouterStage): string {
  return `${routerFolder}/${digitsOf(version)}/${stage}`;
}

/** Numbers of the versions before the present one that are kept, oldest first. */
export async function keptVersions(folder: string): Promise<number[]> {
  const names = await listFolder(join(folder, versionsFolder));
  return names.flatMap((name) => Number(versionFile.exec(name)?.[1] ?? [])).sort((a, b) => a - b);
}

/** @throws StoreError naming the versions there are */
export async function readVersion(folder: string, version: number): Promise<StoreManifest> {
  const now = await readStore(folder);
  if (now.store.version === version) return now;
  const manifest = await readManifestFile(versionPath(folder, version));
  if (manifest !== undefined) return { ...manifest, store: manifest.store ?? adopted };
  const kept = await keptVersions(folder);
  throw new StoreError(`${folder}: version ${version} is not kept`, {
    hint: `It is at version ${now.store.version}; kept: ${kept.join(", ") || "none before it"}.`,
  });
}

/** What to do where a file that a manifest names is missing or damaged. */
export function damageHintOf({ store }: Pick<Manifest, "store">): string {
  return store?.parent === undefined
    ? "Restore it from a copy, or learn anew in another folder."
    : `Restore it from a copy, or go back to a version that does without it: accrete rollback, to version ${store.parent}, or further with --to.`;
}

/**
 * The absolute folder of a task, each of its files checked against the manifest.
 * @throws CheckpointError naming the file that is missing or damaged
 */
export async function verifiedTaskFolder(root: string, task: ManifestTask, hint: string): Promise<string> {
  const folder = join(root, task.adapter.folder);
  for (const [name, expected] of Object.entries(task.adapter.files)) {
    const path = join(folder, name);
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw new CheckpointError(`${path}: the file of task ${task.name} is missing`, { hint, cause });
    });
    const found = sha256(bytes);
    if (found !== expected)
      throw new CheckpointError(
        `${path}: the file of task ${task.name} is damaged: SHA-256 ${found}, the manifest says ${expected}`,
        { hint },
      );
  }
  return folder;
}

/** Which task of a state lies where: what did not change is not written again. */
const placed = new WeakMap<TaskState, { readonly root: string; readonly entry: ManifestTask }>();

/** Where a task of a state that was read or committed lies. */
export function entryOf(task: TaskState): ManifestTask | undefined {
  return placed.get(task)?.entry;
}

/**
 * Reads the state that a manifest names.
 * @throws CheckpointError where a file is missing or damaged
 */
export async function readState(
  root: string,
  manifest: Manifest,
  model: Pick<ContinualModel, "restore" | "loaded">,
): Promise<ModelState> {
  const hint = damageHintOf(manifest);
  const tasks = await Promise.all(
    manifest.tasks.map(async (entry) => {
      const folder = await verifiedTaskFolder(root, entry, hint);
      const task = await readTask(model, entry, Object.keys(entry.adapter.files), folder);
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
  model: ContinualModel,
): Promise<{ readonly manifest: StoreManifest; readonly state: ModelState }> {
  for (let manifest = await readStore(root); ; ) {
    try {
      return { manifest, state: await readState(root, manifest, model) };
    } catch (error) {
      const now = await readStore(root);
      if (!(error instanceof CheckpointError) || now.store.version === manifest.store.version) throw error;
      manifest = now;
    }
  }
}

export interface WorkspaceOptions {
  readonly fs?: FileSystem | undefined;
  /** Whether another folder would do as well, and may be advised to whoever finds this one locked; default true. */
  readonly elsewhere?: boolean | undefined;
}

/** A router as it is kept: its files by name. */
export interface RouterFiles {
  readonly stage: RouterStage;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A folder of states that is being written. It holds the folder's lock: dispose of it. */
export class Workspace implements AsyncDisposable {
  readonly path: string;
  /** The dead writer whose lock was broken, to be told to the user. */
  readonly brokenLock: FolderLock["brokenFrom"];
  private readonly lock: FolderLock;
  private readonly fs: FileSystem;
  private current: Manifest | undefined;

  private constructor(path: string, lock: FolderLock, fs: FileSystem, manifest: Manifest | undefined) {
    this.path = path;
    this.brokenLock = lock.brokenFrom;
    this.lock = lock;
    this.fs = fs;
    this.current = manifest;
  }

  /**
   * Locks a folder to change it; readers go on meanwhile.
   * @param check refuses the folder, asked once it is locked
   * @throws StoreError where another process is changing it
   */
  static async open(
    folder: string,
    { fs = nodeFileSystem, elsewhere = true }: WorkspaceOptions = {},
    check: (manifest: Manifest | undefined) => Promise<void> = async () => {},
  ): Promise<Workspace> {
    const path = resolve(folder);
    const lock = await acquireLock(path, { elsewhere });
    try {
      const manifest = await readManifest(path);
      await check(manifest);
      const opened = new Workspace(path, lock, fs, manifest);
      // Whoever leaves of its own accord tidies up; looking through every version each time would take long.
      if (lock.brokenFrom !== undefined) await opened.removeLeftovers();
      return opened;
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  get manifest(): Manifest | undefined {
    return this.current;
  }

  private get begun(): Manifest {
    if (this.current !== undefined) return this.current;
    throw new StoreError(`${this.path}: nothing was begun there`, { exitCode: 1 });
  }

  /** Writes the first manifest. @param change in words, for a store's history; absent: an experiment */
  async begin(header: ManifestHeader, change?: string): Promise<void> {
    const store =
      change === undefined ? {} : { store: { version: 1, change, time: new Date().toISOString() } };
    await this.write({ schemaVersion: 1, ...header, tasks: [], ...store });
  }

  /**
   * Saves a state: what is new in it first, then the manifest that names it, each atomically.
   * @param change what was done, in words: the state is then the next version of a store
   * @param router that it is committed with; absent where nothing routes
   */
  async commit(state: ModelState, change?: string, router?: RouterFiles): Promise<Manifest> {
    try {
      const entries: ManifestTask[] = [];
      for (const task of state.tasks) entries.push(await this.place(task, entries));
      const held = { ...this.begun, tasks: entries };
      if (change === undefined) await this.write(held);
      else await this.next(held, { change, router }, (await this.present()).store.version);
      return this.begun;
    } catch (error) {
      // What cannot be removed now is removed with the next purge; the first error is the one to tell.
      await this.removeLeftovers().catch(() => {});
      throw error;
    }
  }

  private present(): Promise<StoreManifest> {
    return Promise.resolve({ ...this.begun, store: this.begun.store ?? adopted });
  }

  private async place(task: TaskState, before: readonly ManifestTask[]): Promise<ManifestTask> {
    const known = placed.get(task);
    if (known?.root === this.path) return known.entry;
    const record = recordOf(task);
    const files = encodeTask(task);
    const same = this.begun.tasks.find(({ name }) => name === task.name);
    const taken = new Set([...this.begun.tasks, ...before].map(({ slug }) => slug));
    const slug = same?.slug ?? slugFor(task.name, taken);
    const adapters = join(this.path, adaptersFolder);
    const there = new Set(await listFolder(adapters));
    let name = slug;
    for (let n = 2; there.has(name); n++) name = `${slug}-${n}`;
    await this.fs.makeFolder(adapters);
    await writeFolderAtomic(join(adapters, name), files, { fs: this.fs });
    const hashes = hashFiles(files);
    const entry: ManifestTask = {
      ...record,
      slug,
      adapter: {
        folder: `${adaptersFolder}/${name}`,
        id: taskId(hashes, record.statisticsOnly === true),
        files: hashes,
      },
    };
    placed.set(task, { root: this.path, entry });
    return entry;
  }

  /**
   * Makes a next version that holds what an earlier one held.
   * @param version default: the one that this one was made of
   * @param fitRouter gives the router that a version is committed with
   * @throws StoreError where there is none, or it is not kept
   */
  async rollback(
    version?: number,
    fitRouter: (manifest: StoreManifest) => Promise<RouterFiles | undefined> = () =>
      Promise.resolve(undefined),
  ): Promise<void> {
    const { store } = await this.present();
    const target = version ?? store.parent;
    if (target === undefined)
      throw new StoreError(`${this.path}: nothing to go back to: this is the first version that is kept`);
    if (target === store.version) throw new StoreError(`${this.path}: is at version ${target} already`);
    const found = await readVersion(this.path, target);
    const router = await fitRouter(found);
    const { store: earlier, ...held } = found;
    await this.next(held, { change: `back to version ${target}`, router }, earlier.parent);
  }

  private async next(
    held: Omit<Manifest, "store">,
    { change, router }: { readonly change: string; readonly router: RouterFiles | undefined },
    parent: number | undefined,
  ): Promise<void> {
    const before = await this.present();
    const { version } = before.store;
    const time = new Date().toISOString();
    const store = { version: version + 1, ...(parent !== undefined && { parent }), change, time };
    if (router !== undefined) await this.writeFiles(router.files, routerPlace(store.version, router.stage));
    await this.fs.makeFolder(join(this.path, versionsFolder));
    await this.writeManifest(versionPath(this.path, version), before);
    await this.write({ ...held, store });
    // The change is made: what cannot be removed now goes with the next purge.
    await this.removePastRouters().catch(() => {});
  }

  /** Deletes the versions before the present one, and every file that it does not need. */
  async purge(): Promise<void> {
    const { store, ...held } = await this.present();
    const { parent, ...alone } = store;
    if (parent !== undefined) await this.write({ ...held, store: alone });
    for (const version of await keptVersions(this.path))
      await this.fs.remove(versionPath(this.path, version));
    await this.removeLeftovers();
  }

  /** Replaces files at the top of the folder or below it, each atomically. */
  async writeFiles(files: ReadonlyMap<string, Uint8Array>, folder = ""): Promise<void> {
    if (files.size > 0) await this.fs.makeFolder(join(this.path, folder));
    for (const [name, bytes] of files)
      await writeFileAtomic(join(this.path, folder, name), bytes, { fs: this.fs });
  }

  /** Writes a router of the present version. */
  async writeRouter({ stage, files }: RouterFiles): Promise<void> {
    await this.writeFiles(files, routerPlace((await this.present()).store.version, stage));
  }

  /** Takes away what was fitted to other versions than the present one. */
  private async removePastRouters(): Promise<void> {
    // Read anew: where a change failed, the manifest on the disk says whether it was made.
    const present = digitsOf((await readStore(this.path)).store.version);
    for (const name of await listFolder(join(this.path, routerFolder)))
      if (name !== present) await this.fs.remove(join(this.path, routerFolder, name));
  }

  /** Removes what an interrupted change left: temporary names, and folders that no version names. */
  async removeLeftovers(): Promise<void> {
    // Read anew: where a change failed, the manifest on the disk says whether it was made.
    const present = await readManifest(this.path);
    const named = new Set(present?.tasks.map(({ adapter }) => adapter.folder));
    for (const version of await keptVersions(this.path))
      for (const { adapter } of (await readVersion(this.path, version)).tasks) named.add(adapter.folder);
    const inFolder = async (folder: string) =>
      (await listFolder(join(this.path, folder))).map((name) => (folder === "" ? name : `${folder}/${name}`));
    const leftovers = [
      ...[...(await inFolder("")), ...(await inFolder(versionsFolder))].filter(isTemporary),
      ...(await inFolder(adaptersFolder)).filter((path) => !named.has(path)),
    ];
    for (const leftover of leftovers) await this.fs.remove(join(this.path, leftover));
    await this.removePastRouters();
  }

  private async write(manifest: Manifest): Promise<void> {
    await this.writeManifest(join(this.path, manifestFile), manifest);
    this.current = manifest;
  }

  private writeManifest(path: string, manifest: Manifest): Promise<void> {
    return writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`, { fs: this.fs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lock[Symbol.asyncDispose]();
  }
}

/** Reads files of a version's router; undefined where one is not there. */
export function routerReader(root: string, version: number, stage: RouterStage) {
  const folder = join(root, routerPlace(version, stage));
  return (name: string): Promise<Uint8Array | undefined> =>
    readFile(join(folder, name)).catch(() => undefined);
}
