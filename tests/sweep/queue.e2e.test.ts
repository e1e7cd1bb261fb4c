import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openArtefacts } from "../../src/artefacts/open.ts";
import { StoreError } from "../../src/core/errors.ts";
import { planSweep } from "../../src/sweep/plan.ts";
import {
  keyPrefix,
  openConnection,
  type QueueConnection,
  queueName,
} from "../../src/sweep/queue/connection.ts";
import { resultName } from "../../src/sweep/queue/jobs.ts";
import { serveMetrics } from "../../src/sweep/queue/metrics.ts";
import { Publisher } from "../../src/sweep/queue/publish.ts";
import { readWorkers } from "../../src/sweep/queue/registry.ts";
import { takeName } from "../../src/sweep/queue/tickets.ts";
import { startWorker, type WorkerOptions } from "../../src/sweep/queue/worker.ts";
import { readSweep } from "../../src/sweep/sweepFile.ts";
import { beginSweep, identityOf } from "../../src/sweep/sweepFolder.ts";
import { accrete, succeed } from "../support/cli.ts";
import { refusalOf } from "../support/errors.ts";
import { bytesBelow, folderOfTestFile } from "../support/folders.ts";
import {
  freePort,
  furnishSweeps,
  type OwnRedis,
  redisServer,
  runsOf,
  s3Server,
  startAccrete,
  startRedis,
  startS3,
  until,
} from "../support/sweeps.ts";

let redis: OwnRedis;
let root: string;
let write: (name: string, yaml: string) => Promise<string>;
let undisturbed: Record<string, string>;
let artefacts: string;
const at = (...parts: readonly string[]) => join(root, "sweeps", ...parts);
const grid = "grid: { training.epochs: [1, 2] }\n";

beforeAll(async () => {
  if (redisServer.absent) return;
  redis = await startRedis();
  ({ root, write } = await furnishSweeps());
  artefacts = join(root, "artefacts");
  await succeed("sweep", await write("here", grid), "--jobs", "2", "--quiet");
  undisturbed = await runsOf(at("here"));
});
afterAll(() => redis?.[Symbol.asyncDispose]());

async function connected(): Promise<QueueConnection> {
  const queue = await openConnection(redis.url);
  onTestFinished(() => queue[Symbol.asyncDispose]());
  return queue;
}

/** A worker in this process; its trials have processes of their own. */
async function worker(options: Partial<WorkerOptions> = {}, queue?: QueueConnection) {
  const stop = new AbortController();
  const lines: string[] = [];
  queue ??= await connected();
  const running = startWorker(queue, {
    store: await openArtefacts(artefacts),
    cache: folderOfTestFile("cache"),
    concurrency: 2,
    onLine: (line) => lines.push(line),
    signal: stop.signal,
    ...options,
  });
  // Rejections are the test's to see.
  running.ended.catch(() => {});
  onTestFinished(async () => {
    stop.abort();
    await running.ended.catch(() => {});
  });
  return { ...running, lines, queue, stop: () => stop.abort() };
}

/** Waits until a worker has told of its work. */
async function reportedBy({ redis: keys }: QueueConnection, name: string): Promise<void> {
  const told = async () =>
    (await readWorkers(keys)).some((each) => each.name === name && each.work[0]?.tasks);
  await until(told, "the worker's report");
}

const onQueue = (place = artefacts) => ["--queue", redis.url, "--artefacts", place];

