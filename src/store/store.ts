/** A folder that goes on learning, and answers meanwhile. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import type { RouterStage } from "../continual/types.ts";
import { StoreError } from "../core/errors.ts";
import type { RouterFitting } from "../core/record.ts";
import type { LabelledExample } from "../data/files/types.ts";
import type {
  AnswerOptions,
  Change,
  ChangeOptions,
  ConsolidateOptions,
  Forgotten,
  Merged,
} from "../model/changes.ts";
import type { ContinualModel, StateRouter } from "../model/continualModel.ts";
import type { ForgetTarget } from "../model/forgetting.ts";
import { merge } from "../model/merging.ts";
import { withStoreDefaults } from "../model/settings/settings.ts";
import type { ModelState } from "../model/state.ts";
import { type Changed, Teachable } from "../model/teachable.ts";
import type { openDevice } from "../runtime/devices.ts";
import { manifestFile } from "../workspace/manifest.ts";
import { inTurn } from "../workspace/queue.ts";
import {
  asStore,
  isSameVersion,
  keptVersions,
  readSettings,
  readState,
  readStore,
  type StoreManifest,
} from "../workspace/reading.ts";
import { type RouterFiles, routerReader } from "../workspace/routers.ts";
import { Workspace } from "../workspace/workspace.ts";
import { recordOf, requireFinished } from "./adopted.ts";
import { BackgroundConsolidation, type ConsolidationState } from "./background.ts";
import { changeSettings, openVersion, sameSettings } from "./changeSettings.ts";
import { createStore, requireSettings } from "./create.ts";
import { filesOf, type Opened, openFolder, readAnswering, type StoreOptions } from "./opening.ts";
import {
  type CheckedState,
  checkVersion,
  type Preview,
  type PreviewOptions,
  previewCorrections,
} from "./quality.ts";
import {
  defaultKeepVersions,
  lockingOf,
  type Purged,
  purgeStore,
  rollbackStore,
  type WaitOptions,
} from "./upkeep.ts";

/** What answers for a store, and what is pending. */
export interface StoreStatus {
  readonly version: number;
  readonly tasks: number;
  readonly classes: number;
  /** The router that answers; absent where nothing was learned, or nothing routes. */
  readonly router?: RouterStage;
  /**
   * The router that takes over: `stands`; `pending`: `consolidate` would fit it; `waiting` for changes to cease; `fitting`;
   * `failed`: the one that answers goes on. Absent where nothing routes.
   */
  readonly consolidated?: "stands" | "pending" | ConsolidationState;
  /** What its fit is at. */
  readonly fitting?: RouterFitting;
  /** Why it failed. */
  readonly failure?: string;
}

/** How a store forgets. */
export interface ForgetOptions extends ChangeOptions {
  /** Deletes the versions before as well, which still hold it; there is no way back then. */
  readonly purge?: boolean | undefined;
}

/** What a store forgot, and what of it is gone from the disk. */
export interface ForgottenInStore extends Forgotten {
  /** Earlier versions that are kept and can be gone back to. */
  readonly keptVersions: readonly number[];
  /** With a purge: files of texts' states that were deleted from the system's folder for caches; else 0. */
  readonly deletedStates: number;
  /** Files of the experiment that the store began as, which stay and may name it. */
  readonly recordFiles: readonly string[];
}

/** How stores are merged. */
export interface MergeOptions extends ChangeOptions {
  /** What messages call the store that takes the other in; default: its folder. */
  readonly called?: string | undefined;
}

/**
 * It sees the version that it opened, or the one that it made itself; {@link refresh} looks for what others made since.
 */
export class Store extends Teachable {
  readonly path: string;
  protected state: ModelState;
  private manifest: StoreManifest;
  private readonly waitSeconds: number | undefined;
  private readonly openDevice: typeof openDevice | undefined;
  private disposed = false;
  /** Models of settings that were changed since. */
  private readonly retired: ContinualModel[] = [];
  private readonly background: BackgroundConsolidation | undefined;

