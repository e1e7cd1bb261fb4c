/**
 * How long a sweep takes on 1 to 256 workers: a simulation fed with times that were measured.
 *
 *   npx tsx studies/scaling.ts <finished run> [--trials 60] [--queue redis://localhost:6379]
 *       [--tasks 15 --learn 520 --ask 192] [--start 3] [--megabytes 100]
 *
 * The flags in the second line take the place of what is measured here: a larger run's tasks, with the seconds that all of them
 * took to learn and to be asked; a process's seconds; what the store takes in a second.
 *
 * Measured here: what each task of the run took to learn and to be asked, what a process takes to start and to open model
 * and data, what a run folder takes in the artefact store, and with --queue what BullMQ takes for a job. Simulated: workers
 * that take jobs in order, one queue and one store that serve one after another.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openArtefacts } from "../src/artefacts/open.ts";
import { publishFolder } from "../src/artefacts/tree.ts";
import { readRunRecord } from "../src/report/record/record.ts";
import { openConnection } from "../src/sweep/queue/connection.ts";
import { sizeOfFolder } from "../src/workspace/listing.ts";

/** Seconds, and bytes. */
interface Measured {
  readonly learn: readonly number[];
  /** Each adapter on every test set. */
  readonly ask: number;
  readonly start: number;
  readonly queue: number;
  readonly bytes: number;
  readonly store: number;
}

interface Job {
  readonly seconds: number;
  /** Of a piece: its trial. The process that computes it stays for the next one of the same. */
  readonly pieceOf?: number;
  /** Jobs of the same trial that come before it. */
  readonly after: readonly number[];
  readonly bytes: number;
}

/** A server that takes one after another. */
class Line {
  free = 0;
  busy = 0;

  serve(at: number, seconds: number): number {
    this.free = Math.max(this.free, at) + seconds;
    this.busy += seconds;
    return this.free;
  }
}

function jobsOf({ learn, ask, bytes }: Measured, trials: number, split: boolean): Job[] {
  const whole = learn.reduce((sum, seconds) => sum + seconds, 0) + ask;
  if (!split) return Array.from({ length: trials }, () => ({ seconds: whole, after: [], bytes }));
  const tasks = learn.length;
  return Array.from({ length: trials }, (_, trial) => {
    const first = trial * (2 * tasks + 1);
    const piece = { pieceOf: trial, bytes: bytes / tasks };
    const learned = learn.map((seconds) => ({ ...piece, seconds, after: [] }));
    const answered = learn.map((_, task) => ({ ...piece, seconds: ask / tasks, after: [first + task] }));
    const after = learn.map((_, task) => first + tasks + task);
    return [...learned, ...answered, { seconds: 0, after, bytes }];
  }).flat();
}

/** Things that happen, in the order of their time. */
class Clock {
  now = 0;
  private readonly events: { readonly time: number; readonly act: () => void }[] = [];

  at(time: number, act: () => void): void {
    this.events.push({ time, act });
  }

  run(): void {
    while (this.events.length > 0) {
      const next = this.events.reduce((a, b) => (b.time < a.time ? b : a));
      this.events.splice(this.events.indexOf(next), 1);
      this.now = next.time;
      next.act();
    }
  }
}

function simulate(jobs: readonly Job[], workers: number, { start, queue, store }: Measured) {
  const [redis, files, clock] = [new Line(), new Line(), new Clock()];
  const missing = jobs.map(({ after }) => new Set(after));
  const ready = jobs.flatMap(({ after }, i) => (after.length === 0 ? [i] : []));
  /** Of each worker that has nothing to do, the trial that its process is open for. */
  const idle = Array.from({ length: workers }, (): number | undefined => undefined);
  const take = (): void => {
    for (let next = ready[0]; idle.length > 0 && next !== undefined; next = ready[0]) {
      ready.shift();
      begin(next, jobs[next]!, idle.shift());
    }
  };
  const begin = (index: number, { seconds, pieceOf, bytes }: Job, open: number | undefined): void => {
    const opening = pieceOf !== undefined && pieceOf === open ? 0 : start;
    const done = () => {
      idle.push(pieceOf);
      for (const [other, before] of missing.entries())
        if (before.delete(index) && before.size === 0) ready.push(other);
      take();
    };
    const told = () => clock.at(redis.serve(clock.now, queue / 2), done);
    const computed = () => clock.at(files.serve(clock.now, bytes / store), told);
    clock.at(redis.serve(clock.now, queue / 2) + opening + seconds, computed);
  };
  take();
  clock.run();
  return { makespan: clock.now, queueLoad: redis.busy / clock.now, storeLoad: files.busy / clock.now };
}