describe.skipIf(redisServer.absent)(redisServer.titled("a queue's workers"), () => {
  test("one killed in the middle, Redis killed too: every trial once, and equal to those of one machine", async () => {
    const path = await write("disturbed", grid);
    const args = ["worker", ...onQueue(), "--cache", folderOfTestFile("cache"), "--lock-seconds", "2"];
    const doomed = startAccrete(args);
    const sweep = startAccrete(["sweep", path, ...onQueue()]);
    await until(() => /begun, try 1/.test(doomed.heard()), "the first trial to begin");
    doomed.child.kill("SIGKILL");
    await redis.restart();
    const rescue = await worker({ lockSeconds: 2 });
    expect(await sweep.ended, sweep.heard()).toBe(0);
    expect(rescue.counts()).toMatchObject({ done: 2, failed: 0 });
    expect(await runsOf(at("disturbed"))).toEqual(undisturbed);
    // The same jobs once more: their results are there, and no process is started.
    await succeed("sweep", path, ...onQueue(), "--resume", "--quiet");
    const workers = await readWorkers(rescue.queue.redis);
    expect(workers.map(({ name }) => name)).toContain(rescue.name);
  });

  test("with --split the tasks of a run are jobs, and the run is that of one machine, byte for byte", async () => {
    const path = await write("split", "grid: { training.epochs: [2] }\n");
    const own = await worker();
    await succeed("sweep", path, ...onQueue(), "--split", "--quiet");
    const begun = own.lines.flatMap((line) => /seed-1 ?(.*): begun, try 1$/.exec(line)?.[1] ?? []);
    // What takes longest comes first.
    expect(begun.slice(0, 2).sort()).toEqual(["task 0 learn", "task 1 learn"]);
    expect(begun.slice(2, 5).sort()).toEqual(["baseline", "task 0 answers", "task 1 answers"]);
    expect(begun.slice(5)).toEqual([""]);
    const expected = Object.entries(undisturbed).filter(([name]) => name.startsWith("c1/"));
    const found = Object.entries(await runsOf(at("split")));
    expect(found.map(([name, bytes]) => [name.replace(/^c0/, "c1"), bytes]).sort()).toEqual(expected.sort());
    const manifest = JSON.parse(await readFile(at("split/c0/seed-1/manifest.json"), "utf8"));
    expect(manifest.computedBy).toHaveLength(1);
  });

  test("a poison job is tried three times, and reported with its log", async () => {
    const path = await write("poison", "grid: { training.learningRate: [1e30] }\n");
    const own = await worker();
    const metrics = await serveMetrics(own.queue, own, 0, () => {});
    onTestFinished(() => metrics[Symbol.asyncDispose]());
    const { exitCode, err } = await accrete("sweep", path, ...onQueue());
    expect({ exitCode, err }).toMatchObject({ exitCode: 1, err: expect.stringContaining("after 3 tries") });
    expect(err).toContain("the loss became");
    const text = await (await fetch(`http://127.0.0.1:${metrics.port}/metrics`)).text();
    expect(text).toContain('accrete_worker_trials_total{outcome="failed"} 3');
    // One that was killed just now may still count.
    expect(text).toMatch(/accrete_queue_workers\{state="alive"\} [12]$/m);
    expect(text).toContain(`accrete_queue_examples_per_second{worker="${own.name}"}`);
  });

  test("a worker of another version is refused by name; one whose disk is full hands its trial on", async () => {
    const path = await write("handed", "grid: { training.epochs: [1] }\n");
    const other = await worker({ version: "0.0.1" });
    const sweep = accrete("sweep", path, ...onQueue());
    expect(await refusalOf(other.ended)).toMatch(/^worker .*: it is Accrete 0\.0\.1, and the jobs are of /);

    const store = await openArtefacts(artefacts);
    store.fetch = (_, path) => {
      const cause = Object.assign(new TypeError("write"), { code: "ENOSPC" });
      return Promise.reject(new StoreError(`${path}: cannot be written`, { cause }));
    };
    const full = await worker({ store });
    await until(() => full.lines.some((line) => line.includes("the disk here is full")), "the full disk");
    await worker();
    expect(await sweep).toMatchObject({ exitCode: 0 });
    expect(full.counts()).toMatchObject({ done: 0, failed: 0 });
    expect((await runsOf(at("handed")))["c0/seed-1/predictions.jsonl"]).toBe(
      undisturbed["c0/seed-1/predictions.jsonl"],
    );
  });

  test("who is at what is shown, who fell silent too; --cancel reaches workers", async () => {
    const path = await write("long", "grid: { training.epochs: [500] }\n");
    const own = await worker();
    const { redis: keys } = own.queue;
    const silent = {
      name: "gone-1",
      version: "0.1.0",
      concurrency: 1,
      work: [],
      done: 3,
      failed: 0,
      seen: 1,
    };
    const [seconds = 0] = await keys.time();
    await keys.hset(
      "accrete:workers",
      "gone-1",
      JSON.stringify({ ...silent, seen: 1000 * (Number(seconds) - 60) }),
    );
    const sweep = accrete("sweep", path, ...onQueue());
    await until(
      () => own.counts().work.some(({ tasks }) => tasks !== undefined),
      "the trial to tell of itself",
    );
    await reportedBy(own.queue, own.name);
    const out = await succeed("sweep", path, "--status", "--queue", redis.url);
    expect(out).toMatch(/^long: 1 running/);
    expect(out).toMatch(/gone-1 +0\.1\.0 +dead/);
    expect(out).toMatch(new RegExp(`${own.name} .*at work +1/2 +c0/seed-1 \\(0/2\\)`));
    await succeed("sweep", path, "--cancel");
    expect(await sweep).toMatchObject({ exitCode: 1, err: expect.stringContaining("was cancelled") });
    await until(() => own.counts().work.length === 0, "the worker to stop");
  });

  test("worker and sweep end when they are told to while Redis is gone, the trial's process too", async () => {
    await using gone = await startRedis();
    const cache = folderOfTestFile("cache");
    const path = await write("orphaned", "grid: { training.epochs: [500] }\n");
    const args = ["--queue", gone.url, "--artefacts", artefacts];
    const own = startAccrete(["worker", ...args, "--cache", cache]);
    const sweep = startAccrete(["sweep", path, ...args, "--quiet"]);
    // Files come and go there meanwhile.
    const locks = () => bytesBelow(join(cache, "work"), (file) => file === "lock.json").catch(() => ({}));
    const owner = async () =>
      /"pid": ?(\d+)/.exec(Buffer.from(Object.values(await locks()).join(""), "hex").toString())?.[1];
    await until(async () => (await owner()) !== undefined, "the trial to begin");
    const pid = Number(await owner());
    await gone.kill();
    for (const { child } of [own, sweep]) child.kill("SIGTERM");
    expect(await own.ended, own.heard()).toBe(0);
    expect(own.heard()).toContain("does not answer: what was begun goes to others when its lock ends");
    expect(await sweep.ended, sweep.heard()).toBe(1);
    expect(sweep.heard()).toContain("stopped; every task learned so far is saved");
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(await readdir(join(cache, "work"))).toEqual([]);
  });

  test("a worker ends when it is told to though Redis was gone before it could tell of itself", async () => {
    await using gone = await startRedis();
    const queue = await openConnection(gone.url);
    onTestFinished(() => queue[Symbol.asyncDispose]());
    await gone.kill();
    const own = await worker({}, queue);
    own.stop();
    await own.ended;
    expect(own.lines).toEqual([
      `${queue.place} does not answer: what was begun goes to others when its lock ends`,
    ]);
  });

  test("a job that is delivered twice counts once, also where two workers are at it at the same time", async () => {
    const path = await write("doubled", "grid: { training.epochs: [1] }\n");
    const plan = await planSweep(await readSweep(path));
    await beginSweep(plan, { resume: false });
    const [trial] = plan.trials;
    if (trial === undefined) return expect.unreachable();
    const origin = { out: plan.out, sweep: "doubled", plan: identityOf(plan), split: false };
    const job = { trial, validate: false };
    const data = await new Publisher(await openArtefacts(artefacts)).jobOf(job, origin);
    const own = await worker();
    const { bullmq, connection } = own.queue;
    const queue = new bullmq.Queue(queueName, { connection, prefix: keyPrefix });
    onTestFinished(() => queue.close());
    for (const jobId of ["first", "second"]) await queue.add("trial", data, { jobId });
    await until(() => own.counts().done === 2, "both");
    const trees = await Promise.all(["first", "second"].map((id) => queue.getJob(id)));
    expect(trees[0]?.returnvalue).toBe(trees[1]?.returnvalue);
    const committed = await (await openArtefacts(artefacts)).readName(resultName(data));
    expect(committed?.value).toBe(trees[0]?.returnvalue);
  });

  test("two sweeps of one name are refused", async () => {
    const { redis: keys } = await connected();
    await takeName(keys, "twice", "plan of another", "there:/sweeps/twice");
    const { exitCode, err } = await accrete("sweep", await write("twice", grid), ...onQueue(), "--quiet");
    expect({ exitCode, err }).toMatchObject({
      exitCode: 2,
      err: expect.stringContaining("another sweep called twice: there:/sweeps/twice"),
    });
  });

  test.skipIf(s3Server.absent)(s3Server.titled("files may be shared through S3"), async () => {
    const s3 = await startS3("bucket");
    onTestFinished(() => s3[Symbol.asyncDispose]());
    const path = await write("bucket", "grid: { training.epochs: [1] }\n");
    await worker({ store: await openArtefacts("s3://bucket/some/place") });
    await succeed("sweep", path, ...onQueue("s3://bucket/some/place"), "--quiet");
    expect((await runsOf(at("bucket")))["c0/seed-1/predictions.jsonl"]).toBe(
      undisturbed["c0/seed-1/predictions.jsonl"],
    );
  });

  test("a Redis that asks for a password says so", async () => {
    await using locked = await startRedis("secret");
    expect(await refusalOf(openConnection(locked.url))).toMatch(
      /it asks for a password.*redis:\/\/:password@/,
    );
    const wrong = locked.url.replace("//", "//:wrong@");
    const refusal = await refusalOf(openConnection(wrong));
    expect(refusal).toContain("the password is wrong");
    expect(refusal).not.toContain("wrong@");
    await using right = await openConnection(locked.url.replace("//", "//:secret@"));
    expect(await right.redis.ping()).toBe("PONG");
  });
});

test("an address where nothing answers, and one that is none", async () => {
  const port = await freePort();
  expect(await refusalOf(openConnection(`redis://127.0.0.1:${port}`))).toMatch(
    /redis:\/\/127\.0\.0\.1:\d+: the queue cannot be used: connect ECONNREFUSED.*Is Redis or Valkey running/,
  );
  expect(await refusalOf(openConnection("localhost:6379"))).toContain("expected redis://host:6379");
});