  private constructor(path: string, { model, manifest, state }: Opened, options: StoreOptions) {
    super(model);
    this.path = path;
    this.waitSeconds = options.waitSeconds;
    this.openDevice = options.shared?.openDevice;
    this.manifest = manifest;
    this.state = state;
    const { backbone, background = true } = options;
    if (!background) return;
    this.background = new BackgroundConsolidation({ path, backbone }, () => this.takeConsolidated());
    this.scheduleConsolidation();
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
    if (!isSameVersion(await readStore(this.path), this.manifest)) await this.takePresent();
    else await this.takeConsolidated();
    return this.version;
  }

  /** Takes up the newest version, with the settings that it has. */
  private async takePresent(): Promise<void> {
    const manifest = await readStore(this.path);
    if (!sameSettings(manifest, this.manifest)) {
      // Answers that are on their way end with the model that they began with.
      this.retired.push(this.model);
      this.model = await openVersion(this.path, manifest, this.model.loaded, this.openDevice);
    }
    this.take(await readAnswering(this.path, this.model));
  }

  /**
   * Changes settings, as a version of its own: what the router is, when it rejects, how the next adapters are trained.
   * @param settings key, with dots, → value, e.g. `{ "router.kind": "lda" }`
   * @throws ConfigError where that would change features or adapters
   */
  async set(settings: Readonly<Record<string, unknown>>): Promise<Change> {
    this.checkOpen();
    checkArguments("store.set", { settings });
    const overrides = Object.entries(settings).map(([key, value]) => ({ key, value, source: "set" }));
    const { waitSeconds } = this;
    await changeSettings(this.path, overrides, this.model.loaded, { waitSeconds });
    await this.takePresent();
    return { version: this.version };
  }

  private take({ manifest, state }: Pick<Opened, "manifest" | "state">): void {
    this.manifest = manifest;
    this.state = state;
    this.scheduleConsolidation();
  }

  private get awaitsConsolidation(): boolean {
    const { model, state } = this;
    return model.routerStages(state).length > 0 && model.bestRouter(state)?.stage !== "consolidated";
  }

  private scheduleConsolidation(): void {
    if (this.awaitsConsolidation) this.background?.schedule();
    else this.background?.cancel();
  }

  /** Takes up the consolidated router of the version that is seen, where somebody has fitted it. */
  private async takeConsolidated(): Promise<void> {
    const { model, state, version } = this;
    if (this.awaitsConsolidation)
      await model.openRouter(state, "consolidated", routerReader(this.path, version, "consolidated"));
  }

  /** What answers, and what is pending. */
  status(): StoreStatus {
    const { model, state, version, background } = this;
    const router = model.bestRouter(state)?.stage;
    const routes = model.routerStages(state).length > 0;
    const underWay = background?.state ?? "pending";
    return {
      version,
      tasks: state.tasks.length,
      classes: this.classes.length,
      ...(router && { router }),
      ...(routes && { consolidated: this.awaitsConsolidation ? underWay : "stands" }),
      ...(background?.fitting && { fitting: background.fitting }),
      ...(background?.failure !== undefined && { failure: background.failure }),
    };
  }

