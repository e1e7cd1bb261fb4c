// Dimensions: n rows, F features read, K directions, C classes.
/** Fitting a kernel density of every class in the directions in which classes differ: no iterations, no grid. */
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import { type CholeskyFactor, factorize, solveLower, solveUpper } from "../../linalg/cholesky.ts";
import { symmetricEigen } from "../../linalg/symmetricEigen.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import type { FitContext } from "./fitContext.ts";
import type { RowList } from "./heldOut.ts";
import { shrinkInPlace } from "./readouts/closedForm.ts";
import { type KernelReadout, project } from "./readouts/kernelModel.ts";
import { type ClassScatter, eachChunk } from "./scatter.ts";

/** Rows of a class that are kept, those of the smallest hashes: so that an answer's cost has a bound. */
const MOST_ROWS = 512;
/** Classes with so many rows have means that say where classes lie; directions follow from them alone … */
const ENOUGH_ROWS = 10;
/** … where there are so many of them. */
const ENOUGH_CLASSES = 20;
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

/** Some columns of a matrix, less their mean. */
function takeCentred({ rows, columns, values }: Matrix, chosen: readonly number[]): Matrix {
  const taken = new Float64Array(rows * chosen.length);
  for (let i = 0; i < rows; i++)
    chosen.forEach((c, at) => {
      taken[i * chosen.length + at] = values[i * columns + c]!;
    });
  return centredMeans({ rows, columns: chosen.length, values: taken }).means;
}

/** Orthonormal directions that span the columns of a matrix, (F, K). */
async function spanOf(algebra: Algebra, matrix: Matrix): Promise<Matrix> {
  const { rows, columns } = matrix;
  const gram = await algebra.product(matrix, matrix, "first"); // (columns, columns)
  const { values, vectors } = symmetricEigen(gram.values, columns);
  const least = NEGLIGIBLE * (values.at(-1) ?? 0);
  // Centred columns span one dimension less than there are.
  const kept = [...values.keys()].slice(1).filter((j) => values[j]! > least);
  const mixing = new Float64Array(columns * kept.length);
  for (let row = 0; row < columns; row++)
    kept.forEach((j, at) => {
      mixing[row * kept.length + at] = vectors[row * columns + j]! / Math.sqrt(values[j]!);
    });
  if (kept.length === 0) return { rows, columns: 0, values: mixing };
  return await algebra.product(matrix, { rows: columns, columns: kept.length, values: mixing });
}

/** What a density is measured in: directions of unit variance within classes that span the differences of their means. */
type Directions = Pick<KernelReadout, "projection" | "offset">;

async function directionsOf(context: FitContext, scatter: ClassScatter): Promise<Directions> {
  const { algebra } = context;
  const { counts, size } = scatter;
  const factor = await metricOf(context, scatter);
  const { centre, means } = centredMeans(meansOf(scatter));
  const whitened = await solveLower(algebra, factor, means);
  const places = [...counts.keys()];
  const large = places.filter((c) => counts[c]! >= ENOUGH_ROWS);
  const chosen = large.length >= ENOUGH_CLASSES ? large : places;
  const directions = await spanOf(algebra, takeCentred(whitened, chosen));
  const { columns } = directions;
  if (columns === 0)
    return { projection: { rows: 0, columns: size, values: new Float32Array() }, offset: new Float64Array() };
  const projection = transposed(await solveUpper(algebra, factor, directions));
  const offset = new Float64Array(columns);
  for (let k = 0; k < columns; k++)
    for (let i = 0; i < size; i++) offset[k]! += centre[i]! * projection.values[k * size + i]!;
  return { projection, offset };
}

function transposed({ rows, columns, values }: Matrix): Matrix32 {
  const turned = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j]!;
  return { rows: columns, columns: rows, values: turned };
}

/** The places of the rows that a density keeps, and where each class's begin. */
function keptRows(targets: Int32Array, classes: number) {
  const starts = new Int32Array(classes + 1);
  const kept: number[] = [];
  let [own, before] = [0, -1];
  for (const [row, target] of targets.entries()) {
    own = target === before ? own + 1 : 1;
    before = target;
    if (own > MOST_ROWS) continue;
    kept.push(row);
    starts[target + 1]! += 1;
  }
  for (let c = 0; c < classes; c++) starts[c + 1]! += starts[c]!;
  return { kept, starts };
}

async function projectRows(
  { algebra, signal }: FitContext,
  expander: FeatureMapper,
  directions: Directions,
  { targets, take }: RowList,
  kept: readonly number[],
): Promise<Matrix32> {
  const columns = directions.projection.rows;
  const values = new Float32Array(kept.length * columns);
  let place = 0;
  const chosen = new Set(kept);
  await eachChunk(algebra, expander, { targets, take }, signal, async (expanded, _, start) => {
    const projected = await project(algebra, directions, expanded);
    for (let row = 0; row < projected.rows; row++) {
      if (!chosen.has(start + row)) continue;
      values.set(projected.values.subarray(row * columns, (row + 1) * columns), place);
      place += columns;
    }
  });
  return { rows: kept.length, columns, values };
}

/**
 * Fits a density of every class.
 * @param scatter of the rows
 * @param rows by label, then by hash
 */
export async function fitDensity(
  context: FitContext,
  expander: FeatureMapper,
  scatter: ClassScatter,
  rows: RowList,
): Promise<KernelReadout> {
  const directions = await directionsOf(context, scatter);
  const { counts } = scatter;
  const { kept, starts } = keptRows(rows.targets, counts.length);
  const bias = Float64Array.from(counts, (count) => Math.log(1 + MISSED_ROWS / count));
  const projected = await projectRows(context, expander, directions, rows, kept);
  const spread = await spreadOf(context, directions, scatter);
  return { ...directions, spread, rows: projected, starts, bias };
}

/**
 * 1 + ψ of each direction: what class means vary by, less what the means of so few rows vary by on their own.
 * @returns (K)
 */
async function spreadOf(
  { algebra }: FitContext,
  { projection }: Directions,
  scatter: ClassScatter,
): Promise<Float64Array> {
  const { counts } = scatter;
  if (projection.rows === 0) return new Float64Array();
  const wide = { ...projection, values: new Float64Array(projection.values) };
  const { rows, columns, values } = await algebra.product(wide, centredMeans(meansOf(scatter)).means); // (K, C)
  const noise = counts.reduce((sum, count) => sum + 1 / count, 0) / columns;
  return Float64Array.from({ length: rows }, (_, k) => {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += values[k * columns + c]! ** 2;
    return 1 + Math.max(0, squares / Math.max(1, columns - 1) - noise);
  });
}
