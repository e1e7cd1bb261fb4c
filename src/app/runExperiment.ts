import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import { Evaluator } from "../continual/evaluation.ts";
import { ContinualLearner, type LearnResult } from "../continual/learner.ts";
import { computeMetrics } from "../continual/metrics.ts";
import type { RunEvent, RunEventBody, RunHeader, RunMetrics } from "../core/record.ts";
import { loadStream } from "../data/stream.ts";
import { checkTexts } from "../data/tokenizer.ts";
import type { Task, TaskStream } from "../data/types.ts";
import { encodePeftFolder, readPeftFolder } from "../peft/checkpoint.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { ModelStructure } from "../train/graphs.ts";
import { type LoadedBackbone, loadBackbone } from "./backbone.ts";
import { flattenConfig, type ResolvedConfig } from "./config.ts";
import { collectVersions } from "./packageInfo.ts";
import { Recorder } from "./recorder.ts";
import { RunFolder } from "./runFolder.ts";
import { fromSavedAdapter, toSavedAdapter } from "./savedTask.ts";
import { promptTaskOf, resolveStructure, resolveTraining, trainableParameters } from "./structure.ts";
import { Timekeeper } from "./timekeeper.ts";
import type { RunOptions } from "./types.ts";

function describeRun(
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  structure: ModelStructure,
  stream: TaskStream,
): RunHeader {
  const versions = collectVersions();
  const classes = Math.max(...stream.tasks.map(({ labels }) => labels.length));
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
    dataHash: stream.dataHash,
    seed: config.seed,
    config: flattenConfig(config),
    trainableParametersPerTask: trainableParameters(structure, classes),
    tasks: stream.tasks.map(({ name, labels }) => ({ name, labels })),
  };
}

/** What the run's tasks are learned and evaluated with. */
interface Workshop {
  readonly folder: RunFolder;
  readonly loaded: LoadedBackbone;
  readonly stream: TaskStream;
  readonly model: AdaptedBackbone;
  readonly learner: ContinualLearner;
  readonly evaluator: Evaluator;
  readonly time: Timekeeper;
}

async function* learnTask(
  shop: Workshop,
  task: Task,
  index: number,
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody, LearnedTask> {
  const { learner, folder, model, loaded, time } = shop;
  const totalSteps = learner.plannedSteps(task.train.length);
  yield {
    type: "task-started",
    task: index,
    name: task.name,
    labels: task.labels,
    trainExamples: task.train.length,
    validationExamples: task.validation.length,
    testExamples: task.test.length,
    totalSteps,
  };
  time.startTask();
  const training = learner.learn(task, signal);
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
  const { learned, truncatedTexts, stoppedEarly } = result;
  const saved = await folder.commitTask(
    { name: task.name, labels: task.labels },
    encodePeftFolder(toSavedAdapter(learned, model.structure, loaded)),
  );
  const seconds = time.finishTask();
  yield {
    type: "task-learned",
    task: index,
    name: task.name,
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
  return fromSavedAdapter(entry.name, await readPeftFolder(path), shop.loaded, path).task;
}

async function* learnStream(
  shop: Workshop,
  past: readonly RunEvent[],
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody> {
  const { stream, evaluator, time } = shop;
  const rows = new Map<number, Extract<RunEventBody, { type: "evaluated" }>>();
  for (const event of past) {
    if (event.type === "evaluated") rows.set(event.task, event);
    time.replay(event);
  }
  for (const [index, task] of stream.tasks.entries()) {
    const learned = (await reloadTask(shop, index)) ?? (yield* learnTask(shop, task, index, signal));
    evaluator.add(task, learned);
    if (rows.has(index)) continue;
    const row = await time.evaluation(() => evaluator.evaluate(signal));
    const event = { type: "evaluated", task: index, ...row.value, seconds: row.seconds } as const;
    rows.set(index, event);
    yield event;
  }
  const { cil, til } = computeMetrics([...rows.values()]);
  const metrics: RunMetrics = { schemaVersion: 1, cil, til, cost: time.cost() };
  yield { type: "run-finished", metrics };
}

/** What a run is made of, read and checked before anything is written. */
interface Ingredients {
  readonly stream: TaskStream;
  readonly loaded: LoadedBackbone;
  readonly structure: ModelStructure;
}

async function loadIngredients(config: ResolvedConfig, signal?: AbortSignal): Promise<Ingredients> {
  const stream = await loadStream(config.stream, config.seed);
  const loaded = await loadBackbone(config.backbone, config.backboneRevision, signal);
  checkTexts(loaded.tokenizer, stream.tasks, config.training.maxLength);
  return { stream, loaded, structure: resolveStructure(config, loaded, promptTaskOf(config.stream)) };
}

async function* experiment(
  config: ResolvedConfig,
  { stream, loaded, structure }: Ingredients,
  folder: RunFolder,
  recorder: Recorder,
  signal?: AbortSignal,
): AsyncGenerator<RunEventBody> {
  await folder.begin({
    versions: collectVersions(),
    backbone: {
      source: config.backbone,
      ...(loaded.folder.commit === undefined ? {} : { revision: loaded.folder.commit }),
      hash: loaded.folder.hash,
      tokenizerHash: loaded.tokenizer.hash,
      architecture: loaded.backbone.config.architecture,
    },
    dataHash: stream.dataHash,
    feature: structure.feature,
  });
  if (recorder.pastEvents.some(({ type }) => type === "run-finished")) return;
  yield { type: "run-started", header: describeRun(config, loaded, structure, stream) };
  if (folder.resumed) yield { type: "run-resumed", finishedTasks: folder.finishedTasks.length };
  if (folder.brokenLock !== undefined)
    yield {
      type: "warning",
      message: `broke the lock that process ${folder.brokenLock.pid} on ${folder.brokenLock.hostname} had left when it died`,
    };
  for (const message of [...stream.notes, ...loaded.folder.notes]) yield { type: "warning", message };

  await using model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    ...(config.threads === undefined ? {} : { threads: config.threads }),
  });
  await using learner = new ContinualLearner(model, resolveTraining(config), config.seed);
  const evaluator = new Evaluator(model);
  const time = new Timekeeper(stream.tasks.map((task) => learner.plannedSteps(task.train.length)));
  yield* learnStream(
    { folder, loaded, stream, model, learner, evaluator, time },
    recorder.pastEvents,
    signal,
  );
}

/**
 * Runs a continual-learning experiment: learns the stream's tasks one after another, evaluates all seen ones after
 * each, and leaves a run folder with adapters, record, metrics and report.
 *
 * Every event is on the disk before it is yielded. A task that was saved is never touched again; an interrupted
 * run continues with `resume` and ends with the same adapters, byte for byte.
 * @throws StoreError if `config.out` is in use or not empty and `resume` was not asked for
 * @throws ConfigError, DataError, CheckpointError for what cannot be run, before anything is written
 */
export async function* runExperiment(
  config: ResolvedConfig,
  options: RunOptions = {},
): AsyncGenerator<RunEvent> {
  const { resume = false, signal } = options;
  await RunFolder.check(config, { resume });
  const ingredients = await loadIngredients(config, signal);
  await using folder = await RunFolder.start(config, { resume });
  await using recorder = await Recorder.open(folder.path);
  for await (const body of experiment(config, ingredients, folder, recorder, signal)) {
    const event: RunEvent = { time: new Date().toISOString(), ...body };
    await recorder.record(event);
    yield event;
  }
}
