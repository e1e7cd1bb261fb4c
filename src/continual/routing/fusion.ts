// Dimensions: n texts, C classes of the router, T tasks, k tasks that a second pass asks.
/** From a posterior over classes to an answer, and the evidence of adapters where the answer is not sure yet. */
import type { Posterior, SecondPass } from "../types.ts";

/** When a second pass is made, and how much its evidence counts. */
export interface Fusion {
  /** Texts whose likeliest class has this probability or more after the first pass get no second. */
  readonly confident: number;
  /** w in log p(class) = log p_router(class) + w · log softmax_head(class | task). */
  readonly weight: number;
  /** k: how many tasks are asked. */
  readonly topTasks: number;
}

/** The router's word is final. */
export const firstPassOnly: Fusion = { confident: 0, weight: 0, topTasks: 0 };

/** From this probability of the likeliest class on, `secondPass: unsure` asks no head. */
const SURE = 0.8;
/** How much the heads' evidence counts beside the router's. */
const HEADS_WEIGHT = 0.5;

/** Every second pass, by how many tasks it asks. */
export const secondPassFusions: { readonly [P in SecondPass]: (topTasks: number) => Fusion } = {
  off: () => firstPassOnly,
  unsure: (topTasks) => ({ confident: SURE, weight: HEADS_WEIGHT, topTasks }),
  always: (topTasks) => ({ confident: Number.POSITIVE_INFINITY, weight: HEADS_WEIGHT, topTasks }),
};

/** Which classes are whose. */
export interface ClassLayout {
  /** C */
  readonly classes: number;
  /** For every task the router's column of each slot of its head; −1 where the router does not know the label. */
  readonly columns: readonly Int32Array[];
}

/**
 * @param labels the router's, in the order of its columns
 * @param tasks labels of each task's head, in slot order; several tasks may have a label
 */
export function layOut(
  labels: readonly string[],
  tasks: readonly { readonly labels: readonly string[] }[],
): ClassLayout {
  const column = new Map(labels.map((label, i) => [label, i]));
  return {
    classes: labels.length,
    columns: tasks.map((task) => Int32Array.from(task.labels, (label) => column.get(label) ?? -1)),
  };
}

/** exp of one row of a posterior: (C). */
export function probabilitiesOf({ classes, values }: Posterior, row: number): Float64Array {
  return values.slice(row * classes, (row + 1) * classes).map(Math.exp);
}

/**
 * p(task) = Σ p(class) over the classes of the task, (T): a label of several tasks counts for each, so the sum over tasks
 * may exceed 1.
 */
export function taskProbabilities(probabilities: Float64Array, { columns }: ClassLayout): Float64Array {
  return Float64Array.from(columns, (own) => {
    let sum = 0;
    for (const column of new Set(own)) if (column >= 0) sum += probabilities[column]!;
    return sum;
  });
}

/** The place of the largest; the first of equals; −1 of nothing. */
export function largest(values: ArrayLike<number>): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) if (best < 0 || values[i]! > values[best]!) best = i;
  return best;
}

/** The places of the `count` largest, largest first; the first of equals. */
export function largestOf(values: ArrayLike<number>, count: number): number[] {
  if (count === 1) return values.length === 0 ? [] : [largest(values)];
  const order = Array.from({ length: values.length }, (_, i) => i);
  return order.sort((a, b) => values[b]! - values[a]! || a - b).slice(0, count);
}

/**
 * The tasks that a second pass of a text asks, likeliest first; none where the first pass is sure.
 * @param probabilities (C), after the first pass
 */
export function tasksToAsk(probabilities: Float64Array, layout: ClassLayout, fusion: Fusion): number[] {
  if (fusion.topTasks === 0 || probabilities[largest(probabilities)]! >= fusion.confident) return [];
  return largestOf(taskProbabilities(probabilities, layout), fusion.topTasks);
}

/** A task's head on a text. */
export interface HeadEvidence {
  readonly task: number;
  /** One a slot. */
  readonly logits: Float32Array;
}

/** log softmax over the slots whose label the router knows. */
function logSoftmax(logits: Float32Array, columns: Int32Array): Float64Array {
  let peak = Number.NEGATIVE_INFINITY;
  for (let slot = 0; slot < logits.length; slot++)
    if (columns[slot]! >= 0) peak = Math.max(peak, logits[slot]!);
  let total = 0;
  for (let slot = 0; slot < logits.length; slot++)
    if (columns[slot]! >= 0) total += Math.exp(logits[slot]! - peak);
  const offset = peak + Math.log(total);
  return Float64Array.from(logits, (logit) => logit - offset);
}

/** Fused evidence, and which task spoke for a class. */
export interface FusedRow {
  /** (C), summing to what the posterior summed to. */
  readonly probabilities: Float64Array;
  /** Class → the task whose head made the evidence. */
  readonly spoke: ReadonlyMap<number, number>;
}

/**
 * The classes of the tasks that were asked share what the router gives them together anew, by
 * log p(class) = log p_router(class) + w · log softmax_head(class | task); the others keep what they have. Where two
 * tasks that were asked have a label, the surer head speaks.
 * @param logPosterior (C)
 * @param evidence of the tasks that were asked
 */
export function fuse(
  logPosterior: Float64Array,
  evidence: readonly HeadEvidence[],
  { columns }: ClassLayout,
  weight: number,
): FusedRow {
  const heard = new Map<number, { readonly task: number; readonly logProbability: number }>();
  for (const { task, logits } of evidence) {
    const own = columns[task]!;
    logSoftmax(logits, own).forEach((logProbability, slot) => {
      const column = own[slot]!;
      const before = heard.get(column);
      if (column >= 0 && (before === undefined || before.logProbability < logProbability))
        heard.set(column, { task, logProbability });
    });
  }
  const probabilities = logPosterior.map(Math.exp);
  let share = 0;
  let peak = Number.NEGATIVE_INFINITY;
  const fused = new Map<number, number>();
  for (const [column, { logProbability }] of heard) {
    share += probabilities[column]!;
    const value = logPosterior[column]! + weight * logProbability;
    fused.set(column, value);
    peak = Math.max(peak, value);
  }
  let total = 0;
  for (const value of fused.values()) total += Math.exp(value - peak);
  for (const [column, value] of fused) probabilities[column] = (share * Math.exp(value - peak)) / total;
  return { probabilities, spoke: new Map([...heard].map(([column, { task }]) => [column, task])) };
}
