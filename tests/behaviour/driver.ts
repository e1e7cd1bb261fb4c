/** The one place that knows the product: its interfaces, the keys of its configuration, how its files lie. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { routerStages } from "../../src/continual/types.ts";
import {
  createLearner,
  describeStore,
  type FoundEntity,
  type Learner,
  mergeStores,
  openGenerator,
  openRun,
  openStore,
  type Prediction,
  type PredictOptions,
  type Predictor,
  resolveConfig,
  runExperiment,
  type Store,
} from "../../src/index.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";
import { routerPlace } from "../../src/workspace/routers.ts";
import { accrete } from "../support/cli.ts";
import type { Bench } from "./bench.ts";
import { datasets, textsOf, textTask, wordTask } from "./data.ts";
import type {
  Answer,
  DatasetName,
  FlagsScenario,
  LearnerScenario,
  Outcome,
  RunScenario,
  Scenario,
  StoreScenario,
  StoreStep,
  Tensor,
} from "./scenario.ts";

/** How much is generated after each question. */
const newTokens = 6;

// Figures

/** Time and room: they differ from run to run, or with how files are laid out. */
const costs = /^cost\.|seconds$|bytes/i;

/** A tree's leaves by their path, as `cil.matrix.1.0`. */
function* leavesOf(tree: unknown, path = ""): Generator<readonly [string, unknown]> {
  if (typeof tree !== "object" || tree === null) yield [path, tree];
  else
    for (const [key, value] of Object.entries(tree))
      yield* leavesOf(value, path === "" ? key : `${path}.${key}`);
}

async function readFigures(folder: string): Promise<Outcome["figures"]> {
  const metrics: unknown = JSON.parse(await readFile(join(folder, "metrics.json"), "utf8"));
  const kept = [...leavesOf(metrics)].filter(([path]) => !costs.test(path));
  return new Map(kept.map(([path, value]) => [path.replace(/^floor\./, "baseline."), value]));
}

async function readStoreFigures(folder: string): Promise<Outcome["figures"]> {
  const { version, tasks, perClass } = await describeStore(folder);
  const figures = {
    version,
    tasks: tasks.map(({ name, labels, kind, rows, forgotten }) => ({ name, labels, kind, rows, forgotten })),
    classes: Object.fromEntries(perClass.map(({ label, tasks, rows }) => [label, { tasks, rows }])),
  };
  return new Map(leavesOf(figures));
}

// Tensors

/** What a file holds, of a task's folder or of the run's. */
const parts: Readonly<Record<string, string>> = {
  "adapter_model.safetensors": "adapter",
  "head.safetensors": "head",
  "selector.safetensors": "selector",
  "statistics.safetensors": "statistics",
  "router.safetensors": "router",
};

/** What rows of a class are for, where that is said. */
const uses: Readonly<Record<string, string>> = { fit: "train", judge: "held-out" };

/** Rows of statistics are called by their class. */
function nameOf(name: string, metadata: ReadonlyMap<string, string>): string {
  const number = Number(/^rows\/(\d+)$/.exec(name)?.[1] ?? -1);
  if (number < 0) return name;
  const labels: string[] = JSON.parse(metadata.get("labels") ?? "[]");
  const roles: (string | null)[] = JSON.parse(metadata.get("roles") ?? "[]");
  return `${labels[number]} ${uses[roles[number] ?? ""] ?? "rows"}`;
}

/** Where the folders of a run's or store's tasks lie, and the tensors that belong to none of them. */
async function tensorFolders(folder: string): Promise<(readonly [owner: string, folder: string])[]> {
  const manifest: { readonly tasks: readonly { name: string; adapter: { folder: string } }[] } = JSON.parse(
    await readFile(join(folder, "manifest.json"), "utf8"),
  );
  return [
    ...manifest.tasks.map(({ name, adapter }) => [name, join(folder, adapter.folder)] as const),
    ["all", await routerFolder(folder)],
  ];
}

