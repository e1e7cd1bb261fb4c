/**
 * What teaching costs whoever waits: `npx tsx bench/teaching.ts [--shared ../shared] [--classes 149] [--threads 2]`.
 * A store of so many classes of CLINC150 on MiniLM, kept in the system's temporary folder, learns one class more of five texts.
 * Printed are, each in a process of its own: wall and processor time of the change and of the next answer, in the process that
 * made it and in a new one; of one text; of texts that are asked while classes are taught and while the router consolidates; and of
 * fits from the rows, with the peak memory of their process.
 */
import { fork } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { RouterFitter } from "../src/continual/routers/fit.ts";
import { ClassStatistics } from "../src/continual/statistics/statistics.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { readContributions } from "../src/model/taskFiles.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { openStore } from "../src/store/store.ts";
import { foldersOf } from "../src/workspace/manifest.ts";
import { readStore } from "../src/workspace/reading.ts";
import { type Spent, timed } from "./timed.ts";

const { values: flags } = parseArgs({
  options: {
    shared: { type: "string", default: "../shared" },
    classes: { type: "string", default: "149" },
    threads: { type: "string", default: "2" },
    part: { type: "string" },
  },
});
const threads = Number(flags.threads);
const folder = join(tmpdir(), "accrete-bench-teaching");
const whole = join(folder, `store-${flags.classes}`);
const place = join(folder, "changed");
const backbone = join(flags.shared, "models/minilm-l6");

const ms = (value: number) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
const say = (what: string, { wall, processor }: Spent) =>
  console.log(`${what}: ${ms(wall)}, ${ms(processor)} of processor time`);
const peak = () => `peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`;

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** The texts of the classes that the store begins with, and of those that are taught later. */
async function readTexts() {
  const stream = { recipe: "clinc150", path: join(flags.shared, "data/clinc150"), tasks: 1 };
  const config = resolveConfig({ backbone, stream, out: "unused" }, process.cwd());
  const { tasks } = await loadStream(config.stream, 1);
  const labels = [...new Set(tasks.flatMap((task) => task.labels))].sort();
  const known = new Set(labels.slice(0, Number(flags.classes)));
  const train = tasks.flatMap((task) => task.train);
  const test = tasks.flatMap((task) => task.test).map(({ text }) => text);
  const few = (label: string) => train.filter((each) => each.label === label).slice(0, 10);
  return {
    known: train.filter(({ label }) => known.has(label)),
    test,
    further: labels.filter((label) => !known.has(label)).map(few),
  };
}

const textsOf = (examples: readonly LabelledExample[]) => examples.map(({ text }) => text);

