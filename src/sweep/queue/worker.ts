/** `accrete worker`: takes trials from the queue, each in a child process, until it is told to stop. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import type { Job, Worker } from "bullmq";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { ArtefactCache } from "../../artefacts/tree.ts";
import { errorCode, messageOf, StoreError } from "../../core/errors.ts";
import { packageVersion } from "../../core/packageInfo.ts";
import { keyPrefix, type QueueConnection, queueName } from "./connection.ts";
import { cancelledReason, parseJob, type TrialJobData } from "./jobs.ts";
import { PieceProcesses } from "./pieceProcess.ts";
import { removeWorker, reportMs, reportWorker, type Work } from "./registry.ts";
import { cancelKey } from "./tickets.ts";
import { TrialFailure, workOn } from "./trialWork.ts";

export interface WorkerOptions {
  readonly store: ArtefactStore;
  /** Takes what is fetched, and trials while they run. */
  readonly cache: string;
  readonly concurrency: number;
  /** Told in lines what it does. */
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal;
  /** What it says it is; a test's may be another. */
  readonly version?: string | undefined;
  /** How long a job is another's without a word from it; default 30 s. */
  readonly lockSeconds?: number | undefined;
}

/** What metrics are made of. */
export interface WorkerCounts {
  readonly done: number;
  readonly failed: number;
  readonly work: readonly Work[];
}

/** Whether some disk here is full: another worker's may not be. */
function diskIsFull(error: unknown): boolean {
  if (error instanceof TrialFailure)
    return /ENOSPC|EDQUOT|no space left|disk is full|quota is used up/i.test(error.log);
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (["ENOSPC", "EDQUOT"].includes(errorCode(cause) ?? "")) return true;
  return false;
}

const fullDiskMs = 30_000;
/** Bad configuration or data: the same the next time. */
const badInput = 2;
/** Every time a worker is killed counts as one; a trial that kills its own process fails in the ordinary way. */
const mostStalls = 10_000;

