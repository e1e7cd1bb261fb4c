/**
 * What many stores behind one server cost: `npx tsx bench/manyStores.ts [--stores 1000] [--kinds 20] [--memory 500MB]
 * [--folder <folder>]`. Build first: `npm run build`.
 * Stores on the backbone that ships are made in a folder (default: in the system's temporary folder, where it is kept): so many
 * kinds learn texts of the demo with labels of their own, and the others are copies under other names that share their larger files. `accrete serve --stores`
 * serves the folder in a process of its own on loopback. Printed are
 * - the time until it is ready, and until the names are listed for the first time;
 * - the first answer of stores that were not open, and answers of those that are;
 * - memory and evictions while every store is asked in a random order, and whether each answers as its kind did at first;
 * - the time until an answer is of a version that another process has committed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, link, mkdir, readdir, rename } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { dirname, extname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { packageRoot } from "../src/core/packageInfo.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { SharedBackbones } from "../src/store/shared.ts";
import { openStore } from "../src/store/store.ts";

const { values: flags } = parseArgs({
  options: {
    stores: { type: "string", default: "1000" },
    kinds: { type: "string", default: "20" },
    memory: { type: "string", default: "500MB" },
    folder: { type: "string", default: join(tmpdir(), "accrete-bench-many-stores") },
  },
});
const [count, kinds] = [Number(flags.stores), Number(flags.kinds)];
/** Stores whose first and later answers are timed one by one. */
const TIMED = Math.min(count, 400);
/** Stores that are asked once more, in another order. */
const AGAIN = Math.min(count, 2000);

const examplesSchema = z.array(z.object({ text: z.string(), label: z.string() }));
const read = (name: string): LabelledExample[] =>
  examplesSchema.parse(
    readFileSync(join(packageRoot, "demo", name), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );

const kindOf = (index: number) => index % kinds;
const nameOf = (index: number) => `tenant-${String(index).padStart(5, "0")}`;
const tests = read("test.jsonl").map(({ text }) => text);

/** A kind has a fourth of the demo's classes, under names of its own. */
function examplesOf(kind: number): LabelledExample[] {
  const all = read("train.jsonl");
  const labels = [...new Set(all.map(({ label }) => label))].filter((_, i) => (i + kind) % 4 === 0);
  return all.flatMap(({ text, label }) =>
    labels.includes(label) ? [{ text, label: `${label}.${kind}` }] : [],
  );
}

async function makeStores(root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  const present = new Set(await readdir(root));
  const shared = new SharedBackbones();
  const missing = Array.from({ length: count }, (_, i) => i).filter((i) => !present.has(nameOf(i)));
  for (const index of missing) {
    const path = join(root, nameOf(index));
    const pattern = join(root, nameOf(kindOf(index)));
    if (index < kinds) {
      await using store = await openStore(path, {
        create: { backbone: "accrete-mini" },
        background: false,
        shared,
      });
      await store.learn({ name: "demo", train: examplesOf(index) }, { statisticsOnly: true });
      continue;
    }
    // A store is there whole, or not at all.
    await copyStore(pattern, `${path}.part`);
    await rename(`${path}.part`, path);
  }
}

/** What a manifest names never changes, so copies share it: ten thousand stores take the disk of a few. */
async function copyStore(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const copy = join(to, relative(from, file));
    await mkdir(entry.isDirectory() ? copy : dirname(copy), { recursive: true });
    if (entry.isFile()) await (extname(file) === ".safetensors" ? link : copyFile)(file, copy);
  }
}

/** The server's memory, MB. */
function memoryOf({ pid }: ChildProcess, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1000;
}