async function prepare(): Promise<void> {
  await using store = await openStore(whole, {
    create: { backbone, threads, keepVersions: 3 },
    background: false,
  });
  if (store.tasks.length > 0) return;
  const { known } = await readTexts();
  await store.learn({ name: "clinc150", train: known }, { statisticsOnly: true });
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  prepare,
  async change() {
    const { further, test } = await readTexts();
    await using store = await openStore(place, { background: false });
    await store.predict(test.slice(0, 64));
    const [class_ = []] = further;
    const label = class_[0]?.label ?? "";
    const teach = (from: number) => store.learnClass(label, textsOf(class_.slice(from, from + 5)));
    say("teaching five texts of a class", await timed(() => teach(0)));
    say("the next answer", await timed(() => store.predict(test.slice(0, 1))));
    const other = textsOf(class_.slice(0, 5)).map((text) => `${text} otherwise`);
    say("teaching five texts of another class", await timed(() => store.learnClass("another", other)));
    say("teaching five more of the first, which is established then", await timed(() => teach(5)));
    console.log(peak());
  },
  async reopen() {
    const opened = await timed(() => openStore(place, { background: false }));
    await using store = opened.result;
    say("opening in a new process", opened);
    say("its first answer", await timed(() => store.predict(["what time is it in Oslo"])));
    console.log(`${peak()}; ${(process.uptime() * 1000).toFixed(0)} ms since the process began`);
  },
  async taught() {
    const { further } = await readTexts();
    const opened = await timed(() => openStore(place, { background: false }));
    await using store = opened.result;
    const [class_ = []] = further;
    const change = await timed(() => store.learnClass(class_[0]?.label ?? "", textsOf(class_.slice(0, 5))));
    say("teaching five texts in a new process, after it was opened", change);
    console.log(peak());
  },
  async single() {
    const { test } = await readTexts();
    await using store = await openStore(place, { background: false });
    const spent: Spent[] = [];
    for (const text of test.slice(0, 220)) spent.push(await timed(() => store.predict([text])));
    const walls = spent.slice(20).map(({ wall }) => wall);
    const processor = spent.slice(20).reduce((sum, each) => sum + each.processor, 0) / 200;
    console.log(
      `one text (${store.status().router}): median ${ms(quantile(walls, 0.5))}, p99 ${ms(quantile(walls, 0.99))}, ${ms(processor)} of processor time`,
    );
  },
  async meanwhile() {
    const { further, test } = await readTexts();
    await using store = await openStore(place);
    let ended = false;
    const ask = async (until: () => boolean) => {
      const walls: number[] = [];
      for (let i = 0; !until(); i++) {
        walls.push((await timed(() => store.predict([test[(7 * i) % test.length]!]))).wall);
        await sleep(20);
      }
      return `${walls.length} texts, median ${ms(quantile(walls, 0.5))}, p99 ${ms(quantile(walls, 0.99))}, longest ${ms(Math.max(...walls))}`;
    };
    await store.predict(test.slice(0, 8));
    const asked = ask(() => ended);
    const [class_ = []] = further;
    for (let i = 0; i < 10; i++)
      await store.learnClass(
        `${class_[0]?.label} ${i}`,
        textsOf(class_.slice(0, 5)).map((text) => `${text} ${i}`),
      );
    ended = true;
    console.log(`asked while ten classes are taught: ${await asked}`);
    const began = performance.now();
    const late = () => performance.now() - began > 300_000;
    const stood = () => store.status().consolidated === "stands" || late();
    console.log(`asked while the router consolidates: ${await ask(stood)}`);
    console.log(`consolidated after ${((performance.now() - began) / 1000).toFixed(1)} s; ${peak()}`);
  },
  immediate: () => fitTo("kernel-discriminant"),
  consolidated: () => fitTo("stacking"),
};

async function fitTo(kind: "kernel-discriminant" | "stacking"): Promise<void> {
  const kept = await Promise.all(
    (await readStore(whole)).tasks
      .flatMap(foldersOf)
      .map(async ({ folder }) => await readContributions(join(whole, folder))),
  );
  const [first] = kept;
  if (first === undefined) return;
  const statistics = ClassStatistics.empty(first.constants).with(
    kept.flatMap(({ contributions }) => contributions),
  );
  const before = process.resourceUsage().maxRSS / 1024;
  await using fitter = new RouterFitter((graph) => nodeRuntime.compile(graph, { threads }));
  say(`${kind} from the rows`, await timed(() => fitter.fit(statistics, { kind, seed: 1 })));
  console.log(`${peak()}, before the fit ${before.toFixed(0)} MB`);
}

async function inOwnProcess(part: string): Promise<void> {
  const child = fork(
    process.argv[1]!,
    ["--part", part, "--shared", flags.shared, "--classes", flags.classes, "--threads", flags.threads],
    { execArgv: process.execArgv },
  );
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`${part} ended with ${code}`);
}

if (flags.part !== undefined) {
  for (const part of flags.part.split(",")) await parts[part]?.();
} else {
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} processors, ${threads} threads; node ${process.version}`,
  );
  await inOwnProcess("prepare");
  for (const part of ["change", "reopen", "taught", "single", "meanwhile", "immediate", "consolidated"]) {
    if (part === "change" || part === "taught" || part === "meanwhile") {
      await rm(place, { recursive: true, force: true });
      await cp(whole, place, { recursive: true });
    }
    await inOwnProcess(part);
  }
}
