/**
 * What serving costs: `npx tsx bench/serving.ts [--shared ../shared] [--clients 64] [--seconds 10] [--requests 100000]
 * [--precision fp32] [--peer python]`.
 * A store of CLINC150 on MiniLM (without --shared's folder: of the demo's texts on the backbone that ships), kept in the
 * system's temporary folder, is served from `dist` by a process of its own on loopback; build first: `npm run build`. Printed are
 * - throughput, in rounds that alternate: the library's in one call and in calls of as many texts as there are clients, the
 *   server's with so many clients that ask one text after another;
 * - latency at half of that load, sent at even intervals and counted from when each was due;
 * - memory of the server over many requests;
 * - start: from the command to the first answer on the demo's run;
 * - with --peer, a Python with FastAPI, sentence-transformers and scikit-learn: bench/peers/serving_peer.py beside ours.
 * `--parts` names those that are wanted.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { resolveConfig } from "../src/config/load.ts";
import { packageRoot } from "../src/core/packageInfo.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { openStore } from "../src/store/store.ts";

const { values: flags } = parseArgs({
  options: {
    shared: { type: "string", default: "../shared" },
    clients: { type: "string", default: "64" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
    requests: { type: "string", default: "100000" },
    parts: { type: "string", default: "throughput,latency,memory,start" },
    precision: { type: "string", default: "fp32" },
    peer: { type: "string" },
    library: { type: "string" },
  },
});
const [clients, seconds, rounds, requests] = [flags.clients, flags.seconds, flags.rounds, flags.requests].map(
  Number,
) as [number, number, number, number];
const hasShared = existsSync(join(flags.shared, "models/minilm-l6"));
const precision = flags.precision === "int8" ? "int8" : "fp32";
const folder = join(tmpdir(), `accrete-bench-serving-${hasShared ? "clinc150" : "demo"}-${precision}`);

async function readTexts(): Promise<{ readonly train: LabelledExample[]; readonly test: string[] }> {
  if (!hasShared) {
    const read = (name: string): LabelledExample[] =>
      readFileSync(join(packageRoot, "demo", name), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    return { train: read("train.jsonl"), test: read("test.jsonl").map(({ text }) => text) };
  }
  const stream = { recipe: "clinc150", path: join(flags.shared, "data/clinc150"), tasks: 1 };
  const config = resolveConfig({ backbone: "unused", stream, out: "unused" }, process.cwd());
  const { tasks } = await loadStream(config.stream, 1);
  return {
    train: tasks.flatMap((task) => [...task.train]),
    test: tasks.flatMap((task) => task.test).map(({ text }) => text),
  };
}

/** The library alone: texts a second in one call. */
async function library(): Promise<void> {
  const { train, test } = await readTexts();
  const backbone = hasShared ? join(flags.shared, "models/minilm-l6") : "accrete-mini";
  await using store = await openStore(folder, { create: { backbone, precision }, background: false });
  if (store.tasks.length === 0) {
    await store.learn({ name: "all", train }, { statisticsOnly: true });
    await store.consolidate();
  }
  const texts = test.slice(0, 1024);
  await store.predict(texts.slice(0, 64), { top: 1 });
  process.on("message", async (size) => {
    const together = z.number().parse(size);
    const [start, before] = [performance.now(), process.cpuUsage()];
    for (let at = 0; at < texts.length; at += together)
      await store.predict(texts.slice(at, at + together), { top: 1 });
    const { user, system } = process.cpuUsage(before);
    const wall = performance.now() - start;
    process.send?.([(1000 * texts.length) / wall, (user + system) / 1000 / texts.length]);
  });
  process.send?.("ready");
  await new Promise((resolve) => process.once("disconnect", resolve));
}

/** A message that a child sends. */
const heard = (child: ChildProcess) => new Promise<unknown>((resolve) => child.once("message", resolve));

