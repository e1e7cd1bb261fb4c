/** The stores of one worker: opened on shared backbones, asked, changed, and kept up with what others change. */
import { stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { describeStore } from "../../store/info.ts";
import { SharedBackbones } from "../../store/shared.ts";
import { openStore, type Store } from "../../store/store.ts";
import { readStore } from "../../workspace/reading.ts";
import { NoSuchStoreError } from "./errors.ts";
import type { Args, CallEvent, CallName, EngineData, Result, Snapshot } from "./protocol.ts";

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