  /**
   * Fits the consolidated router of the newest version, and keeps it for every process that opens the store. Answers do not
   * wait for it.
   * @throws StoreError where the store cannot be written to, or was changed meanwhile
   */
  async consolidate(options: ConsolidateOptions = {}): Promise<StoreStatus> {
    this.checkOpen();
    checkArguments("consolidate", { options });
    const { signal, onFitting } = options;
    await this.refresh();
    const { model, state, version } = this;
    if (!this.awaitsConsolidation) return this.status();
    this.background?.cancel();
    const router = await model.fitRouter(state, "consolidated", { signal, onProgress: onFitting });
    const first = model.routerStages(state)[0] === "consolidated";
    const files = await filesOf(router, first, signal);
    const { waitSeconds } = this;
    if (files !== undefined && !(await this.keepRouter(files, version, { waitSeconds, signal })))
      throw new StoreError(`${this.path}: was changed while version ${version} was being consolidated`, {
        hint: "Consolidate again.",
      });
    return this.status();
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
      const settings = withStoreDefaults(await readSettings(where, manifest));
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
    await this.takePresent();
    // The version is made: a router that cannot be fitted is for whoever asks next to hear of.
    if (this.model.routerStages(this.state).length > 0) await this.router(this.state, {}).catch(() => {});
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

  /**
   * What every kept row of a version is answered with by a fit without it.
   * @param version default: the one that is seen
   * @returns undefined where nothing can be judged
   */
  async check(version = this.version, signal?: AbortSignal): Promise<CheckedState | undefined> {
    this.checkOpen();
    const { model, path, version: present, state } = this;
    return await checkVersion(model, path, { version: present, state }, version, signal);
  }

  /** What {@link correct} would do to held-out texts, without doing it. */
  async preview(corrections: readonly LabelledExample[], options: PreviewOptions = {}): Promise<Preview> {
    this.checkOpen();
    return await previewCorrections(this.model, this.state, corrections, options);
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
    options: ChangeOptions,
  ): Promise<T & Change> {
    const { signal, onEvent } = options;
    signal?.throwIfAborted();
    await requireFinished(this.path);
    const { waitSeconds } = this;
    await using workspace = await Workspace.open(this.path, lockingOf({ waitSeconds, onEvent, signal }));
    const note = (message: string) => onEvent?.({ type: "note", message });
    const { brokenLock } = workspace;
    if (brokenLock !== undefined)
      note(`broke the lock that process ${brokenLock.pid} on ${brokenLock.hostname} had left when it died`);
    if (!isSameVersion(await readStore(this.path), this.manifest)) await this.takePresent();
    const { model } = this;
    for (const stage of model.routerStages(this.state))
      await model.restoreTotals(this.state, routerReader(this.path, this.version, stage));
    const { state, change, result } = await work(this.state, note);
    const router = await filesOf(await this.fitImmediate(state, options), true, signal);
    signal?.throwIfAborted();
    const manifest = asStore(await workspace.commit(state, change, router));
    // What is committed is seen as it is: from here on nothing may fail.
    this.take({ manifest, state });
    // What cannot be deleted now is deleted after the next change.
    await workspace.expire(model.settings.keepVersions ?? defaultKeepVersions).catch(() => {});
    return { ...result, version: this.version };
  }

  protected async router(
    state: ModelState,
    { signal, onFitting }: AnswerOptions,
  ): Promise<StateRouter | undefined> {
    const { version, model } = this;
    const standing = model.bestRouter(state);
    if (standing !== undefined) return standing;
    // The folder has none that is whole: of a run, or damaged.
    const fitted = await model.fitRouter(state, "immediate", { signal, onProgress: onFitting });
    const files = await filesOf(fitted, true, signal);
    // Who may read a store need not be allowed to write there: the next process that opens it fits again.
    if (files !== undefined) await this.keepRouter(files, version, { waitSeconds: 0 }).catch(() => {});
    return fitted;
  }

  /** @returns false where the store is at another version by now: what was learned may have been forgotten */
  private keepRouter(files: RouterFiles, version: number, options: WaitOptions): Promise<boolean> {
    return inTurn(this.path, async () => {
      await using workspace = await Workspace.open(this.path, lockingOf(options));
      if ((workspace.manifest?.store?.version ?? 1) !== version) return false;
      await workspace.writeRouter(files);
      return true;
    });
  }

  /** Ends what goes on in the background, and frees the native memory of its sessions. */
  override async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    await this.background?.[Symbol.asyncDispose]();
    for (const model of this.retired) await model[Symbol.asyncDispose]();
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
