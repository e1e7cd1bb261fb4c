/**
 * States on the disk: one manifest that names everything, replaced atomically; files that never change once a manifest
 * named them; in a store earlier manifests beside it. So whatever moment the process dies at, the folder is as before a
 * change or has it whole, and whoever read a manifest finds its files.
 */
import { join, resolve } from "node:path";
import { StoreError, UnconfirmedError } from "../core/errors.ts";
import {
  type FileSystem,
  nodeFileSystem,
  writeFileAtomic,
  writeFolderAtomic,
  writeNewFile,
} from "../io/atomic.ts";
import { sha256Json } from "../io/hash.ts";
import { acquireLock, type FolderLock, type LockOptions } from "../io/lock.ts";
import { noteOnce } from "../io/notes.ts";
import type { ModelState, TaskState } from "../model/state.ts";
import { hashFiles, recordOf, slugFor, taskId } from "../model/taskFiles.ts";
import { Cleaning } from "./cleaning.ts";
import { adaptersFolder, isOurs, listFolder, markOf } from "./listing.ts";
import {
  encodeManifest,
  foldersOf,
  type Manifest,
  type ManifestHeader,
  type ManifestTask,
  manifestFile,
  pageNamesOf,
  parseManifest,
  readIfThere,
  readManifest,
  type StoreVersion,
} from "./manifest.ts";
import { writePages } from "./pages.ts";
import { type Plan, planTask, rememberPlan, type TaskFolder } from "./placing.ts";
import {
  adopted,
  hashSettings,
  keptVersions,
  placed,
  readVersion,
  type StoreManifest,
  verifiedTaskFolder,
  versionPath,
  versionsFolder,
} from "./reading.ts";
import { type RouterFiles, routerEntry, routerFolder, routerPlace, routersOf } from "./routers.ts";

export interface WorkspaceOptions extends LockOptions {
  readonly fs?: FileSystem | undefined;
}

/** What a version of a store has beside its tasks. */
interface NextVersion extends Pick<StoreVersion, "change" | "settings"> {
  readonly router: RouterFiles | undefined;
}

/** Where a task of a state that is being committed lies. */
interface Placed {
  readonly entry: ManifestTask;
  readonly plan: Plan;
  /** That was made for it. */
  readonly written: TaskFolder | undefined;
}

/** A folder of states that is being written. It holds the folder's lock: dispose of it. */
export class Workspace implements AsyncDisposable {
  readonly path: string;
  /** The dead writer whose lock was broken, to be told to the user. */
  readonly brokenLock: FolderLock["brokenFrom"];
  private readonly lock: FolderLock;
  private readonly fs: FileSystem;
  private readonly cleaning: Cleaning;
  private current: Manifest | undefined;
  /** The manifest's text as it was read or written last: what another one stands there is another writer's. */
  private seen: string | undefined;

  private constructor(path: string, lock: FolderLock, fs: FileSystem, manifest: Manifest | undefined) {
    this.path = path;
    this.brokenLock = lock.brokenFrom;
    this.lock = lock;
    this.fs = fs;
    this.cleaning = new Cleaning(path, fs);
    this.current = manifest;
  }

