// Dimensions: n rows, F features read, K directions, C classes.
/** Fitting a kernel density of every class in the directions in which classes differ: no iterations, no grid. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import { type CholeskyFactor, factorize, solveLower, solveUpper } from "../../linalg/cholesky.ts";
import { symmetricEigen } from "../../linalg/symmetricEigen.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import { takeRows } from "../statistics/fixedRows.ts";
import { accumulate, type Totals } from "../statistics/totals.ts";
import { fitInverseTemperature } from "./calibration.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type TargetedRows, trainingRows } from "./heldOut.ts";
import { expansionOf, type KernelMember } from "./members.ts";
import { centredGram, classMeans, clearRounding, shrink, withinCovariance } from "./readouts/closedForm.ts";
import { askKernel, type KernelReadout, project } from "./readouts/kernelModel.ts";
import type { FittedKernel } from "./routerModel.ts";
import type { RowPart } from "./totalsKeeper.ts";

/** Rows of a class that are kept, those of the smallest hashes: so that an answer's cost has a bound. */
const MOST_ROWS = 512;
/** Classes with so many rows have means that say where classes lie; directions follow from them alone … */
const ENOUGH_ROWS = 10;
/** … where there are so many of them. */
const ENOUGH_CLASSES = 20;
/** The mean of a class of n rows misses much of what the class covers: log(1 + so many/n) is given back. */
const MISSED_ROWS = 10;
/** As many held-out rows as would say so weigh what a density says of itself: that its temperature is 1. */
const PRIOR_ROWS = 20;
/** Where no class varies, classes are taken to vary by this share of what all rows do. */
const GUESSED_SHARE = 0.1;
/** Rows projected at once. */
const CHUNK = 1024;
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

/** The covariance within classes, shrunk; where no class varies, a share of that of all rows. */
async function metricOf(
  { algebra, statistics: { labels }, signal }: FitContext,
  totals: Totals,
): Promise<CholeskyFactor> {
  const { size, rows } = totals;
  let covariance = await withinCovariance(algebra, totals, labels);
  let free = rows - labels.length;
  const varies = covariance.some((value) => value !== 0);
  if (free < 1 || !varies) {
    covariance = new Float64Array(size * size);
    free = Math.max(1, rows - 1);
    centredGram(totals, labels, covariance);
    for (let i = 0; i < covariance.length; i++) covariance[i]! /= rows;
    clearRounding(covariance, size, rows);
    for (let i = 0; i < covariance.length; i++) covariance[i]! *= GUESSED_SHARE;
  }
  const unbiased = rows / free;
  for (let i = 0; i < covariance.length; i++) covariance[i]! *= unbiased;
  const shrunk = shrink(covariance, size, oracleShrinkage(covariance, size, free));
  return await factorize(algebra, shrunk, size, { what: "router kernel-discriminant", signal });
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

/** Directions of unit variance within classes that span the differences of their means. */
async function directionsOf(
  context: FitContext,
  totals: Totals,
): Promise<Pick<KernelReadout, "projection" | "offset">> {
  const { algebra, statistics } = context;
  const { labels } = statistics;
  const factor = await metricOf(context, totals);
  const { centre, means } = centredMeans(classMeans(totals, labels));
  const whitened = await solveLower(algebra, factor, means);
  const places = [...labels.keys()];
  const large = places.filter((c) => totals.classes.get(labels[c]!)!.count >= ENOUGH_ROWS);
  const chosen = large.length >= ENOUGH_CLASSES ? large : places;
  const directions = await spanOf(algebra, takeCentred(whitened, chosen));
  const { rows, columns } = directions;
  if (columns === 0) return { projection: directions, offset: new Float64Array() };
  const projection = await solveUpper(algebra, factor, directions);
  const offset = await algebra.product({ rows: 1, columns: rows, values: centre }, projection);
  return { projection, offset: offset.values };
}

/** The rows that a density keeps, and where each class's begin. */
function keptRows({ rows, targets }: TargetedRows, classes: number) {
  const counts = new Int32Array(classes);
  const chosen: number[] = [];
  for (const [row, target] of targets.entries()) {
    if (counts[target]! >= MOST_ROWS) continue;
    counts[target]! += 1;
    chosen.push(row);
  }
  const starts = new Int32Array(classes + 1);
  for (let c = 0; c < classes; c++) starts[c + 1] = starts[c]! + counts[c]!;
  return { rows: takeRows(rows, chosen), starts };
}

async function projectRows(
  { algebra, signal }: FitContext,
  expander: FeatureMapper,
  directions: Pick<KernelReadout, "projection" | "offset">,
  rows: TargetedRows["rows"],
): Promise<Matrix32> {
  const { columns } = directions.projection;
  const values = new Float32Array(rows.rows * columns);
  for (let start = 0; columns > 0 && start < rows.rows; start += CHUNK) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + CHUNK);
    const own = {
      ...rows,
      rows: end - start,
      values: rows.values.subarray(start * rows.width, end * rows.width),
    };
    values.set(
      (await project(algebra, directions, await expander.expand(algebra, own))).values,
      start * columns,
    );
    await nextTick();
  }
  return { rows: rows.rows, columns, values };
}

async function fitKernel(
  context: FitContext,
  expander: FeatureMapper,
  part: RowPart,
): Promise<KernelReadout> {
  const { algebra, statistics, split, signal } = context;
  const { labels } = statistics;
  const totals = await context.totals(expander, expander.size, true, part);
  if (part === "fit") await accumulate(algebra, expander, totals, split.conscripted, 1, signal);
  const directions = await directionsOf(context, totals);
  const kept = keptRows(trainingRows(statistics, part), labels.length);
  const bias = Float64Array.from(labels, (label) =>
    Math.log(1 + MISSED_ROWS / totals.classes.get(label)!.count),
  );
  const rows = await projectRows(context, expander, directions, kept.rows);
  return { ...directions, rows, starts: kept.starts, bias };
}

/** Nothing is chosen but the temperature, by a fit without the held-out rows. */
export async function chooseKernel(
  context: FitContext,
  member: KernelMember,
): Promise<ChosenMember<FittedKernel>> {
  const { algebra, statistics, split } = context;
  const expansion = expansionOf(member, statistics.constants);
  const expander = context.expander(expansion);
  const readout = await fitKernel(context, expander, "fit");
  const logits = await askKernel(algebra, readout, await expander.expand(algebra, split.judges));
  const sure = split.heldOutRows / (split.heldOutRows + PRIOR_ROWS);
  const beta = fitInverseTemperature(logits, split.targets) ** sure;
  const { weight } = member;
  return {
    settings: { temperature: 1 / beta },
    logits,
    beta,
    weight,
    finish: async () => ({
      type: "kernel",
      expansion,
      readout: await fitKernel(context, expander, "all"),
      beta,
      weight,
    }),
  };
}