/** A finished run that is gone on with loads all and does nothing. */
function measureStart(run: string): number {
  const command = [
    "--import",
    "tsx",
    "src/cli/main.ts",
    "run",
    join(run, "config.resolved.yaml"),
    "--resume",
    "--quiet",
  ];
  const begin = performance.now();
  const { status } = spawnSync(process.execPath, [...command, "--out", run], { stdio: "ignore" });
  if (status !== 0)
    console.error(`the run could not be opened again (${status}): backbone or data are gone?`);
  return (performance.now() - begin) / 1000;
}

async function measureQueue(url: string | undefined): Promise<number> {
  // Without a server: what this measured on two shared cores.
  if (url === undefined) return 0.0006;
  await using connection = await openConnection(url);
  const options = { connection: connection.connection, prefix: "accrete-scaling" };
  const queue = new connection.bullmq.Queue("empty", options);
  await queue.obliterate({ force: true });
  const jobs = 4000;
  const begin = performance.now();
  await queue.addBulk(Array.from({ length: jobs }, (_, i) => ({ name: "empty", data: { i } })));
  let left = jobs;
  await new Promise<void>((resolve) => {
    const worker = new connection.bullmq.Worker("empty", async () => {}, { ...options, concurrency: 64 });
    worker.on("completed", () => {
      left -= 1;
      if (left === 0) worker.close().then(resolve, resolve);
    });
  });
  const seconds = (performance.now() - begin) / 1000;
  await queue.obliterate({ force: true });
  await queue.close();
  return seconds / jobs;
}

async function measureStore(run: string): Promise<{ readonly bytes: number; readonly store: number }> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-scaling-"));
  try {
    const store = await openArtefacts(folder);
    const begin = performance.now();
    await publishFolder(store, run);
    const bytes = await sizeOfFolder(run);
    return { bytes, store: (1000 * bytes) / (performance.now() - begin) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(run: string, flags: Readonly<Record<string, string | undefined>>): Promise<Measured> {
  const { tasks, metrics } = await readRunRecord(run);
  const own = tasks.map(({ learned }) => learned?.seconds ?? 0);
  const { bytes, store } = await measureStore(run);
  const given = (name: string) => (flags[name] === undefined ? undefined : Number(flags[name]));
  const count = given("tasks") ?? own.length;
  const learn = given("learn");
  const megabytes = given("megabytes");
  return {
    learn: learn === undefined ? own : Array.from({ length: count }, () => learn / count),
    ask: given("ask") ?? metrics?.cost.evalSeconds ?? 0,
    start: given("start") ?? measureStart(run),
    queue: await measureQueue(flags.queue),
    bytes: (bytes * count) / own.length,
    store: megabytes === undefined ? store : 1e6 * megabytes,
  };
}

const text = { type: "string" } as const;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      trials: { type: "string", default: "60" },
      queue: text,
      tasks: text,
      learn: text,
      ask: text,
      start: text,
      megabytes: text,
    },
  });
  const [run] = positionals;
  if (run === undefined) throw new TypeError("give the folder of a finished run");
  const measured = await measure(run, values);
  const trials = Number(values.trials);
  const { learn, ask, start, queue, bytes, store } = measured;
  const all = learn.reduce((sum, seconds) => sum + seconds, 0);
  console.log(
    `${learn.length} tasks, ${all.toFixed(1)} s of learning and ${ask.toFixed(1)} s of asking; a process starts in ${start.toFixed(1)} s; ` +
      `a job takes the queue ${(1000 * queue).toFixed(2)} ms; a run has ${(bytes / 1e6).toFixed(1)} MB, the store takes ${(store / 1e6).toFixed(0)} MB/s`,
  );
  console.log(`\n${trials} trials, in seconds (times as fast as one worker; load of queue and store)`);
  console.log("| workers | whole trials | `--split` |\n| --- | --- | --- |");
  const one = new Map<boolean, number>();
  for (const workers of [1, 2, 4, 8, 16, 32, 64, 128, 256]) {
    const cells = [false, true].map((split) => {
      const { makespan, queueLoad, storeLoad } = simulate(jobsOf(measured, trials, split), workers, measured);
      if (workers === 1) one.set(split, makespan);
      const times = (one.get(split) ?? makespan) / makespan;
      const load = (share: number) => `${(100 * share).toFixed(1)} %`;
      return `${makespan.toFixed(0)} (${times.toFixed(1)}; ${load(queueLoad)}, ${load(storeLoad)})`;
    });
    console.log(`| ${workers} | ${cells.join(" | ")} |`);
  }
}

await main();
