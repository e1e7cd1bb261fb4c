// Dimensions: n texts, M numbers of an expansion, C classes.
/** A fitted detector of texts of no known class as plain data, and how it scores. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix } from "../../linalg/algebra.ts";
import type { Readout } from "../routers/readouts/closedForm.ts";
import { type Machinery, readOut } from "../routers/routerModel.ts";
import type { FeatureMap, FeatureMapper } from "../statistics/featureMaps.ts";
import { blockOf, takeRows } from "../statistics/fixedRows.ts";
import type { FeatureConstants, FixedRows } from "../types.ts";

/** Texts that go through the products at once, always as many. */
const BLOCK = 64;

/**
 * The relative Mahalanobis distance min_c MD_c(x) − MD_0(x) (Ren et al. 2021): how far x is from the nearest class under
 * the covariance within classes, less how far it is from the mean of all under the covariance of all. With A and A₀ the
 * inverse covariances and l_c the logits of LDA it is xᵀ(A − A₀)x + 2xᵀA₀m − mᵀA₀m − 2·max_c l_c(x).
 */
export interface RelativeDistance {
  /** A − A₀, (M, M) */
  readonly quadratic: Matrix;
  /** 2·A₀·m, (M) */
  readonly linear: Float64Array;
  /** −mᵀA₀m */
  readonly constant: number;
  /** l, to C classes */
  readonly discriminant: Readout;
}

/** How scores of known texts lie, so that scores of several kinds can be added. */
export interface Standard {
  readonly mean: number;
  readonly deviation: number;
}

/** The sum of distances in several expansions. */
export interface DistanceEvidence {
  readonly type: "distances";
  readonly parts: readonly { readonly expansion: FeatureMap; readonly distance: RelativeDistance }[];
  readonly standard: Standard;
}

/** The largest logit, less. */
export interface LogitEvidence {
  readonly type: "logits";
  readonly expansion: FeatureMap;
  readonly readout: Readout;
  readonly standard: Standard;
}

export type Evidence = DistanceEvidence | LogitEvidence;

export interface DetectorModel {
  readonly constants: FeatureConstants;
  /** Scores above it are "unknown". */
  readonly threshold: number;
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  readonly falseRejectRate: number;
  readonly evidence: readonly Evidence[];
}

/** The largest of each row, less: (n). @param logits (n, C) */
export function negativeLargest({ rows, columns, values }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let best = Number.NEGATIVE_INFINITY;
    for (let c = row * columns; c < (row + 1) * columns; c++) best = Math.max(best, values[c]!);
    return -best;
  });
}

/** @param expanded features as they are, (n, M) @returns (n) */
export async function relativeDistances(
  algebra: Algebra,
  { quadratic, linear, constant, discriminant }: RelativeDistance,
  expanded: Matrix,
): Promise<Float64Array> {
  const { rows, columns, values } = expanded;
  const fromNearest = negativeLargest(await readOut(algebra, expanded, discriminant));
  const turned = await algebra.product(expanded, quadratic);
  return Float64Array.from({ length: rows }, (_, row) => {
    let distance = constant;
    for (let i = row * columns; i < (row + 1) * columns; i++)
      distance += values[i]! * (turned.values[i]! + linear[i - row * columns]!);
    return distance + 2 * fromNearest[row]!;
  });
}

/** Scores of rows, a block at a time: what a row gets hangs on it alone. @param score of (BLOCK, M) @returns (n) */
async function inBlocks(
  algebra: Algebra,
  expander: FeatureMapper,
  rows: FixedRows,
  score: (expanded: Matrix) => Promise<Float64Array>,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const scores = new Float64Array(rows.rows);
  for (let start = 0; start < rows.rows; start += BLOCK) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + BLOCK);
    const { values, ...size } = await expander.expand(algebra, takeRows(rows, blockOf(start, end, BLOCK)));
    const scored = await score({ ...size, values: Float64Array.from(values) });
    scores.set(scored.subarray(0, end - start), start);
    await nextTick();
  }
  return scores;
}

/** One expansion's distances of rows, (n). */
export function distancesOf(
  algebra: Algebra,
  expander: FeatureMapper,
  distance: RelativeDistance,
  rows: FixedRows,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const score = (expanded: Matrix) => relativeDistances(algebra, distance, expanded);
  return inBlocks(algebra, expander, rows, score, signal);
}

async function scoreBy(
  { algebra, expander }: Machinery,
  constants: FeatureConstants,
  evidence: Evidence,
  rows: FixedRows,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  if (evidence.type === "logits") {
    const { expansion, readout } = evidence;
    const score = async (expanded: Matrix) => negativeLargest(await readOut(algebra, expanded, readout));
    return inBlocks(algebra, expander(expansion, constants), rows, score, signal);
  }
  const parts: Float64Array[] = [];
  for (const { expansion, distance } of evidence.parts)
    parts.push(await distancesOf(algebra, expander(expansion, constants), distance, rows, signal));
  return addScores(parts);
}

/** The sum of several scores of the same rows. */
export function addScores(parts: readonly Float64Array[]): Float64Array {
  const sums = new Float64Array(parts[0]?.length ?? 0);
  for (const part of parts) for (let row = 0; row < sums.length; row++) sums[row]! += part[row]!;
  return sums;
}

/** In standard deviations of what known texts have. */
export function standardize(scores: Float64Array, { mean, deviation }: Standard): Float64Array {
  return scores.map((score) => (score - mean) / deviation);
}

/** @param rows (n, F) @returns (n), each row's independent of the others' */
export async function scoreRows(
  machinery: Machinery,
  { constants, evidence }: DetectorModel,
  rows: FixedRows,
  signal?: AbortSignal,
): Promise<Float64Array> {
  const scores: Float64Array[] = [];
  for (const each of evidence)
    scores.push(standardize(await scoreBy(machinery, constants, each, rows, signal), each.standard));
  return addScores(scores);
}
