// Dimensions: n words, C tags of the router, T tasks, k tasks that a second pass asks.
/** From a router's posterior over tags to the tags of a sentence, and the evidence of adapters where a type is plausible. */

import { likeliestTags, type TagChain } from "../taskTypes/tagSequence.ts";
import type { OutsideRule, WordChoice } from "../taskTypes/wordPrediction.ts";
import { type Logits, type Posterior, rowOf } from "../types.ts";
import { type ClassLayout, largestOf, layOut } from "./fusion.ts";

/** When a second pass is made, and how much its evidence counts. */
export interface WordFusion {
  /** Added to the log-probability of `O`: how much a word has to speak for an entity. */
  readonly outside: number;
  /** A task is asked about a sentence in which the router gives some word this probability or more to be of its types. */
  readonly plausible: number;
  /** r and w in log p(tag) = r · log p_router(tag) + w · log p_heads(tag). */
  readonly router: number;
  readonly heads: number;
  /** k; 0: the router's word is final. */
  readonly topTasks: number;
}

/** Nothing speaks for a second pass, nor for another bar than the training data's. */
export const routerAlone: WordFusion = { outside: 0, plausible: 1, router: 1, heads: 0, topTasks: 0 };

export interface TagLayout extends ClassLayout {
  /** The column of `O`. */
  readonly outside: number;
  /** Whose `O` the heads compete with. */
  readonly rule: OutsideRule;
  /** By task, whether it has an adapter that can be asked. */
  readonly askable: readonly boolean[];
}

/** @param tasks labels of each task's head, in the order of learning */
export function layOutTags(
  labels: readonly string[],
  outside: string,
  tasks: readonly { readonly labels: readonly string[]; readonly learned?: unknown }[],
  rule: OutsideRule,
): TagLayout {
  const askable = tasks.map(({ learned }) => learned !== undefined);
  return { ...layOut(labels, tasks), outside: labels.indexOf(outside), rule, askable };
}

/**
 * Adds a bias a tag to log-probabilities, and brings each word's back to a sum of 1.
 * @param biases (C)
 */
export function biased({ rows, classes, values }: Posterior, biases: ArrayLike<number>): Posterior {
  const result = new Float64Array(values.length);
  for (let start = 0; start < values.length; start += classes) {
    let peak = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) peak = Math.max(peak, values[start + c]! + biases[c]!);
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += Math.exp(values[start + c]! + biases[c]! - peak);
    const log = peak + Math.log(sum);
    for (let c = 0; c < classes; c++) result[start + c] = values[start + c]! + biases[c]! - log;
  }
  return { rows, classes, values: result };
}

/** The posterior with `O` raised by that much. */
export function raiseOutside(posterior: Posterior, { outside: column }: TagLayout, by: number): Posterior {
  if (by === 0) return posterior;
  return biased(
    posterior,
    Float64Array.from({ length: posterior.classes }, (_, c) => (c === column ? by : 0)),
  );
}

/** A sentence's words: rows `from` up to, not including, `to` of a posterior. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What a task's head says of the tokens of a sentence that begin words, (words, slots). */
export interface WordEvidence {
  readonly task: number;
  readonly logits: Logits;
}

/** (T): the largest probability that some word of the sentence is of a type of the task. */
export function plausibility(
  { values, classes }: Posterior,
  { from, to }: Span,
  layout: TagLayout,
): Float64Array {
  return Float64Array.from(layout.columns, (own) => {
    let most = 0;
    for (let word = from; word < to; word++) {
      let sum = 0;
      for (const column of own)
        if (column >= 0 && column !== layout.outside) sum += Math.exp(values[word * classes + column]!);
      most = Math.max(most, sum);
    }
    return most;
  });
}

/**
 * The tasks whose adapters run on a sentence: the likeliest k that are plausible, and with `outside: first` the first one,
 * whose `O` all heads compare with. None where no task is plausible.
 * @param posterior with `O` raised already
 */
