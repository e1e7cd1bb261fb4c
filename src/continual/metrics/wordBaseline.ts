// Dimensions: n words, F hash buckets, C tags.
/**
 * The baseline under every result on words: what a classifier reaches that sees how a word and its two neighbours are spelt.
 * Hashed n-grams and shapes with a Gaussian of shared covariance over them, no network.
 */
import type { BaselineMetrics } from "../../core/record.ts";
import { OUTSIDE, type TaggedSentence } from "../../data/files/tags.ts";
import { maskTypes, type WordTask } from "../../data/wordStream.ts";
import { sha256 } from "../../portable/hash.ts";
import { type Compile, type FittedRouter, RouterFitter } from "../routers/fit.ts";
import { OUTSIDE_BIASES } from "../routing/wordFusionFit.ts";
import { quantize, takeRows } from "../statistics/fixedRows.ts";
import { ClassStatistics, type Contribution } from "../statistics/statistics.ts";
import { joinRows } from "../statistics/totals.ts";
import { drawRows, drawStatistics, MOST_WORDS_OF_A_TAG } from "../statistics/wordStatistics.ts";
import {
  countEntities,
  type EntityCount,
  type EntityCounts,
  poolCounts,
  scoreCounts,
} from "../taskTypes/entityMetrics.ts";
import type { FeatureRows, FixedRows, Posterior } from "../types.ts";
import { addGrams, bestColumn } from "./baseline.ts";

/** F: half the buckets that texts have; a word has fewer n-grams. */
const BUCKETS = 1024;

/** Lengths of the character n-grams of a word and its borders. */
const SHORTEST = 2;
const LONGEST = 4;

/** Words whose features are in memory at once. */
const WORDS_AT_ONCE = 2048;

type Sentence = Pick<TaggedSentence, "words">;

/** Capitals, small letters, digits and the rest, runs of one kind once: `iPhone-4s` is `xXx-dx`. */
function shapeOf(word: string): string {
  return word
    .replace(/\p{Lu}+/gu, "\u0001")
    .replace(/\p{L}+/gu, "x")
    .replaceAll("\u0001", "X")
    .replace(/\p{N}+/gu, "d");
}

function gramsOf(words: readonly string[], at: number): string[] {
  const word = (words[at] ?? "").normalize("NFC");
  const bounded = `<${word.toLowerCase()}>`;
  const grams = [`w ${bounded}`, `s ${shapeOf(word)}`];
  for (let size = SHORTEST; size <= LONGEST; size++)
    for (let i = 0; i + size <= bounded.length; i++) grams.push(`c ${bounded.slice(i, i + size)}`);
  for (const [side, place] of [
    ["before", at - 1],
    ["after", at + 1],
  ] as const) {
    const neighbour = words[place]?.normalize("NFC") ?? "";
    grams.push(`${side} ${neighbour.toLowerCase()}`, `${side} s ${shapeOf(neighbour)}`);
  }
  return grams;
}

/**
 * A word, its shape and its character n-grams, with its neighbours and their shapes, hashed with a sign; square roots of
 * the counts, each word scaled to length 1.
 * @param places (n), of the words in their sentences
 * @returns (n, 1024)
 */
export function spellingFeatures(places: readonly Place[]): FeatureRows {
  const values = new Float32Array(places.length * BUCKETS);
  places.forEach(({ words, at }, row) => {
    addGrams(gramsOf(words, at), values.subarray(row * BUCKETS, (row + 1) * BUCKETS));
  });
  return { rows: places.length, width: BUCKETS, values };
}

/** A word in its sentence. */
export interface Place extends Sentence {
  readonly at: number;
}

function placesOf(sentences: readonly Sentence[]): Place[] {
  return sentences.flatMap(({ words }) => words.map((_, at) => ({ words, at })));
}

/**
 * At most {@link MOST_WORDS_OF_A_TAG} rows of each tag of a task, as a router keeps them. `O` is what the task's own labels call so: words of other tasks' types are among it.
 */
function rowsOfTags({ labels, train }: WordTask): Contribution[] {
  const byTag = new Map<string, FixedRows>(
    [OUTSIDE, ...labels].map((label) => [label, joinRows([], BUCKETS)]),
  );
  const places = placesOf(train);
  const tags = train.flatMap((sentence) => sentence.tags);
  for (let from = 0; from < places.length; from += WORDS_AT_ONCE) {
    const rows = quantize(spellingFeatures(places.slice(from, from + WORDS_AT_ONCE)));
    for (const [tag, had] of byTag) {
      const own = [...Array(rows.rows).keys()].filter((row) => tags[from + row] === tag);
      if (own.length === 0) continue;
      // A draw from the union is a draw from the draws, so no more than a block is in memory beside what is kept.
      byTag.set(tag, drawRows(joinRows([had, takeRows(rows, own)], BUCKETS), MOST_WORDS_OF_A_TAG));
    }
  }
  return [...byTag].map(([label, rows]) => ({ label, rows }));
}

