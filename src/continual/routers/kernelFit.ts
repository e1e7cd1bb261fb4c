// Dimensions: n rows, F features read, K directions, C classes, E established ones, h rows that calibrate.
/** Fitting a kernel density of every class in the directions in which classes differ: no iterations, no grid. */
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import { type CholeskyFactor, factorize, solveLower, solveUpper } from "../../linalg/cholesky.ts";
import { symmetricEigen } from "../../linalg/symmetricEigen.ts";
import { nextTick } from "../../portable/nextTick.ts";
import { EXACT_ROWS, type FeatureMapper } from "../statistics/featureMaps.ts";
import { type ClassSums, directionsKey, keptOf } from "./densityMemory.ts";
import type { FitContext } from "./fitContext.ts";
import { type CalibrationSplit, type HashedRow, rowsOf } from "./heldOut.ts";
import { shrinkInPlace } from "./readouts/closedForm.ts";
import {
  backgroundOf,
  type Directions,
  type KernelReadout,
  layOut,
  project,
  sumKernels,
  withBias,
} from "./readouts/kernelModel.ts";
import { type ClassScatter, establishedScatter } from "./scatter.ts";

/** The mean of a class of n rows misses much of what the class covers: log(1 + so many/n) is given back. */
const MISSED_ROWS = 10;
/** Where no class varies, classes are taken to vary by this share of what all rows do. */
const GUESSED_SHARE = 0.1;
/** Directions along which class means differ by less, of the most, are rounding. */
const NEGLIGIBLE = 1e-9;

/**
 * Oracle approximating shrinkage: α of (1 − α)·S + α·(tr S/F)·I (Chen, Wiesel, Eldar & Hero 2010, eq. 23).
 * @param lower S, (F, F), the lower triangle
 * @param n rows, less what the means took
 */
export function oracleShrinkage(lower: Float64Array, size: number, n: number): number {
  let [trace, squares] = [0, 0];
  for (let i = 0; i < size; i++) {
    trace += lower[i * size + i]!;
    squares += lower[i * size + i]! ** 2;
    for (let j = 0; j < i; j++) squares += 2 * lower[i * size + j]! ** 2;
  }
  const spread = (n + 1 - 2 / size) * (squares - trace ** 2 / size);
  return spread > 0 ? Math.min(1, ((1 - 2 / size) * squares + trace ** 2) / spread) : 1;
}

/** The covariance within classes, shrunk; where no class varies, a share of that of their means. */
async function metricOf({ algebra, signal }: FitContext, scatter: ClassScatter): Promise<CholeskyFactor> {
  const { size, counts } = scatter;
  const rows = counts.reduce((sum, count) => sum + count, 0);
  let free = rows - counts.length;
  let moments = scatter.within;
  let unit = 1 / free;
  if (free < 1 || !moments.some((value) => value !== 0)) {
    free = Math.max(1, rows - 1);
    moments = await betweenScatter(algebra, scatter);
    unit = GUESSED_SHARE / free;
  }
  const covariance = moments.slice();
  for (let i = 0; i < covariance.length; i++) covariance[i]! *= unit;
  shrinkInPlace(covariance, size, oracleShrinkage(covariance, size, free));
  return await factorize(algebra, covariance, size, { what: "router kernel-discriminant", signal });
}

/** Σ_c n_c (m_c − m)(m_c − m)ᵀ about the mean of all rows, (F, F). */
async function betweenScatter(algebra: Algebra, { size, counts, sums }: ClassScatter): Promise<Float64Array> {
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const mean = new Float64Array(size);
  for (let place = 0; place < sums.length; place++) mean[place % size]! += sums[place]! / rows;
  const scaled = new Float64Array(sums.length);
  for (let place = 0; place < sums.length; place++) {
    const count = counts[Math.floor(place / size)]!;
    scaled[place] = Math.sqrt(count) * (sums[place]! / count - mean[place % size]!);
  }
  const rooted = { rows: counts.length, columns: size, values: scaled };
  return (await algebra.product(rooted, rooted, "first")).values;
}

/** Class means as columns, (F, C). */
function meansOf({ size, counts, sums }: ClassScatter): Matrix {
  const columns = counts.length;
  const values = new Float64Array(sums.length);
  for (let c = 0; c < columns; c++)
    for (let i = 0; i < size; i++) values[i * columns + c] = sums[c * size + i]! / counts[c]!;
  return { rows: size, columns, values };
}