interface Server {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

async function serve(store: string, args: readonly string[] = ["--read-only"]): Promise<Server> {
  const command = [join(packageRoot, "dist/cli/main.js"), "serve", `bench=${store}`, "--port", "0", ...args];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "ignore", "pipe"] });
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    let listening = 0;
    child.stderr.on("data", (chunk) => {
      if (listening > 0 && text === "") return;
      text += chunk;
      listening ||= Number(/"url":"http:\/\/[^"]*:(\d+)"/.exec(text)?.[1] ?? 0);
      if (!text.includes('"ready"')) return;
      text = "";
      resolve(listening);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${text}`)));
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    port,
    pid: child.pid ?? 0,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** One request; its time in milliseconds. */
function ask(port: number, text: string): Promise<number> {
  const body = JSON.stringify({ texts: [text], top: 1 });
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        port,
        host: "127.0.0.1",
        method: "POST",
        path: "/stores/bench/predict",
        headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
      },
      (response) => {
        response.resume();
        response.once("end", () =>
          response.statusCode === 200
            ? resolve(performance.now() - start)
            : reject(new Error(`status ${response.statusCode}`)),
        );
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
const median = (values: readonly number[]) => quantile(values, 0.5);

/** Clients that ask one text after another, until `isOver`. @returns how many texts were answered a second */
async function load(
  port: number,
  texts: readonly string[],
  isOver: (asked: number) => boolean,
): Promise<{ readonly perSecond: number; readonly times: number[] }> {
  const start = performance.now();
  const times: number[] = [];
  let next = 0;
  const client = async () => {
    while (!isOver(next)) times.push(await ask(port, texts[next++ % texts.length] ?? ""));
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { perSecond: (1000 * times.length) / (performance.now() - start), times };
}

const forSeconds = (long: number) => {
  const end = performance.now() + 1000 * long;
  return () => performance.now() > end;
};

/** Requests at even intervals, whatever becomes of those before; times from when they were due. */
async function evenly(port: number, texts: readonly string[], perSecond: number): Promise<number[]> {
  const start = performance.now();
  const asked: Promise<number>[] = [];
  for (let i = 0; i < seconds * perSecond; i++) {
    const due = start + (1000 * i) / perSecond;
    const wait = due - performance.now();
    if (wait > 1) await sleep(wait);
    const late = performance.now() - due;
    asked.push(ask(port, texts[i % texts.length] ?? "").then((ms) => ms + Math.max(0, late)));
  }
  return await Promise.all(asked);
}

function rssOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Processor time of a process so far, in milliseconds. */
function processorOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  // In hundredths of a second, as Linux counts.
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function throughput(server: Server, texts: readonly string[]): Promise<number> {
  const child = fork(
    process.argv[1]!,
    ["--library", "yes", "--shared", flags.shared, "--precision", precision],
    {
      execArgv: process.execArgv,
    },
  );
  await heard(child);
  const alone = async (together: number) => {
    child.send(together);
    return z.tuple([z.number(), z.number()]).parse(await heard(child));
  };
  const [whole, calls, served]: [number[], number[], number[]] = [[], [], []];
  await load(server.port, texts, forSeconds(2));
  for (let round = 0; round < rounds; round++) {
    const [fast, spent] = await alone(texts.length);
    const [bounded, spentBounded] = await alone(clients);
    const before = processorOf(server.pid);
    const { perSecond, times } = await load(server.port, texts, forSeconds(seconds));
    const perText = (processorOf(server.pid) - before) / times.length;
    whole.push(fast);
    calls.push(bounded);
    served.push(perSecond);
    console.log(
      `round ${round + 1}, texts/s and processor time of each: library in one call ${fast.toFixed(0)}, ${spent.toFixed(2)} ms; ` +
        `in calls of ${clients} ${bounded.toFixed(0)}, ${spentBounded.toFixed(2)} ms; served to ${clients} clients ${perSecond.toFixed(0)}, ` +
        `${perText.toFixed(2)} ms, p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`,
    );
  }
  child.disconnect();
  const ratio = (to: readonly number[]) => (median(served) / median(to)).toFixed(2);
  console.log(
    `throughput: ${median(served).toFixed(0)} texts/s; to the library in one call ${ratio(whole)}, in calls of ${clients} ${ratio(calls)}`,
  );
  return median(served);
}

/** Medians of one text after another, and throughput, of both in turns. @param python of an environment for the peer */
async function besidePeer(server: Server, texts: readonly string[], python: string): Promise<void> {
  const { train } = await readTexts();
  const file = `${folder}-train.jsonl`;
  writeFileSync(file, train.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const model = hasShared ? join(flags.shared, "models/minilm-l6") : join(packageRoot, "models/accrete-mini");
  const port = 8979;
  const peer = spawn(python, [join(packageRoot, "bench/peers/serving_peer.py"), model, file, String(port)], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  const isUp = () =>
    ask(port, "up").then(
      () => true,
      () => false,
    );
  while (!(await isUp())) {
    if (peer.exitCode !== null) throw new Error(`the peer ended with ${peer.exitCode}`);
    await sleep(500);
  }
  const both = [server.port, port];
  const single: number[][] = [[], []];
  const fast: number[][] = [[], []];
  for (let round = 0; round < rounds; round++)
    for (const [who, at] of both.entries()) {
      const times: number[] = [];
      for (const text of texts.slice(0, 220)) times.push(await ask(at, text));
      single[who]?.push(median(times.slice(20)));
      fast[who]?.push((await load(at, texts, forSeconds(seconds))).perSecond);
    }
  const [ours = [], theirs = []] = single;
  const [ourSpeed = [], theirSpeed = []] = fast;
  console.log(
    `one text: ours ${median(ours).toFixed(2)} ms, the Python service ${median(theirs).toFixed(2)} ms: ratio ${(median(theirs) / median(ours)).toFixed(1)}`,
  );
  console.log(
    `${clients} clients: ours ${median(ourSpeed).toFixed(0)} texts/s, the Python service ${median(theirSpeed).toFixed(0)}: ratio ${(median(ourSpeed) / median(theirSpeed)).toFixed(1)}`,
  );
  peer.kill();
}

async function startTime(): Promise<void> {
  const run = join(packageRoot, "runs/demo");
  if (!existsSync(join(run, "manifest.json"))) {
    console.log("start: make the demo's run first, with npm run demo");
    return;
  }
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const server = await serve(run);
    await ask(server.port, "book me a flight to Lisbon");
    times.push(performance.now() - start);
    await server.stop();
  }
  console.log(
    `start: first answer on the demo's run after ${times.map((ms) => ms.toFixed(0)).join(", ")} ms`,
  );
}

