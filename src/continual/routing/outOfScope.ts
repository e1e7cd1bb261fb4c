// Dimensions: n texts, F routing features, C classes.
/** Scores that tell texts of no known class. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix } from "../../linalg/algebra.ts";
import { type CholeskyOptions, factorize, solveFactored } from "../../linalg/cholesky.ts";
import type { FeatureRows } from "../adaptedBackbone.ts";
import {
  centredGram,
  classMeans,
  linearDiscriminant,
  overallMean,
  type Readout,
  shrink,
  withinCovariance,
} from "./closedForm.ts";
import type { Expander } from "./expansions.ts";
import { blockOf, quantize, takeRows } from "./fixedRows.ts";
import type { FitGround } from "./ground.ts";
import { detectorMembers, detectorSoftmax, expansionOf } from "./members.ts";
import { rejectionThreshold } from "./rejection.ts";
import { type AffineMember, checkWidth, readOut } from "./routerModel.ts";
import { chooseSoftmax } from "./softmaxFit.ts";
import { accumulate, type Totals } from "./totals.ts";
import type { FixedRows } from "./types.ts";

/** Larger scores are less like the known classes. */
export interface OutOfScopeDetector {
  /** Scores above it are "unknown". */
  readonly threshold: number;
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  readonly falseRejectRate: number;
  /** @param features (n, F) @returns (n), each text's independent of the others' */
  score(features: FeatureRows, signal?: AbortSignal): Promise<Float64Array>;
}

export interface OutOfScopeOptions {
  /** Share of held-out texts of known classes that may be called unknown; default 0.05. */
  readonly falseRejectRate?: number;
  readonly signal?: AbortSignal;
}

/** Shrinkage of both covariances: the best of three on CLINC150's out-of-scope validation texts. */
const SHRINKAGE = 0.3;
const FALSE_REJECT_RATE = 0.05;
/** Held-out rows from which on a mean and a deviation of theirs are to be trusted with scores of two kinds. */
const ENOUGH_JUDGES = 100;
/** Texts that go through the products at once, always as many. */
const BLOCK = 64;

/**
 * The relative Mahalanobis distance min_c MD_c(x) − MD_0(x) (Ren et al. 2021): how far x is from the nearest class under
 * the covariance within classes, less how far it is from the mean of all under the covariance of all. With A and A₀ the
 * inverse covariances and l_c the logits of LDA it is xᵀ(A − A₀)x + 2xᵀA₀m − mᵀA₀m − 2·max_c l_c(x).
 */
export interface RelativeDistance {
  /** A − A₀, (F, F) */
  readonly quadratic: Matrix;
  /** 2·A₀·m, (F) */
  readonly linear: Float64Array;
  /** −mᵀA₀m */
  readonly constant: number;
  /** l, to C classes */
  readonly discriminant: Readout;
}

function identityMatrix(n: number): Matrix {
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = 1;
  return { rows: n, columns: n, values };
}

/**
 * @param totals of the features themselves
 * @param shrinkage of both covariances towards their traces
 */
export async function fitRelativeDistance(
  algebra: Algebra,
  totals: Totals,
  labels: readonly string[],
  shrinkage: number,
  signal?: AbortSignal,
): Promise<RelativeDistance> {
  const { size, rows } = totals;
  const options: CholeskyOptions = { what: "out-of-scope distances", signal };
  const within = await withinCovariance(algebra, totals, labels);
  const factor = await factorize(algebra, shrink(within, size, shrinkage), size, options);
  const discriminant = await linearDiscriminant(algebra, factor, classMeans(totals, labels));
  const quadratic = await solveFactored(algebra, factor, identityMatrix(size));
  const overall = new Float64Array(size * size);
  centredGram(totals, labels, overall);
  for (let i = 0; i < overall.length; i++) overall[i]! /= rows;
  const background = await factorize(algebra, shrink(overall, size, shrinkage), size, options);
  const inverse = await solveFactored(algebra, background, identityMatrix(size));
  const mean = overallMean(totals, labels);
  const linear = new Float64Array(size);
  let constant = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      linear[i]! += 2 * inverse.values[i * size + j]! * mean[j]!;
      quadratic.values[i * size + j]! -= inverse.values[i * size + j]!;
    }
    constant -= (linear[i]! * mean[i]!) / 2;
  }
  return { quadratic, linear, constant, discriminant };
}

/** @param expanded features as they are, (n, F) @returns (n) */
export async function relativeDistances(
  algebra: Algebra,
  { quadratic, linear, constant, discriminant }: RelativeDistance,
  expanded: Matrix,
): Promise<Float64Array> {
  const { rows, columns, values } = expanded;
  const logits = await readOut(algebra, expanded, discriminant);
  const turned = await algebra.product(expanded, quadratic);
  const distances = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let distance = constant;
    for (let i = row * columns; i < (row + 1) * columns; i++)
      distance += values[i]! * (turned.values[i]! + linear[i - row * columns]!);
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = row * logits.columns; c < (row + 1) * logits.columns; c++)
      largest = Math.max(largest, logits.values[c]!);
    distances[row] = distance - 2 * largest;
  }
  return distances;
}

/** Distances of rows, a block at a time: what a row gets hangs on it alone. */
async function distancesOf(
  algebra: Algebra,
  expander: Expander,
  distance: RelativeDistance,
  rows: FixedRows,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const distances = new Float64Array(rows.rows);
  for (let start = 0; start < rows.rows; start += BLOCK) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + BLOCK);
    const block = takeRows(rows, blockOf(start, end, BLOCK));
    const { rows: height, columns, values } = await expander.expand(algebra, block);
    const expanded = { rows: height, columns, values: Float64Array.from(values) };
    const found = await relativeDistances(algebra, distance, expanded);
    distances.set(found.subarray(0, end - start), start);
    await nextTick();
  }
  return distances;
}