/** The server's processor time, milliseconds; the kernel counts a hundred ticks a second. */
function cpuOf({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function startServer(args: readonly string[]) {
  const start = performance.now();
  const cli = join(packageRoot, "dist/cli/main.js");
  if (!existsSync(cli)) throw new Error("there is no dist: npm run build");
  const child = spawn(process.execPath, [cli, "serve", "--port", "0", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      if (log.includes('"ready"')) return;
      log += chunk;
      if (log.includes('"ready"')) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  const url = /"url":"(http:[^"]+)"/.exec(log)?.[1] ?? "";
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  return { child, url, readyMs: performance.now() - start, stop };
}

const answerSchema = z.object({ predictions: z.array(z.object({ label: z.string(), version: z.number() })) });

/** Asks a text. @returns its answer and the milliseconds that it took */
async function ask(url: string, store: string, text: string) {
  const start = performance.now();
  const response = await fetch(`${url}/stores/${store}/predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ texts: [text], top: 1 }),
  });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${store}: ${response.status} ${body}`);
  const [answer] = answerSchema.parse(JSON.parse(body)).predictions;
  return { label: answer?.label ?? "", version: answer?.version ?? 0, ms: performance.now() - start };
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^accrete_${name}\\{thread="answers"\\} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
}

function shuffled(length: number, seed = 1): number[] {
  const order = Array.from({ length }, (_, i) => i);
  let state = seed;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

const quantile = (values: readonly number[], share: number) => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
};
const spread = (ms: readonly number[]) =>
  [0.5, 0.99, 1].map((share) => quantile(ms, share).toFixed(1)).join(" | ");
const row = (...cells: readonly (string | number)[]) => console.log(`| ${cells.join(" | ")} |`);

const root = join(flags.folder, `${count}-of-${kinds}`);
const making = performance.now();
await makeStores(root);
console.log(
  `${count} stores of ${kinds} kinds in ${root}, made in ${((performance.now() - making) / 1000).toFixed(0)} s`,
);
console.log(
  `load of the machine: ${loadavg()
    .map((each) => each.toFixed(1))
    .join(" ")}\n`,
);

const server = await startServer(["--stores", root, "--memory", flags.memory, "--read-only"]);
const { url, child } = server;
try {
  const listing = performance.now();
  await (await fetch(`${url}/stores?limit=1000`)).text();
  row("ready after, s", (server.readyMs / 1000).toFixed(2));
  row("first list of names, ms", (performance.now() - listing).toFixed(0));
  const begun = memoryOf(child, "VmRSS");

  const order = shuffled(count);
  const texts = order.map((index) => tests[index % tests.length] ?? "");
  const first = new Map<string, string>();
  /** Whether it is the answer that a store of that kind gave to this text at first. */
  const isSame = (index: number, text: string, label: string) => {
    const key = `${kindOf(index)} ${text}`;
    const known = first.get(key) ?? label;
    first.set(key, known);
    return known === label && label.endsWith(`.${kindOf(index)}`);
  };
  let wrong = 0;
  const askOf = async (place: number) => {
    const [index, text] = [order[place] ?? 0, texts[place] ?? ""];
    const { label, ms } = await ask(url, nameOf(index), text);
    if (!isSame(index, text, label)) wrong++;
    return ms;
  };
  const cold: number[] = [];
  for (let place = 0; place < TIMED; place++) cold.push(await askOf(place));
  const latest = Math.max(0, TIMED - 50);
  const warm: number[] = [];
  for (let i = 0; i < 1000; i++) warm.push(await askOf(latest + (i % (TIMED - latest))));
  console.log("\n| ms | p50 | p99 | most |\n| --- | --- | --- | --- |");
  row("first answer of all, with the backbone", cold[0]?.toFixed(1) ?? "", "", "");
  row(`first answer of ${TIMED - 1} other stores`, spread(cold.slice(1)));
  row("1,000 answers of open stores", spread(warm));

  for (let place = TIMED; place < count; place++) await askOf(place);
  const all = memoryOf(child, "VmRSS");
  for (const place of shuffled(count, 2).slice(0, AGAIN)) await askOf(place);
  console.log("\n| | |\n| --- | --- |");
  row("memory when it was ready, MB", begun.toFixed(0));
  row("memory after every store was asked, MB", all.toFixed(0));
  row(`memory after ${AGAIN} were asked again in another order, MB`, memoryOf(child, "VmRSS").toFixed(0));
  row("most memory, MB", memoryOf(child, "VmHWM").toFixed(0));
  row("open stores", await metric(url, "open_stores"));
  row(
    "bytes that they are reckoned to hold, MB",
    ((await metric(url, "open_stores_bytes")) / 1e6).toFixed(0),
  );
  row("openings", await metric(url, "store_open_seconds_count"));
  row("evictions", await metric(url, "store_evictions_total"));
  row("answers other than the kind's first, or of another kind", wrong);

  const before = cpuOf(child);
  await sleep(10_000);
  row("processor time while nobody asks, ms a second", ((cpuOf(child) - before) / 10).toFixed(0));

  const changed = nameOf(0);
  await ask(url, changed, "x");
  await using store = await openStore(join(root, changed), { background: false });
  await store.learnClass("thanks.0", ["thank you", "many thanks", "thanks a lot"]);
  const committed = performance.now();
  while ((await ask(url, changed, "x")).version !== store.version);
  row("another process' version is answered with after, ms", (performance.now() - committed).toFixed(0));
  await store.rollback();
} finally {
  await server.stop();
}
