/** Trials as jobs of a queue: given out, waited for, and their folders brought home. */

import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FlowJobNode, Queue } from "bullmq";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { ArtefactCache } from "../../artefacts/tree.ts";
import { writeNewFile } from "../../io/atomic.ts";
import { type ExecuteOptions, type Executor, mostTries, type TrialJob } from "../executor.ts";
import { logPath, runPath } from "../sweepFolder.ts";
import { makeFolder, writeFailure } from "../trialState.ts";
import { keyPrefix, type QueueConnection, queueName } from "./connection.ts";
import { cancelledReason, jobIdOf, piecesOf, type TrialJobData } from "./jobs.ts";
import { Publisher } from "./publish.ts";
import { cancelKey, releaseName, takeName } from "./tickets.ts";

export interface QueueExecutorOptions {
  readonly store: ArtefactStore;
  readonly sweep: string;
  /** The sweep's identity: equal for the same trials alone. */
  readonly plan: string;
  /** Whether the tasks of each trial are jobs of their own. */
  readonly split: boolean;
}

interface Pending {
  readonly job: TrialJob;
  readonly data: TrialJobData;
  readonly id: string;
  /** Among the sweep's, from 0. */
  readonly place: number;
  /** Tries that were told of. */
  tries: number;
  begun: boolean;
}

/** How often the queue is asked, with more jobs less often. */
function pollMs(jobs: number): number {
  return Math.min(5_000, Math.max(300, 5 * jobs));
}

const retryMs = 1_000;

const jobOptions = {
  attempts: mostTries,
  backoff: { type: "fixed", delay: retryMs },
  removeOnComplete: { age: 24 * 3600 },
} as const;

/** Gives jobs out, and takes them back. */
interface Queues extends AsyncDisposable {
  readonly queue: Queue;
  /** A trial as one job, or as a flow: its tasks first, then what puts them together. */
  readonly give: (pending: Pending) => Promise<void>;
}

/**
 * What comes first: the pieces of earlier trials, and of a trial's those that take longest, so that workers end at the same time.
 * @param place of the trial among those that wait
 */
function priorityOf({ piece }: TrialJobData, place: number): number {
  return 1 + 2 * place + (piece === undefined || piece.part === "learn" ? 0 : 1);
}

/** @param before the job that it waits for */
function flowOf(data: TrialJobData, place: number, before: FlowJobNode | undefined): FlowJobNode {
  const priority = priorityOf(data, place);
  const opts = { jobId: jobIdOf(data), ...jobOptions, priority, failParentOnFailure: true };
  const job = { name: "piece", queueName, data, opts };
  return before === undefined ? job : { ...job, children: [before] };
}

/** A task's jobs: what is answered behind what is learned. */
function flowsOf(parts: readonly TrialJobData[], place: number): FlowJobNode[] {
  const last = parts.reduce<FlowJobNode | undefined>(
    (before, part) => flowOf(part, place, before),
    undefined,
  );
  return last === undefined ? [] : [last];
}

function openQueues({ bullmq, connection }: QueueConnection): Queues {
  const options = { connection, prefix: keyPrefix };
  const queue = new bullmq.Queue(queueName, options);
  const flows = new bullmq.FlowProducer(options);
  // A server that goes away is waited for.
  queue.on("error", () => {});
  flows.on("error", () => {});
  return {
    queue,
    async give({ id, data, place }) {
      const pieces = piecesOf(data);
      if (pieces.length === 0) return void (await queue.add("trial", data, { jobId: id, ...jobOptions }));
      const children = pieces.flatMap((parts) => flowsOf(parts, place));
      const opts = { jobId: id, ...jobOptions, priority: priorityOf(data, place) };
      await flows.add({ name: "trial", queueName, data, opts, children });
    },
    async [Symbol.asyncDispose]() {
      await flows.close();
      await queue.close();
    },
  };
}

/** Gives a job out, in place of what an earlier call of the same sweep left of it. */
async function giveAnew({ queue, give }: Queues, pending: Pending): Promise<void> {
  const there = await queue.getJob(pending.id);
  const state = await there?.getState();
  // What is at work or waiting goes on; what failed, or whose result did not come home, begins anew.
  if (state === "failed" || state === "completed") {
    await there?.remove();
    for (const piece of piecesOf(pending.data).flat()) await (await queue.getJob(jobIdOf(piece)))?.remove();
  }
  await give(pending);
}

class Waiting {
  readonly #queues: Queues;
  readonly #home: ArtefactCache;
  readonly #options: ExecuteOptions;

  constructor(queues: Queues, home: ArtefactCache, options: ExecuteOptions) {
    this.#queues = queues;
    this.#home = home;
    this.#options = options;
  }

