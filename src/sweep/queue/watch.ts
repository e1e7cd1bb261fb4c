/** A queue as whoever looks sees it: who does what, and what waits. */
import { Gauge, type Registry } from "prom-client";
import { StoreError } from "../../core/errors.ts";
import { keyPrefix, openConnection, type QueueConnection, queueName } from "./connection.ts";
import { readWorkers, type WorkerStatus } from "./registry.ts";

const jobStates = ["waiting", "active", "delayed", "waiting-children", "completed", "failed"] as const;
type JobState = (typeof jobStates)[number];

export interface QueueState {
  /** Without a password. */
  readonly place: string;
  /** Those that told of themselves in the last hour, by name. */
  readonly workers: readonly WorkerStatus[];
  readonly jobs: Readonly<Record<JobState, number>>;
}

export interface QueueWatch extends AsyncDisposable {
  /** @throws StoreError where Redis does not answer */
  readonly read: () => Promise<QueueState>;
  /** Adds the queue's figures to metrics. */
  readonly register: (registry: Registry) => void;
}

/** Whoever looks does not wait longer. */
const answerMs = 2_000;

/** @throws StoreError where it does not */
async function whileItAnswers<T>({ redis, place }: QueueConnection, work: () => Promise<T>): Promise<T> {
  const silent = () =>
    new StoreError(`the queue does not answer: ${place}`, {
      hint: "Is Redis or Valkey running there? It is asked again with the next look.",
    });
  // What is asked now would wait for the connection, and so would all that is asked after it.
  if (redis.status !== "ready") throw silent();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(silent()), answerMs);
  });
  const answer = work();
  answer.catch(() => {});
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

function registerGauges(registry: Registry, read: () => Promise<QueueState>): void {
  const registers = [registry];
  let latest: Promise<QueueState | undefined> = Promise.resolve(undefined);
  new Gauge({
    name: "accrete_queue_up",
    help: "1 where the queue's Redis answers.",
    registers,
    async collect() {
      // The others of the same scrape take what this one, the first, has read.
      latest = read().catch(() => undefined);
      this.set((await latest) === undefined ? 0 : 1);
    },
  });
  new Gauge({
    name: "accrete_queue_jobs",
    help: "Jobs of the queue, by state.",
    labelNames: ["state"],
    registers,
    async collect() {
      this.reset();
      for (const [state, count] of Object.entries((await latest)?.jobs ?? {})) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "accrete_queue_workers",
    help: "Workers that told of themselves in the last hour; dead ones fell silent.",
    labelNames: ["state"],
    registers,
    async collect() {
      this.reset();
      const state = await latest;
      if (state === undefined) return;
      const dead = state.workers.filter((worker) => worker.dead).length;
      this.set({ state: "dead" }, dead);
      this.set({ state: "alive" }, state.workers.length - dead);
    },
  });
  new Gauge({
    name: "accrete_queue_examples_per_second",
    help: "Training examples a second, by worker.",
    labelNames: ["worker"],
    registers,
    async collect() {
      this.reset();
      for (const { name, work, dead } of (await latest)?.workers ?? [])
        if (!dead)
          this.set(
            { worker: name },
            work.reduce((sum, { examplesPerSecond = 0 }) => sum + examplesPerSecond, 0),
          );
    },
  });
}

/** Watches a queue through a connection that is somebody's own. */
export function watchQueue(connection: QueueConnection): QueueWatch {
  const { bullmq, redis, place } = connection;
  const queue = new bullmq.Queue(queueName, { connection: connection.connection, prefix: keyPrefix });
  queue.on("error", () => {});
  const read = () =>
    whileItAnswers(connection, async () => {
      const [workers, counts] = await Promise.all([readWorkers(redis), queue.getJobCounts(...jobStates)]);
      const countOf = (state: JobState) => counts[state] ?? 0;
      const jobs = {
        waiting: countOf("waiting"),
        active: countOf("active"),
        delayed: countOf("delayed"),
        "waiting-children": countOf("waiting-children"),
        completed: countOf("completed"),
        failed: countOf("failed"),
      };
      return { place, workers, jobs };
    });
  return {
    read,
    register: (registry) => registerGauges(registry, read),
    [Symbol.asyncDispose]: () => queue.close().catch(() => {}),
  };
}

/** @throws ConfigError for what is no address; StoreError where nothing answers, or it asks for another password */
export async function openQueueWatch(address: string): Promise<QueueWatch> {
  const connection = await openConnection(address);
  const watch = watchQueue(connection);
  return {
    ...watch,
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
    },
  };
}
