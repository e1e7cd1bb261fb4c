/** The stores of one worker: opened on shared backbones, asked, changed, and kept up with what others change. */
import { stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { classesOfVersion, describeStore, type StoreClassInfo } from "../../store/info.ts";
import { type CheckedState, compareChecks, qualityOf } from "../../store/quality.ts";
import { SharedBackbones } from "../../store/shared.ts";
import { openStore, type Store } from "../../store/store.ts";
import { readStore } from "../../workspace/reading.ts";
import { NoSuchStoreError } from "./errors.ts";
import type { Args, CallEvent, CallName, EngineData, Result, Snapshot } from "./protocol.ts";

/** Versions whose checks are kept. */
const MOST_CHECKS = 64;

export interface Watch {
  readonly signal: AbortSignal;
  readonly onEvent: (event: CallEvent) => void;
}

type Handler<C extends CallName> = (args: Args<C>, watch: Watch) => Promise<Result<C>>;

interface Opened {
  readonly store: Store;
  readonly backbone: Snapshot["backbone"];
  /** How the manifest looked when it was taken up. */
  seen: string;
  problem?: string;
}

/** A file that is replaced is another one, or has another time. */
async function looksOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? "" : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

export class Hosting implements AsyncDisposable {
  private readonly data: EngineData;
  private readonly shared = new SharedBackbones();
  private readonly opened = new Map<string, Promise<Opened>>();
  private readonly checks = new Map<string, Promise<CheckedState | undefined>>();

  constructor(data: EngineData) {
    this.data = data;
  }

  get names(): readonly string[] {
    return Object.keys(this.data.stores);
  }

  private pathOf(name: string): string {
    const path = Object.hasOwn(this.data.stores, name) ? this.data.stores[name] : undefined;
    if (path === undefined) throw new NoSuchStoreError(name, this.names);
    return resolve(path);
  }

  private async open(name: string): Promise<Opened> {
    const path = this.pathOf(name);
    const { backbone, consolidates, waitSeconds } = this.data;
    const seen = await looksOf(join(path, "manifest.json"));
    const manifest = await readStore(path);
    const { shared } = this;
    const store = await openStore(path, {
      shared,
      background: consolidates,
      waitSeconds,
      ...(backbone !== undefined && { backbone }),
    });
    const { source, hash } = manifest.backbone;
    return { store, backbone: { name: isAbsolute(source) ? basename(source) : source, hash }, seen };
  }

  private hosted(name: string): Promise<Opened> {
    const opening = this.opened.get(name) ?? this.open(name);
    this.opened.set(name, opening);
    // Whoever asks next tries anew.
    opening.catch(() => this.opened.delete(name));
    return opening;
  }

  private async store(name: string): Promise<Store> {
    return (await this.hosted(name)).store;
  }

  /** With the newest version, whoever made it. */
  private async upToDate(name: string): Promise<Store> {
    const store = await this.store(name);
    await store.refresh();
    return store;
  }

  /**
   * Versions never change, so what one was answered with is kept for the next who asks. Several may wait for the same check, so
   * it goes on when one of them leaves.
   */
  private checkOf(store: Store, version: number): Promise<CheckedState | undefined> {
    const key = `${store.path} ${version}`;
    const known = this.checks.get(key) ?? store.check(version);
    this.checks.delete(key);
    this.checks.set(key, known);
    known.catch(() => this.checks.delete(key));
    if (this.checks.size > MOST_CHECKS) this.checks.delete(this.checks.keys().next().value ?? "");
    return known;
  }

  /** Opens a store, and makes the first pass of its sessions. */
  async warm(name: string): Promise<Snapshot> {
    const { store } = await this.hosted(name);
    if (store.classes.length > 0)
      await (store.level === "word" ? store.findEntities(["warm"]) : store.predict(["warm"])).catch(() => {});
    return await this.snapshot(name);
  }

  async snapshot(name: string): Promise<Snapshot> {
    const { store, backbone, problem } = await this.hosted(name);
    return {
      store: name,
      taskType: store.taskType,
      level: store.level,
      backbone,
      tasks: store.tasks,
      classes: store.classes,
      status: store.status(),
      ...(store.prompt !== undefined && { prompt: store.prompt }),
      ...(problem !== undefined && { problem }),
    };
  }

  /** Takes up what others have changed, where the manifest says so or a router is awaited. */
  async keepUp(name: string, force = false): Promise<Snapshot> {
    const hosted = await this.hosted(name);
    const looks = await looksOf(join(this.pathOf(name), "manifest.json"));
    const { consolidated } = hosted.store.status();
    const awaited = consolidated !== undefined && consolidated !== "stands";
    if (force || awaited || looks !== hosted.seen)
      try {
        await hosted.store.refresh();
        hosted.seen = looks;
        delete hosted.problem;
      } catch (error) {
        if (force) throw error;
        hosted.problem = messageOf(error);
      }
    return await this.snapshot(name);
  }

  private readonly handlers: { readonly [C in CallName]: Handler<C> } = {
    predict: async ({ store, texts, options }, { signal }) =>
      await (await this.store(store)).predict(texts, { ...options, signal }),
    tag: async ({ store, texts, options: { task, exact } }, { signal }) =>
      await (await this.store(store)).findEntities(texts, { task, exact, signal }),
    embed: async ({ store, texts }, { signal }) => await (await this.store(store)).embed(texts, { signal }),
    count: async ({ store, texts }) => (await this.store(store)).countTokens(texts),
    generate: async ({ store, prompts, task, maxNewTokens }, { signal, onEvent }) =>
      await (await this.store(store)).generate(prompts, {
        task,
        maxNewTokens,
        signal,
        onText: (prompt, text) => onEvent({ type: "generated", prompt, text }),
      }),
    refresh: async ({ store }) => await this.keepUp(store, true),
    versions: async ({ store }) => (await describeStore(this.pathOf(store))).versions,
    quality: async ({ store, version, against }) => {
      const hosted = await this.upToDate(store);
      const now = await this.checkOf(hosted, version ?? hosted.version);
      const then = against === undefined ? undefined : await this.checkOf(hosted, against);
      return {
        version: version ?? hosted.version,
        ...(now && { quality: qualityOf(now) }),
        ...(now && then && { compared: compareChecks(then.check, now.check) }),
      };
    },
    preview: async ({ store, corrections }, { signal }) => {
      const hosted = await this.upToDate(store);
      const before = this.checkOf(hosted, hosted.version);
      return await hosted.preview(corrections, { signal, before });
    },
    describe: async ({ store }) => {
      const { version, statisticsBytes, perClass, tasks } = await describeStore(this.pathOf(store));
      return {
        version,
        statisticsBytes,
        classes: perClass,
        tasks: tasks.map(({ folder: _, id: __, ...rest }) => rest),
      };
    },
    differences: async ({ store, from, to }) => {
      const path = this.pathOf(store);
      const [before, after] = [await classesOfVersion(path, from), await classesOfVersion(path, to)];
      const rowsIn = (classes: readonly StoreClassInfo[], label: string) =>
        classes.find((each) => each.label === label)?.rows;
      return [...new Set([...before, ...after].map(({ label }) => label))]
        .map((label) => ({ label, before: rowsIn(before, label), after: rowsIn(after, label) }))
        .filter((each) => each.before !== each.after)
        .map(({ label, before = 0, after = 0 }) => ({ label, before, after }));
    },
    learn: async ({ store, task, statisticsOnly }, watch) =>
      await (await this.store(store)).learn(task, { statisticsOnly, ...watch }),
    learnClass: async ({ store, label, texts, task }, watch) =>
      await (await this.store(store)).learnClass(label, texts, { task, ...watch }),
    correct: async ({ store, corrections }, watch) =>
      await (await this.store(store)).correct(corrections, watch),
    forget: async ({ store, target, purge }, watch) =>
      await (await this.store(store)).forget(target, { purge, ...watch }),
    rollback: async ({ store, to }) => await (await this.store(store)).rollback(to),
    merge: async ({ store, other }, watch) =>
      await (await this.store(store)).merge(this.pathOf(other), { called: store, ...watch }),
  };

  async answer<C extends CallName>(call: C, args: Args<C>, watch: Watch): Promise<Result<C>> {
    return await this.handlers[call](args, watch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.opened.values()];
    this.opened.clear();
    for (const opening of all) {
      const hosted = await opening.catch(() => undefined);
      await hosted?.store[Symbol.asyncDispose]();
    }
  }
}
