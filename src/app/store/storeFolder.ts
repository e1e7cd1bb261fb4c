/**
 * A store on the disk: one manifest that names everything, replaced atomically; files that never change once a manifest
 * named them; earlier manifests beside it. So every change is one version, whatever moment the process dies at, and
 * whoever read a manifest finds its files.
 */
import { join, resolve } from "node:path";
import { statisticsFile } from "../../continual/routing/routedLearner.ts";
import { selectorFile } from "../../continual/selectorState.ts";
import { StoreError } from "../../core/errors.ts";
import { type FileSystem, nodeFileSystem, writeFileAtomic, writeFolderAtomic } from "../../io/atomic.ts";
import { sha256 } from "../../io/hash.ts";
import { acquireLock, type FolderLock } from "../../io/lock.ts";
import {
  adapterId,
  type Manifest,
  type ManifestTask,
  manifestFile,
  readManifest,
  readManifestFile,
  type StoreVersion,
  slugFor,
} from "../manifest.ts";
import { listFolder } from "../runFolder.ts";

const versionsFolder = "versions";
const adaptersFolder = "adapters";
const versionFile = /^(\d{6,})\.json$/;

/** Files of ours beside an adapter, which its identity does not hang on. */
const companionFiles: ReadonlySet<string> = new Set([statisticsFile, selectorFile]);

/** A manifest that has its place in a store's history. */
export type StoreManifest = Manifest & { readonly store: StoreVersion };

/** What the folder of an experiment is, seen as a store. */
const adopted: StoreVersion = { version: 1, change: "learned by an experiment", time: "" };

/** @throws StoreError where the folder is neither store nor run */
export async function readStore(folder: string): Promise<StoreManifest> {
  const manifest = await readManifest(folder);
  if (manifest === undefined)
    throw new StoreError(`${folder}: no store there: ${manifestFile} is missing`, {
      hint: "Begin one with accrete init <store> --backbone <model>, or by learning: accrete learn <store> --backbone <model> …; or give the folder of a run.",
    });
  return { ...manifest, store: manifest.store ?? adopted };
}

