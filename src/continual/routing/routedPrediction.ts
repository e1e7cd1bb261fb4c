// Dimensions: n texts, F routing features, C classes of the router, T tasks.
/**
 * Routed inference: one pass with adapters off gives a posterior over classes; where that is not sure, the adapters of the
 * likeliest tasks are asked in one more pass, in which every text uses its own, and which goes on from where the first one
 * left the layers that no task adapts. What is routed is texts alone: no label, task or number of classes to come can reach
 * it.
 */
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { TrunkRows } from "../passes/trunkRows.ts";
import type { FittedRouter } from "../routers/fit.ts";
import type { Assessment } from "../routers/routerModel.ts";
import type { PredictionSet } from "../routers/scores/conformal.ts";
import type { LearnedTask, Posterior, RoutingFeatureSpec } from "../types.ts";
import {
  type ClassLayout,
  type Fusion,
  fuse,
  type HeadEvidence,
  largestOf,
  layOut,
  probabilitiesOf,
  taskProbabilities,
  tasksToAsk,
} from "./fusion.ts";

/** A task among which texts are routed. */
export interface RoutedTask {
  readonly name: string;
  /** In slot order. */
  readonly labels: readonly string[];
  /** Absent: its classes are told apart by statistics alone. */
  readonly learned?: LearnedTask;
}

/** Everything that routes. */
export interface Routing {
  readonly router: Pick<FittedRouter, "labels" | "assess">;
  readonly features: RoutingFeatureSpec;
  readonly fusion: Fusion;
  /** Texts that are likelier to be of no class get no label; absent: every text gets one. */
  readonly unknownThreshold?: number | undefined;
}

/** What is found of a text. */
export interface Decision {
  /** The likeliest, of a text that is rejected too. */
  readonly label: string;
  /** Its probability over all classes known. */
  readonly score: number;
  /** The number of its task: the likeliest one that has the label; undefined where none has. */
  readonly task: number | undefined;
  /** The likeliest classes, best first; `top[0]` is the answer. */
  readonly top: readonly { readonly label: string; readonly score: number }[];
  /** How many tasks' heads were heard. */
  readonly asked: number;
}

export interface RoutedAnswer extends Omit<Decision, "asked"> {
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
  /** The probability that the text is of no class learned. */
  readonly unknown?: number;
  /** Set where the text gets no label. */
  readonly rejected?: true;
  readonly set?: PredictionSet;
}