/** Class means less their mean, which is returned beside them. */
function centredMeans({ rows, columns, values }: Matrix) {
  const centre = new Float64Array(rows);
  const centred = new Float64Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < columns; c++) centre[i]! += values[i * columns + c]! / columns;
    for (let c = 0; c < columns; c++) centred[i * columns + c] = values[i * columns + c]! - centre[i]!;
  }
  return { centre, means: { rows, columns, values: centred } };
}

/** Orthonormal directions that span the centred columns of a matrix, (F, K), from the smaller of its two Gram matrices. */
export async function spanOf(algebra: Algebra, matrix: Matrix): Promise<Matrix> {
  const { rows, columns } = matrix;
  const wide = columns > rows;
  const gram = await algebra.product(matrix, matrix, wide ? "second" : "first");
  const size = gram.rows;
  const { values, vectors } = symmetricEigen(gram.values, size);
  const least = NEGLIGIBLE * (values.at(-1) ?? 0);
  // Centred columns span one dimension less than there are.
  const kept = [...values.keys()].slice(wide ? 0 : 1).filter((j) => values[j]! > least);
  const mixing = new Float64Array(size * kept.length);
  for (let row = 0; row < size; row++)
    kept.forEach((j, at) => {
      mixing[row * kept.length + at] = vectors[row * size + j]! / (wide ? 1 : Math.sqrt(values[j]!));
    });
  const mixed = { rows: size, columns: kept.length, values: mixing };
  return wide || kept.length === 0 ? { ...mixed, rows } : await algebra.product(matrix, mixed);
}

async function directionsOf(context: FitContext, scatter: ClassScatter): Promise<Directions> {
  const { algebra } = context;
  const { size, counts } = scatter;
  const factor = await metricOf(context, scatter);
  const { centre, means } = centredMeans(meansOf(scatter));
  const directions = await spanOf(algebra, await solveLower(algebra, factor, means));
  const { columns } = directions;
  if (columns === 0)
    return {
      projection: { rows: size, columns, values: new Float32Array() },
      offset: new Float64Array(),
      spread: new Float64Array(),
    };
  const wide = await solveUpper(algebra, factor, directions); // (F, K)
  const offset = new Float64Array(columns);
  for (let i = 0; i < size; i++)
    for (let k = 0; k < columns; k++) offset[k]! += centre[i]! * wide.values[i * columns + k]!;
  const along = await algebra.product(wide, means, "first"); // (K, E)
  return {
    projection: { ...wide, values: new Float32Array(wide.values) },
    offset,
    spread: spreadOf(along, counts),
  };
}

/**
 * 1 + ψ of each direction: what class means vary by, less what the means of so few rows vary by on their own.
 * @param along class means, centred, (K, E)
 * @returns (K)
 */
function spreadOf({ rows, columns, values }: Matrix, counts: Float64Array): Float64Array {
  const noise = counts.reduce((sum, count) => sum + 1 / count, 0) / columns;
  return Float64Array.from({ length: rows }, (_, k) => {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += values[k * columns + c]! ** 2;
    return 1 + Math.max(0, squares / Math.max(1, columns - 1) - noise);
  });
}

/** Projects rows, but for those that were projected before. @returns (K) of each */
async function projectRows(
  { algebra, statistics, signal }: FitContext,
  expander: FeatureMapper,
  directions: Directions,
  rows: readonly HashedRow[],
  before: ReadonlyMap<HashedRow, Float32Array>,
): Promise<Map<HashedRow, Float32Array>> {
  const projected = new Map<HashedRow, Float32Array>();
  const missing: HashedRow[] = [];
  for (const row of new Set(rows)) {
    const known = before.get(row);
    if (known === undefined) missing.push(row);
    else projected.set(row, known);
  }
  for (let start = 0; start < missing.length; start += EXACT_ROWS) {
    signal?.throwIfAborted();
    const chunk = missing.slice(start, start + EXACT_ROWS);
    const expanded = await expander.expand(algebra, rowsOf(chunk, statistics.constants.width));
    const { columns, values } = await project(algebra, directions, expanded);
    chunk.forEach((row, i) => {
      projected.set(row, values.slice(i * columns, (i + 1) * columns));
    });
    await nextTick();
  }
  return projected;
}

/** Rows that are compared at once with all that a density keeps. */
const ASKED_AT_ONCE = 256;

/**
 * What the rows that calibrate say of every class by the rows that it is fitted to; as before where these have not changed.
 * @param classes projected rows, each (K)
 * @param asked (h, K)
 * @returns by label
 */
