/** What a server does, whoever asks and in whatever words: answers, changes, and how its stores are. */
import type { Prediction, TaggedText } from "../../continual/answers.ts";
import { findTask } from "../../continual/answers.ts";
import { AccreteError } from "../../core/errors.ts";
import type { Completion } from "../../model/continualModel.ts";
import { Engine } from "../engine/engine.ts";
import { Discretion, NoSuchStoreError, RequestError } from "../engine/errors.ts";
import type { Args, AskOptions, CallName, EngineData, Result, Snapshot } from "../engine/protocol.ts";
import { type AskedText, Batcher, type Kind } from "./batcher.ts";
import { Bell } from "./bell.ts";
import { type ChangeKind, type Job, Jobs } from "./jobs.ts";
import { EXPIRY_CHECK_MS, type KeepOptions, KeptTexts } from "./kept.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { Review } from "./review.ts";
import { Runs } from "./runs.ts";
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
  /** Milliseconds between two looks at what other processes have changed; default 500. */
  readonly pollMs?: number | undefined;
  /** Seconds that a change waits for another process; default 10. */
  readonly waitSeconds?: number | undefined;
}

type Answer = Prediction | TaggedText | Float32Array;

/** A store, or with a task one of its tasks. */
export interface Model {
  readonly store: string;
  readonly task?: string;
}

/** What the thread that makes changes is asked beside them, so that no answer waits for it. */
type Consultation = "quality" | "preview" | "describe" | "differences";

/** Changes that the writing thread makes. */
type ChangeCall = "learn" | "learnClass" | "correct" | "forget" | "rollback" | "merge";

function isPrediction(answer: Answer): answer is Prediction {
  return "label" in answer;
}

