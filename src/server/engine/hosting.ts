/** The stores of one worker: opened on shared backbones, asked, changed, and kept up with what others change. */
import { stat } from "node:fs/promises";
import { basename, isAbsolute, join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { heldBytes } from "../../store/held.ts";
import { classesOfVersion, describeStore, type StoreClassInfo } from "../../store/info.ts";
import { type CheckedState, compareChecks, qualityOf } from "../../store/quality.ts";
import { SharedBackbones } from "../../store/shared.ts";
import { NoSuchStoreError } from "../../store/sources/names.ts";
import type { StoreSource } from "../../store/sources/source.ts";
import { openStore, type Store } from "../../store/store.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { readStore, type StoreManifest } from "../../workspace/reading.ts";
import { routerPlace } from "../../workspace/routers.ts";
import { Consolidations } from "./consolidations.ts";
import { type Holding, type Hosted, OpenStores } from "./openStores.ts";
import type { Args, CallEvent, CallName, EngineData, Result, Snapshot } from "./protocol.ts";

/** Versions whose checks are kept. */
const MOST_CHECKS = 64;

export interface Watch {
  readonly signal: AbortSignal;
  readonly onEvent: (event: CallEvent) => void;
}

type Handler<C extends CallName> = (args: Args<C>, watch: Watch) => Promise<Result<C>>;

/** What the thread is told without asking. */
export interface HostingEvents {
  readonly onSnapshot: (snapshot: Snapshot) => void;
  readonly onHolding: (holding: Holding) => void;
}

/** A file that is replaced is another one, or has another time; "" where it is not there. */
async function looksOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? "" : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

export class Hosting implements AsyncDisposable {
  private readonly data: EngineData;
  private readonly source: StoreSource;
  private readonly events: HostingEvents;
  private readonly shared = new SharedBackbones();
  private readonly stores: OpenStores;
  private readonly consolidations: Consolidations;
  private readonly looks = new Map<string, Promise<boolean>>();
  /** What was last told of each open store. */
  private readonly told = new Map<string, string>();
  private readonly checks = new Map<string, Promise<CheckedState | undefined>>();
  /** Stores that are being changed here, each with its folder once its source has given that. */
  private readonly changing = new Map<string, string | undefined>();

  constructor(data: EngineData, source: StoreSource, events: HostingEvents) {
    this.data = data;
    this.source = source;
    this.events = events;
    this.consolidations = new Consolidations(data.backbone, (name) => this.publishRouter(name));
    this.stores = new OpenStores({
      open: (name, opening) => this.open(name, opening),
      memoryBytes: data.memoryBytes,
      onHolding: (holding) => {
        if (holding.closed !== undefined) this.forget(holding.closed.store);
        events.onHolding(holding);
      },
    });
  }

  /** What is known of a store that is closed. */
  private forget(name: string): void {
    this.told.delete(name);
    for (const key of this.checks.keys()) if (key.startsWith(`${name} `)) this.checks.delete(key);
  }

  private async open(name: string, opening: number): Promise<Hosted> {
    const folder = this.changing.get(name) ?? (await this.newestFolder(name));
    const { stores, backbone, consolidates, waitSeconds } = this.data;
    const seen = await looksOf(join(folder, manifestFile));
    const manifest = await readStore(folder);
    const { shared } = this;
    const store = await openStore(folder, {
      shared,
      background: consolidates && stores.kind === "folders",
      waitSeconds,
      ...(backbone !== undefined && { backbone }),
    });
    // Its sessions are made before those of another store that is closed for it are let go of.
    if (!this.data.changes) await warm(store);
    const { source, hash } = manifest.backbone;
    const named = { name: isAbsolute(source) ? basename(source) : source, hash };
    const bytes = await this.bytesOf(folder, manifest, store);
    return { name, opening, folder, store, backbone: named, seen, bytes };
  }

  private async bytesOf(folder: string, { tasks }: StoreManifest, store: Store): Promise<number> {
    const { version, router } = store.status();
    return await heldBytes(folder, { tasks, version }, { router, totals: this.data.changes });
  }

  /** A change is made, and a version taken up, even where its size cannot be told. */
  private async measure(hosted: Hosted): Promise<void> {
    const { folder, store } = hosted;
    const bytes = await readStore(folder)
      .then((manifest) => this.bytesOf(folder, manifest, store))
      .catch(() => hosted.bytes);
    this.stores.resize(hosted, bytes);
  }

  /** Works with a store as it is here. */
  private use<T>(name: string, work: (store: Store) => Promise<T>): Promise<T> {
    return this.stores.use(name, ({ store }) => work(store));
  }

  /** Works with the newest version, whoever made it. */
  private async withNewest<T>(name: string, work: (store: Store) => Promise<T>): Promise<T> {
    await this.pull(name);
    return await this.use(name, async (store) => {
      await store.refresh();
      return await work(store);
    });
  }

  /** A change that is under way has the newest version already, and puts its own there. */
  private async pull(name: string): Promise<void> {
    if (!this.changing.has(name)) await this.source.pull(name);
  }

  private async newestFolder(name: string): Promise<string> {
    const folder = await this.source.folder(name);
    await this.pull(name);
    return folder;
  }

  /** A change as the only writer of a store. */
  private async change<T>(name: string, { onEvent }: Watch, make: (store: Store) => Promise<T>): Promise<T> {
    let isMade = false;
    this.changing.set(name, undefined);
    try {
      return await this.source.change(
        name,
        (folder) => {
          this.changing.set(name, folder);
          return this.stores.use(name, async (hosted) => {
            const result = await make(hosted.store);
            isMade = true;
            await this.measure(hosted);
            this.consolidate(hosted);
            return result;
          });
        },
        this.data.waitSeconds,
        (message) => onEvent({ type: "note", message }),
      );
    } catch (error) {
      // What is here was not published: what others see is read anew.
      if (isMade) await this.stores.use(name, async (hosted) => this.stores.leave(hosted)).catch(() => {});
      throw error;
    } finally {
      this.changing.delete(name);
    }
  }

  /** Where a store is closed for another one its router is still to be fitted: it need not be open for that. */
  private consolidate({ name, folder, store }: Hosted): void {
    const { stores, consolidates } = this.data;
    if (consolidates && stores.kind !== "folders" && store.status().consolidated === "pending")
      this.consolidations.schedule(name, folder);
  }

  /** A router that was fitted in the copy of a bucket's store goes where the store is, so that no replica fits it again. */
  private async publishRouter(name: string): Promise<void> {
    if (this.data.stores.kind === "bucket")
      await this.source.change(name, async () => {}, this.data.waitSeconds);
  }

  /**
   * Versions never change, so what one was answered with is kept for the next who asks. Several may wait for the same check, so
   * it goes on when one of them leaves.
   */
  private checkOf(name: string, store: Store, version: number): Promise<CheckedState | undefined> {
    const key = `${name} ${version}`;
    const known = this.checks.get(key) ?? store.check(version);
    this.checks.delete(key);
    this.checks.set(key, known);
    known.catch(() => this.checks.delete(key));
    if (this.checks.size > MOST_CHECKS) this.checks.delete(this.checks.keys().next().value ?? "");
    return known;
  }

  /** Opens every store, of those that were named one by one. */
  async openNamed(): Promise<void> {
    if (this.data.stores.kind !== "folders") return;
    for (const name of Object.keys(this.data.stores.stores))
      await this.stores.use(name, async (hosted) => this.tell(hosted));
  }

  /** Looks for what others have changed in every store that is open. */
  async lookAround(): Promise<void> {
    for (const name of this.stores.names)
      await this.stores.tend(name, (hosted) => this.look(hosted)).catch(() => {});
  }

  /** Tells how a store is, where that is new. */
  private tell(hosted: Hosted): Snapshot {
    const snapshot = snapshotOf(hosted);
    const text = JSON.stringify(snapshot);
    if (this.told.get(hosted.name) !== text) {
      this.told.set(hosted.name, text);
      this.events.onSnapshot(snapshot);
    }
    return snapshot;
  }

  /**
   * Takes up what others have changed, where the manifest says so or a router is awaited.
   * @returns whether the store is still this one; false where another lies in its place
   */
  private look(hosted: Hosted): Promise<boolean> {
    const { name } = hosted;
    const looking = this.looks.get(name) ?? this.lookNow(hosted).finally(() => this.looks.delete(name));
    this.looks.set(name, looking);
    return looking;
  }

  private async lookNow(hosted: Hosted): Promise<boolean> {
    const { name, folder, store } = hosted;
    try {
      await this.pull(name);
      const looks = await looksOf(join(folder, manifestFile));
      // Where the source knows it no longer, it is gone.
      if (looks === "") await this.source.folder(name);
      if (looks !== hosted.seen) {
        const { backbone, store: now } = await readStore(folder);
        // Another store may have as many versions.
        const isOther = backbone.hash !== hosted.backbone.hash || now.version === store.version;
        if (isOther && this.data.stores.kind !== "folders") {
          this.stores.leave(hosted);
          return false;
        }
        await store.refresh();
        hosted.seen = looks;
        await this.measure(hosted);
      } else if (await hasNewRouter(hosted)) await store.refresh();
      delete hosted.problem;
    } catch (error) {
      if (error instanceof NoSuchStoreError) {
        this.stores.leave(hosted);
        throw error;
      }
      hosted.problem = messageOf(error);
    }
    this.tell(hosted);
    return true;
  }

  /** As the newest version is. */
  private async lookInto(name: string): Promise<Snapshot> {
    const isOpen = this.stores.isOpen(name);
    return await this.stores.use(name, async (hosted) => {
      const isStill = !isOpen || (await this.look(hosted));
      return isStill ? this.tell(hosted) : await this.lookInto(name);
    });
  }

  private readonly handlers: { readonly [C in CallName]: Handler<C> } = {
    names: async ({ after, limit }) => {
      const all = await this.source.names();
      const start = after === undefined ? 0 : all.findIndex((name) => name > after);
      const names = start < 0 ? [] : all.slice(start, start + limit);
      return { names, hasMore: start >= 0 && start + limit < all.length };
    },
    open: async ({ store }) => await this.lookInto(store),
    refresh: async ({ store }) =>
      await this.stores.use(store, async (hosted) => {
        await this.pull(store);
        const looks = await looksOf(join(hosted.folder, manifestFile));
        await hosted.store.refresh();
        hosted.seen = looks;
        delete hosted.problem;
        await this.measure(hosted);
        return this.tell(hosted);
      }),
    predict: ({ store, texts, options }, { signal }) =>
      this.use(store, (hosted) => hosted.predict(texts, { ...options, signal })),
    tag: ({ store, texts, options: { task, exact } }, { signal }) =>
      this.use(store, (hosted) => hosted.findEntities(texts, { task, exact, signal })),
    embed: ({ store, texts }, { signal }) => this.use(store, (hosted) => hosted.embed(texts, { signal })),
    count: ({ store, texts }) => this.use(store, async (hosted) => hosted.countTokens(texts)),
    generate: ({ store, prompts, task, maxNewTokens }, { signal, onEvent }) =>
      this.use(store, (hosted) =>
        hosted.generate(prompts, {
          task,
          maxNewTokens,
          signal,
          onText: (prompt, text) => onEvent({ type: "generated", prompt, text }),
        }),
      ),
    versions: async ({ store }) => (await describeStore(await this.newestFolder(store))).versions,
    quality: ({ store, version, against }) =>
      this.withNewest(store, async (hosted) => {
        const now = await this.checkOf(store, hosted, version ?? hosted.version);
        const then = against === undefined ? undefined : await this.checkOf(store, hosted, against);
        return {
          version: version ?? hosted.version,
          ...(now && { quality: qualityOf(now) }),
          ...(now && then && { compared: compareChecks(then.check, now.check) }),
        };
      }),
    preview: ({ store, corrections }, { signal }) =>
      this.withNewest(store, (hosted) =>
        hosted.preview(corrections, { signal, before: this.checkOf(store, hosted, hosted.version) }),
      ),
    describe: async ({ store }) => {
      const { version, statisticsBytes, perClass, tasks } = await describeStore(
        await this.newestFolder(store),
      );
      return {
        version,
        statisticsBytes,
        classes: perClass,
        tasks: tasks.map(({ folder: _, id: __, ...rest }) => rest),
      };
    },
    differences: async ({ store, from, to }) => {
      const path = await this.newestFolder(store);
      const [before, after] = [await classesOfVersion(path, from), await classesOfVersion(path, to)];
      const rowsIn = (classes: readonly StoreClassInfo[], label: string) =>
        classes.find((each) => each.label === label)?.rows;
      return [...new Set([...before, ...after].map(({ label }) => label))]
        .map((label) => ({ label, before: rowsIn(before, label), after: rowsIn(after, label) }))
        .filter((each) => each.before !== each.after)
        .map(({ label, before = 0, after = 0 }) => ({ label, before, after }));
    },
    learn: ({ store, task, statisticsOnly }, watch) =>
      this.change(store, watch, (hosted) => hosted.learn(task, { statisticsOnly, ...watch })),
    learnClass: ({ store, label, texts, task }, watch) =>
      this.change(store, watch, (hosted) => hosted.learnClass(label, texts, { task, ...watch })),
    correct: ({ store, corrections }, watch) =>
      this.change(store, watch, (hosted) => hosted.correct(corrections, watch)),
    forget: ({ store, target, purge }, watch) =>
      this.change(store, watch, (hosted) => hosted.forget(target, { purge, ...watch })),
    rollback: ({ store, to }, watch) => this.change(store, watch, (hosted) => hosted.rollback(to)),
    merge: async ({ store, other }, watch) => {
      const folder = await this.newestFolder(other);
      return await this.change(store, watch, (hosted) => hosted.merge(folder, { called: store, ...watch }));
    },
  };

  async answer<C extends CallName>(call: C, args: Args<C>, watch: Watch): Promise<Result<C>> {
    return await this.handlers[call](args, watch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.consolidations[Symbol.asyncDispose]();
    await this.stores[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

/** Makes the first pass of a store's sessions. */
async function warm(store: Store): Promise<void> {
  if (store.classes.length > 0)
    await (store.level === "word" ? store.findEntities(["warm"]) : store.predict(["warm"])).catch(() => {});
}

function snapshotOf({ name, opening, store, backbone, problem }: Hosted): Snapshot {
  return {
    store: name,
    opening,
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

/** Whether the router that takes over is awaited, and lies there. */
async function hasNewRouter({ folder, store }: Hosted): Promise<boolean> {
  const { consolidated, version } = store.status();
  if (consolidated === undefined || consolidated === "stands") return false;
  return (await looksOf(join(folder, routerPlace(version, "consolidated")))) !== "";
}