/** Takes away what workers of this machine that were killed left. */
async function removeLeftovers(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const pid = Number(name.slice(hostname().length + 1));
    if (!name.startsWith(`${hostname()}-`) || isAlive(pid)) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

function nameOf({ trial, piece }: TrialJobData): string {
  if (piece === undefined) return trial;
  return piece.part === "baseline" ? `${trial} baseline` : `${trial} task ${piece.task} ${piece.part}`;
}

function describe(data: TrialJobData): string {
  return `${data.sweep} ${nameOf(data)}`;
}

/** A worker's work, and what is told of it. */
class QueueWorker {
  readonly name = `${hostname()}-${process.pid}`;
  readonly work = new Map<string, Work>();
  done = 0;
  failed = 0;
  waits: string | undefined;
  readonly #queue: QueueConnection;
  readonly #options: WorkerOptions;
  readonly #version: string;
  readonly #folder: string;
  readonly #cache: ArtefactCache;
  readonly #processes: PieceProcesses;
  readonly #running = new Map<string, { readonly plan: string; readonly stop: AbortController }>();
  #worker: Worker | undefined;
  #refused: StoreError | undefined;

  constructor(queue: QueueConnection, options: WorkerOptions) {
    this.#queue = queue;
    this.#options = options;
    this.#version = options.version ?? packageVersion();
    this.#folder = resolve(options.cache);
    this.#cache = new ArtefactCache(options.store, this.#folder);
    this.#processes = new PieceProcesses(join(this.#scratch, "processes"));
  }

  get #scratch(): string {
    return join(this.#folder, "work", this.name);
  }

  async run(): Promise<void> {
    const { bullmq, connection } = this.#queue;
    const { concurrency, signal, lockSeconds = 30 } = this.#options;
    await removeLeftovers(join(this.#folder, "work"));
    await mkdir(this.#scratch, { recursive: true }).catch((cause: unknown) => {
      throw new StoreError(`${this.#scratch}: cannot be made`, {
        cause,
        hint: "Give another folder: --cache.",
      });
    });
    const lockDuration = 1000 * lockSeconds;
    const worker = new bullmq.Worker(queueName, (job, token) => this.#process(job, token ?? ""), {
      connection,
      prefix: keyPrefix,
      name: this.name,
      concurrency,
      lockDuration,
      stalledInterval: lockDuration,
      maxStalledCount: mostStalls,
    });
    this.#worker = worker;
    // A server that goes away is waited for.
    worker.on("error", () => {});
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
      worker.on("closing", () => resolve());
    });
    this.#report().catch(() => {});
    const timer = setInterval(() => void this.#tend().catch(() => {}), reportMs);
    await stopped;
    using _ = this.#queue.givingUp(AbortSignal.abort());
    for (const { stop } of this.#running.values()) stop.abort();
    await worker.close();
    await this.#processes[Symbol.asyncDispose]();
    clearInterval(timer);
    await rm(this.#scratch, { recursive: true, force: true });
    await this.#part();
    if (this.#refused !== undefined) throw this.#refused;
  }

  /** Who refused its jobs stays in the list with the reason. */
  async #part(): Promise<void> {
    const { redis, place } = this.#queue;
    await (this.#refused === undefined ? removeWorker(redis, this.name) : this.#report()).catch(() => {
      this.#options.onLine(`${place} does not answer: what was begun goes to others when its lock ends`);
    });
  }

  async #report(): Promise<void> {
    const { name, work, done, failed, waits } = this;
    const { concurrency } = this.#options;
    const version = this.#version;
    const own = { name, version, concurrency, work: [...work.values()], done, failed };
    await reportWorker(this.#queue.redis, { ...own, ...(waits !== undefined && { waits }) });
  }

  /** Says what it does, and stops what was cancelled. */
  async #tend(): Promise<void> {
    await this.#report();
    for (const { plan, stop } of this.#running.values())
      if ((await this.#queue.redis.exists(cancelKey(plan))) > 0) stop.abort(cancelledReason);
  }

  async #process(job: Job, token: string): Promise<string> {
    const data = parseJob(job.data);
    if (data.version !== this.#version) return await this.#refuse(job, token, data);
    const stop = new AbortController();
    const id = job.id ?? data.trial;
    this.#running.set(id, { plan: data.plan, stop });
    this.work.set(id, { sweep: data.sweep, trial: nameOf(data), evaluated: 0 });
    this.#options.onLine(`${describe(data)}: begun, try ${job.attemptsMade + 1}`);
    try {
      const tree = await this.#workOn(id, data, stop.signal);
      this.done += 1;
      this.#options.onLine(`${describe(data)}: done`);
      return tree;
    } catch (error) {
      return await this.#fail(job, token, data, error, stop.signal);
    } finally {
      this.#running.delete(id);
      this.work.delete(id);
    }
  }

  async #workOn(id: string, data: TrialJobData, signal: AbortSignal): Promise<string> {
    const { store } = this.#options;
    return await workOn(data, {
      store,
      cache: this.#cache,
      scratch: this.#scratch,
      processes: this.#processes,
      signal,
      onProgress: ({ evaluated, tasks, examplesPerSecond, secondsLeft }) => {
        this.work.set(id, {
          sweep: data.sweep,
          trial: nameOf(data),
          evaluated,
          ...(tasks !== undefined && { tasks }),
          ...(examplesPerSecond !== undefined && { examplesPerSecond }),
          ...(secondsLeft !== undefined && { secondsLeft }),
        });
      },
    });
  }

  /** For another worker, or for this one later; it counts as no try. */
  async #putBack(job: Job, token: string, delayMs: number): Promise<never> {
    await job.moveToDelayed(Date.now() + delayMs, token);
    throw new this.#queue.bullmq.DelayedError();
  }

  /** Takes no jobs for a while. */
  #rest(why: string, ms: number): void {
    this.waits = why;
    void this.#worker?.pause(true).catch(() => {});
    setTimeout(() => {
      this.waits = undefined;
      this.#worker?.resume();
    }, ms).unref();
  }

  async #refuse(job: Job, token: string, { version }: TrialJobData): Promise<never> {
    this.waits = `it is Accrete ${this.#version}, and the jobs are of ${version}`;
    this.#refused ??= new StoreError(`worker ${this.name}: ${this.waits}`, {
      hint: `Install accrete-lm@${version} here, and start it again.`,
    });
    void this.#worker?.close().catch(() => {});
    return await this.#putBack(job, token, 1_000);
  }

  async #fail(
    job: Job,
    token: string,
    data: TrialJobData,
    error: unknown,
    stop: AbortSignal,
  ): Promise<never> {
    const { onLine } = this.#options;
    const { bullmq } = this.#queue;
    const what = describe(data);
    if (stop.aborted) {
      if (stop.reason === cancelledReason) throw new bullmq.UnrecoverableError(cancelledReason);
      onLine(`${what}: stopped; another worker takes it up`);
      return await this.#putBack(job, token, 0);
    }
    if (diskIsFull(error)) {
      this.#rest("its disk is full", fullDiskMs);
      onLine(
        `${what}: the disk here is full; another worker takes it up, and this one waits ${fullDiskMs / 1000} s`,
      );
      return await this.#putBack(job, token, 1_000);
    }
    this.failed += 1;
    onLine(`${what}: ${messageOf(error)}`);
    await job.log(error instanceof TrialFailure ? error.log : messageOf(error));
    if (error instanceof TrialFailure && error.childExit === badInput)
      throw new bullmq.UnrecoverableError(error.message);
    throw error;
  }

  counts(): WorkerCounts {
    return { done: this.done, failed: this.failed, work: [...this.work.values()] };
  }
}

export interface RunningWorker {
  readonly name: string;
  readonly counts: () => WorkerCounts;
  /** Ends when it was told to stop. Rejects where it refused a job of another version. */
  readonly ended: Promise<void>;
}

export function startWorker(queue: QueueConnection, options: WorkerOptions): RunningWorker {
  const worker = new QueueWorker(queue, options);
  return { name: worker.name, counts: () => worker.counts(), ended: worker.run() };
}
