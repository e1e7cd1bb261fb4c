/** What a sweep will take: a few steps of its configurations are computed here, and counted up. */
import type { ResolvedConfig } from "../config/schema.ts";
import { AccreteError } from "../core/errors.ts";
import { largestHead, parametersPerTask } from "../experiment/plan.ts";
import { type LoadedStream, loadTasks, type StreamTask } from "../experiment/stream.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone } from "../model/settings/backbone.ts";
import { settingsOf } from "../model/settings/settings.ts";
import { emptyState, type TaskState } from "../model/state.ts";
import type { SweepPlan, Trial } from "./plan.ts";

/** Of one trial, or of all. */
export interface Estimate {
  /** Of this machine with nothing else to do. */
  readonly seconds: number;
  readonly bytes: number;
}

/** Seconds that a text costs. */
interface Pace {
  readonly training: number;
  readonly answering: number;
}

const probedBatches = 3;
const probedTexts = 64;

async function learnProbe(model: ContinualModel, task: StreamTask, config: ResolvedConfig) {
  const train = task.train.slice(0, probedBatches * config.training.batchSize);
  const learning = model.learn(emptyState, { ...task, train }, { checked: true });
  let examples = 0;
  let since = 0;
  let seconds = 0;
  for (;;) {
    const next = await learning.next();
    if (next.done) return { state: next.value.state, training: seconds / Math.max(1, examples) };
    if (next.value.type !== "step") continue;
    const now = performance.now();
    // The first step also compiles the graph.
    if (since > 0) {
      examples += next.value.examples;
      seconds += (now - since) / 1000;
    }
    since = now;
  }
}

async function answerProbe(
  model: ContinualModel,
  tasks: readonly TaskState[],
  task: StreamTask,
): Promise<number> {
  const learned = tasks.flatMap((each) => each.learned ?? []);
  const items = task.test.slice(0, probedTexts);
  const encoded = model.type.encode(items);
  await model.type.answer(learned, encoded);
  const begin = performance.now();
  await model.type.answer(learned, encoded);
  return (performance.now() - begin) / 1000 / Math.max(1, items.length);
}

async function measure(config: ResolvedConfig, stream: LoadedStream, signal: AbortSignal) {
  const { backbone, backboneRevision: revision, precision } = config;
  const loaded = await loadBackbone(backbone, { revision, precision, signal });
  const { earlyStopping: _, ...training } = config.training;
  const short = settingsOf({ ...config, training: { ...training, epochs: 1, minSteps: undefined } });
  await using model = await openModel(short, loaded, {
    trunks: "memory",
    expectedLabels: stream.tasks.flatMap(({ labels }) => labels),
    tasks: stream.tasks.length,
  });
  const [first] = stream.tasks;
  if (first === undefined) return undefined;
  const { state, training: seconds } = await learnProbe(model, first, config);
  const answering = await answerProbe(model, state.tasks, first);
  const parameters = parametersPerTask(model, largestHead(model, stream.tasks));
  return { pace: { training: seconds, answering }, parameters };
}

/** What a line of predictions.jsonl and a report take, on average. */
const bytesPerPrediction = 110;
const bytesPerReport = 250_000;

function estimateOf(
  { training }: ResolvedConfig,
  { tasks }: LoadedStream,
  { training: perExample, answering }: Pace,
  parameters: number,
): Estimate {
  const trained = tasks.reduce((sum, { train }) => sum + train.length, 0) * training.epochs;
  const tests = tasks.map(({ test }) => test.length);
  const all = tests.reduce((sum, count) => sum + count, 0);
  // Of both exact protocols, after each task on the tests so far.
  const lines = 2 * tests.reduce((sum, count, task) => sum + count * (tasks.length - task), 0);
  return {
    // Each adapter answers each test once.
    seconds: trained * perExample + tasks.length * all * answering,
    bytes: 4 * parameters * tasks.length + lines * bytesPerPrediction + bytesPerReport,
  };
}

/** What decides how long a step takes; the rest only counts steps. */
function paceKey({
  backbone,
  precision,
  method,
  head,
  level,
  prompt,
  training,
  threads,
}: ResolvedConfig): string {
  const { batchSize, maxLength } = training;
  return JSON.stringify([backbone, precision, method, head, level, prompt, batchSize, maxLength, threads]);
}

/** So many different ones are measured; others count like the first. */
const mostMeasured = 4;

/**
 * @returns undefined where nothing can be measured: the trials themselves say why
 * @throws ConfigError, DataError, CheckpointError for a backbone or data that no trial could use
 */
export async function estimateSweep(
  { trials, seeds }: Pick<SweepPlan, "trials" | "seeds">,
  signal: AbortSignal,
): Promise<Estimate | undefined> {
  const one: readonly Trial[] = trials.filter(({ seed }) => seed === seeds[0]);
  const measured = new Map<string, { readonly pace: Pace; readonly parameters: number }>();
  const sum = { seconds: 0, bytes: 0 };
  try {
    for (const { config } of one) {
      const stream = await loadTasks(config);
      const key = paceKey(config);
      if (!measured.has(key) && measured.size < mostMeasured) {
        const found = await measure(config, stream, signal);
        if (found !== undefined) measured.set(key, found);
      }
      const known = measured.get(key) ?? [...measured.values()][0];
      if (known === undefined) return undefined;
      const { seconds, bytes } = estimateOf(config, stream, known.pace, known.parameters);
      sum.seconds += seconds * seeds.length;
      sum.bytes += bytes * seeds.length;
    }
    return sum;
  } catch (error) {
    if (error instanceof AccreteError && error.exitCode === 1) return undefined;
    throw error;
  }
}
