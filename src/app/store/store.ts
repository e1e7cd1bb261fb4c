import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { retainedOf } from "../../continual/routing/statistics.ts";
import { manifestFile } from "../manifest.ts";
import type { Prediction, PredictOptions } from "../types.ts";
import { recordOf, requireFinished } from "./adopted.ts";
import { buildBeside } from "./building.ts";
import { comparisonOf } from "./comparing.ts";
import { createStore } from "./create.ts";
import { forget } from "./forgetting.ts";
import { learnClass, learnTask, toExample, type Workplace, type WrittenTask } from "./learning.ts";
import { mergeTasks, unionOf } from "./merging.ts";
import { StorePredictor } from "./prediction.ts";
import { clearStates, purgeStore } from "./purging.ts";
import { clearCache, fittedIn } from "./routers.ts";
import { readPromptTask, readSettings, requireLearnable } from "./settings.ts";
import { gather, readSnapshot, type Snapshot, takeSnapshot } from "./snapshot.ts";
import { keptVersions, readStore, StoreFolder } from "./storeFolder.ts";
import { loadStoreBackbone, StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";
import type {
  ChangeOptions,
  ForgetOptions,
  ForgetTarget,
  Forgotten,
  LearnClassOptions,
  LearnedInStore,
  LearnOptions,
  Merged,
  MergeOptions,
  Purged,
  StoreChange,
  StoreOptions,
  StoreText,
  TaskForStore,
} from "./types.ts";

/** What a change leaves. */
interface Outcome<T> {
  readonly tasks: readonly StoreTask[];
  readonly statistics: Snapshot["statistics"];
  /** In words, for the history. */
  readonly change: string;
  readonly result: T;
  /** Takes away what can be made again, once nothing but a failure can stop the change. */
  readonly tidy?: () => Promise<void>;
  /** Whether the versions before are to be deleted. */
  readonly purge?: boolean;
}

/**
 * A folder that goes on learning, and answers meanwhile. It sees the version that it opened, or the one that it made
 * itself; {@link refresh} looks for what others made since. Holds native memory: dispose of it.
 */
export class Store implements AsyncDisposable {
  readonly path: string;
  private readonly model: StoreModel;
  private readonly predictor: StorePredictor;
  private snapshot: Snapshot;

  private constructor(path: string, model: StoreModel, snapshot: Snapshot) {
    this.path = path;
    this.model = model;
    this.snapshot = snapshot;
    this.predictor = new StorePredictor(path, model);
  }

  static async open(folder: string, options: StoreOptions = {}): Promise<Store> {
    const path = resolve(folder);
    if (options.create !== undefined && !existsSync(join(path, manifestFile)))
      await createStore(path, options.create, options);
    await requireFinished(path);
    const loaded = await loadStoreBackbone(await readStore(path), options);
    const settings = await readSettings(path);
    requireLearnable(settings, path, "begun");
    const model = new StoreModel(loaded, settings, await readPromptTask(path));
    try {
      return new Store(path, model, await readSnapshot(path, model));
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  get version(): number {
    return this.snapshot.manifest.store.version;
  }

  get tasks(): readonly { readonly name: string; readonly labels: readonly string[] }[] {
    return this.snapshot.manifest.tasks.map(({ name, labels }) => ({ name, labels }));
  }

  /** Every class, sorted by code unit. */
  get classes(): readonly string[] {
    return [...new Set(this.tasks.flatMap(({ labels }) => labels))].sort();
  }

  /**
   * Classifies texts with the version that is seen; usable while something is being learned.
   * @throws StoreError if nothing was learned yet; ConfigError if there is no such task
   */
  predict(texts: readonly StoreText[], options: PredictOptions = {}): Promise<Prediction[]> {
    return this.predictor.predict(this.snapshot, texts.map(toExample), options);
  }

  /** Takes up the newest version, whoever made it. @returns its number */
  async refresh(): Promise<number> {
    const { store } = await readStore(this.path);
    if (store.version !== this.version) this.snapshot = await readSnapshot(this.path, this.model);
    return this.version;
  }

  /**
   * Learns a task: an adapter with its head, and statistics of its classes; what was learned before does not change.
   * Nothing is written where it fails or is aborted.
   * @throws DataError if the task cannot be learned from
   * @throws StoreError if its name is taken, or another process is changing the store
   * @throws EngineError if the loss leaves the finite numbers
   */
  learn(task: TaskForStore, options: LearnOptions = {}): Promise<LearnedInStore> {
    const how = options.statisticsOnly === true ? "statistics of task" : "task";
    return this.learnWith((place) => learnTask(place, task, options), `learned ${how} ${task.name}`, options);
  }

  /**
   * Learns a class from a few examples, without training: it is told from the others by frozen features.
   * @throws DataError without an example; StoreError where the class does not go into the task
   */
  learnClass(
    label: string,
    examples: readonly StoreText[],
    options: LearnClassOptions = {},
  ): Promise<LearnedInStore> {
    const { length } = examples;
    const change = `learned class ${label} from ${length} ${length === 1 ? "example" : "examples"}`;
    return this.learnWith((place) => learnClass(place, label, examples, options), change, options);
  }

  /**
   * Forgets a class, or a task with its adapter. Statistics, and every prediction made from them alone, are afterwards
   * those of a store that never saw it, bit for bit.
   * @throws StoreError naming the nearest where there is no such class or task
   */
  async forget(target: ForgetTarget, options: ForgetOptions = {}): Promise<Forgotten> {
    const { purge = false, signal } = options;
    let deletedStates = 0;
    const done = await this.change(async (place) => {
      const { tasks, change, ...named } = await forget(place, target);
      const statistics = gather(this.model.constants(tasks), tasks);
      const left = new Set(labelsOf(tasks));
      const deletedFiles = fittedIn(this.path);
      const result = {
        ...named,
        classes: [...new Set(labelsOf(place.before.tasks))].filter((label) => !left.has(label)),
        rows: rowsOf(place.before.statistics) - rowsOf(statistics),
        deletedFiles,
      };
      const tidy = async () => {
        for (const name of deletedFiles) await rm(join(this.path, name), { force: true });
        if (purge) deletedStates = await clearStates(place.folder);
      };
      return { tasks, statistics, change, result, tidy, purge };
    }, signal);
    return {
      ...done,
      deletedStates,
      keptVersions: await keptVersions(this.path),
      recordFiles: await recordOf(this.path),
    };
  }

  /**
   * Takes in what another store learned: the union of both. Which of two is taken into which does not matter to
   * predictions made from statistics alone.
   * @param other folder of a store or a run
   * @throws StoreError if it is on another backbone, or its features or adapters were made otherwise
   */
  merge(other: string, options: MergeOptions = {}): Promise<Merged> {
    return this.change(async (place) => {
      const { tasks, came } = await mergeTasks(place, resolve(other), options);
      const statistics = gather(this.model.constants(tasks), tasks);
      return { tasks, statistics, change: `merged ${basename(resolve(other))}`, result: { tasks: came } };
    }, options.signal);
  }

  /**
   * Goes back: makes a next version that holds what an earlier one held.
   * @param version default: the one before
   * @throws StoreError where there is none, or it is not kept
   */
  async rollback(version?: number): Promise<StoreChange> {
    await using folder = await StoreFolder.open(this.path);
    await folder.rollback(version);
    this.snapshot = await readSnapshot(this.path, this.model);
    return { version: this.version };
  }

  /**
   * Deletes the versions before the present one, with every file that only they need: what was forgotten is gone for good.
   * @throws StoreError where another process is changing the store
   */
  purge(): Promise<Purged> {
    return purgeStore(this.path);
  }

  private async learnWith(
    learn: (place: Workplace) => Promise<WrittenTask>,
    change: string,
    { onEvent, signal }: ChangeOptions,
  ): Promise<LearnedInStore> {
    const start = performance.now();
    const learned = await this.change(async (place) => {
      const { brokenLock } = place.folder;
      if (brokenLock !== undefined)
        onEvent?.({
          type: "note",
          message: `broke the lock that process ${brokenLock.pid} on ${brokenLock.hostname} had left when it died`,
        });
      const { task, statistics, truncatedTexts, loss } = await learn(place);
      const { entry } = task;
      const others = place.before.tasks.filter((other) => other.entry.name !== entry.name);
      const at = place.before.tasks.findIndex((other) => other.entry.name === entry.name);
      const result = {
        task: entry.name,
        labels: entry.labels,
        seconds: (performance.now() - start) / 1000,
        adapter: entry.adapter.id,
        truncatedTexts,
        ...(loss !== undefined && { loss }),
        statisticsBytes: retainedOf(task.statistics?.contributions ?? []).bytes,
      };
      return { tasks: others.toSpliced(at < 0 ? others.length : at, 0, task), statistics, change, result };
    }, signal);
    const comparison = comparisonOf(this.snapshot.tasks);
    if (typeof comparison !== "string")
      onEvent?.({
        type: "note",
        message: `the store cannot answer now: ${comparison.message}. ${comparison.hint}`,
      });
    return learned;
  }

  /** One change, from the newest version to the next one, which is seen from here on. */
  private async change<T extends object>(
    work: (place: Workplace) => Promise<Outcome<T>>,
    signal?: AbortSignal,
  ): Promise<T & StoreChange> {
    await using folder = await StoreFolder.open(this.path);
    try {
      const newest = folder.manifest.store.version;
      const before = newest === this.version ? this.snapshot : await readSnapshot(this.path, this.model);
      const outcome = await work({ folder, before, model: this.model });
      const { tasks, statistics, change, result, tidy, purge = false } = outcome;
      signal?.throwIfAborted();
      // Before the commit: a crash in between costs a fit, and what is forgotten leaves no trace; no failure after it may
      // say that nothing changed.
      await clearCache(this.path);
      await tidy?.();
      const entries = tasks.map(({ entry }) => entry);
      const manifest = await folder.commit(entries, change);
      this.snapshot = takeSnapshot(manifest, tasks, this.model, statistics);
      if (purge) await folder.purge();
      return { ...result, version: manifest.store.version };
    } catch (error) {
      // What cannot be removed now is removed with the next purge; the first error is the one to tell.
      await folder.removeLeftovers().catch(() => {});
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}

function labelsOf(tasks: readonly StoreTask[]): string[] {
  return tasks.flatMap(({ entry }) => entry.labels);
}

function rowsOf(statistics: Snapshot["statistics"]): number {
  return statistics.labels.reduce((sum, label) => sum + statistics.count(label), 0);
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
 * @throws StoreError if there is no store and `create` is absent, or it learned what a store does not learn
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
export function mergeStores(
  first: string,
  second: string,
  out: string,
  options: Pick<StoreOptions, "backbone" | "signal"> = {},
): Promise<Merged> {
  const { signal } = options;
  const how = { called: resolve(first), ...(signal && { signal }) };
  const begin = () => unionOf(resolve(first), resolve(second));
  return buildBeside(out, begin, async (folder) => {
    await using store = await openStore(folder, options);
    const [one, two] = [await store.merge(first, how), await store.merge(second, how)];
    return { version: two.version, tasks: [...one.tasks, ...two.tasks] };
  });
}