  /** @returns whether nothing more is to be waited for */
  async look(pending: Pending): Promise<boolean> {
    const { trial } = pending.job;
    const job = await this.#queues.queue.getJob(pending.id);
    // A server that lost its last second on restarting.
    if (job === undefined) {
      await this.#queues.give(pending);
      return false;
    }
    const state = await job.getState();
    // The try that did well counts as one too.
    this.#tell(pending, job.attemptsMade - (state === "completed" ? 1 : 0), job.processedBy);
    if (state === "completed") {
      await this.#home.copy(String(job.returnvalue), runPath(this.#options.out, trial));
      this.#options.onEvent({ type: "done", trial: trial.name });
      return true;
    }
    if (state !== "failed") return false;
    if (job.failedReason === cancelledReason) {
      // An earlier call was cancelled, and its worker has just stopped.
      await giveAnew(this.#queues, pending);
      return false;
    }
    await this.#giveUp(
      pending,
      await this.#triesOf(pending),
      (await this.#logsOf(pending)) || job.failedReason,
    );
    return true;
  }

  /** Of the job of it that was tried most often. */
  async #triesOf({ id, data }: Pending): Promise<number> {
    const ids = [...piecesOf(data).flat().map(jobIdOf), id];
    const jobs = await Promise.all(ids.map((each) => this.#queues.queue.getJob(each)));
    return Math.max(...jobs.map((job) => job?.attemptsMade ?? 0));
  }

  /** What its tries wrote, and those of its tasks. */
  async #logsOf({ id, data }: Pending): Promise<string> {
    const ids = [...piecesOf(data).flat().map(jobIdOf), id];
    const logs = await Promise.all(ids.map((each) => this.#queues.queue.getJobLogs(each)));
    return logs.flatMap((each) => each.logs).join("\n");
  }

  #tell(pending: Pending, tries: number, worker: string | undefined): void {
    const { onEvent } = this.#options;
    const trial = pending.job.trial.name;
    if (!pending.begun && worker !== undefined) {
      pending.begun = true;
      onEvent({ type: "begun", trial, worker, attempt: tries + 1 });
    }
    for (; pending.tries < tries && pending.tries + 1 < mostTries; pending.tries++)
      onEvent({ type: "failed", trial, attempt: pending.tries + 1, last: false });
  }

  async #giveUp({ job: { trial }, data }: Pending, tries: number, log: string): Promise<void> {
    const { out, onEvent } = this.#options;
    const time = new Date().toISOString();
    await writeFailure(out, trial, { tries, exitCode: null, log: log.slice(-2000), time });
    const path = logPath(out, trial);
    await makeFolder(dirname(path));
    await rm(path, { force: true });
    await writeNewFile(path, log);
    // What is left of its tasks would be in vain.
    for (const piece of piecesOf(data).flat())
      await (await this.#queues.queue.getJob(jobIdOf(piece)))?.remove().catch(() => {});
    onEvent({ type: "failed", trial: trial.name, attempt: tries, last: true });
  }
}

/** Takes back what nobody has begun, and tells workers to stop the rest. */
async function withdraw(queue: Queue, connection: QueueConnection, plan: string, all: readonly Pending[]) {
  await connection.redis.set(cancelKey(plan), "1", "EX", 3600);
  for (const { id, data } of all)
    for (const each of [id, ...piecesOf(data).flat().map(jobIdOf)]) {
      const job = await queue.getJob(each);
      // Whoever is at it has it locked, and sees the key.
      await job?.remove().catch(() => {});
    }
}

/** @throws StoreError from `execute` where the queue has another sweep of that name */
export function queueExecutor(
  connection: QueueConnection,
  { store, sweep, plan, split }: QueueExecutorOptions,
): Executor {
  const publisher = new Publisher(store);
  return {
    async execute(jobs, options) {
      const { out, signal } = options;
      const { redis } = connection;
      using _ = connection.givingUp(signal);
      await takeName(redis, sweep, plan, `${hostname()}:${out}`);
      await redis.del(cancelKey(plan));
      await using queues = openQueues(connection);
      const waiting = new Waiting(queues, new ArtefactCache(store, join(out, ".tmp-cache")), options);
      let pending: Pending[] = [];
      try {
        for (const job of jobs) {
          signal.throwIfAborted();
          const data = await publisher.jobOf(job, { out, sweep, plan, split });
          const place = pending.length;
          pending.push({ job, data, id: jobIdOf(data), place, tries: 0, begun: false });
        }
        for (const each of pending) await giveAnew(queues, each);
        while (pending.length > 0) {
          await sleep(pollMs(pending.length), undefined, { signal });
          const left: Pending[] = [];
          for (const each of pending) if (!(await waiting.look(each))) left.push(each);
          pending = left;
        }
      } catch (error) {
        // Whoever conducts this sweep again takes up what Redis was not told now.
        if (signal.aborted) await withdraw(queues.queue, connection, plan, pending).catch(() => {});
        throw error;
      } finally {
        await releaseName(redis, sweep).catch(() => {});
      }
    },
  };
}