/** Where the router lies that a folder answers with. */
async function routerFolder(folder: string): Promise<string> {
  const { store }: { readonly store?: { readonly version: number } } = JSON.parse(
    await readFile(join(folder, "manifest.json"), "utf8"),
  );
  const stages = routerStages.map((stage) => join(folder, routerPlace(store?.version ?? 1, stage)));
  return stages.findLast((stage) => existsSync(stage)) ?? join(folder, "router");
}

async function readTensors(folders: readonly (readonly [owner: string, folder: string])[]) {
  const found = new Map<string, Tensor>();
  for (const [owner, folder] of folders) {
    for (const file of (await readdir(folder).catch(() => [])).sort()) {
      const part = parts[file];
      if (part === undefined) continue;
      const { tensors, metadata } = decodeSafetensors(await readFile(join(folder, file)), file);
      for (const [inFile, tensor] of tensors) {
        const name = `${owner} ${part} ${nameOf(inFile, metadata)}`;
        // The same class in a task more than once: from several teachings, in the order of these.
        const times = [...found.keys()].filter(
          (other) => other === name || other.startsWith(`${name} #`),
        ).length;
        found.set(times === 0 ? name : `${name} #${times + 1}`, tensor);
      }
    }
  }
  return found;
}

// Answers

type Answers = Map<string, readonly Answer[]>;

function fromPrediction({ label, score, task, top }: Prediction): Answer {
  const next = top.find((each) => each.label !== label);
  return { label, score, task, next: next === undefined ? null : [next.label, next.score] };
}

function fromEntity({ type, score, word, start }: FoundEntity) {
  return { type, score, at: `${start} ${word}` };
}

interface Asking {
  readonly data: DatasetName;
  /** Goes before the name of the form. */
  readonly under?: string;
  /** Whether something chooses among tasks. */
  readonly routed?: boolean;
  /** Whether every task has an adapter, so that all can be asked; default: true. */
  readonly exact?: boolean;
}

async function ask(asked: Predictor | Learner | Store, asking: Asking): Promise<Answers> {
  const { data, under = "", routed = false, exact = true } = asking;
  const forms: Record<string, PredictOptions> = exact ? { exact: { exact: true } } : {};
  for (const { name } of asked.tasks) forms[`task ${name}`] = { task: name };
  if (routed) forms.routed = {};
  const examples = datasets[data].questions.map((text) => ({ text }));
  const answers: Answers = new Map();
  for (const [form, options] of Object.entries(forms)) {
    const given =
      "level" in asked && asked.level === "word"
        ? (await asked.findEntities(examples, options)).map(({ entities }) => ({
            entities: entities.map(fromEntity),
          }))
        : (await asked.predict(examples, { ...options, top: 2 })).map(fromPrediction);
    answers.set(under + form, given);
  }
  return answers;
}

/** What a decoder goes on to say, by each adapter and by the one that is chosen. */
async function generate(folder: string, tasks: Predictor["tasks"], { data, routed = false }: Asking) {
  const forms: Record<string, { task?: string; exact?: boolean }> = { newest: { exact: true } };
  for (const { name } of tasks) forms[`task ${name}`] = { task: name };
  if (routed) forms.routed = {};
  const answers: Answers = new Map();
  for (const [form, options] of Object.entries(forms)) {
    await using generator = await openGenerator(folder, { threads: 1 });
    const said = await generator.generate(datasets[data].questions, { ...options, maxNewTokens: newTokens });
    answers.set(
      `generated ${form}`,
      said.map(({ completion, task = "" }) => ({ completion, task })),
    );
  }
  return answers;
}

/** Everything that a finished run's folder tells. */
async function readRun(folder: string, asking: Asking, generates = false): Promise<Outcome> {
  await using predictor = await openRun(folder);
  const answers = await ask(predictor, asking);
  const said = generates ? await generate(folder, predictor.tasks, asking) : [];
  const tensors = await readTensors(await tensorFolders(folder));
  return { tensors, figures: await readFigures(folder), answers: new Map([...answers, ...said]) };
}

