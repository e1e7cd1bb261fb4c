/** Changes of stores on their way: one after another in each store, watched, and cancelled. */
import { randomUUID } from "node:crypto";
import { ABORTED, carry, RequestError } from "../engine/errors.ts";
import type { CallEvent, CarriedError } from "../engine/protocol.ts";

export const jobStates = ["waiting", "running", "done", "failed", "cancelled"] as const;
export type JobState = (typeof jobStates)[number];
export const changeKinds = ["learn", "forget", "rollback", "merge", "corrections"] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** Jobs that have ended are told of until so many others have. */
const KEPT_JOBS = 200;
/** Events of a job that whoever begins to listen is still told. */
const KEPT_EVENTS = 200;

export interface JobEvent {
  readonly number: number;
  readonly event: CallEvent | { readonly type: "state"; readonly state: JobState };
}

export class Job {
  readonly id = randomUUID();
  readonly created = new Date().toISOString();
  readonly store: string;
  readonly kind: ChangeKind;
  state: JobState = "waiting";
  ended: string | undefined;
  result: object | undefined;
  error: CarriedError | undefined;
  readonly done: Promise<object>;
  private readonly stop = new AbortController();
  private events: JobEvent[] = [];
  private told = 0;
  private readonly listeners = new Set<() => void>();

  constructor(store: string, kind: ChangeKind, run: (job: Job) => Promise<object>) {
    this.store = store;
    this.kind = kind;
    this.done = this.follow(run);
    // Its state says how it ended.
    this.done.catch(() => {});
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  get hasEnded(): boolean {
    return this.ended !== undefined;
  }

  private async follow(run: (job: Job) => Promise<object>): Promise<object> {
    try {
      this.result = await run(this);
      this.become("done");
      return this.result;
    } catch (error) {
      this.error = carry(error);
      this.become(this.signal.aborted || this.error.code === ABORTED ? "cancelled" : "failed");
      throw error;
    }
  }

  become(state: JobState): void {
    this.state = state;
    if (state !== "waiting" && state !== "running") this.ended = new Date().toISOString();
    this.tell({ type: "state", state });
  }

  tell(event: JobEvent["event"]): void {
    this.events.push({ number: ++this.told, event });
    if (this.events.length > KEPT_EVENTS) this.events = this.events.slice(-KEPT_EVENTS);
    for (const listener of [...this.listeners]) listener();
  }

  /** It ends between two steps; what was committed by then stays. */
  cancel(): void {
    this.stop.abort();
  }

  /** Events after one of that number, as they come, until the job has ended. */
  async *watch(after: number, signal: AbortSignal): AsyncGenerator<JobEvent> {
    let last = after;
    while (!signal.aborted) {
      const next = this.events.filter(({ number }) => number > last);
      for (const event of next) yield event;
      last = next.at(-1)?.number ?? last;
      if (this.hasEnded && last >= this.told) return;
      if (last < this.told) continue;
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.listeners.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.listeners.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      });
    }
  }
}

export class Jobs {
  private readonly all = new Map<string, Job>();
  private readonly lastOf = new Map<string, Promise<unknown>>();
  private readonly mostWaiting: number;
  private readonly onEnd: (job: Job) => void;

  constructor(mostWaiting: number, onEnd: (job: Job) => void) {
    this.mostWaiting = mostWaiting;
    this.onEnd = onEnd;
  }

  get underWay(): readonly Job[] {
    return [...this.all.values()].filter(({ hasEnded }) => !hasEnded);
  }

  of(store: string): readonly Job[] {
    return [...this.all.values()].filter((job) => job.store === store);
  }

  find(store: string, id: string): Job {
    const job = this.all.get(id);
    if (job?.store !== store)
      throw new RequestError(404, "NO_SUCH_JOB", `store "${store}" has no job ${JSON.stringify(id)}`, {
        hint: "Jobs are kept in memory: after a restart the store's versions say what was learned.",
      });
    return job;
  }

  /** @throws RequestError 429 where too many changes wait for the store */
  start(store: string, kind: ChangeKind, work: (job: Job) => Promise<object>): Job {
    const waiting = this.of(store).filter(({ hasEnded }) => !hasEnded).length;
    if (waiting >= this.mostWaiting)
      throw new RequestError(429, "OVERLOADED", `${waiting} changes of store "${store}" are waiting`, {
        hint: "Ask again later; Retry-After says when.",
        retryAfter: 5,
      });
    const before = this.lastOf.get(store);
    const job = new Job(store, kind, async (self) => {
      await before;
      self.signal.throwIfAborted();
      self.become("running");
      return await work(self);
    });
    this.all.set(job.id, job);
    const ended = job.done.then(
      () => this.onEnd(job),
      () => this.onEnd(job),
    );
    this.lastOf.set(store, ended);
    void ended.then(() => {
      if (this.lastOf.get(store) === ended) this.lastOf.delete(store);
    });
    this.forgetOld();
    return job;
  }

  private forgetOld(): void {
    const ended = [...this.all.values()].filter(({ hasEnded }) => hasEnded);
    for (const job of ended.slice(0, Math.max(0, ended.length - KEPT_JOBS))) this.all.delete(job.id);
  }
}
