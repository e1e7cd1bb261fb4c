/** An experiment: a stream feeds the model, each state is committed, and an evaluator asks it. */

import { join } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { requireCombination } from "../config/combinations.ts";
import { checkResolved, flattenConfig } from "../config/load.ts";
import { type Places, placedAt } from "../config/places.ts";
import type { ResolvedConfig } from "../config/schema.ts";
import { computeFigures, isEvaluation } from "../continual/metrics/runMetrics.ts";
import type { Evaluation } from "../continual/taskTypes/taskType.ts";
import type { LearnedTask, RouterStage } from "../continual/types.ts";
import { callbackToAsyncGenerator } from "../core/callbackToAsyncGenerator.ts";
import { collectVersions } from "../core/packageInfo.ts";
import { computeProbing, type ProbedRow } from "../core/probing.ts";
import type { RouterFitting, RunEvent, RunEventBody, RunHeader, TaskHeader } from "../core/record.ts";
import type { ContinualModel, Learned, LearnTaskOptions, StateRouter } from "../model/continualModel.ts";
import type { RunEvaluator } from "../model/evaluator.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone, readArchitecture } from "../model/settings/backbone.ts";
import { settingsOf } from "../model/settings/settings.ts";
import { emptyState, type ModelState } from "../model/state.ts";
import { openDevice } from "../runtime/devices.ts";
import { profileFolder, profiling } from "../runtime/profiling.ts";
import type { ManifestHeader } from "../workspace/manifest.ts";
import { entryOf, readState } from "../workspace/reading.ts";
import type { Workspace } from "../workspace/workspace.ts";
import { AdapterSource } from "./adapterSource.ts";
import { measureBaseline } from "./baseline.ts";
import { computeExtra } from "./extraMetrics.ts";
import { Pieces } from "./pieces.ts";
import { checkReadable, largestHead, parametersPerTask, selectorParametersOf } from "./plan.ts";
import { readPredictions } from "./predictions.ts";
import { openProbing, type Probing } from "./probing.ts";
import { Recorder } from "./recorder.ts";
import { beginRun, checkRunFolder, openRunFolder } from "./runFolder.ts";
import { type LoadedStream, loadTasks, type StreamTask } from "./stream.ts";
import { Timekeeper } from "./timekeeper.ts";

