/**
 * What grows with tasks and classes:
 *
 *   npx tsx bench/scale.ts [--tasks 20,200,2000] [--adapters 25,100,400] [--threads 1] [--backbone <folder>] [--folder <place>]
 *
 * `--tasks`: stores of statistics only, five classes a task, five texts a class. `--adapters`: runs of two classes a task, five
 * texts a class, one epoch. The texts are made here: a class has four words of the backbone's vocabulary, a text is three of them
 * among three of fifty words that every class uses; held-out texts, two a class, are other draws. Each part has a process of its own.
 */
import { fork } from "node:child_process";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { packageRoot } from "../src/core/packageInfo.ts";
import { createRng } from "../src/core/random.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { runExperiment } from "../src/experiment/runExperiment.ts";
import { emptyState } from "../src/model/state.ts";
import { createStore } from "../src/store/create.ts";
import { openFolder } from "../src/store/opening.ts";
import { openStore, type Store } from "../src/store/store.ts";
import { sizeOfFolder } from "../src/workspace/listing.ts";
import { Workspace } from "../src/workspace/workspace.ts";
import { type Spent, timed } from "./timed.ts";

const { values: flags } = parseArgs({
  options: {
    tasks: { type: "string", default: "20,200,2000" },
    adapters: { type: "string", default: "25,100,400" },
    threads: { type: "string", default: "1" },
    backbone: { type: "string", default: join(packageRoot, "models/accrete-mini") },
    folder: { type: "string", default: join(tmpdir(), "accrete-bench-scale") },
    /** Of a child: what it measures, and of how many tasks. */
    part: { type: "string" },
    count: { type: "string", default: "0" },
  },
});
const threads = Number(flags.threads);
const count = Number(flags.count);
const place = (kind: string) => join(flags.folder, `${kind}-${count}`);

const classesPerTask = 5;
const mostHeldOut = 500;
const rng = createRng(1);

async function readVocabulary(): Promise<readonly string[]> {
  const { model } = JSON.parse(await readFile(join(flags.backbone, "tokenizer.json"), "utf8"));
  return Object.keys(model.vocab)
    .filter((word) => /^[a-z]{4,}$/.test(word))
    .sort();
}

/** Classes are told by four words of their own, which they share with others one by one. */
class Texts {
  readonly #words: readonly string[];
  readonly #common: readonly string[];

  constructor(vocabulary: readonly string[]) {
    const draw = rng.fork("common");
    this.#common = Array.from({ length: 50 }, () => vocabulary[draw.integer(vocabulary.length)] ?? "");
    this.#words = vocabulary.filter((word) => !this.#common.includes(word));
  }