// Runs

async function streamFiles({ data, settings, withoutValidation }: RunScenario, bench: Bench) {
  const folder = await bench.data(data);
  const ending = settings.level === "word" ? "conll" : "jsonl";
  const splits = withoutValidation === true ? ["train", "test"] : ["train", "validation", "test"];
  return Object.fromEntries(splits.map((split) => [split, join(folder, `${split}.${ending}`)]));
}

function isInterrupted({ interrupt }: RunScenario, at: { task: number; steps: number; learned: boolean }) {
  return (
    interrupt?.task === at.task && (interrupt.steps === undefined ? at.learned : at.steps === interrupt.steps)
  );
}

/** Learns the stream, from where it was interrupted on where it was. @returns the run's folder */
async function learnStream(scenario: RunScenario, bench: Bench): Promise<string> {
  const { name, backbone, settings, stream, outOfScope, probing } = scenario;
  const out = await bench.folder(name);
  const outside =
    outOfScope === true ? { outOfScope: join(await bench.data(scenario.data), "outside.jsonl") } : {};
  const config = resolveConfig(
    {
      ...settings,
      backbone: await bench.backbone(backbone),
      stream: { ...stream, ...outside, ...(await streamFiles(scenario, bench)) },
      ...(probing && { probing }),
      precision: "fp32",
      out,
    },
    out,
  );
  if (scenario.interrupt !== undefined) {
    let steps = 0;
    for await (const event of runExperiment(config)) {
      if (event.type !== "step" && event.type !== "task-learned") continue;
      if (event.task === scenario.interrupt.task && event.type === "step") steps += 1;
      // Whoever stops reading stops the run, as a kill does.
      if (isInterrupted(scenario, { task: event.task, steps, learned: event.type === "task-learned" })) break;
    }
  }
  const resume = scenario.interrupt !== undefined;
  for await (const _ of runExperiment(config, { resume }));
  return out;
}

function isRouted({ settings }: RunScenario): boolean {
  const { method, router } = settings;
  return (
    (router !== undefined && router !== "none") ||
    (method.adapter === "lora" && method.selector !== undefined)
  );
}

async function performRun(scenario: RunScenario, bench: Bench): Promise<Outcome> {
  const folder = await learnStream(scenario, bench);
  const asking = { data: scenario.data, routed: isRouted(scenario) };
  return readRun(folder, asking, scenario.settings.head.kind === "none");
}

async function performFlags({ name, backbone, data, flags, faithful }: FlagsScenario, bench: Bench) {
  const out = await bench.folder(name);
  const places = {
    dataset: join(await bench.data(data), "two-file"),
    backbone: await bench.backbone(backbone),
    out,
  };
  const given = Object.entries({ ...flags, ...places }).flatMap(([flag, value]) => [`--${flag}`, value]);
  const ours = [...(faithful === true ? ["--faithful"] : []), "--set", "threads=1"];
  const { exitCode, err } = await accrete("run", "--cfg", "None", ...given, ...ours);
  if (exitCode !== 0) throw new RangeError(`${name}: exit code ${exitCode}\n${err}`);
  return readRun(out, { data, routed: flags.Sub_PEFT_type === "NewLoRA" }, flags.classifier === "None");
}

// Stores

async function askStore(store: Store, data: DatasetName, under = ""): Promise<Answers> {
  const { tasks } = await describeStore(store.path);
  const exact = tasks.every(({ kind }) => kind === "adapter");
  return ask(store, { data, under, routed: true, exact });
}

