/** Who works on a queue: each worker tells every few seconds what it does. */
import type { Redis } from "ioredis";
import { z } from "zod";
import { keyPrefix } from "./connection.ts";

const workSchema = z.object({
  sweep: z.string(),
  trial: z.string(),
  evaluated: z.number(),
  tasks: z.number().optional(),
  examplesPerSecond: z.number().optional(),
  secondsLeft: z.number().optional(),
});
export type Work = z.infer<typeof workSchema>;

const workerSchema = z.object({
  name: z.string(),
  version: z.string(),
  concurrency: z.number(),
  /** Why it takes no jobs at the moment. */
  waits: z.string().optional(),
  work: z.array(workSchema),
  done: z.number(),
  failed: z.number(),
  /** When it last said so, in milliseconds since 1970, by its own clock and by that of whoever reads. */
  seen: z.number(),
});
export type WorkerReport = z.infer<typeof workerSchema>;

export interface WorkerStatus extends WorkerReport {
  /** Nothing was heard of it for a while: it was killed, or its machine is gone. */
  readonly dead: boolean;
  /** Since it was heard of. */
  readonly silentSeconds: number;
}

const workersKey = `${keyPrefix}:workers`;
export const reportMs = 2_000;
const deadMs = 15_000;
/** A worker that has been dead for so long is not spoken of any more. */
const forgetMs = 3_600_000;

/** By the clock of the server, which all share. */
async function now(redis: Redis): Promise<number> {
  const [seconds = 0, microseconds = 0] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}

export async function reportWorker(redis: Redis, report: Omit<WorkerReport, "seen">): Promise<void> {
  await redis.hset(workersKey, report.name, JSON.stringify({ ...report, seen: await now(redis) }));
}

export async function removeWorker(redis: Redis, name: string): Promise<void> {
  await redis.hdel(workersKey, name);
}

export async function readWorkers(redis: Redis): Promise<readonly WorkerStatus[]> {
  const time = await now(redis);
  const reports = Object.values(await redis.hgetall(workersKey)).flatMap((text) => {
    const parsed = workerSchema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  });
  const gone = reports.filter(({ seen }) => time - seen > forgetMs);
  for (const { name } of gone) await removeWorker(redis, name);
  return reports
    .filter((report) => !gone.includes(report))
    .map((report) => ({
      ...report,
      dead: time - report.seen > deadMs,
      silentSeconds: Math.max(0, time - report.seen) / 1000,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
