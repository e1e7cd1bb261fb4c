import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import { computeFigures, type Evaluation, isEvaluation } from "../continual/runMetrics.ts";
import type { LearnResult } from "../continual/taskTrainer.ts";
import { computeProbing, type ProbedRow } from "../core/probing.ts";
import type { RouterFitting, RunEvent, RunEventBody, RunHeader, RunLevel } from "../core/record.ts";
import { relay } from "../core/relay.ts";
import { encodePeftFolder, readPeftFolder } from "../peft/checkpoint.ts";
import { AdapterSource } from "./adapterSource.ts";
import { type LoadedBackbone, loadBackbone, readArchitecture } from "./backbone.ts";
import { requireCombination } from "./combinations.ts";
import { flattenConfig, type ResolvedConfig } from "./config.ts";
import type { Course, Curriculum, ExperimentKind, Plan } from "./experimentKind.ts";
import { generativeExperiment } from "./generativeExperiment.ts";
import { collectVersions } from "./packageInfo.ts";
import { Recorder } from "./recorder.ts";
import { RunFolder } from "./runFolder.ts";
import { sentenceExperiment } from "./sentenceExperiment.ts";
import { Timekeeper } from "./timekeeper.ts";
import type { RunOptions } from "./types.ts";
import { wordExperiment } from "./wordExperiment.ts";

/** Every kind of experiment. */
const kinds = {
  sentence: sentenceExperiment,
  word: wordExperiment,
  generative: generativeExperiment,
} satisfies Record<string, ExperimentKind>;

function kindOf({ level, head }: ResolvedConfig): ExperimentKind {
  return kinds[head.kind === "none" ? "generative" : level];
}

function describeRun(config: ResolvedConfig, { curriculum, loaded, plan }: Ingredients): RunHeader {
  const versions = collectVersions();
  return {
    accreteVersion: versions.accrete,
    nodeVersion: versions.node,
    engineVersion: versions.engine,
    platform: `${process.platform}-${process.arch}`,
    backbone: {
      name: loaded.folder.source,
      hash: loaded.folder.hash,
      parameters: loaded.backbone.parameterCount,
    },
    dataHash: curriculum.dataHash,
    seed: config.seed,
    config: flattenConfig(config),
    trainableParametersPerTask: plan.trainableParametersPerTask,
    ...(plan.selectorParameters !== undefined && { selectorParameters: plan.selectorParameters }),
    ...(config.level !== "sentence" && { level: config.level }),
    tasks: curriculum.tasks.map(({ name, labels, types }) => ({
      name,
      labels,
      ...(types !== undefined && { types }),
    })),
  };
}

/** What the run's tasks are learned and evaluated with. */
interface Workshop {
  readonly folder: RunFolder;
  readonly level: RunLevel;
  readonly curriculum: Curriculum;
  readonly course: Course;
  readonly time: Timekeeper;
  /** Where adapters are taken from in place of training. */
  readonly source?: AdapterSource;
}