/** How a run is made. */
export interface RunOptions {
  /** Go on where an interrupted run stopped, instead of refusing a folder that is not empty. */
  readonly resume?: boolean | undefined;
  /**
   * Folder of a finished run of the same data, backbone, method, head, training and seed, whose adapters are taken in
   * place of training: another router or `newlora-frozen` selector is measured without learning the tasks again.
   */
  readonly adaptersFrom?: string | undefined;
  /** Let the engine write what it does into the folder `profile` of the run; `writeProfile` adds it up. */
  readonly profile?: boolean | undefined;
  /** Folder of the run's pieces (`PieceMaker`), one a task: it is put together of them, and nothing is trained. */
  readonly pieces?: string | undefined;
  /** Stop when so many tasks are learned and evaluated; `resume` goes on. */
  readonly tasks?: number | undefined;
  /** Also measure each task's new adapter on its validation data, which decides nothing in the run. */
  readonly validate?: boolean | undefined;
  /**
   * Where this machine has what the configuration names, by its key: `backbone`, a path of `stream`, `out`. The run's
   * record says what the configuration says.
   */
  readonly places?: Places | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a run's tasks are learned and evaluated with. */
interface RunContext {
  readonly config: ResolvedConfig;
  readonly workspace: Workspace;
  readonly recorder: Recorder;
  readonly stream: LoadedStream;
  readonly model: ContinualModel;
  readonly evaluator: RunEvaluator;
  readonly time: Timekeeper;
  readonly probing: Probing | undefined;
  /** Where adapters are taken from in place of training. */
  readonly source: AdapterSource | undefined;
  readonly pieces: Pieces | undefined;
  readonly options: Pick<RunOptions, "tasks" | "validate">;
  readonly signal: AbortSignal | undefined;
}

export function outlineOf({ name, labels, types }: StreamTask): TaskHeader {
  return { name, labels, ...(types !== undefined && { types }) };
}

function describeRun(config: ResolvedConfig, stream: LoadedStream, model: ContinualModel): RunHeader {
  const versions = collectVersions();
  const { folder, backbone } = model.loaded;
  const selectorParameters = selectorParametersOf(model, stream.tasks.length);
  return {
    accreteVersion: versions.accrete,
    nodeVersion: versions.node,
    engineVersion: versions.engine,
    platform: `${process.platform}-${process.arch}`,
    backbone: { name: folder.source, hash: folder.hash, parameters: backbone.parameterCount },
    dataHash: stream.dataHash,
    seed: config.seed,
    config: flattenConfig(config),
    trainableParametersPerTask: parametersPerTask(model, largestHead(model, stream.tasks)),
    ...(selectorParameters !== undefined && { selectorParameters }),
    ...(config.level !== "sentence" && { level: config.level }),
    tasks: stream.tasks.map(outlineOf),
  };
}

function headerOf(
  config: ResolvedConfig,
  { dataHash }: LoadedStream,
  { loaded, feature }: ContinualModel,
  pieces?: Pieces,
): Omit<ManifestHeader, "configHash"> {
  return {
    versions: collectVersions(),
    backbone: {
      source: config.backbone,
      ...(loaded.folder.commit !== undefined && { revision: loaded.folder.commit }),
      hash: loaded.folder.hash,
      tokenizerHash: loaded.tokenizer.hash,
      architecture: loaded.backbone.config.architecture,
    },
    dataHash,
    seed: config.seed,
    feature,
    ...(pieces && { computedBy: pieces.computedBy }),
  };
}

/** One task: the model learns it, what routes is fitted, the state is committed. */
async function* learnTask(
  context: RunContext,
  before: ModelState,
  index: number,
): AsyncGenerator<RunEventBody, ModelState> {
  const { stream, model, source, pieces, time, workspace } = context;
  const task = stream.tasks[index]!;
  const { name, labels, train, validation, test } = task;
  yield {
    type: "task-started",
    task: index,
    name,
    labels,
    trainExamples: train.length,
    validationExamples: validation.length,
    testExamples: test.length,
    totalSteps: source === undefined ? model.plannedSteps(train.length) : 0,
  };
  time.startTask();
  const piece = await pieces?.task(index);
  if (piece !== undefined) yield* piece.events;
  const adopted = piece ?? (await source?.task(name));
  const learned = yield* relayTraining(context, before, index, adopted?.adapter);
  yield* fitRouter(context, learned.state, index);
  await workspace.commit(learned.state);
  const seconds = time.finishTask(piece?.seconds);
  const { truncatedTexts, stoppedEarly } = adopted?.learned ?? learned;
  const adapter = entryOf(learned.task)?.adapter.id ?? "";
  const { validationAccuracy } = piece ?? learned;
  yield {
    type: "task-learned",
    task: index,
    name,
    adapter,
    seconds,
    truncatedTexts,
    stoppedEarly,
    ...(validationAccuracy !== undefined && { validationAccuracy }),
  };
  return learned.state;
}

/** Learns, and passes on what a run's record keeps of it. */
async function* relayTraining(
  { stream, model, time, options: { validate }, signal }: RunContext,
  before: ModelState,
  index: number,
  adapter: LearnTaskOptions["adapter"],
): AsyncGenerator<RunEventBody, Learned> {
  const learning = model.learn(before, stream.tasks[index]!, { checked: true, adapter, validate, signal });
  for (;;) {
    const next = await learning.next();
    if (next.done) return next.value;
    const event = next.value;
    if (event.type === "epoch" || event.type === "router-fitting") yield { ...event, task: index };
    if (event.type !== "step") continue;
    const { examples, tokens, ...step } = event;
    yield { ...step, task: index, ...time.step(examples, tokens) };
  }
}

async function* fitRouter(
  { model, signal }: RunContext,
  state: ModelState,
  task: number,
  stage: RouterStage = "consolidated",
): AsyncGenerator<RunEventBody, StateRouter | undefined> {
  const fitting = callbackToAsyncGenerator<RouterFitting, StateRouter | undefined>((onProgress) =>
    model.fitRouter(state, stage, { signal, onProgress }),
  );
  for (;;) {
    const next = await fitting.next();
    if (next.done) return next.value;
    yield { type: "router-fitting", task, ...next.value };
  }
}

async function* evaluate(
  context: RunContext,
  state: ModelState,
  index: number,
): AsyncGenerator<RunEventBody, Evaluation> {
  const { stream, model, evaluator, time, source, pieces, workspace, recorder, signal } = context;
  const router = yield* fitRouter(context, state, index);
  const last = index === stream.tasks.length - 1;
  // What tells unknown texts is fitted for the last state alone.
  if (router !== undefined && (last || model.settings.router?.rejectRate === undefined))
    await workspace.writeRouter({ stage: router.stage, files: await router.files({ signal }) });
  // A store would answer with it at first; what that costs is reported once.
  const immediate =
    last && model.routerStages(state).includes("immediate")
      ? yield* fitRouter(context, state, index, "immediate")
      : undefined;
  const tested = stream.tasks.slice(0, index + 1);
  const known = model.routesByAdapters ? undefined : source?.evaluationOf(index);
  const { value, seconds } = await time.evaluation(
    () =>
      evaluator.evaluate(state, tested, { router, immediate, known, next: stream.tasks[index + 1], signal }),
    pieces?.evalSeconds(index),
  );
  const exact = known === undefined ? [] : ((await source?.exactPredictions(index + 1)) ?? []);
  await recorder.recordPredictions([...exact, ...value.predictions]);
  const evaluation: Evaluation = { ...value.figures, task: index, seconds };
  yield evaluation;
  return evaluation;
}

/** Probes what is learned by now, where the run probes and has not done it yet. */
async function* probe(
  { probing, time, signal }: RunContext,
  done: Map<number, ProbedRow>,
  learned: number,
  newest?: LearnedTask,
): AsyncGenerator<RunEventBody> {
  if (probing === undefined || done.has(learned)) return;
  const { value, seconds } = await time.probing(() => probing.measure(newest, signal));
  const row = { type: "probed", learned, accuracies: value, seconds } as const;
  done.set(learned, row);
  yield row;
}

async function* learnStream(context: RunContext, saved: ModelState): AsyncGenerator<RunEventBody> {
  const { stream, config, time, model, recorder, workspace, signal } = context;
  const rows = new Map<number, Evaluation>();
  const probed = new Map<number, ProbedRow>();
  for (const event of recorder.pastEvents) {
    if (isEvaluation(event)) rows.set(event.task, event);
    if (event.type === "probed") probed.set(event.learned, event);
    time.replay(event);
  }
  yield* probe(context, probed, 0);
  let state = emptyState;
  for (const index of stream.tasks.keys()) {
    if (index === context.options.tasks) return;
    const known = saved.tasks[index];
    state =
      known === undefined ? yield* learnTask(context, state, index) : { tasks: [...state.tasks, known] };
    if (!rows.has(index)) rows.set(index, yield* evaluate(context, state, index));
    yield* probe(context, probed, index + 1, state.tasks[index]?.learned);
  }
  const figures = computeFigures(config.level, [...rows.values()], stream.tasks.map(outlineOf));
  const probing = computeProbing([...probed.values()]);
  const recorded = recorder.pastEvents.find((event) => event.type === "baseline-measured")?.baseline;
  const baseline =
    recorded ?? context.pieces?.baseline ?? (await measureBaseline(model, stream.tasks, signal));
  if (recorded === undefined) yield { type: "baseline-measured", baseline };
  const extra = await computeExtra(figures, stream.tasks.map(outlineOf), () =>
    readPredictions(workspace.path),
  );
  const metrics = {
    ...figures,
    ...(probing !== undefined && { probing }),
    baseline,
    ...(extra && { extra }),
    cost: time.cost(),
  };
  yield { type: "run-finished", metrics };
}

/** What the user is told before the first task. */
function notesOf({ config, stream, model, workspace, source }: Omit<RunContext, "time">): string[] {
  const { brokenLock } = workspace;
  const { folder } = model.loaded;
  return [
    ...(brokenLock === undefined
      ? []
      : [`broke the lock that process ${brokenLock.pid} on ${brokenLock.hostname} had left when it died`]),
    ...stream.notes,
    ...folder.notes,
    ...(config.feature.pooling === "cls" && folder.poolingConfig?.pooling === "mean"
      ? [
          `feature.pooling is cls, but ${folder.path} was made to pool by mean: its first token does not stand for the text.`,
        ]
      : []),
    ...(source === undefined
      ? []
      : [
          `Adapters are taken from ${source.path}, and so are exact figures where nothing here reads the logits behind them; trainSeconds and evalSeconds hold only the rest.`,
        ]),
  ];
}

async function* experiment(
  context: Omit<RunContext, "time">,
  resumed: boolean,
): AsyncGenerator<RunEventBody> {
  const { config, stream, model, workspace, recorder, evaluator, pieces } = context;
  await beginRun(workspace, config, headerOf(config, stream, model, pieces));
  if (recorder.pastEvents.some(({ type }) => type === "run-finished")) return;
  yield { type: "run-started", header: describeRun(config, stream, model) };
  const saved = await readState(workspace.path, workspace.manifest!, model);
  if (resumed) yield { type: "run-resumed", finishedTasks: saved.tasks.length };
  for (const message of notesOf(context)) yield { type: "warning", message };
  for (const message of evaluator.prepare(stream.tasks[0]!)) yield { type: "warning", message };
  const time = new Timekeeper(stream.tasks.map(({ train }) => model.plannedSteps(train.length)));
  yield* learnStream({ ...context, time }, saved);
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
  checkArguments("runExperiment", { config, options });
  checkResolved(config, "runExperiment");
  const { resume = false, adaptersFrom, places = {}, signal } = options;
  const here = placedAt(config, places);
  await checkRunFolder(config, { resume, at: here.out });
  const source = adaptersFrom === undefined ? undefined : await AdapterSource.open(adaptersFrom, config);
  // Before data and weights are read: a stream may be long and a model large, and both in vain.
  const { backbone, backboneRevision, precision, method, head, level } = here;
  const family = await readArchitecture(backbone, backboneRevision, signal);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  const stream = await loadTasks(here);
  const found = await loadBackbone(backbone, { revision: backboneRevision, precision, signal });
  // Adapters name the backbone as the configuration does, wherever it lies here.
  const loaded = { ...found, folder: { ...found.folder, source: config.backbone } };
  await using model = await openModel(settingsOf(config), loaded, {
    trunks: "disk",
    alone: true,
    ...(options.profile === true && {
      openDevice: async (device) => profiling(await openDevice(device), join(here.out, profileFolder)),
    }),
    expectedLabels: stream.tasks.flatMap(({ labels }) => labels),
    tasks: stream.tasks.length,
  });
  checkReadable(model, stream);
  source?.check(headerOf(config, stream, model), stream.tasks);
  const pieces =
    options.pieces === undefined ? undefined : await Pieces.open(options.pieces, config, stream.tasks);
  const { workspace: folder, resumed } = await openRunFolder(config, { resume, at: here.out });
  await using workspace = folder;
  await using recorder = await Recorder.open(workspace.path);
  const evaluator = model.openEvaluator({
    outOfScope: stream.outOfScope,
    outOfScopeAfter: stream.tasks.length,
    outputs: pieces && ((task, test) => pieces.outputs(task, test)),
  });
  const probing = openProbing(config, model, stream.tasks);
  const opened = { config, workspace, recorder, stream, model, evaluator };
  const context = { ...opened, probing, source, pieces, options, signal };
  for await (const body of experiment(context, resumed)) {
    const event: RunEvent = { time: new Date().toISOString(), ...body };
    await recorder.record(event);
    yield event;
  }
}
