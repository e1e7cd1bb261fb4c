/**
 * What a sweep's own bookkeeping costs: planning, beginning, looking, and what Redis holds for a job.
 *
 *   npx tsx bench/sweep.ts [redis://localhost:6379]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../src/core/packageInfo.ts";
import { planSweep } from "../src/sweep/plan.ts";
import { openConnection } from "../src/sweep/queue/connection.ts";
import { readStatus } from "../src/sweep/status.ts";
import { readSweep } from "../src/sweep/sweepFile.ts";
import { beginSweep, requireSweepRecord } from "../src/sweep/sweepFolder.ts";

async function timed<T>(work: () => Promise<T>): Promise<readonly [T, seconds: number]> {
  const begin = performance.now();
  const value = await work();
  return [value, (performance.now() - begin) / 1000];
}

async function bookkeeping(trials: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-sweep-"));
  try {
    const path = join(folder, "many.yaml");
    const seeds = Array.from({ length: trials / 10 }, (_, i) => i);
    const base = join(packageRoot, "demo/demo.yaml");
    const grid = "grid: { method.rank: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }";
    await writeFile(path, `base: ${base}\n${grid}\nseeds: [${seeds.join(", ")}]\n`);
    const [plan, planning] = await timed(async () => await planSweep(await readSweep(path)));
    const [, beginning] = await timed(() => beginSweep(plan, { resume: false }));
    const record = await requireSweepRecord(plan.out);
    const [, looking] = await timed(() => readStatus(plan.out, record));
    return [planning, beginning, looking].map((seconds) => `${seconds.toFixed(2)} s`).join(" | ");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function bytesPerJob(url: string): Promise<number> {
  await using connection = await openConnection(url);
  const queue = new connection.bullmq.Queue("bytes", {
    connection: connection.connection,
    prefix: "accrete-bench",
  });
  await queue.obliterate({ force: true });
  const used = async () => Number(/used_memory:(\d+)/.exec(await connection.redis.info("memory"))?.[1]);
  const before = await used();
  const jobs = 5000;
  const hash = "0".repeat(64);
  const inputs = { backbone: { tree: hash }, "stream.train": { tree: hash, file: "train.jsonl" } };
  const data = {
    version: "0.1.0",
    sweep: "many",
    plan: hash,
    trial: "c0/seed-1",
    config: hash,
    inputs,
    validate: false,
  };
  await queue.addBulk(Array.from({ length: jobs }, () => ({ name: "trial", data })));
  const bytes = ((await used()) - before) / jobs;
  await queue.obliterate({ force: true });
  await queue.close();
  return bytes;
}

console.log("| trials | planning | beginning | looking |\n| --- | --- | --- | --- |");
for (const trials of [10, 100, 1000]) console.log(`| ${trials} | ${await bookkeeping(trials)} |`);
const [url] = process.argv.slice(2);
if (url !== undefined) console.log(`\nRedis holds ${(await bytesPerJob(url)).toFixed(0)} bytes a job`);