  of(label: string, split: "train" | "test", texts: number): LabelledExample[] {
    const draw = rng.fork("words", label);
    const own = Array.from({ length: 4 }, () => this.#words[draw.integer(this.#words.length)] ?? "");
    return Array.from({ length: texts }, (_, i) => {
      const each = rng.fork(split, label, i);
      const left = own.toSpliced(each.integer(4), 1);
      const words = left.flatMap((word) => [this.#common[each.integer(50)], word]);
      return { text: words.join(" "), label };
    });
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const ms = (value: number) => (value < 10_000 ? `${value.toFixed(1)} ms` : `${(value / 1000).toFixed(1)} s`);
const mb = (bytes: number) =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const say = (what: string, value: string) => console.log(`${count} tasks | ${what} | ${value}`);
const sayTime = (what: string, { wall, processor }: Spent) =>
  say(what, `${ms(wall)}, ${ms(processor)} of processor time`);
const sayPeak = (what: string) => say(`${what}: peak memory`, mb(1024 * process.resourceUsage().maxRSS));

const labelOf = (task: number, index: number) => `class ${task}-${index}`;
const labelsOf = (task: number, classes: number) =>
  Array.from({ length: classes }, (_, index) => labelOf(task, index));

async function openTexts(): Promise<Texts> {
  return new Texts(await readVocabulary());
}

async function open(): Promise<Store> {
  return await openStore(place("store"), { background: false });
}

/** Held-out texts of classes that lie evenly among all. */
function heldOut(texts: Texts): LabelledExample[] {
  const classes = count * classesPerTask;
  const step = Math.max(1, Math.ceil((2 * classes) / mostHeldOut));
  return Array.from({ length: Math.ceil(classes / step) }, (_, i) => i * step).flatMap((i) =>
    texts.of(labelOf(Math.floor(i / classesPerTask), i % classesPerTask), "test", 2),
  );
}

async function sayAccuracy(store: Store, items: readonly LabelledExample[]): Promise<void> {
  let right = 0;
  for (let from = 0; from < items.length; from += 64) {
    const some = items.slice(from, from + 64);
    const answers = await store.predict(some.map(({ text }) => text));
    right += answers.filter(({ label }, i) => label === some[i]?.label).length;
  }
  const { router } = store.status();
  say(
    `${router} router: accuracy on ${items.length} held-out texts`,
    `${((100 * right) / items.length).toFixed(1)} %`,
  );
}

async function sayLatency(store: Store, items: readonly LabelledExample[]): Promise<void> {
  const spent: Spent[] = [];
  for (let i = 0; i < 120; i++) {
    const { text = "" } = items[(7 * i) % items.length] ?? {};
    spent.push(await timed(() => store.predict([text])));
  }
  const warm = spent.slice(20);
  const walls = warm.map(({ wall }) => wall);
  const processor = warm.reduce((sum, each) => sum + each.processor, 0) / warm.length;
  say(
    `${store.status().router} router: one text`,
    `median ${ms(quantile(walls, 0.5))}, p99 ${ms(quantile(walls, 0.99))}, ${ms(processor)} of processor time`,
  );
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  /** All as one change: what is measured is not how often a router is fitted. */
  async teach() {
    const texts = await openTexts();
    const folder = place("store");
    await rm(folder, { recursive: true, force: true });
    await createStore(folder, { backbone: flags.backbone, threads, keepVersions: 3 });
    const { model } = await openFolder(folder, {});
    let state = emptyState;
    const features = await timed(async () => {
      for (let task = 0; task < count; task++) {
        const train = labelsOf(task, classesPerTask).flatMap((label) => texts.of(label, "train", 5));
        const learning = model.learn(state, { name: `task ${task}`, train }, { statisticsOnly: true });
        let next = await learning.next();
        while (!next.done) next = await learning.next();
        ({ state } = next.value);
      }
    });
    sayTime("features of all", features);
    await using workspace = await Workspace.open(folder);
    sayTime("writing all", await timed(() => workspace.commit(state, "learned all")));
    await model[Symbol.asyncDispose]();
    sayPeak("teaching all");
  },
  async first() {
    const opened = await timed(open);
    await using store = opened.result;
    sayTime("opening it without a router", opened);
    sayTime("the first answer, which fits the router", await timed(() => store.predict(["what is it"])));
    sayPeak("the router's first fit");
    say("folder", mb(await sizeOfFolder(place("store"))));
    say("manifest.json", mb((await stat(join(place("store"), "manifest.json"))).size));
  },
  async beside() {
    const texts = await openTexts();
    await using store = await open();
    const items = heldOut(texts);
    await store.predict([items[0]?.text ?? ""]);
    // The first one also reads totals.
    for (let i = 0; i < 3; i++) {
      const label = `beside ${i}`;
      const examples = texts.of(label, "train", 5).map(({ text }) => text);
      sayTime("one class more", await timed(() => store.learnClass(label, examples)));
      sayTime("the next answer", await timed(() => store.predict([items[i]?.text ?? ""])));
    }
    sayPeak("teaching beside them");
  },
  async consolidate() {
    await using store = await open();
    sayTime("consolidated router's fit", await timed(() => store.consolidate()));
    sayPeak("consolidating");
    say("folder with it", mb(await sizeOfFolder(place("store"))));
  },
  /** By whichever router stands. */
  async answer() {
    const items = heldOut(await openTexts());
    const opened = await timed(open);
    await using store = opened.result;
    sayTime("opening in a new process", opened);
    sayTime("its first answer", await timed(() => store.predict([items[0]?.text ?? ""])));
    await sayLatency(store, items);
    await sayAccuracy(store, items);
    sayPeak("answering");
  },
  async adapters() {
    const texts = await openTexts();
    const folder = place("run");
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const labels = Array.from({ length: count }, (_, task) => labelsOf(task, 2)).flat();
    const file = async (name: "train" | "test", each: number) => {
      const rows = labels.flatMap((label) => texts.of(label, name, each));
      await writeFile(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    };
    await file("train", 5);
    await file("test", 2);
    const config = resolveConfig(
      {
        backbone: flags.backbone,
        threads,
        method: { adapter: "lora", rank: 2, alpha: 4 },
        router: "auto",
        stream: {
          train: "train.jsonl",
          test: "test.jsonl",
          tasks: count,
          classOrder: "file",
          validationFraction: 0,
          allowOverlap: true,
        },
        training: { epochs: 1, batchSize: 8, learningRate: 5e-4 },
        out: "run",
      },
      folder,
    );
    const run = await timed(async () => {
      let began = performance.now();
      for await (const event of runExperiment(config)) {
        if (event.type !== "task-learned" || (event.task + 1) % Math.ceil(count / 10) > 0) continue;
        say(`up to task ${event.task + 1}`, `${ms(performance.now() - began)} since the mark before`);
        began = performance.now();
      }
    });
    const out = join(folder, "run");
    const { cost } = JSON.parse(await readFile(join(out, "metrics.json"), "utf8"));
    sayTime("run", run);
    say("learning", `${cost.trainSeconds.toFixed(1)} s`);
    say("evaluation", `${cost.evalSeconds.toFixed(1)} s`);
    say("run folder", mb(await sizeOfFolder(out)));
    say("of it adapters", mb(await sizeOfFolder(join(out, "adapters"))));
    for (const name of ["manifest.json", "predictions.jsonl", "events.jsonl", "report.html"])
      say(name, mb((await stat(join(out, name))).size));
    sayPeak("run");
  },
};

async function inOwnProcess(part: string, tasks: string): Promise<void> {
  const { threads, backbone, folder } = flags;
  const args = Object.entries({ part, count: tasks, threads, backbone, folder });
  const child = fork(
    process.argv[1] ?? "",
    args.flatMap(([key, value]) => [`--${key}`, value]),
    {
      execArgv: process.execArgv,
    },
  );
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) console.log(`${tasks} tasks | ${part} | ended with ${code}`);
}

const listed = (text: string) => text.split(",").filter((each) => each !== "");

if (flags.part !== undefined) {
  await mkdir(flags.folder, { recursive: true });
  await parts[flags.part]?.();
} else {
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} processors, ${threads} threads; node ${process.version}`,
  );
  for (const tasks of listed(flags.tasks))
    for (const part of ["teach", "first", "answer", "beside", "consolidate", "answer"])
      await inOwnProcess(part, tasks);
  for (const tasks of listed(flags.adapters)) await inOwnProcess("adapters", tasks);
}