export interface RouteOptions {
  /** Classes that `top` holds at most; default 5. */
  readonly top?: number | undefined;
  /** Asks for sets of labels. */
  readonly coverage?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What tasks' heads say of texts: entry i is of text `rows[i]` by task `tasks[i]`. */
export type AskHeads = (
  tasks: readonly number[],
  rows: readonly number[],
) => Promise<readonly Float32Array[]>;

/**
 * Asks adapters anew: one mixed batch, in which every text uses its own.
 * @param trunk what the trunk gave for the texts: adapters go on from there
 */
export function askingHeads(
  model: AdaptedBackbone,
  tasks: readonly Pick<RoutedTask, "learned">[],
  encodings: readonly Encoding[],
  signal?: AbortSignal,
  trunk?: TrunkRows,
): AskHeads {
  const learned = tasks.flatMap((task) => task.learned ?? []);
  const places = new Map(learned.map((task, place) => [task, place]));
  return async (asked, rows) => {
    if (rows.length === 0) return [];
    // gatherEvidence asks no task without an adapter.
    const taskOf = Int32Array.from(asked, (task) => places.get(tasks[task]!.learned!)!);
    const texts = rows.map((row) => encodings[row]!);
    return await model.mixedLogits(learned, taskOf, texts, signal, trunk?.pick(rows));
  };
}

/** Evidence on each text whose first pass is not sure enough. */
export async function gatherEvidence(
  posterior: Posterior,
  layout: ClassLayout,
  fusion: Fusion,
  tasks: readonly Pick<RoutedTask, "learned">[],
  ask: AskHeads,
): Promise<ReadonlyMap<number, readonly HeadEvidence[]>> {
  const asked: number[] = [];
  const rows: number[] = [];
  for (let row = 0; row < posterior.rows; row++)
    for (const task of tasksToAsk(probabilitiesOf(posterior, row), layout, fusion)) {
      if (tasks[task]?.learned === undefined) continue;
      asked.push(task);
      rows.push(row);
    }
  const logits = await ask(asked, rows);
  const evidence = new Map<number, HeadEvidence[]>();
  rows.forEach((row, i) => {
    const own = evidence.get(row) ?? [];
    own.push({ task: asked[i]!, logits: logits[i]! });
    evidence.set(row, own);
  });
  return evidence;
}

/** The likeliest task that has a class; a head that was asked and spoke for it comes first. */
function taskOf(
  column: number,
  layout: ClassLayout,
  probabilities: Float64Array,
  spoke: ReadonlyMap<number, number>,
): number | undefined {
  const owner = spoke.get(column);
  if (owner !== undefined) return owner;
  const owners = layout.columns.flatMap((own, task) => (own.includes(column) ? [task] : []));
  const [only] = owners;
  if (owners.length < 2) return only;
  const byTask = taskProbabilities(probabilities, layout);
  return owners.reduce((best, task) => (byTask[task]! > byTask[best]! ? task : best));
}

const unasked: ReadonlyMap<number, number> = new Map();

/**
 * Answers from posteriors that are there already.
 * @param tasks in the order of learning
 * @param ask what the heads say of the texts
 * @returns one a text
 */
export async function decide(
  posterior: Posterior,
  tasks: readonly RoutedTask[],
  { router, fusion }: { readonly router: Pick<FittedRouter, "labels">; readonly fusion: Fusion },
  ask: AskHeads,
  top = 5,
): Promise<readonly Decision[]> {
  const layout = layOut(router.labels, tasks);
  const evidence = await gatherEvidence(posterior, layout, fusion, tasks, ask);
  return Array.from({ length: posterior.rows }, (_, row) => {
    const heard = evidence.get(row) ?? [];
    const logs = posterior.values.subarray(row * posterior.classes, (row + 1) * posterior.classes);
    const { probabilities, spoke } =
      heard.length === 0
        ? { probabilities: probabilitiesOf(posterior, row), spoke: unasked }
        : fuse(logs, heard, layout, fusion.weight);
    const ranked = largestOf(probabilities, top);
    const [best = 0] = ranked;
    const scored = ranked.map((i) => ({ label: router.labels[i]!, score: probabilities[i]! }));
    return {
      label: router.labels[best]!,
      score: probabilities[best]!,
      task: taskOf(best, layout, probabilities, spoke),
      top: scored,
      asked: heard.length,
    };
  });
}

/** Adds what the router says beside the posterior, and marks the texts that get no label. */
function complete(
  answers: readonly RoutedAnswer[],
  { unknown, sets }: Assessment,
  threshold = Number.POSITIVE_INFINITY,
): readonly RoutedAnswer[] {
  return answers.map((answer, row) => ({
    ...answer,
    unknown: unknown[row]!,
    ...(sets?.[row] && { set: sets[row] }),
    ...(unknown[row]! > threshold && { rejected: true as const }),
  }));
}

/**
 * Routes texts among everything learned, at most 1 + k passes each, less where adapters share a trunk. Other texts of the
 * call change no answer.
 * @param tasks in the order of learning
 * @returns one answer a text
 */
export async function route(
  model: AdaptedBackbone,
  tasks: readonly RoutedTask[],
  routing: Routing,
  encodings: readonly Encoding[],
  { top = 5, coverage, signal }: RouteOptions = {},
): Promise<readonly RoutedAnswer[]> {
  const { features: spec, router, fusion, unknownThreshold } = routing;
  const parts: (readonly RoutedAnswer[])[] = [];
  for (const { encodings: part, trunk } of model.twoPassParts(encodings, fusion.topTasks)) {
    const features = await model.routingFeatures(part, spec, signal, trunk);
    const assessed = await router.assess(features, { coverage, signal });
    const heads = askingHeads(model, tasks, part, signal, trunk);
    const decided = await decide(assessed.posterior, tasks, routing, heads, top);
    const answers = decided.map(({ asked, ...found }) => ({ ...found, passes: model.routedPassesOf(asked) }));
    parts.push(complete(answers, assessed, unknownThreshold));
  }
  return parts.flat();
}
