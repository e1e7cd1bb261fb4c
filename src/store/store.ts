/** A folder that goes on learning, and answers meanwhile. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import type { Override } from "../config/overrides.ts";
import type { ModelConfig } from "../config/schema.ts";
import type { LoadedBackbone } from "../continual/types.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import type { ContinualModel, StateRouter } from "../model/continualModel.ts";
import type { ForgetTarget } from "../model/forgetting.ts";
import { merge } from "../model/merging.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone } from "../model/settings/backbone.ts";
import { withDefaultRouter } from "../model/settings/settings.ts";
import type { ModelState } from "../model/state.ts";
import {
  type AnswerOptions,
  type Change,
  type Changed,
  type ChangeEvent,
  type ChangeOptions,
  type Forgotten,
  type Merged,
  Teachable,
} from "../model/teachable.ts";
import { manifestFile } from "../workspace/manifest.ts";
import { inTurn } from "../workspace/queue.ts";
import {
  asStore,
  keptVersions,
  readPresent,
  readSettings,
  readState,
  readStore,
  type StoreManifest,
} from "../workspace/reading.ts";
import { routerFolder, routerReader, Workspace } from "../workspace/workspace.ts";
import { recordOf, requireFinished } from "./adopted.ts";
import { buildBeside, createStore, requireSettings, unionOf } from "./create.ts";
import { defaultKeepVersions, lockingOf, type Purged, purgeStore, rollbackStore } from "./upkeep.ts";

export interface StoreOptions {
  /** Begins a store with these settings where the folder has none. */
  readonly create?: ModelConfig | undefined;
  /** With `create`: settings that beat it, as `--set` gives them. */
  readonly overrides?: readonly Override[] | undefined;
  /** Where the backbone lies now; its hash must be the one that the store names. */
  readonly backbone?: string | undefined;
  /** Seconds that a change waits for another process to end its own; default 10. */
  readonly waitSeconds?: number | undefined;
  readonly onEvent?: ((event: ChangeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type OpenRunOptions = Pick<StoreOptions, "backbone" | "signal">;

export interface ForgetOptions extends ChangeOptions {
  /** Deletes the versions before as well, which still hold it; there is no way back then. */
  readonly purge?: boolean | undefined;
}

export interface ForgottenInStore extends Forgotten {
  /** Earlier versions that are kept and can be gone back to. */
  readonly keptVersions: readonly number[];
  /** With a purge: files of texts' states that were deleted from the system's folder for caches; else 0. */
  readonly deletedStates: number;
  /** Files of the experiment that the store began as, which stay and may name it. */
  readonly recordFiles: readonly string[];
}

export interface MergeOptions extends ChangeOptions {
  /** What messages call the store that takes the other in; default: its folder. */
  readonly called?: string | undefined;
}

/**
 * Loads the backbone that a store names.
 * @throws CheckpointError if it is another one by now
 */
async function loadNamedBackbone(
  { backbone }: Pick<StoreManifest, "backbone">,
  { backbone: elsewhere, signal }: Pick<StoreOptions, "backbone" | "signal">,
): Promise<LoadedBackbone> {
  const place = elsewhere ?? backbone.source;
  const loaded = await loadBackbone(place, elsewhere === undefined ? backbone.revision : undefined, signal);
  const checks = [
    ["backbone", backbone.hash, loaded.folder.hash],
    ["tokenizer", backbone.tokenizerHash, loaded.tokenizer.hash],
  ] as const;
  for (const [what, then, now] of checks)
    if (then !== now)
      throw new CheckpointError(
        `${place}: is not the ${what} that was learned with: hash ${now}, the manifest names ${then}`,
        {
          hint: "Give the folder of the backbone it was begun with.",
        },
      );
  return loaded;
}

/** What is open of a folder. */
interface Opened {
  readonly model: ContinualModel;
  readonly manifest: StoreManifest;
  readonly state: ModelState;
}

async function openFolder(path: string, options: StoreOptions): Promise<Opened> {
  const begun = await readStore(path);
  const settings = withDefaultRouter(await readSettings(path, begun));
  const loaded = await loadNamedBackbone(begun, options);
  const model = await openModel(settings, loaded, { trunks: "memory" });
  try {
    return { model, ...(await readPresent(path, model)) };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * It sees the version that it opened, or the one that it made itself; {@link refresh} looks for what others made since.
 */
export class Store extends Teachable {
  readonly path: string;
  protected state: ModelState;
  private manifest: StoreManifest;
  private readonly waitSeconds: number | undefined;
  private disposed = false;

  private constructor(
    path: string,
    { model, manifest, state }: Opened,
    { waitSeconds }: Pick<StoreOptions, "waitSeconds">,
  ) {
    super(model);
    this.path = path;
    this.waitSeconds = waitSeconds;
    this.manifest = manifest;
    this.state = state;
  }

  static async open(folder: string, options: StoreOptions = {}): Promise<Store> {
    checkArguments("openStore", { folder, options });
    const path = resolve(folder);
    const { create } = options;
    if (create !== undefined) {
      if (existsSync(join(path, manifestFile))) await requireSettings(path, create, options.overrides);
      else await createStore(path, create, options);
    }
    return new Store(path, await openFolder(path, options), options);
  }

  get version(): number {
    return this.manifest.store.version;
  }

  protected checkOpen(): void {
    if (this.disposed) throw new StoreError(`${this.path}: this store was disposed of`);
  }

  /** Takes up the newest version, whoever made it. @returns its number */
  async refresh(): Promise<number> {
    this.checkOpen();
    const { store } = await readStore(this.path);
    if (store.version !== this.version) this.take(await readPresent(this.path, this.model));
    return this.version;
  }

  private take({ manifest, state }: Pick<Opened, "manifest" | "state">): void {
    this.manifest = manifest;
    this.state = state;
  }

  /**
   * As of a learner; earlier versions are kept.
   * @param options `purge`: deletes them too
   */
  override async forget(target: ForgetTarget, options: ForgetOptions = {}): Promise<ForgottenInStore> {
    const forgotten = await super.forget(target, options);
    const purged = options.purge === true ? await this.purge() : undefined;
    return {
      ...forgotten,
      deletedStates: purged?.deletedStates ?? 0,
      keptVersions: await keptVersions(this.path),
      recordFiles: await recordOf(this.path),
    };
  }

  /**
   * Takes in what another store learned: the union of both.
   * @param other folder of a store or a run
   * @throws StoreError if it is on another backbone, or its features or adapters were made otherwise
   */
  async merge(other: string, options: MergeOptions = {}): Promise<Merged> {
    this.checkOpen();
    checkArguments("store.merge", { other, options });
    const where = resolve(other);
    return await this.change(async (before) => {
      await requireFinished(where);
      const manifest = await readStore(where);
      const settings = withDefaultRouter(await readSettings(where, manifest));
      const theirs = {
        settings,
        backbone: manifest.backbone,
        called: other,
        state: await readState(where, manifest, this.model),
      };
      const { state, came } = merge(this.model, before, theirs, options.called ?? this.path);
      return { state, change: `merged ${basename(where)}`, result: { tasks: came } };
    }, options);
  }

  /**
   * Goes back: makes a next version that holds what an earlier one held.
   * @param version default: the one before
   * @throws StoreError where there is none, or it is not kept
   */
  async rollback(version?: number): Promise<Change> {
    this.checkOpen();
    checkArguments("rollback", { version });
    await rollbackStore(this.path, version, { waitSeconds: this.waitSeconds });
    this.take(await readPresent(this.path, this.model));
    return { version: this.version };
  }

  /**
   * Deletes the versions before the present one, with every file that only they need: what was forgotten is gone for good.
   * @throws StoreError where another process is changing the store
   */
  async purge(): Promise<Purged> {
    this.checkOpen();
    return await purgeStore(this.path, { waitSeconds: this.waitSeconds });
  }

  /** One change, from the newest version to the next one, which is seen from here on. */
  protected change<T extends object>(
    work: (state: ModelState, note: (message: string) => void) => Promise<Changed<T>>,
    options: ChangeOptions,
  ): Promise<T & Change> {
    return inTurn(this.path, () => this.changeNow(work, options));
  }

  private async changeNow<T extends object>(
    work: (state: ModelState, note: (message: string) => void) => Promise<Changed<T>>,
    { signal, onEvent }: ChangeOptions,
  ): Promise<T & Change> {
    signal?.throwIfAborted();
    await requireFinished(this.path);
    const { waitSeconds } = this;
    await using workspace = await Workspace.open(this.path, lockingOf({ waitSeconds, onEvent, signal }));
    const note = (message: string) => onEvent?.({ type: "note", message });
    const { brokenLock } = workspace;
    if (brokenLock !== undefined)
      note(`broke the lock that process ${brokenLock.pid} on ${brokenLock.hostname} had left when it died`);
    const newest = await readStore(this.path);
    if (newest.store.version !== this.version) this.take(await readPresent(this.path, this.model));
    const { state, change, result } = await work(this.state, note);
    signal?.throwIfAborted();
    // Before the commit: a crash in between costs a fit, and what is forgotten leaves no trace.
    await workspace.clearRouter();
    // What is committed is seen as it is: from here on nothing may fail.
    this.take({ manifest: asStore(await workspace.commit(state, change)), state });
    // What cannot be deleted now is deleted after the next change.
    await workspace.expire(this.model.settings.keepVersions ?? defaultKeepVersions).catch(() => {});
    return { ...result, version: this.version };
  }

  protected async router(
    state: ModelState,
    { signal, onFitting }: AnswerOptions,
  ): Promise<StateRouter | undefined> {
    const version = this.version;
    const known = await this.model.openRouter(state, routerReader(this.path));
    if (known !== undefined) return known;
    const fitted = await this.model.fitRouter(state, { signal, onProgress: onFitting });
    if (fitted !== undefined) await this.keepRouter(fitted, version);
    return fitted;
  }

  /** Who may read a store need not be allowed to write there: the next one who asks fits it again. */
  private async keepRouter(router: StateRouter, version: number): Promise<void> {
    try {
      await using workspace = await Workspace.open(this.path, { elsewhere: false });
      // What was learned may have been forgotten while this was fitted to it.
      if ((workspace.manifest?.store?.version ?? 1) !== version) return;
      await workspace.writeFiles(await router.files(), routerFolder);
    } catch {
      // Another process is changing the store, or it cannot be written to.
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    await super[Symbol.asyncDispose]();
  }
}

/**
 * Opens a store, or the folder of a run, to go on learning and to answer meanwhile.
 *
 * @example
 * await using store = await openStore("intents", { create: { backbone: "models/minilm-l6" } });
 * await store.learn({ name: "travel", train });
 * await store.learnClass("greeting", ["hello", "good morning", "hi there"]);
 * const [answer] = await store.predict(["when does the next train leave?"]);
 *
 * @throws StoreError if there is no store and `create` is absent
 * @throws CheckpointError if the backbone is another one, or a file is damaged
 */
export function openStore(folder: string, options: StoreOptions = {}): Promise<Store> {
  return Store.open(folder, options);
}

/**
 * Makes a store of two others, which stay as they are: the union of what they learned, with the settings of the first.
 * @param out is whole or not there
 * @throws StoreError if `out` is not empty, or the two do not fit
 */
export async function mergeStores(
  first: string,
  second: string,
  out: string,
  options: OpenRunOptions = {},
): Promise<Merged> {
  checkArguments("mergeStores", { first, second, out, options });
  const { signal } = options;
  const how = { called: resolve(first), ...(signal && { signal }) };
  const begin = () => unionOf(resolve(first), resolve(second));
  return await buildBeside(out, begin, async (folder) => {
    await using store = await openStore(folder, options);
    const [one, two] = [await store.merge(first, how), await store.merge(second, how)];
    return { version: two.version, tasks: [...one.tasks, ...two.tasks] };
  });
}
