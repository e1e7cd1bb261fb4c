/** What a server does, whoever asks and in whatever words: answers, changes, and how its stores are. */
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import type { Completion } from "../../model/continualModel.ts";
import type { StoresAt } from "../../store/sources/openSource.ts";
import { Engine } from "../engine/engine.ts";
import { Discretion, RequestError } from "../engine/errors.ts";
import type {
  Announcement,
  Args,
  AskOptions,
  CallName,
  EngineData,
  Names,
  NamesAsked,
  Result,
  Snapshot,
} from "../engine/protocol.ts";
import { Asking, type Model, requireTask } from "./asking.ts";
import type { AskedText } from "./batcher.ts";
import { Bell } from "./bell.ts";
import { type ChangeKind, type Job, Jobs } from "./jobs.ts";
import { EXPIRY_CHECK_MS, type KeepOptions, KeptTexts } from "./kept.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { defaultMemoryBytes, shareOf } from "./memory.ts";
import { Metrics } from "./metrics.ts";
import { Review } from "./review.ts";
import { Runs } from "./runs.ts";
import { Snapshots } from "./snapshots.ts";
import { Usage } from "./usage.ts";

export interface ServiceOptions {
  readonly limits?: Partial<Limits> | undefined;
  /** Refuses every change, and writes nothing: for replicas of a store that another process changes. */
  readonly readOnly?: boolean | undefined;
  /** Where the backbone lies now. */
  readonly backbone?: string | undefined;
  /** Keeps asked texts for review; without it no text is written anywhere. */
  readonly keepTexts?: KeepOptions | undefined;
  /** A folder of runs, finished or under way, that are listed; or a run. */
  readonly runs?: string | undefined;
  /** Bytes that open stores may take besides their backbones; default half of the memory that there is. */
  readonly memoryBytes?: number | undefined;
  /** Milliseconds between two looks at what other processes have changed; default 500. */
  readonly pollMs?: number | undefined;
  /** Seconds that a change waits for another process; default 10. */
  readonly waitSeconds?: number | undefined;
}

/** What the thread that makes changes is asked beside them, so that no answer waits for it. */
type Consultation = "quality" | "preview" | "describe" | "differences";

/** Changes that the writing thread makes. */
type ChangeCall = "learn" | "learnClass" | "correct" | "forget" | "rollback" | "merge";

export class Service implements AsyncDisposable {
  readonly limits: Limits;
  readonly discretion: Discretion;
  readonly metrics: Metrics;
  readonly jobs: Jobs;
  readonly usage = new Usage();
  readonly kept: KeptTexts | undefined;
  /** What is done with kept texts, where they are kept. */
  readonly review: Review | undefined;
  readonly readOnly: boolean;
  /** Absent where none are listed. */
  readonly runs: Runs | undefined;
  readonly startedAt = new Date();
  private readonly stores: StoresAt;
  private readonly dataOf: (changes: boolean) => EngineData;
  private readonly reader: Engine;
  private writer: Engine | undefined;
  private readonly asking: Asking;
  private readonly snapshots: Snapshots;
  private readonly bell = new Bell();
  private readonly keptTimer: NodeJS.Timeout | undefined;
  /** Who watches a store looks at it so often; undefined where the thread looks by itself. */
  private readonly watchMs: number | undefined;
  private isOpen = false;
  private stopping = false;

  constructor(stores: StoresAt, options: ServiceOptions = {}) {
    const { readOnly = false, backbone, keepTexts, pollMs = 500, waitSeconds = 10 } = options;
    const { memoryBytes = defaultMemoryBytes() } = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.readOnly = readOnly;
    this.runs = options.runs === undefined ? undefined : new Runs(options.runs);
    this.stores = stores;
    this.discretion = new Discretion(stores);
    this.dataOf = (changes) => ({
      stores,
      changes,
      // Of many stores only those that are changed here: to read one is no reason to fit its router.
      consolidates: !readOnly && (stores.kind === "folders" || changes),
      backbone,
      memoryBytes: shareOf(memoryBytes, changes),
      pollMs,
      waitSeconds,
    });
    this.metrics = new Metrics(() => this.asking.queuedTexts);
    this.jobs = new Jobs(this.limits.queuedChanges, ({ store, kind, state }) => {
      this.metrics.changed(this.called(store), kind, state);
      this.bell.ring();
    });
    this.reader = new Engine(this.dataOf(false), (announcement) => this.hear(announcement));
    this.snapshots = new Snapshots({
      look: (store) => this.reader.call("open", { store }),
      pollMs: this.opensOnDemand ? pollMs : undefined,
    });
    this.asking = new Asking({
      reader: this.reader,
      open: (store) => this.open(store),
      limits: this.limits,
      metrics: this.metrics,
    });
    if (keepTexts !== undefined) {
      this.kept = new KeptTexts(stores, keepTexts);
      this.review = new Review(this.kept, (...asked) => this.embed(...asked));
      const expire = () => void this.kept?.expire().catch(() => {});
      expire();
      this.keptTimer = setInterval(expire, EXPIRY_CHECK_MS).unref();
    }
    this.watchMs = this.opensOnDemand ? 2 * pollMs : undefined;
    this.reader.opened.then(
      () => {
        this.isOpen = true;
      },
      () => {},
    );
  }