  /**
   * Locks a folder to change it; readers go on meanwhile.
   * @param check refuses the folder, asked once it is locked
   * @throws StoreError where another process is changing it
   */
  static async open(
    folder: string,
    { fs = nodeFileSystem, ...locking }: WorkspaceOptions = {},
    check: (manifest: Manifest | undefined) => Promise<void> = async () => {},
  ): Promise<Workspace> {
    const path = resolve(folder);
    const lock = await acquireLock(path, locking);
    try {
      const file = join(path, manifestFile);
      const seen = await readIfThere(file);
      const manifest = seen === undefined ? undefined : await parseManifest(seen, file);
      await check(manifest);
      const opened = new Workspace(path, lock, fs, manifest);
      opened.seen = seen;
      // Whoever leaves of its own accord tidies up; looking through every version each time would take long.
      if (lock.brokenFrom !== undefined) await opened.removeLeftovers().catch(() => {});
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
    const settingsFile = await hashSettings(this.path);
    const settings = settingsFile === undefined ? {} : { settingsFile };
    await this.write({ ...header, ...settings, tasks: [], ...store });
  }

  /**
   * Saves a state: what is new in it first, then the manifest that names it, each atomically. Once the manifest is
   * replaced the change is made, and nothing that fails then undoes it.
   * @param change what was done, in words: the state is then the next version of a store
   * @param router that it is committed with; absent where nothing routes
   * @param settings changed since the folder was begun; default: those of the present version
   * @throws StoreError where it cannot be written (nothing changed then), or another process changed the folder meanwhile
   */
  async commit(
    state: ModelState,
    change?: string,
    router?: RouterFiles,
    settings: StoreVersion["settings"] = this.begun.store?.settings,
  ): Promise<Manifest> {
    const made = new Map<TaskState, Placed>();
    try {
      const entries: ManifestTask[] = [];
      for (const task of state.tasks) entries.push(await this.place(task, entries, made));
      const next = { ...this.begun, tasks: entries };
      if (change === undefined) await this.write(next);
      else await this.next(next, { change, router, settings }, (await this.present()).store.version);
    } catch (error) {
      // What cannot be removed now is removed with the next purge; the first error is the one to tell.
      await this.takeBack([...made.values()].flatMap(({ written }) => written?.folder ?? [])).catch(() => {});
      throw error;
    }
    for (const [task, { entry, plan, written }] of made) {
      rememberPlan(this.path, plan, written);
      placed.set(task, { root: this.path, entry });
    }
    return this.begun;
  }

  /** Removes what a change wrote that was not made: the manifest on the disk says whether it was. */
  private async takeBack(written: readonly string[]): Promise<void> {
    const present = await readManifest(this.path);
    const named = new Set(present?.tasks.flatMap(foldersOf).map(({ folder }) => folder));
    for (const folder of written)
      if (!named.has(folder) && (await isOurs(this.path, folder)))
        await this.fs.remove(join(this.path, folder));
    // The version that is still the present one was to be set among the earlier ones.
    const version = present?.store?.version;
    if (version !== undefined && this.lock.certain) await this.fs.remove(versionPath(this.path, version));
    await this.removePastRouters();
    await this.cleaning.removeUnnamed();
  }

  private present(): Promise<StoreManifest> {
    return Promise.resolve({ ...this.begun, store: this.begun.store ?? adopted });
  }

  private async place(
    task: TaskState,
    before: readonly ManifestTask[],
    made: Map<TaskState, Placed>,
  ): Promise<ManifestTask> {
    const known = placed.get(task);
    if (known?.root === this.path) return known.entry;
    const same = this.begun.tasks.find(({ name }) => name === task.name);
    const plan = planTask(this.path, task, same);
    const taken = new Set([...this.begun.tasks, ...before].map(({ slug }) => slug));
    const slug = same?.slug ?? slugFor(task.name, taken);
    const written =
      plan.files.size === 0 && plan.stays !== undefined
        ? undefined
        : { folder: await this.freeFolder(slug), files: hashFiles(plan.files) };
    const entry = { ...recordOf(task), slug, ...foldersAfter(task, plan, written) };
    made.set(task, { entry, plan, written });
    if (written !== undefined)
      await writeFolderAtomic(
        join(this.path, written.folder),
        new Map([...plan.files, markOf(written.folder)]),
        { fs: this.fs },
      );
    return entry;
  }

  private async freeFolder(slug: string): Promise<string> {
    const adapters = join(this.path, adaptersFolder);
    const there = new Set(await listFolder(adapters));
    let name = slug;
    for (let n = 2; there.has(name); n++) name = `${slug}-${n}`;
    await this.fs.makeFolder(adapters);
    return `${adaptersFolder}/${name}`;
  }

  /**
   * Makes a next version that holds what an earlier one held.
   * @param version default: the one that this one was made of
   * @throws StoreError where there is none, or it is not kept
   */
  async rollback(version?: number): Promise<Manifest> {
    const { store } = await this.present();
    const target = version ?? store.parent;
    const kept = target !== undefined && (target === store.version || (await this.keeps(target)));
    if (target === undefined || (version === undefined && !kept))
      throw new StoreError(`${this.path}: nothing to go back to: this is the first version that is kept`);
    if (target === store.version) throw new StoreError(`${this.path}: is at version ${target} already`);
    const { store: earlier, ...held } = await readVersion(this.path, target);
    const hint = `accrete check ${this.path} says which versions are whole.`;
    for (const task of held.tasks) await verifiedTaskFolder(this.path, task, hint);
    const { settings } = earlier;
    const change = `back to version ${target}`;
    await this.next(held, { change, router: undefined, settings }, earlier.parent);
    return this.begun;
  }

  private async keeps(version: number): Promise<boolean> {
    return (await keptVersions(this.path)).includes(version);
  }

  private async next(
    held: Omit<Manifest, "store">,
    { change, router, settings }: NextVersion,
    parent: number | undefined,
  ): Promise<void> {
    const before = await this.present();
    const { version } = before.store;
    // Where an older manifest was put back, later numbers are taken.
    const newest = Math.max(version, ...(await keptVersions(this.path)));
    const time = new Date().toISOString();
    const store = {
      version: newest + 1,
      ...(parent !== undefined && { parent }),
      change,
      time,
      ...(settings && { settings }),
    };
    const next = { ...held, store };
    // Asked first: what cannot be written must not make the present version an earlier one.
    const encoded = encodeManifest(next, join(this.path, manifestFile));
    await this.refuseChanged();
    if (router !== undefined) await this.writeFiles(router.files, routerPlace(store.version, router.stage));
    await this.fs.makeFolder(join(this.path, versionsFolder));
    const path = versionPath(this.path, version);
    // A store's manifest is set among the earlier ones as it is; a run's gets its place.
    const text = (this.begun.store && this.seen) ?? (await this.encodeEarlier(before, path));
    // Of all who would make a next version of this one, one alone writes this file.
    if (!(await writeNewFile(path, text, { fs: this.fs }))) await this.checkClaimed(path, text);
    await this.write(next, encoded);
    // The change is made: what cannot be removed now goes with the next one.
    await this.removePastRouters().catch(() => {});
  }

  private async encodeEarlier(manifest: Manifest, path: string): Promise<string> {
    const { text, pages } = encodeManifest(manifest, path);
    await writePages(this.path, pages, this.fs);
    return text;
  }

  /** A writer that died in the middle left it: then it says the same, and the lock says that nobody is at it. */
  private async checkClaimed(path: string, text: string): Promise<void> {
    if (!this.lock.certain) throw this.changedMeanwhile();
    if ((await readIfThere(path)) === text) return;
    throw new StoreError(`${path}: is in the way: it is not the version that ${manifestFile} has`, {
      hint: `accrete repair ${this.path} puts it aside.`,
    });
  }

  /** @throws StoreError STORE_BUSY where another writer was here */
  private async refuseChanged(): Promise<void> {
    if ((await readIfThere(join(this.path, manifestFile))) !== this.seen) throw this.changedMeanwhile();
  }

  private changedMeanwhile(): StoreError {
    return new StoreError(`${this.path}: another process changed it meanwhile; nothing was written`, {
      code: "STORE_BUSY",
      exitCode: 1,
      hint: "Type the same command again.",
    });
  }

  /**
   * Deletes the versions before the present one, and every file of ours that it does not need. It rests on the present
   * manifest alone, and needs no room on the disk.
   */
  async purge(): Promise<void> {
    const { store, ...held } = await this.present();
    await this.refuseChanged();
    await this.removePastRouters();
    await this.cleaning.removeVersions();
    const { parent, ...alone } = store;
    if (parent === undefined) return;
    // On a full disk the number of a version that is gone stays, and harms nobody.
    await this.write({ ...held, store: alone }).catch(() => {});
  }

  /**
   * Deletes the oldest of the versions before the present one, with every file of ours that only they need.
   * @param keep how many versions before the present one stay
   * @returns those that went
   */
  expire(keep: number): Promise<readonly number[]> {
    return this.cleaning.expire(keep);
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
    // Read anew: the disk says whether a change that failed was made.
    const { store = adopted } = (await readManifest(this.path)) ?? {};
    for (const name of await listFolder(join(this.path, routerFolder)))
      if (routerEntry.test(name) && name !== routersOf(store.version))
        await this.fs.remove(join(this.path, routerFolder, name));
  }

  /** Removes what an interrupted change left: temporary names, and files of ours that no version names. */
  async removeLeftovers(): Promise<void> {
    await this.removePastRouters();
    await this.cleaning.removeTemporaries();
    await this.cleaning.removeUnnamed();
  }

  private async write(
    manifest: Manifest,
    { text, pages } = encodeManifest(manifest, join(this.path, manifestFile)),
  ): Promise<void> {
    const path = join(this.path, manifestFile);
    await this.refuseChanged();
    const standing = new Set(pageNamesOf(this.seen ?? ""));
    await writePages(this.path, new Map([...pages].filter(([hash]) => !standing.has(hash))), this.fs);
    try {
      await writeFileAtomic(path, text, { fs: this.fs });
    } catch (error) {
      // From here on everybody reads the new manifest.
      if (!(error instanceof UnconfirmedError)) throw error;
      noteOnce(
        `unconfirmed ${path}`,
        `${error.message}: the change is made, but may be lost if the power fails`,
      );
    }
    this.seen = text;
    this.current = manifest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lock[Symbol.asyncDispose]();
  }
}

/** What the manifest says of a task's folders. */
function foldersAfter(
  task: TaskState,
  { stays }: Plan,
  written: TaskFolder | undefined,
): Pick<ManifestTask, "adapter" | "segments"> {
  const statisticsOnly = task.saved === undefined;
  if (stays === undefined) {
    const { folder, files } = written ?? { folder: "", files: {} };
    return { adapter: { folder, id: taskId(files, statisticsOnly), files } };
  }
  const segments = [...stays.segments, ...(written === undefined ? [] : [written])];
  if (segments.length === 0) return { adapter: stays.adapter };
  // Without an adapter its rows are all that a task is.
  const hashes = [stays.adapter, ...segments].map(({ files }) => sha256Json(files));
  const id = statisticsOnly ? sha256Json(hashes) : stays.adapter.id;
  return { adapter: { ...stays.adapter, id }, segments };
}