/** A task that is learned but not saved yet. */
interface Finished extends LearnResult {
  /** Files of its adapter's folder. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

async function* trainTask(
  { course, time }: Workshop,
  index: number,
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody, Finished> {
  const training = course.learn(index, signal);
  let result: LearnResult | undefined;
  while (result === undefined) {
    const next = await training.next();
    if (next.done) {
      result = next.value;
      break;
    }
    const event = next.value;
    if (event.type === "epoch") {
      yield { ...event, task: index };
      continue;
    }
    const { examples, tokens, ...step } = event;
    yield { ...step, task: index, ...time.step(examples, tokens) };
  }
  return { ...result, files: new Map(encodePeftFolder(course.save(result.learned))) };
}

/** The task as another run left it, its files byte for byte; whatever that run kept beside them stays there. */
async function adoptTask({ course }: Workshop, source: AdapterSource, name: string): Promise<Finished> {
  const { folder, learned: how } = await source.task(name);
  const learned = course.restore(name, await readPeftFolder(folder), folder);
  const names = [...encodePeftFolder(course.save(learned)).keys()];
  const read = names.map(async (file) => [file, await readFile(join(folder, file))] as const);
  return { learned, ...how, files: new Map(await Promise.all(read)) };
}

async function* learnTask(
  shop: Workshop,
  index: number,
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody, LearnedTask> {
  const { course, curriculum, folder, time, source } = shop;
  const { types: _, ...outline } = curriculum.tasks[index]!;
  const totalSteps = source === undefined ? course.plannedSteps(index) : 0;
  yield { type: "task-started", task: index, ...outline, totalSteps };
  time.startTask();
  const { learned, truncatedTexts, stoppedEarly, files } =
    source === undefined
      ? yield* trainTask(shop, index, signal)
      : await adoptTask(shop, source, outline.name);
  if (course.digest !== undefined) {
    const { digest } = course;
    const fitting = relay<RouterFitting, void>((onProgress) =>
      digest(index, learned, { signal, onProgress }),
    );
    for await (const progress of fitting) yield { type: "router-fitting", task: index, ...progress };
  }
  const saved = await folder.commitTask(
    { name: learned.name, labels: learned.labels },
    files,
    course.companions?.(),
  );
  const seconds = time.finishTask();
  yield {
    type: "task-learned",
    task: index,
    name: learned.name,
    adapter: saved.adapter.id,
    seconds,
    truncatedTexts,
    stoppedEarly,
  };
  return learned;
}

/** Reads back a task that an earlier, interrupted run finished. */
async function reloadTask(shop: Workshop, index: number): Promise<LearnedTask | undefined> {
  const entry = shop.folder.finishedTasks[index];
  if (entry === undefined) return undefined;
  const path = await shop.folder.adapterFolder(entry);
  await shop.course.recall?.(path);
  return shop.course.restore(entry.name, await readPeftFolder(path), path);
}

async function* learnStream(
  shop: Workshop,
  past: readonly RunEvent[],
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody> {
  const { curriculum, course, level, time } = shop;
  const rows = new Map<number, Evaluation>();
  const probed = new Map<number, ProbedRow>();
  for (const event of past) {
    if (isEvaluation(event)) rows.set(event.task, event);
    if (event.type === "probed") probed.set(event.learned, event);
    time.replay(event);
  }
  yield* probe(shop, probed, { learned: 0 }, signal);
  for (const index of curriculum.tasks.keys()) {
    const learned = (await reloadTask(shop, index)) ?? (yield* learnTask(shop, index, signal));
    course.add(index, learned);
    if (!rows.has(index)) {
      await shop.folder.writeFiles((await course.runFiles?.(signal)) ?? new Map());
      const evaluation = await course.evaluate(index, time, signal, shop.source?.evaluationOf(index));
      rows.set(index, evaluation);
      yield evaluation;
    }
    yield* probe(shop, probed, { learned: index + 1, newest: learned }, signal);
  }
  const figures = computeFigures(level, [...rows.values()], curriculum.tasks);
  const probing = computeProbing([...probed.values()]);
  const told = past.find((event) => event.type === "floor-measured")?.floor;
  const floor = told ?? (await course.floor?.(signal));
  if (floor !== undefined && told === undefined) yield { type: "floor-measured", floor };
  const metrics = {
    ...figures,
    ...(probing !== undefined && { probing }),
    ...(floor !== undefined && { floor }),
    cost: time.cost(),
  };
  yield { type: "run-finished", metrics };
}

/** Probes what is learned by now, where the run probes and has not done it yet. */
async function* probe(
  { course, time }: Workshop,
  done: Map<number, ProbedRow>,
  { learned, newest }: { readonly learned: number; readonly newest?: LearnedTask },
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody> {
  if (course.probe === undefined || done.has(learned)) return;
  const row = await course.probe(learned, newest, time, signal);
  done.set(learned, row);
  yield row;
}

/** What a run is made of, read and checked before anything is written. */
interface Ingredients {
  readonly curriculum: Curriculum;
  readonly loaded: LoadedBackbone;
  readonly plan: Plan;
}

/** Before data and weights are read: a stream may be long and a model large, and both in vain. */
async function checkFamily(config: ResolvedConfig, signal?: AbortSignal): Promise<void> {
  const { backbone, backboneRevision, method, head, level } = config;
  const family = await readArchitecture(backbone, backboneRevision, signal);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
}

async function loadIngredients(config: ResolvedConfig, signal?: AbortSignal): Promise<Ingredients> {
  await checkFamily(config, signal);
  const curriculum = await kindOf(config).load(config);
  const loaded = await loadBackbone(config.backbone, config.backboneRevision, signal);
  return { curriculum, loaded, plan: await curriculum.plan(loaded) };
}

function manifestHeader(
  config: ResolvedConfig,
  { curriculum, loaded, plan }: Ingredients,
): Parameters<RunFolder["begin"]>[0] {
  return {
    versions: collectVersions(),
    backbone: {
      source: config.backbone,
      ...(loaded.folder.commit === undefined ? {} : { revision: loaded.folder.commit }),
      hash: loaded.folder.hash,
      tokenizerHash: loaded.tokenizer.hash,
      architecture: loaded.backbone.config.architecture,
    },
    dataHash: curriculum.dataHash,
    feature: plan.feature,
  };
}

/** What is to be told before the first task. */
function notesOf({ curriculum, loaded }: Ingredients, folder: RunFolder, source?: AdapterSource): string[] {
  const { brokenLock } = folder;
  const broken =
    brokenLock === undefined
      ? []
      : [`broke the lock that process ${brokenLock.pid} on ${brokenLock.hostname} had left when it died`];
  const adopted =
    source === undefined
      ? []
      : [
          `Adapters are taken from ${source.path}, and so are exact figures where nothing here reads the logits behind them; trainSeconds and evalSeconds hold only the rest.`,
        ];
  return [...broken, ...curriculum.notes, ...loaded.folder.notes, ...adopted];
}

async function* experiment(
  config: ResolvedConfig,
  ingredients: Ingredients,
  folder: RunFolder,
  recorder: Recorder,
  { signal, source }: { readonly signal?: AbortSignal; readonly source?: AdapterSource },
): AsyncGenerator<RunEventBody> {
  const { curriculum, plan } = ingredients;
  await folder.begin(manifestHeader(config, ingredients));
  if (recorder.pastEvents.some(({ type }) => type === "run-finished")) return;
  yield { type: "run-started", header: describeRun(config, ingredients) };
  if (folder.resumed) yield { type: "run-resumed", finishedTasks: folder.finishedTasks.length };
  for (const message of notesOf(ingredients, folder, source)) yield { type: "warning", message };

  await using course = plan.open();
  for (const message of course.notes) yield { type: "warning", message };
  const time = new Timekeeper(curriculum.tasks.map((_, task) => course.plannedSteps(task)));
  const { level } = config;
  const shop = { folder, level, curriculum, course, time, ...(source && { source }) };
  yield* learnStream(shop, recorder.pastEvents, signal);
}

/**
 * Runs a continual-learning experiment: learns the stream's tasks one after another, evaluates all seen ones after
 * each, and leaves a run folder with adapters, record, metrics and report.
 *
 * Every event is on the disk before it is yielded. A task that was saved is never touched again; an interrupted
 * run continues with `resume` and ends with the same adapters, byte for byte.
 * @throws StoreError if `config.out` is in use or not empty and `resume` was not asked for, or `adaptersFrom` is no
 *   finished run of the same data and backbone
 * @throws ConfigError, DataError, CheckpointError for what cannot be run, before anything is written
 */
export async function* runExperiment(
  config: ResolvedConfig,
  options: RunOptions = {},
): AsyncGenerator<RunEvent> {
  const { resume = false, adaptersFrom, signal } = options;
  await RunFolder.check(config, { resume });
  const source = adaptersFrom === undefined ? undefined : await AdapterSource.open(adaptersFrom, config);
  const ingredients = await loadIngredients(config, signal);
  source?.check(manifestHeader(config, ingredients), ingredients.curriculum.tasks);
  await using folder = await RunFolder.start(config, { resume });
  await using recorder = await Recorder.open(folder.path);
  const given = { ...(signal && { signal }), ...(source && { source }) };
  for await (const body of experiment(config, ingredients, folder, recorder, given)) {
    const event: RunEvent = { time: new Date().toISOString(), ...body };
    await recorder.record(event);
    yield event;
  }
}