function versionPath(folder: string, version: number): string {
  return join(folder, versionsFolder, `${String(version).padStart(6, "0")}.json`);
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

export interface StoreFolderOptions {
  readonly fs?: FileSystem;
}

/** A store that is being written. It holds the folder's lock: dispose of it. */
export class StoreFolder implements AsyncDisposable {
  readonly path: string;
  /** What the broken lock of a dead writer said, to be told to the user. */
  readonly brokenLock: FolderLock["brokenFrom"];
  private readonly lock: FolderLock;
  private readonly fs: FileSystem;
  private current: StoreManifest;

  private constructor(path: string, lock: FolderLock, fs: FileSystem, manifest: StoreManifest) {
    this.path = path;
    this.brokenLock = lock.brokenFrom;
    this.lock = lock;
    this.fs = fs;
    this.current = manifest;
  }

  /**
   * Writes the first version of a store into a folder that is locked and has none.
   * @throws StoreError if it cannot be written
   */
  static async begin(
    folder: string,
    manifest: Omit<Manifest, "store">,
    change: string,
    options: StoreFolderOptions = {},
  ): Promise<void> {
    const first = { ...manifest, store: { version: 1, change, time: new Date().toISOString() } };
    await writeManifest(join(folder, manifestFile), first, options.fs ?? nodeFileSystem);
  }

  /**
   * Opens a store to change it; readers go on meanwhile.
   * @throws StoreError where there is none, or another process is changing it
   */
  static async open(folder: string, options: StoreFolderOptions = {}): Promise<StoreFolder> {
    const path = resolve(folder);
    // Asked first: a lock would make the folder that is missing look like one that is held.
    await readStore(path);
    const lock = await acquireLock(path, { elsewhere: false });
    try {
      const opened = new StoreFolder(path, lock, options.fs ?? nodeFileSystem, await readStore(path));
      // Whoever leaves of its own accord tidies up; looking through every version each time would take long.
      if (opened.brokenLock !== undefined) await opened.removeLeftovers();
      return opened;
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  get manifest(): StoreManifest {
    return this.current;
  }

  /** Where a task's files lie, absolute. */
  placeOf({ adapter }: ManifestTask): string {
    return join(this.path, adapter.folder);
  }

  /**
   * Writes a task's files into a folder that no version has used. No version names it until {@link commit}.
   * @param files file name → bytes
   * @param slugs that other tasks of the same change have taken
   */
  async writeTask(
    task: Omit<ManifestTask, "adapter" | "slug"> & { readonly slug?: string },
    files: ReadonlyMap<string, Uint8Array>,
    slugs: readonly string[] = [],
  ): Promise<ManifestTask> {
    const takenSlugs = new Set([...this.current.tasks.map((other) => other.slug), ...slugs]);
    const slug = task.slug ?? slugFor(task.name, takenSlugs);
    const adapters = join(this.path, adaptersFolder);
    const taken = new Set(await listFolder(adapters));
    let name = slug;
    for (let n = 2; taken.has(name); n++) name = `${slug}-${n}`;
    await this.fs.makeFolder(adapters);
    await writeFolderAtomic(join(adapters, name), files, { fs: this.fs });
    const hashes = [...files.keys()].sort().map((file) => [file, sha256(files.get(file) ?? "")] as const);
    // An adapter is the same one whoever chooses among adapters; without an adapter the statistics are all there is.
    const own =
      task.statisticsOnly === undefined ? hashes.filter(([file]) => !companionFiles.has(file)) : hashes;
    return {
      ...task,
      slug,
      adapter: {
        folder: `${adaptersFolder}/${name}`,
        id: adapterId(Object.fromEntries(own)),
        files: Object.fromEntries(hashes),
      },
    };
  }

  /**
   * Makes the next version. Whatever moment the process dies at, the folder is at the version before or at this one.
   * @param change what was done, in words, for the history
   */
  commit(tasks: readonly ManifestTask[], change: string): Promise<StoreManifest> {
    return this.replace({ ...this.current, tasks }, change, this.current.store.version);
  }

  /**
   * Makes a next version that holds what an earlier one held.
   * @param version default: the one that this one was made of
   * @throws StoreError where there is none, or it is not kept
   */
  async rollback(version?: number): Promise<StoreManifest> {
    const target = version ?? this.current.store.parent;
    if (target === undefined)
      throw new StoreError(`${this.path}: nothing to go back to: this is the first version that is kept`);
    if (target === this.current.store.version)
      throw new StoreError(`${this.path}: is at version ${target} already`);
    const { store, ...held } = await readVersion(this.path, target);
    return this.replace(held, `back to version ${target}`, store.parent);
  }

  /** Deletes the versions before the present one, and every file that it does not need. */
  async purge(): Promise<void> {
    const { parent, ...store } = this.current.store;
    if (parent !== undefined) {
      const alone = { ...this.current, store };
      await writeManifest(join(this.path, manifestFile), alone, this.fs);
      this.current = alone;
    }
    for (const version of await keptVersions(this.path))
      await this.fs.remove(versionPath(this.path, version));
    await this.removeLeftovers();
  }

  private async replace(
    held: Omit<Manifest, "store">,
    change: string,
    parent: number | undefined,
  ): Promise<StoreManifest> {
    const before = this.current;
    const next: StoreManifest = {
      ...held,
      store: {
        version: before.store.version + 1,
        ...(parent !== undefined && { parent }),
        change,
        time: new Date().toISOString(),
      },
    };
    await this.fs.makeFolder(join(this.path, versionsFolder));
    await writeManifest(versionPath(this.path, before.store.version), before, this.fs);
    await writeManifest(join(this.path, manifestFile), next, this.fs);
    this.current = next;
    return next;
  }

  /** Removes what an interrupted change left: temporary names, and folders that no version names. */
  async removeLeftovers(): Promise<void> {
    const named = new Set<string>();
    const remember = ({ tasks }: Manifest) => {
      for (const { adapter } of tasks) named.add(adapter.folder);
    };
    remember(this.current);
    for (const version of await keptVersions(this.path)) remember(await readVersion(this.path, version));
    const inFolder = async (folder: string) =>
      (await listFolder(join(this.path, folder))).map((name) => (folder === "" ? name : `${folder}/${name}`));
    const temporary = (path: string) => /(^|\/)\.(tmp|old)-/.test(path) && !path.startsWith(".tmp-lock");
    const leftovers = [
      ...[...(await inFolder("")), ...(await inFolder(versionsFolder))].filter(temporary),
      ...(await inFolder(adaptersFolder)).filter((path) => !named.has(path)),
    ];
    for (const leftover of leftovers) await this.fs.remove(join(this.path, leftover));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lock[Symbol.asyncDispose]();
  }
}

function writeManifest(path: string, manifest: Manifest, fs: FileSystem): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`, { fs });
}