/** What a step is, by the key that it has. */
async function takeStep(store: Store, step: StoreStep, data: DatasetName): Promise<Answers> {
  if ("ask" in step) return askStore(store, data, `${step.ask}: `);
  if ("learn" in step) {
    const { name, labels, train, validation } = textTask(textsOf(data), step.learn);
    await store.learn({ name, labels, train, validation }, { statisticsOnly: step.statisticsOnly === true });
  } else if ("learnClass" in step) {
    const rows = textsOf(data).train.filter(({ label }) => label === step.learnClass);
    const examples = rows.slice(0, step.examples).map(({ text }) => text);
    await store.learnClass(step.learnClass, examples, step.task === undefined ? {} : { task: step.task });
  } else if ("forget" in step) await store.forget(step.forget);
  else await store.rollback(step.rollback === "previous" ? undefined : step.rollback);
  return new Map();
}

async function teach(store: Store, steps: readonly StoreStep[], data: DatasetName): Promise<Answers> {
  const answers: Answers = new Map();
  for (const step of steps)
    for (const [form, given] of await takeStep(store, step, data)) answers.set(form, given);
  return answers;
}

/** Where the store lies that the steps go on with: a run's folder, a union, or one begun empty. */
async function beginStore(scenario: StoreScenario, bench: Bench): Promise<string> {
  const { name, data, backbone, settings, begin, merge } = scenario;
  if (begin !== undefined) return learnStream(begin, bench);
  const create = { ...settings, backbone: await bench.backbone(backbone) };
  const empty = async () => {
    const folder = await bench.folder(name);
    await using _ = await openStore(folder, { create });
    return folder;
  };
  if (merge === undefined) return empty();
  const both: string[] = [];
  for (const steps of merge) {
    const folder = await empty();
    await using store = await openStore(folder);
    await teach(store, steps, data);
    both.push(folder);
  }
  const [first = "", second = ""] = both;
  const union = await bench.folder(name);
  await mergeStores(first, second, union);
  return union;
}

async function performStore(scenario: StoreScenario, bench: Bench): Promise<Outcome> {
  const { data, steps } = scenario;
  const folder = await beginStore(scenario, bench);
  await using store = await openStore(folder);
  const asked = await teach(store, steps, data);
  const answers = new Map([...asked, ...(await askStore(store, data))]);
  const tensors = await readTensors((await tensorFolders(folder)).filter(([owner]) => owner !== "all"));
  return { tensors, figures: await readStoreFigures(folder), answers };
}

// Learners in memory

async function performLearner({ name, data, backbone, settings, tasks }: LearnerScenario, bench: Bench) {
  const config = { ...settings, backbone: await bench.backbone(backbone) };
  const { router: _, ...learnable } = config;
  const figures = new Map<string, unknown>();
  await using learner = await createLearner(learnable);
  const dataset = datasets[data];
  for (const task of tasks) {
    const { test: __, ...toLearn } =
      dataset.of === "texts" ? textTask(dataset, task) : { ...wordTask(dataset, task), test: [] };
    const { labels, loss, truncatedTexts } = await learner.learn(toLearn);
    for (const [path, value] of leavesOf({ labels, loss, truncatedTexts }, task)) figures.set(path, value);
  }
  const folder = await bench.folder(name);
  const saved: (readonly [string, string])[] = tasks.map((task) => [task, join(folder, task)]);
  for (const [task, place] of saved) await learner.saveAdapter(task, place);
  await using other = await createLearner(learnable);
  for (const [task, place] of saved) await other.loadAdapter(task, place);
  const answers = new Map([
    ...(await ask(learner, { data })),
    ...(await ask(other, { data, under: "restored: " })),
  ]);
  return { tensors: await readTensors(saved), figures, answers };
}

/** Does what a scenario says, in folders of its own. */
export function perform(scenario: Scenario, bench: Bench): Promise<Outcome> {
  switch (scenario.kind) {
    case "run":
      return performRun(scenario, bench);
    case "flags":
      return performFlags(scenario, bench);
    case "store":
      return performStore(scenario, bench);
    case "learner":
      return performLearner(scenario, bench);
  }
}