async function main(): Promise<void> {
  const parts = new Set(flags.parts.split(","));
  console.log(`${cpus()[0]?.model}, ${cpus().length} processors; node ${process.version}; ${folder}`);
  if (!existsSync(join(folder, "manifest.json"))) {
    const child = fork(
      process.argv[1]!,
      ["--library", "yes", "--shared", flags.shared, "--precision", precision],
      {
        execArgv: process.execArgv,
      },
    );
    await heard(child);
    child.disconnect();
    await new Promise((resolve) => child.once("exit", resolve));
  }
  if (parts.has("start")) await startTime();
  const asked = ["throughput", "latency", "memory"].some((part) => parts.has(part));
  if (!asked && flags.peer === undefined) return;
  const { test } = await readTexts();
  const server = await serve(folder);
  let perSecond = 0;
  if (parts.has("throughput")) perSecond = await throughput(server, test);
  if (parts.has("latency")) {
    if (perSecond === 0) perSecond = (await load(server.port, test, forSeconds(seconds))).perSecond;
    for (let round = 0; round < rounds; round++) {
      const times = await evenly(server.port, test, perSecond / 2);
      const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
      console.log(
        `half load, ${(perSecond / 2).toFixed(0)} texts/s: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms: ratio ${(p99 / p50).toFixed(1)}`,
      );
    }
  }
  if (flags.peer !== undefined) await besidePeer(server, test, flags.peer);
  if (parts.has("memory")) {
    const steps = 10;
    const readings: number[] = [];
    for (let step = 1; step <= steps; step++) {
      await load(server.port, test, (asked) => asked >= requests / steps);
      readings.push(rssOf(server.pid));
    }
    console.log(
      `memory after each tenth of ${requests} requests: ${readings.map((mb) => mb.toFixed(0)).join(", ")} MB`,
    );
  }
  await server.stop();
  agent.destroy();
}

await (flags.library === undefined ? main() : library());
