// Dimensions: n texts, F hash buckets, C classes.
/**
 * The baseline under every result: what a classifier reaches that sees how words are spelt and nothing else. Hashed n-grams
 * with a Gaussian of shared covariance over them, no network; whatever does not beat it has learned nothing of language.
 */

import { FNV_OFFSET, hashIn, spreadBits } from "../../core/hashing.ts";
import type { BaselineMetrics } from "../../core/record.ts";
import type { Example, Task } from "../../data/files/types.ts";
import { sha256 } from "../../portable/hash.ts";
import { type Compile, RouterFitter } from "../routers/fit.ts";
import { quantize, takeRows } from "../statistics/fixedRows.ts";
import { ClassStatistics, type Contribution } from "../statistics/statistics.ts";
import type { FeatureRows, Posterior } from "../types.ts";

/** F: a second moment of 2,048² is factored in about a second. */
const BUCKETS = 2048;

/** Lengths of the character n-grams within a word and its borders. */
const SHORTEST = 3;
const LONGEST = 5;

/** FNV-1a over UTF-16 units, then murmur3's finaliser, so that bucket and sign are independent bits. */
function hashOf(gram: string): number {
  let h = FNV_OFFSET;
  for (let i = 0; i < gram.length; i++) h = hashIn(h, gram.charCodeAt(i));
  return spreadBits(h);
}

function ngramsOf(text: string): string[] {
  const words =
    text
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+|[^\p{L}\p{N}\s]/gu) ?? [];
  const grams = words.map((word) => `w ${word}`);
  for (let i = 1; i < words.length; i++) grams.push(`p ${words[i - 1]} ${words[i]}`);
  for (const word of words) {
    const bounded = `<${word}>`;
    for (let size = SHORTEST; size <= LONGEST; size++)
      for (let i = 0; i + size <= bounded.length; i++) grams.push(`c ${bounded.slice(i, i + size)}`);
  }
  return grams;
}

/**
 * Hashes n-grams with a sign into an empty row's buckets; square roots of the counts, the row scaled to length 1
 * (Weinberger et al. 2009, feature hashing).
 */
export function addGrams(grams: readonly string[], row: Float32Array): void {
  for (const gram of grams) {
    const hash = hashOf(gram);
    const bucket = hash % row.length;
    row[bucket] = row[bucket]! + (hash >>> 31 === 1 ? -1 : 1);
  }
  let squares = 0;
  for (let i = 0; i < row.length; i++) {
    const count = row[i]!;
    row[i] = Math.sign(count) * Math.sqrt(Math.abs(count));
    squares += Math.abs(count);
  }
  const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares);
  for (let i = 0; i < row.length; i++) row[i] = row[i]! * scale;
}

/**
 * Words, pairs of neighbouring words, and character n-grams within words, as {@link addGrams} hashes them.
 * @returns (n, 2048); a text without any is 0
 */
export function ngramFeatures(examples: readonly Example[]): FeatureRows {
  const values = new Float32Array(examples.length * BUCKETS);
  examples.forEach(({ text, textPair }, row) => {
    addGrams(
      ngramsOf(textPair === undefined ? text : `${text} ${textPair}`),
      values.subarray(row * BUCKETS, (row + 1) * BUCKETS),
    );
  });
  return { rows: examples.length, width: BUCKETS, values };
}

/** Buckets that some row fills: the others add nothing to any class's score. */
function filledBuckets(features: readonly FeatureRows[]): number[] {
  const filled = new Uint8Array(BUCKETS);
  for (const { values } of features)
    for (let i = 0; i < values.length; i++) if (values[i] !== 0) filled[i % BUCKETS] = 1;
  return [...filled.keys()].filter((bucket) => filled[bucket] === 1);
}

function takeBuckets({ rows, values }: FeatureRows, buckets: readonly number[]): FeatureRows {
  const width = buckets.length;
  const taken = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < width; i++) taken[row * width + i] = values[row * BUCKETS + buckets[i]!]!;
  return { rows, width, values: taken };
}

/** A task's training texts by label. */
function contributionsOf(
  { labels, train }: Pick<Task, "labels" | "train">,
  features: FeatureRows,
): Contribution[] {
  const rows = quantize(features);
  return labels.map((label) => {
    const own = train.flatMap((example, index) => (example.label === label ? [index] : []));
    return { label, rows: takeRows(rows, own) };
  });
}

/** The column of the largest value among some columns. */
export function bestColumn(
  { classes, values }: Posterior,
  row: number,
  among: readonly number[],
): number | undefined {
  let found: number | undefined;
  for (const column of among)
    if (found === undefined || values[row * classes + column]! > values[row * classes + found]!)
      found = column;
  return found;
}

/**
 * The baseline after the last task. A Gaussian classifier forgets nothing and does not mind the order, so that is the baseline
 * of joint training as well.
 * @param compile of an engine, for the linear algebra
 */
export async function measureTextBaseline(
  tasks: readonly Omit<Task, "validation">[],
  compile: Compile,
  signal?: AbortSignal,
): Promise<BaselineMetrics> {
  const start = performance.now();
  await using fitter = new RouterFitter(compile);
  const features = tasks.map(({ train }) => ngramFeatures(train));
  const buckets = filledBuckets(features);
  const constants = { backbone: sha256("hashed n-grams"), layers: [0], width: buckets.length, seed: 0 };
  const statistics = ClassStatistics.empty(constants).with(
    tasks.flatMap((task, j) => contributionsOf(task, takeBuckets(features[j]!, buckets))),
  );
  const router = await fitter.fit(statistics, { kind: "lda", seed: 0, ...(signal && { signal }) });
  const columnOf = new Map(router.labels.map((label, column) => [label, column]));
  const all = [...router.labels.keys()];
  const correct = { cil: [] as number[], til: [] as number[] };
  for (const { labels, test } of tasks) {
    const posterior = await router.posterior(takeBuckets(ngramFeatures(test), buckets), signal);
    const own = labels.flatMap((label) => columnOf.get(label) ?? []);
    const countRight = (among: readonly number[]) =>
      test.filter(({ label }, row) => columnOf.get(label) === bestColumn(posterior, row, among)).length;
    correct.cil.push(countRight(all));
    correct.til.push(countRight(own));
  }
  const counted = tasks.map(({ test }) => test.length);
  const average = (right: readonly number[]) =>
    right.reduce((sum, count, j) => sum + count / Math.max(1, counted[j] ?? 1), 0) / right.length;
  return {
    method: "hashed n-grams, LDA",
    cil: average(correct.cil),
    til: average(correct.til),
    seconds: (performance.now() - start) / 1000,
  };
}