function isTaggedText(answer: Answer): answer is TaggedText {
  return "entities" in answer;
}

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
  private readonly engineData: Omit<EngineData, "changes">;
  private readonly reader: Engine;
  private writer: Engine | undefined;
  private readonly batcher: Batcher<Answer>;
  private readonly snapshots = new Map<string, Snapshot>();
  private readonly bell = new Bell();
  private readonly keptTimer: NodeJS.Timeout | undefined;
  private generating = 0;
  private isOpen = false;
  private stopping = false;

  constructor(stores: Readonly<Record<string, string>>, options: ServiceOptions = {}) {
    const { readOnly = false, backbone, keepTexts, pollMs = 500, waitSeconds = 10 } = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.readOnly = readOnly;
    this.runs = options.runs === undefined ? undefined : new Runs(options.runs);
    this.discretion = new Discretion(stores);
    this.engineData = { stores, consolidates: !readOnly, backbone, pollMs, waitSeconds };
    this.metrics = new Metrics(() => this.batcher.queuedTexts);
    this.batcher = new Batcher({
      queuedTexts: this.limits.queuedTexts,
      batchTokens: this.limits.batchTokens,
      onBatch: ({ texts, tokens }) => {
        this.metrics.batchTexts.observe(texts);
        this.metrics.batchTokens.observe(tokens);
      },
      onQueued: (seconds) => this.metrics.queueTime.observe(seconds),
    });
    this.jobs = new Jobs(this.limits.queuedChanges, ({ store, kind, state }) => {
      this.metrics.changes.inc({ store, kind, state });
      this.bell.ring();
    });
    if (keepTexts !== undefined) {
      this.kept = new KeptTexts(stores, keepTexts);
      this.review = new Review(this.kept, (...asked) => this.embed(...asked));
      const expire = () => void this.kept?.expire().catch(() => {});
      expire();
      this.keptTimer = setInterval(expire, EXPIRY_CHECK_MS).unref();
    }
    this.reader = new Engine({ ...this.engineData, changes: false }, (snapshot) => this.see(snapshot));
    this.reader.opened.then(
      () => {
        this.isOpen = true;
      },
      () => {},
    );
  }

  /** Resolves when every store is open. @throws what a store could not be opened for */
  get opened(): Promise<void> {
    return this.reader.opened;
  }

  /** Gives the reason when the thread that answers has ended. */
  get died(): Promise<Error> {
    return this.reader.died;
  }

  /** Whether texts are answered: not before every store is open, nor when it is on its way out. */
  get isReady(): boolean {
    return this.isOpen && !this.stopping && this.reader.alive;
  }

  get isAlive(): boolean {
    return this.reader.alive || !this.isOpen;
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  get stores(): readonly Snapshot[] {
    return [...this.snapshots.values()];
  }

  /** Days that texts are kept for, where they are. */
  get keepsDays(): number | undefined {
    return this.kept?.days;
  }

  private get names(): readonly string[] {
    return Object.keys(this.engineData.stores);
  }

  private see(snapshot: Snapshot): void {
    this.snapshots.set(snapshot.store, snapshot);
    this.metrics.seen(snapshot);
    this.usage.keepOnly(snapshot.store, snapshot.classes);
    this.bell.ring();
  }

  /** @throws RequestError where there is no such store, or it is not open yet */
  store(name: string): Snapshot {
    const snapshot = this.snapshots.get(name);
    if (snapshot !== undefined) return snapshot;
    if (!this.names.includes(name)) throw new NoSuchStoreError(name, this.names);
    throw new RequestError(503, "NOT_READY", `store "${name}" is being opened`, { retryAfter: 1 });
  }

  /** @throws RequestError naming the nearest where the store has no such task */
  requireTask(name: string, task: string | undefined): void {
    if (task === undefined) return;
    try {
      findTask(this.store(name).tasks, task);
    } catch (error) {
      if (!(error instanceof AccreteError) || error instanceof RequestError) throw error;
      throw new RequestError(404, "NO_SUCH_TASK", `store "${name}": ${error.message}`, {
        hint: error.hint ?? "",
      });
    }
  }

  /**
   * What a client calls a model: a store, or `store/task`. Without a name it is the only store that is served.
   * @throws RequestError where there is no such model, or several might be meant
   */
  model(name: string | undefined): Model {
    if (name === undefined) {
      const [only, ...others] = this.names;
      if (only === undefined || others.length > 0)
        throw new RequestError(422, "ARGUMENT", "model: several stores are served, and none is named", {
          hint: `Name one: ${this.names.join(", ")}.`,
        });
      this.store(only);
      return { store: only };
    }
    const [store = "", ...rest] = name.split("/");
    this.store(store);
    if (rest.length === 0) return { store };
    const task = rest.join("/");
    this.requireTask(store, task);
    return { store, task };
  }

  private async ask(
    call: "predict" | "tag" | "embed",
    store: string,
    texts: readonly AskedText[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<Answer[]> {
    this.store(store);
    this.requireTask(store, options.task);
    const kind: Kind<Answer> = {
      key: JSON.stringify([call, store, options]),
      run: (batch) =>
        call === "embed"
          ? this.reader.call(call, { store, texts: batch })
          : this.reader.call(call, { store, texts: batch, options }),
    };
    return await this.batcher.ask(kind, texts, signal);
  }

  /** @throws RequestError 409 where the store answers otherwise */
  private require(store: string, kind: "labels" | "entities" | "words"): void {
    const { taskType, level } = this.store(store);
    const does = {
      labels: level === "sentence",
      entities: level === "word",
      words: taskType === "text-generation",
    };
    if (does[kind]) return;
    const what = { labels: "gives texts no label", entities: "tags no words", words: "generates no text" };
    throw new RequestError(409, "WRONG_KIND", `store "${store}" ${what[kind]}: it does ${taskType}`, {
      hint: level === "word" ? "POST /tag finds entities." : "POST /predict gives texts a label.",
    });
  }

  async predict(
    store: string,
    texts: readonly AskedText[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<Prediction[]> {
    this.require(store, "labels");
    const answers = (await this.ask("predict", store, texts, options, signal)).filter(isPrediction);
    this.metrics.answered(store, answers);
    this.usage.count(store, answers);
    this.review?.keepUnknown(store, answers);
    return answers;
  }

  async tag(
    store: string,
    texts: readonly string[],
    options: AskOptions,
    signal: AbortSignal,
  ): Promise<TaggedText[]> {
    this.require(store, "entities");
    const answers = (await this.ask("tag", store, texts, options, signal)).filter(isTaggedText);
    this.metrics.answered(store, answers);
    this.usage.count(store, answers);
    return answers;
  }

  async embed(store: string, texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    const answers = await this.ask("embed", store, texts, {}, signal);
    return answers.filter((answer) => answer instanceof Float32Array);
  }

  async count(store: string, texts: readonly string[], signal: AbortSignal): Promise<readonly number[]> {
    return await this.reader.call("count", { store, texts }, { signal });
  }

  async generate(
    { store, task }: Model,
    prompts: readonly string[],
    maxNewTokens: number,
    signal: AbortSignal,
    onText: (prompt: number, text: string) => void = () => {},
  ): Promise<Completion[]> {
    this.require(store, "words");
    if (this.generating > 0 && this.generating + prompts.length > this.limits.queuedPrompts)
      throw new RequestError(429, "OVERLOADED", `${this.generating} texts are being continued`, {
        hint: "Ask again later; Retry-After says when.",
        retryAfter: 5,
      });
    this.generating += prompts.length;
    try {
      return await this.reader.call(
        "generate",
        { store, prompts, maxNewTokens, ...(task !== undefined && { task }) },
        {
          signal,
          onEvent: (event) => {
            if (event.type === "generated") onText(event.prompt, event.text);
          },
        },
      );
    } finally {
      this.generating -= prompts.length;
    }
  }

  async versions(store: string): Promise<Result<"versions">> {
    this.store(store);
    return await this.reader.call("versions", { store });
  }

  /** A change by the writing thread; it is acknowledged once the answering one has taken it up. */
  change<C extends ChangeCall>(
    kind: ChangeKind,
    call: C,
    args: Args<C>,
    { ifVersion }: { readonly ifVersion?: number | undefined } = {},
  ): Job {
    const { store } = args;
    this.store(store);
    if (this.readOnly)
      throw new RequestError(403, "READ_ONLY", "this server changes nothing", {
        hint: "Ask the one that was started without --read-only.",
      });
    if (this.stopping) throw new RequestError(503, "STOPPING", "the server is stopping", { retryAfter: 5 });
    const started = this.jobs.start(store, kind, async (job) => {
      this.requireVersion(store, ifVersion);
      const result = await this.write(call, args, job);
      // The change is made: what cannot be taken up now is taken up by the next look at the folder.
      const snapshot = await this.reader.call("refresh", { store }).catch(() => undefined);
      if (snapshot !== undefined) this.see(snapshot);
      return result;
    });
    this.bell.ring();
    return started;
  }

  /** @throws RequestError 409 where somebody has changed the store since */
  private requireVersion(store: string, asked: number | undefined): void {
    const { version } = this.store(store).status;
    if (asked === undefined || asked === version) return;
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
      yield this.store(store);
      await this.bell.after(count, signal);
    }
  }

  /** Asks the thread that makes changes, which is started where there is none yet. */
  async consult<C extends Consultation>(call: C, args: Args<C>, signal: AbortSignal): Promise<Result<C>> {
    this.store(args.store);
    try {
      return await this.writing().call(call, args, { signal });
    } catch (error) {
      // Whoever left is no failure of ours.
      throw signal.aborted ? signal.reason : error;
    }
  }

  private writing(): Engine {
    if (this.writer?.alive !== true) this.writer = new Engine({ ...this.engineData, changes: true });
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
