// Dimensions: n words, F routing features.
/** Words as routers see them: the mean of their tokens' features, and how many a tag keeps. */

import type { WordEncoding } from "../../data/encoding/wordEncoding.ts";
import { OUTSIDE, type TaggedSentence } from "../../data/files/tags.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { TrunkRows } from "../passes/trunkRows.ts";
import type { FeatureRows, FixedRows, LearnedTask, Posterior, Router, RoutingFeatureSpec } from "../types.ts";
import { FIXED_SCALE, hashRow, quantize, takeRows } from "./fixedRows.ts";
import { ClassStatistics, type Contribution } from "./statistics.ts";
import { joinRows } from "./totals.ts";

/**
 * Rows that a tag keeps at most, of a task and of all tasks together. Where nine words of ten are `O` this is what bounds
 * the statistics: 2·F bytes a row, so 15 MiB a tag with F = 1920.
 */
export const MOST_WORDS_OF_A_TAG = 4096;

/** Sentences whose tokens' features are in memory at once. */
const SENTENCES_AT_ONCE = 64;
/** Words whose features are in float32 at once. */
const WORDS_AT_ONCE = 2048;

/** The words of sentences that have a token, one after another. */
export interface WordRows {
  /** (n, F) */
  readonly rows: FixedRows;
  /** The words of sentence s are rows `starts[s]` up to, not including, `starts[s + 1]`. */
  readonly starts: readonly number[];
}

/** What is read through: the frozen backbone, or the first task's adapter. */
export interface WordFeatures extends RoutingFeatureSpec {
  readonly featureAdapter?: LearnedTask;
}

/**
 * The mean of each word's tokens, every layer's part brought back to length 1.
 * @param tokens (ids, F) of a sentence
 * @param layers whose parts stand side by side in F
 */
export function poolWords(
  { width, values }: FeatureRows,
  { firstTokens, end }: Pick<WordEncoding, "firstTokens" | "end">,
  layers: number,
): FeatureRows {
  const starts = firstTokens.filter((token) => token !== null);
  const pooled = new Float32Array(starts.length * width);
  const each = width / layers;
  starts.forEach((start, word) => {
    const row = pooled.subarray(word * width, (word + 1) * width);
    for (let token = start; token < (starts[word + 1] ?? end); token++)
      for (let i = 0; i < width; i++) row[i] = row[i]! + values[token * width + i]!;
    for (let from = 0; from < width; from += each) {
      let squares = 0;
      for (let i = from; i < from + each; i++) squares += row[i]! * row[i]!;
      const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
      for (let i = from; i < from + each; i++) row[i] = row[i]! * scale;
    }
  });
  return { rows: starts.length, width, values: pooled };
}

/**
 * One forward pass of every sentence: the features of its words.
 * @param trunk takes in what the trunk gives for the sentences
 */
export async function readWordRows(
  model: AdaptedBackbone,
  encodings: readonly WordEncoding[],
  { layers, featureAdapter }: WordFeatures,
  signal?: AbortSignal,
  trunk?: TrunkRows,
): Promise<WordRows> {
  const pieces: FixedRows[] = [];
  const starts = [0];
  for (let from = 0; from < encodings.length; from += SENTENCES_AT_ONCE) {
    const chunk = encodings.slice(from, from + SENTENCES_AT_ONCE);
    const room = trunk?.pick(chunk.map((_, i) => from + i));
    const features = await model.routingTokenFeatures(chunk, { layers }, signal, featureAdapter, room);
    chunk.forEach((encoding, i) => {
      const words = poolWords(features[i]!, encoding, layers.length);
      pieces.push(quantize(words));
      starts.push(starts.at(-1)! + words.rows);
    });
  }
  return { rows: joinRows(pieces, model.structure.backbone.width * layers.length), starts };
}