/** One expansion's distances: by a fit without the held-out rows, and by one to all. */
interface FittedDistance {
  readonly expander: Expander;
  readonly judging: RelativeDistance;
  readonly final: RelativeDistance;
}

async function fitDistances(
  { algebra, statistics, split, signal, ...ground }: FitGround,
  expander: Expander,
): Promise<FittedDistance> {
  const { labels } = statistics;
  const totals = await ground.totals(expander, expander.size, true);
  await accumulate(algebra, expander, totals, split.conscripted, 1, signal);
  const judging = await fitRelativeDistance(algebra, totals, labels, SHRINKAGE, signal);
  await accumulate(algebra, expander, totals, split.heldOut, 1, signal);
  return {
    expander,
    judging,
    final: await fitRelativeDistance(algebra, totals, labels, SHRINKAGE, signal),
  };
}

/** The sum of some distances of each row. */
async function addDistances(
  algebra: Algebra,
  distances: readonly { readonly expander: Expander; readonly distance: RelativeDistance }[],
  rows: FixedRows,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const sums = new Float64Array(rows.rows);
  for (const { expander, distance } of distances) {
    const found = await distancesOf(algebra, expander, distance, rows, signal);
    for (let row = 0; row < sums.length; row++) sums[row]! += found[row]!;
  }
  return sums;
}

/** The largest of each row, less: (n). @param logits (n, C) */
function negativeLargest({ rows, columns, values }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let best = Number.NEGATIVE_INFINITY;
    for (let c = row * columns; c < (row + 1) * columns; c++) best = Math.max(best, values[c]!);
    return -best;
  });
}

/** Largest logits, less, of rows: a block at a time, so that what a row gets hangs on it alone. */
async function logitScores(
  ground: FitGround,
  { expansion, readout }: AffineMember,
  rows: FixedRows,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const scores = new Float64Array(rows.rows);
  const expander = ground.expander(expansion);
  for (let start = 0; start < rows.rows; start += BLOCK) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + BLOCK);
    const expanded = await expander.expand(ground.algebra, takeRows(rows, blockOf(start, end, BLOCK)));
    const block = { ...expanded, values: Float64Array.from(expanded.values) };
    const logits = await readOut(ground.algebra, block, readout);
    scores.set(negativeLargest(logits).subarray(0, end - start), start);
    await nextTick();
  }
  return scores;
}

/** How scores of known texts lie, so that scores of several kinds can be added. */
interface Standard {
  readonly mean: number;
  readonly deviation: number;
}

function standardOf(scores: Float64Array): Standard {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / scores.length) || 1 };
}

/** Σ (score − mean) / deviation. */
function addStandard(parts: readonly { readonly scores: Float64Array; readonly standard: Standard }[]) {
  const sums = new Float64Array(parts[0]?.scores.length ?? 0);
  for (const { scores, standard } of parts)
    for (let row = 0; row < sums.length; row++)
      sums[row]! += (scores[row]! - standard.mean) / standard.deviation;
  return sums;
}

/** Scores of one kind: of the rows that judge, by fits without them, and of texts, by fits to all. */
interface Evidence {
  readonly judged: Float64Array;
  score(rows: FixedRows, signal: AbortSignal | undefined): Promise<Float64Array>;
}

async function distanceEvidence(ground: FitGround): Promise<Evidence> {
  const { algebra, statistics, split, signal } = ground;
  const fitted: FittedDistance[] = [];
  for (const member of detectorMembers)
    fitted.push(await fitDistances(ground, ground.expander(expansionOf(member, statistics.constants))));
  const judging = fitted.map((each) => ({ expander: each.expander, distance: each.judging }));
  const final = fitted.map((each) => ({ expander: each.expander, distance: each.final }));
  return {
    judged: await addDistances(algebra, judging, split.judges, signal),
    score: (rows, stop) => addDistances(algebra, final, rows, stop),
  };
}

async function logitEvidence(ground: FitGround): Promise<Evidence> {
  const softmax = await chooseSoftmax(ground, detectorSoftmax);
  const member = await softmax.finish();
  return {
    judged: negativeLargest(softmax.logits),
    score: (rows, stop) => logitScores(ground, member, rows, stop),
  };
}

/**
 * Fits relative Mahalanobis distances in several random expansions to the classes seen so far, and where enough rows are
 * held out to say how two kinds of score lie, beside them the largest logit of a softmax regression, each in standard
 * deviations. The held-out rows also set the threshold, by fits without them; the fits that answer have seen all rows.
 */
export async function fitDetector(ground: FitGround, rate = FALSE_REJECT_RATE): Promise<OutOfScopeDetector> {
  const { statistics, split } = ground;
  const evidence = [await distanceEvidence(ground)];
  if (split.heldOutRows >= ENOUGH_JUDGES) evidence.push(await logitEvidence(ground));
  const standards = evidence.map(({ judged }) => standardOf(judged));
  const add = (scores: readonly Float64Array[]) =>
    addStandard(scores.map((own, i) => ({ scores: own, standard: standards[i]! })));
  return {
    threshold: rejectionThreshold(add(evidence.map(({ judged }) => judged)), rate),
    falseRejectRate: rate,
    score: async (features, stop) => {
      checkWidth("out-of-scope detector", features, statistics.constants);
      const rows = quantize(features);
      const scores: Float64Array[] = [];
      for (const each of evidence) scores.push(await each.score(rows, stop));
      return add(scores);
    },
  };
}