export function tasksOfSentence(
  posterior: Posterior,
  span: Span,
  layout: TagLayout,
  fusion: Pick<WordFusion, "plausible" | "topTasks">,
): readonly number[] {
  if (fusion.topTasks === 0 || span.to === span.from) return [];
  return tasksAmong(plausibility(posterior, span, layout), layout, fusion);
}

/** The same from the tasks' plausibilities (T). */
export function tasksAmong(
  most: Float64Array,
  layout: TagLayout,
  { plausible, topTasks }: Pick<WordFusion, "plausible" | "topTasks">,
): readonly number[] {
  const asked = largestOf(most, topTasks).filter((task) => most[task]! >= plausible && layout.askable[task]!);
  if (asked.length === 0) return [];
  return [...new Set(layout.rule === "first" ? [0, ...asked] : asked)].sort((a, b) => a - b);
}

/** What the heads that were asked give a word's tags, compared as exact answers compare them. */
function headLogits(
  evidence: readonly WordEvidence[],
  word: number,
  { columns, outside, rule }: TagLayout,
): readonly { readonly column: number; readonly logit: number }[] {
  const heads = evidence.map(({ task, logits }) => ({ own: columns[task]!, row: rowOf(logits, word) }));
  const found = heads.flatMap(({ own, row }) =>
    Array.from(own, (column, slot) => ({
      column,
      logit: rule === "own" ? row[slot]! - row[0]! : row[slot]!,
    })),
  );
  if (rule === "first") return found.filter(({ column }) => column >= 0);
  // Where several heads know a tag, the surest speaks for it.
  const tags = new Map<number, number>();
  for (const { column, logit } of found)
    if (column >= 0 && column !== outside)
      tags.set(column, Math.max(logit, tags.get(column) ?? Number.NEGATIVE_INFINITY));
  return [{ column: outside, logit: 0 }, ...Array.from(tags, ([column, logit]) => ({ column, logit }))];
}

/**
 * A word's probabilities (C). The tags of all heads that were asked share what the router gives them together anew, the
 * others keep what they have.
 */
function fuseWord(
  logs: Float64Array,
  evidence: readonly WordEvidence[],
  word: number,
  layout: TagLayout,
  { router, heads }: Pick<WordFusion, "router" | "heads">,
): Float64Array {
  const said = headLogits(evidence, word, layout);
  const peak = said.reduce((most, { logit }) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const log = peak + Math.log(said.reduce((sum, { logit }) => sum + Math.exp(logit - peak), 0));
  const probabilities = logs.map(Math.exp);
  let share = 0;
  const values = said.map(({ column, logit }) => {
    share += probabilities[column]!;
    return router * logs[column]! + heads * (logit - log);
  });
  const top = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const total = values.reduce((sum, value) => sum + Math.exp(value - top), 0);
  said.forEach(({ column }, i) => {
    probabilities[column] = (share * Math.exp(values[i]! - top)) / total;
  });
  return probabilities;
}

/**
 * The tag of each word of a sentence that has a token: together the likeliest that can stand beside each other.
 * @param posterior with `O` raised already
 * @param evidence of the tasks that were asked, in the order of learning; none: the router alone answers
 */
export function chooseOfSentence(
  posterior: Posterior,
  { from, to }: Span,
  evidence: readonly WordEvidence[],
  chain: TagChain,
  layout: TagLayout,
  fusion: Pick<WordFusion, "router" | "heads">,
): readonly WordChoice[] {
  const { classes, values } = posterior;
  const words = Array.from({ length: to - from }, (_, word) => {
    const logs = values.slice((from + word) * classes, (from + word + 1) * classes);
    return evidence.length === 0 ? logs : fuseWord(logs, evidence, word, layout, fusion).map(Math.log);
  });
  return likeliestTags(words, chain).map((tag, word) => ({
    tag: chain.labels[tag]!,
    probability: Math.exp(words[word]![tag]!),
  }));
}