/** A router's word on every word, (n, C). */
export async function askOfWords(router: Router, rows: FixedRows, signal?: AbortSignal): Promise<Posterior> {
  const classes = router.labels.length;
  const values = new Float64Array(rows.rows * classes);
  for (let start = 0; start < rows.rows; start += WORDS_AT_ONCE) {
    const end = Math.min(rows.rows, start + WORDS_AT_ONCE);
    const part = rows.values.subarray(start * rows.width, end * rows.width);
    const features = {
      rows: end - start,
      width: rows.width,
      values: Float32Array.from(part, (value) => value / FIXED_SCALE),
    };
    values.set((await router.posterior(features, signal)).values, start * classes);
  }
  return { rows: rows.rows, classes, values };
}

/** Another order than that by which rows are held out. */
function drawOrder(values: Int16Array): number {
  let h = Math.imul(hashRow(values) ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return (h ^ (h >>> 13)) >>> 0;
}

function compareValues(a: Int16Array, b: Int16Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

/**
 * At most `most` rows, those that come first in an order of the rows' own hashes: a draw that hangs on no order of tasks,
 * and of which a draw from the union of two is a draw from the draws of both.
 */
export function drawRows(rows: FixedRows, most: number): FixedRows {
  if (rows.rows <= most) return rows;
  const { width, values } = rows;
  const drawn = Array.from({ length: rows.rows }, (_, row) => {
    const own = values.subarray(row * width, (row + 1) * width);
    return { row, own, order: drawOrder(own) };
  });
  drawn.sort((a, b) => a.order - b.order || compareValues(a.own, b.own));
  return takeRows(
    rows,
    drawn.slice(0, most).map(({ row }) => row),
  );
}

/** The tags of each sentence's words that have a token. */
export function tagsOfWords(
  encodings: readonly WordEncoding[],
  sentences: readonly Pick<TaggedSentence, "tags">[],
): readonly (readonly string[])[] {
  return encodings.map(
    ({ firstTokens }, s) => sentences[s]?.tags.filter((_, word) => firstTokens[word] !== null) ?? [],
  );
}

/** What a task's sentences give its tags. */
export interface WordContributions {
  /** One a tag, empty where no word has it. */
  readonly contributions: readonly Contribution[];
  /** Words of each tag before any was left out. */
  readonly totals: Readonly<Record<string, number>>;
}

/**
 * Sorts a task's words by their tags. `O` is what the task's own labels call so: entities of types that it does not learn
 * are among it, as they are when its adapter is trained.
 * @param labels the task's tags but `O`
 */
export function contributionsOfWords(
  { rows, starts }: WordRows,
  encodings: readonly WordEncoding[],
  sentences: readonly Pick<TaggedSentence, "tags">[],
  labels: readonly string[],
): WordContributions {
  const byTag = new Map<string, number[]>([OUTSIDE, ...labels].map((label) => [label, []]));
  tagsOfWords(encodings, sentences).forEach((tags, s) => {
    tags.forEach((tag, word) => {
      byTag.get(tag)?.push(starts[s]! + word);
    });
  });
  const totals = Object.fromEntries([...byTag].map(([label, own]) => [label, own.length]));
  const contributions = [...byTag].map(([label, own]) => ({
    label,
    rows: drawRows(takeRows(rows, own), MOST_WORDS_OF_A_TAG),
  }));
  return { contributions, totals };
}

/** Statistics in which no tag has more rows than {@link MOST_WORDS_OF_A_TAG}, whichever tasks they came from. */
export function drawStatistics(
  statistics: ClassStatistics,
  most: number = MOST_WORDS_OF_A_TAG,
): ClassStatistics {
  if (statistics.labels.every((label) => statistics.count(label) <= most)) return statistics;
  const { width } = statistics.constants;
  const drawn = statistics.labels.map((label): Contribution => {
    const own = statistics.contributions.filter((kept) => kept.label === label);
    const rows = joinRows(
      own.map((kept) => kept.rows),
      width,
    );
    return { label, rows: drawRows(rows, most) };
  });
  return ClassStatistics.empty(statistics.constants).with(drawn);
}