async function fitTags(
  tasks: readonly WordTask[],
  fitter: RouterFitter,
  signal?: AbortSignal,
): Promise<FittedRouter> {
  const constants = { backbone: sha256("hashed spellings"), layers: [0], width: BUCKETS, seed: 0 };
  const statistics = drawStatistics(ClassStatistics.empty(constants).with(tasks.flatMap(rowsOfTags)));
  return await fitter.fit(statistics, { kind: "lda", seed: 0, ...(signal && { signal }) });
}

/** A way to read tags off posteriors: which columns are in play, and what is added to `O`. */
interface Reading {
  readonly columns: readonly number[];
  readonly bar: number;
}

function readTag(posterior: Posterior, row: number, labels: readonly string[], reading: Reading): string {
  const inside = bestColumn(
    posterior,
    row,
    reading.columns.filter((column) => labels[column] !== OUTSIDE),
  );
  const outside = labels.indexOf(OUTSIDE);
  if (inside === undefined) return OUTSIDE;
  const at = (column: number) =>
    posterior.values[row * posterior.classes + column] ?? Number.NEGATIVE_INFINITY;
  return at(inside) > at(outside) + reading.bar ? (labels[inside] ?? OUTSIDE) : OUTSIDE;
}

/** Every word's tag in every reading. @returns by reading, by sentence */
async function readTags(
  router: FittedRouter,
  sentences: readonly Sentence[],
  readings: readonly Reading[],
  signal?: AbortSignal,
): Promise<string[][][]> {
  const places = placesOf(sentences);
  const tags = readings.map((): string[] => []);
  for (let from = 0; from < places.length; from += WORDS_AT_ONCE) {
    const features = spellingFeatures(places.slice(from, from + WORDS_AT_ONCE));
    const posterior = await router.posterior(features, signal);
    readings.forEach((reading, i) => {
      for (let row = 0; row < posterior.rows; row++)
        tags[i]?.push(readTag(posterior, row, router.labels, reading));
    });
  }
  return tags.map((words) => {
    let next = 0;
    return sentences.map((sentence) => {
      const from = next;
      next += sentence.words.length;
      return words.slice(from, next);
    });
  });
}

function count(sentences: readonly TaggedSentence[], tags: readonly (readonly string[])[]): EntityCounts {
  return countEntities(
    sentences.map((sentence) => sentence.tags),
    tags,
  );
}

/** Where no sentence says how high the bar lies: LDA takes all tags for equally frequent, and nearly all words are `O`. */
const UNTOLD_BAR = 2;

/** The bar of `O` with the highest micro F1 on the tasks' validation sentences, each for its own types; the first of equals. */
async function chooseBar(
  router: FittedRouter,
  tasks: readonly WordTask[],
  signal?: AbortSignal,
): Promise<number> {
  if (tasks.every(({ validation }) => validation.length === 0)) return UNTOLD_BAR;
  const columns = [...router.labels.keys()];
  const readings = OUTSIDE_BIASES.map((bar) => ({ columns, bar }));
  const found = readings.map((): EntityCounts[] => []);
  for (const { validation, types } of tasks) {
    const tags = await readTags(router, validation, readings, signal);
    tags.forEach((own, i) => {
      found[i]?.push(ofTypes(count(validation, own), types));
    });
  }
  const scores = found.map((parts) => scoreCounts(poolCounts(parts)).micro.f1);
  return OUTSIDE_BIASES[scores.indexOf(Math.max(...scores))] ?? UNTOLD_BAR;
}

/** Of other types a task's own sentences have no tags, so what is found of them is neither right nor wrong. */
function ofTypes(counts: EntityCounts, types: readonly string[]): EntityCounts {
  return new Map<string, EntityCount>([...counts].filter(([type]) => types.includes(type)));
}

/**
 * The baseline after the last task: micro F1 of whole entities, as the run's own figures. A Gaussian classifier forgets
 * nothing and does not mind the order of tasks.
 * @param tasks their test sets are the same sentences, with the types seen by then
 * @param compile of an engine, for the linear algebra
 */
export async function measureWordBaseline(
  tasks: readonly WordTask[],
  compile: Compile,
  signal?: AbortSignal,
): Promise<BaselineMetrics> {
  const start = performance.now();
  await using fitter = new RouterFitter(compile);
  const router = await fitTags(tasks, fitter, signal);
  const bar = await chooseBar(router, tasks, signal);
  const test = tasks.at(-1)?.test ?? [];
  // Class-incremental prediction has all tags in play, a task's own its tags and `O`.
  const inPlay = [router.labels, ...tasks.map((task) => task.labels)];
  const readings = inPlay.map((own) => ({ columns: own.map((label) => router.labels.indexOf(label)), bar }));
  const [all = [], ...own] = await readTags(router, test, readings, signal);
  const til = tasks.map(({ types }, j) => count(maskTypes(test, types), own[j] ?? []));
  return {
    method: "hashed spellings, LDA",
    cil: scoreCounts(count(test, all)).micro.f1,
    til: scoreCounts(poolCounts(til)).micro.f1,
    seconds: (performance.now() - start) / 1000,
  };
}