async function sumsOf(
  { algebra, statistics, signal }: FitContext,
  classes: readonly (readonly Float32Array[])[],
  asked: Matrix32,
  before: ReadonlyMap<string, ClassSums>,
): Promise<Map<string, ClassSums>> {
  const sums = new Map<string, ClassSums>();
  const stale: { readonly rows: readonly Float32Array[]; readonly sums: ClassSums }[] = [];
  const ids = new Map<string, string[]>(statistics.labels.map((label) => [label, []]));
  for (const { label, id } of statistics.contributions) ids.get(label)!.push(id);
  statistics.labels.forEach((label, c) => {
    const key = ids.get(label)!.join();
    const known = before.get(label);
    const own = known?.key === key ? known : { key, fit: new Float64Array(asked.rows) };
    if (own !== known) stale.push({ rows: classes[c]!, sums: own });
    sums.set(label, own);
  });
  const kept = layOut(
    stale.map(({ rows }) => ({ fit: rows, calibrating: [] })),
    asked.columns,
  );
  for (let start = 0; start < asked.rows && stale.length > 0; start += ASKED_AT_ONCE) {
    signal?.throwIfAborted();
    const rows = Math.min(asked.rows, start + ASKED_AT_ONCE) - start;
    const values = asked.values.subarray(start * asked.columns, (start + rows) * asked.columns);
    const { fit } = await sumKernels(algebra, kept, { rows, columns: asked.columns, values });
    stale.forEach(({ sums: own }, c) => {
      for (let row = 0; row < rows; row++) own.fit[start + row] = fit[row * stale.length + c]!;
    });
    await nextTick();
  }
  return sums;
}

/** A density, and what it says of the rows that calibrate without them. */
export interface FittedDensity {
  readonly readout: KernelReadout;
  /** (h, C) */
  readonly logits: Matrix;
  /** (h) */
  readonly background: Float64Array;
}

/**
 * Fits a density of every class. What it is measured in follows from established classes without the rows that calibrate; these are
 * rows like any other only where it answers.
 */
export async function fitDensity(
  context: FitContext,
  expander: FeatureMapper,
  split: CalibrationSplit,
): Promise<FittedDensity> {
  const { statistics, densities } = context;
  const { labels } = statistics;
  const key = directionsKey(statistics, expander.expansion, split);
  const before = densities.find(key);
  await nextTick();
  const directions =
    before?.directions ?? (await directionsOf(context, await establishedScatter(context, expander, split)));
  const kept = keptOf(split, labels.length);
  const rows = [...kept.flatMap((own) => [...own.fit, ...own.calibrating]), ...split.calibrating.rows];
  const projected = await projectRows(context, expander, directions, rows, before?.projected ?? new Map());
  const projectedOf = (own: readonly HashedRow[]) => own.map((row) => projected.get(row)!);
  const classes = kept.map((own) => ({
    fit: projectedOf(own.fit),
    calibrating: projectedOf(own.calibrating),
  }));
  const asked = stack(projectedOf(split.calibrating.rows), directions.offset.length);
  const sums = await sumsOf(
    context,
    classes.map(({ fit }) => fit),
    asked,
    before?.sums ?? new Map(),
  );
  densities.keep({ key, directions, projected, sums });
  await nextTick();
  const said = new Float64Array(asked.rows * labels.length);
  labels.forEach((label, c) => {
    const { fit } = sums.get(label)!;
    for (let row = 0; row < asked.rows; row++) said[row * labels.length + c] = fit[row]!;
  });
  const { bias, fitBias } = biasesOf(split, labels.length);
  return {
    readout: { ...directions, kept: layOut(classes, directions.offset.length), bias, fitBias },
    logits: withBias(said, fitBias),
    background: backgroundOf(directions, asked),
  };
}

/** log(1 + {@link MISSED_ROWS}/n) of every class: of all its rows, and of those that are fitted to. */
function biasesOf({ fit, calibrating }: CalibrationSplit, classes: number) {
  const counts = new Float64Array(classes);
  const biases = () => counts.map((count) => Math.log(1 + MISSED_ROWS / count));
  for (const target of fit.targets) counts[target]! += 1;
  const fitBias = biases();
  for (const target of calibrating.targets) counts[target]! += 1;
  return { bias: biases(), fitBias };
}

/** @param columns K */
function stack(rows: readonly Float32Array[], columns: number): Matrix32 {
  const values = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => {
    values.set(row, i * columns);
  });
  return { rows: rows.length, columns, values };
}