  /** Resolves when every store that was named is open, or the place of many can be read. @throws what stands against it */
  get opened(): Promise<void> {
    return this.reader.opened;
  }

  /** Gives the reason when the thread that answers has ended. */
  get died(): Promise<Error> {
    return this.reader.died;
  }

  /** Whether texts are answered: not before it is open, nor when it is on its way out. */
  get isReady(): boolean {
    return this.isOpen && !this.stopping && this.reader.alive;
  }

  get isAlive(): boolean {
    return this.reader.alive || !this.isOpen;
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  /** Those that are open. */
  get openStores(): readonly Snapshot[] {
    return this.snapshots.all;
  }

  /** Whether stores are opened when they are asked for, and not before. */
  private get opensOnDemand(): boolean {
    return this.stores.kind !== "folders";
  }

  /** Days that texts are kept for, where they are. */
  get keepsDays(): number | undefined {
    return this.kept?.days;
  }

  /** As metrics name a store: of those that are closed all are one. */
  private called(store: string): string {
    return this.snapshots.get(store) === undefined ? "(closed)" : store;
  }

  private hear(announcement: Announcement): void {
    if (announcement.type === "snapshot") this.see(announcement.snapshot);
    if (announcement.type !== "holding") return;
    const { holding } = announcement;
    this.metrics.holds("answers", holding);
    if (holding.closed === undefined) return;
    const { store } = holding.closed;
    this.snapshots.remove(store);
    this.metrics.forget(store);
    this.usage.forget(store);
    this.bell.ring();
  }

  private see(snapshot: Snapshot): void {
    this.snapshots.add(snapshot);
    this.metrics.seen(snapshot);
    this.usage.keepOnly(snapshot.store, snapshot.classes);
    this.bell.ring();
  }

  /** Names of stores, open or not. @throws RequestError while stores that were named are being opened */
  async names(asked: NamesAsked): Promise<Names> {
    if (!this.isOpen)
      throw new RequestError(503, "NOT_READY", "the server is opening its stores", { retryAfter: 1 });
    return await this.reader.call("names", asked);
  }

  /** How a store is, where it is open. */
  ifOpen(name: string): Snapshot | undefined {
    return this.snapshots.get(name);
  }

  /**
   * How a store is; it is opened where it is not open.
   * @throws NoSuchStoreError; what the store cannot be opened for
   */
  async open(name: string): Promise<Snapshot> {
    const { stores, isOpen } = this;
    const isOpening = !isOpen && stores.kind === "folders" && Object.hasOwn(stores.stores, name);
    if (isOpening && this.snapshots.get(name) === undefined)
      throw new RequestError(503, "NOT_READY", `store "${name}" is being opened`, { retryAfter: 1 });
    return await this.snapshots.open(name);
  }

  /**
   * What a client calls a model: a store, or `store/task`. Without a name it is the only store that is served.
   * @throws RequestError where there is no such model, or several might be meant
   */
  async model(name: string | undefined): Promise<Model & { readonly snapshot: Snapshot }> {
    if (name === undefined) {
      const { names, hasMore } = await this.names({ limit: 5 });
      const [only, ...others] = names;
      if (only === undefined || others.length > 0)
        throw new RequestError(422, "ARGUMENT", "model: several stores are served, and none is named", {
          hint: `Name one: ${[...names, ...(hasMore ? ["…"] : [])].join(", ")}.`,
        });
      return { store: only, snapshot: await this.open(only) };
    }
    const [store = "", ...rest] = name.split("/");
    const snapshot = await this.open(store);
    if (rest.length === 0) return { store, snapshot };
    const task = rest.join("/");
    requireTask(snapshot, task);
    return { store, task, snapshot };
  }

  private answered(store: string, answers: readonly (Prediction | TaggedText)[]): void {
    const called = this.called(store);
    this.metrics.answered(called, answers);
    if (called === store) this.usage.count(store, answers);
  }

  async predict(
    store: string,
    texts: readonly AskedText[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<Prediction[]> {
    const answers = await this.asking.predict(store, texts, options, signal);
    this.answered(store, answers);
    this.review?.keepUnknown(store, answers);
    return answers;
  }

  async tag(
    store: string,
    texts: readonly string[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<TaggedText[]> {
    const answers = await this.asking.tag(store, texts, options, signal);
    this.answered(store, answers);
    return answers;
  }

  async embed(store: string, texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    return await this.asking.embed(store, texts, signal);
  }

  async count(store: string, texts: readonly string[], signal: AbortSignal): Promise<readonly number[]> {
    return await this.reader.call("count", { store, texts }, { signal });
  }

  async generate(...asked: Parameters<Asking["generate"]>): Promise<Completion[]> {
    return await this.asking.generate(...asked);
  }

  async versions(store: string): Promise<Result<"versions">> {
    await this.open(store);
    return await this.reader.call("versions", { store });
  }

  /** A change by the writing thread; it is acknowledged once the answering one has taken it up. */
  async change<C extends ChangeCall>(
    kind: ChangeKind,
    call: C,
    args: Args<C>,
    { ifVersion }: { readonly ifVersion?: number | undefined } = {},
  ): Promise<Job> {
    const { store } = args;
    await this.open(store);
    if (this.readOnly)
      throw new RequestError(403, "READ_ONLY", "this server changes nothing", {
        hint: "Ask the one that was started without --read-only.",
      });
    if (this.stopping) throw new RequestError(503, "STOPPING", "the server is stopping", { retryAfter: 5 });
    const started = this.jobs.start(store, kind, async (job) => {
      if (ifVersion !== undefined) await this.requireVersion(store, ifVersion);
      const result = await this.write(call, args, job);
      // The change is made: what cannot be taken up now is taken up by the next look at the folder.
      const snapshot = await this.reader.call("refresh", { store }).catch(() => undefined);
      if (snapshot !== undefined) this.snapshots.replace(snapshot);
      return result;
    });
    this.bell.ring();
    return started;
  }

  /** @throws RequestError 409 where somebody has changed the store since */
  private async requireVersion(store: string, asked: number): Promise<void> {
    const { version } = (await this.reader.call("refresh", { store })).status;
    if (asked === version) return;
    throw new RequestError(
      409,
      "CHANGED_MEANWHILE",
      `store "${store}" is at version ${version} by now, not at ${asked}`,
      { hint: "Look at what was changed, then ask again." },
    );
  }

  /** How many changes of a store are not done yet. */
  changesUnderWay(store: string): number {
    return this.jobs.of(store).filter(({ hasEnded }) => !hasEnded).length;
  }

  /** Yields at once, and whenever a store or its changes may have become others. */
  async *watch(store: string, signal: AbortSignal): AsyncGenerator<Snapshot> {
    while (!signal.aborted && !this.stopping) {
      const { count } = this.bell;
      yield await this.open(store);
      await this.bell.after(count, signal, this.watchMs);
    }
  }

  /** Asks the thread that makes changes, which is started where there is none yet. */
  async consult<C extends Consultation>(call: C, args: Args<C>, signal: AbortSignal): Promise<Result<C>> {
    await this.open(args.store);
    try {
      return await this.writing().call(call, args, { signal });
    } catch (error) {
      // Whoever left is no failure of ours.
      throw signal.aborted ? signal.reason : error;
    }
  }

  private writing(): Engine {
    if (this.writer?.alive !== true)
      this.writer = new Engine(this.dataOf(true), (told) => {
        if (told.type === "holding") this.metrics.holds("changes", told.holding);
      });
    return this.writer;
  }

  private async write<C extends CallName>(call: C, args: Args<C>, job: Job): Promise<Result<C>> {
    return await this.writing().call(call, args, { signal: job.signal, onEvent: (event) => job.tell(event) });
  }

  /** From now on nothing new is taken. */
  beginToStop(): void {
    this.stopping = true;
    this.bell.ring();
  }

  /** Waits for changes under way, for so long at most; those that are not done then are cancelled, and leave nothing. */
  async drainChanges(seconds: number): Promise<void> {
    const all = Promise.allSettled(this.jobs.underWay.map(({ done }) => done));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, 1000 * seconds);
    });
    await Promise.race([all, late]);
    clearTimeout(timer);
    for (const job of this.jobs.underWay) job.cancel();
    await Promise.allSettled(this.jobs.underWay.map(({ done }) => done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping = true;
    clearInterval(this.keptTimer);
    await this.drainChanges(0);
    await this.writer?.[Symbol.asyncDispose]();
    await this.reader[Symbol.asyncDispose]();
  }
}
