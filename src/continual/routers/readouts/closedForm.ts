// Dimensions: M numbers of an expansion, C classes.
/** Classifiers that follow from totals in closed form. Each is affine in the expanded features. */
import type { Algebra, Matrix } from "../../../linalg/algebra.ts";
import {
  type CholeskyFactor,
  type CholeskyOptions,
  factorize,
  solveFactored,
} from "../../../linalg/cholesky.ts";
import type { Totals } from "../../statistics/totals.ts";

/** Logits h·weight + bias. */
export interface Readout {
  /** (M, C) */
  readonly weight: Matrix;
  /** (C) */
  readonly bias: Float64Array;
}

/** Class means as columns, (M, C). */
export function classMeans(totals: Totals, labels: readonly string[]): Matrix {
  const values = new Float64Array(totals.size * labels.length);
  labels.forEach((label, c) => {
    const { count, sum } = totals.classes.get(label)!;
    for (let i = 0; i < totals.size; i++) values[i * labels.length + c] = sum[i]! / count;
  });
  return { rows: totals.size, columns: labels.length, values };
}

/** −½·m_cᵀ·w_c of every class. */
function halfProducts(means: Matrix, weight: Matrix): Float64Array {
  const bias = new Float64Array(means.columns);
  for (let i = 0, place = 0; i < means.rows; i++)
    for (let c = 0; c < means.columns; c++, place++)
      bias[c]! -= 0.5 * means.values[place]! * weight.values[place]!;
  return bias;
}

/** Nearest class mean: −½|h − m_c|² but for what all classes share. */
export function nearestMean(totals: Totals, labels: readonly string[]): Readout {
  const weight = classMeans(totals, labels);
  return { weight, bias: halfProducts(weight, weight) };
}

/** Expanded rows are whole numbers: where two of a class differ at all, their squared distances to the mean sum to ½ or more. */
const LEAST_SCATTER = 0.25;

/** Takes what rounding left of a covariance of rows that are all alike. @param covariance (M, M), the lower triangle */
export function clearRounding(covariance: Float64Array, size: number, rows: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < size; i++) trace += covariance[i * size + i]!;
  return trace * rows < LEAST_SCATTER ? covariance.fill(0) : covariance;
}

/**
 * The pooled covariance within classes: (Σ h·hᵀ − Σ_c s_c·s_cᵀ/n_c)/n.
 * @returns (M, M), the lower triangle
 */
export async function withinCovariance(
  algebra: Algebra,
  totals: Totals,
  labels: readonly string[],
): Promise<Float64Array> {
  const scaled = classMeans(totals, labels);
  const { size, rows } = totals;
  labels.forEach((label, c) => {
    const root = Math.sqrt(totals.classes.get(label)!.count);
    for (let i = 0; i < size; i++) scaled.values[i * labels.length + c]! *= root;
  });
  const between = await algebra.product(scaled, scaled, "second"); // (M, M)
  const second = totals.second!;
  const covariance = between.values;
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++)
      covariance[i * size + j] = (second[i * size + j]! - covariance[i * size + j]!) / rows;
  return clearRounding(covariance, size, rows);
}

/**
 * (1 − α)·Σ + α·(tr Σ/M)·I, in a copy's lower triangle; I where no class varies, which is the nearest mean.
 */
export function shrink(covariance: Float64Array, size: number, shrinkage: number): Float64Array {
  const shrunk = covariance.slice();
  shrinkInPlace(shrunk, size, shrinkage);
  return shrunk;
}

/** As {@link shrink}, in the lower triangle that is given. */
export function shrinkInPlace(covariance: Float64Array, size: number, shrinkage: number): void {
  let trace = 0;
  for (let i = 0; i < size; i++) trace += covariance[i * size + i]!;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) covariance[i * size + j]! *= 1 - shrinkage;
    covariance[i * size + i]! += trace > 0 ? (shrinkage * trace) / size : 1;
  }
}

/**
 * Gaussians of one covariance and equal priors: logits hᵀ·Σ⁻¹·m_c − ½·m_cᵀ·Σ⁻¹·m_c.
 * @param factor of the shrunk covariance
 */
export async function linearDiscriminant(
  algebra: Algebra,
  factor: CholeskyFactor,
  means: Matrix,
): Promise<Readout> {
  const weight = await solveFactored(algebra, factor, means);
  return { weight, bias: halfProducts(means, weight) };
}

/** Σ_c s_c / n: the mean of all rows. */
export function overallMean({ size, classes, rows }: Totals, labels: readonly string[]): Float64Array {
  const mean = new Float64Array(size);
  for (const label of labels) {
    const { sum } = classes.get(label)!;
    for (let i = 0; i < size; i++) mean[i]! += sum[i]!;
  }
  for (let i = 0; i < size; i++) mean[i]! /= rows;
  return mean;
}

/**
 * The scatter about the mean of all rows: Σ h·hᵀ − n·m·mᵀ.
 * @param target (M, M): takes the lower triangle; may be the totals' own second moment
 */
export function centredGram(totals: Totals, labels: readonly string[], target: Float64Array): void {
  const { size, rows } = totals;
  const mean = overallMean(totals, labels);
  const second = totals.second!;
  for (let i = 0; i < size; i++) {
    const scaled = rows * mean[i]!;
    for (let j = 0; j <= i; j++) target[i * size + j] = second[i * size + j]! - scaled * mean[j]!;
  }
}

/**
 * Ridge regression onto one-hot labels with an intercept that is not penalised:
 * W = (S + λ·(tr S/M)·I)⁻¹·(HᵀY − m·1ᵀY), S the scatter about the mean m, bias = the classes' shares − mᵀW.
 * λ in units of the mean diagonal means the same for every number of features.
 * @param gram S, (M, M), the lower triangle; overwritten
 */
export async function ridge(
  algebra: Algebra,
  totals: Totals,
  gram: Float64Array,
  labels: readonly string[],
  lambda: number,
  options: CholeskyOptions,
): Promise<Readout> {
  const { size, classes, rows } = totals;
  const columns = labels.length;
  const mean = overallMean(totals, labels);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += gram[i * size + i]!;
  // Where all rows are alike any λ will do; the classes' shares are then the answer.
  const added = trace > 0 ? (lambda * trace) / size : 1;
  for (let i = 0; i < size; i++) gram[i * size + i]! += added;
  const targets = new Float64Array(size * columns);
  labels.forEach((label, c) => {
    const { sum, count } = classes.get(label)!;
    for (let i = 0; i < size; i++) targets[i * columns + c] = sum[i]! - count * mean[i]!;
  });
  const factor = await factorize(algebra, gram, size, options);
  const weight = await solveFactored(algebra, factor, { rows: size, columns, values: targets });
  const bias = Float64Array.from(labels, (label) => classes.get(label)!.count / rows);
  for (let i = 0, place = 0; i < size; i++)
    for (let c = 0; c < columns; c++, place++) bias[c]! -= mean[i]! * weight.values[place]!;
  return { weight, bias };
}
