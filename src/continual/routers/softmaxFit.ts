// Dimensions: n rows, M numbers of an expansion, C classes.
/** Softmax regression on random features: what ridge begins, a few preconditioned steps finish. */
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import { factorize } from "../../linalg/cholesky.ts";
import { NarrowSolver } from "../../linalg/narrowSolver.ts";
import { nextTick } from "../../portable/nextTick.ts";
import { addSecond } from "../statistics/totals.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { trainingRows } from "./heldOut.ts";
import { expansionOf, type SoftmaxMember, softmaxSettings } from "./members.ts";
import type { Readout } from "./readouts/closedForm.ts";
import { type AffineMember, readOut } from "./routerModel.ts";
import { fitInverseTemperature } from "./scores/calibration.ts";
import { heldOutPieces, type Piece, piecesOf, thinPieces, widening } from "./softmaxPieces.ts";

/** Where the classes lie, and the metric that steps are taken in. */
interface Preconditioner {
  /** m, of the rows that were fitted first: (M) */
  readonly mean: Float64Array;
  /** The mean diagonal of the scatter. */
  readonly unit: number;
  readonly solver: NarrowSolver;
}

/** How far the descent has come: logits are (H − 1·mᵀ)·weight + intercept. */
interface Descent {
  /** (M, C) */
  readonly weight: Float64Array;
  /** Where the next gradient is taken, (M, C). */
  readonly ahead: Float64Array;
  /** (C) */
  readonly intercept: Float64Array;
  readonly steps: number;
}

/** Takes logits (n, C) to residuals, in place. */
type Residuals = (logits: Float32Array, targets: Int32Array) => void;

/** Smoothed one-hot labels less softmax of logits + offsets. */
function softmaxResiduals(offsets: Float64Array, smoothing: number): Residuals {
  const columns = offsets.length;
  return (logits, targets) => {
    for (const [row, target] of targets.entries()) {
      const z = logits.subarray(row * columns, (row + 1) * columns);
      let largest = Number.NEGATIVE_INFINITY;
      for (let c = 0; c < columns; c++) {
        z[c]! += offsets[c]!;
        largest = Math.max(largest, z[c]!);
      }
      let sum = 0;
      for (let c = 0; c < columns; c++) {
        z[c] = Math.exp(z[c]! - largest);
        sum += z[c]!;
      }
      for (let c = 0; c < columns; c++)
        z[c] = smoothing / columns + (c === target ? 1 - smoothing : 0) - z[c]! / sum;
    }
  };
}

/** One-hot labels less the classes' shares. */
function shareResiduals(shares: Float64Array): Residuals {
  const columns = shares.length;
  return (logits, targets) => {
    for (const [row, target] of targets.entries())
      for (let c = 0; c < columns; c++) logits[row * columns + c] = (c === target ? 1 : 0) - shares[c]!;
  };
}

/** Mean, scatter and its factor, of at most so many rows as tell the metric. */
async function precondition(
  { algebra, signal }: FitContext,
  pieces: readonly Piece[],
): Promise<Preconditioner> {
  const { ridge, metricRows } = softmaxSettings;
  const size = pieces[0]!.columns;
  const mean = meanOf(pieces);
  const thin = thinPieces(pieces, metricRows);
  const gram = new Float64Array(size * size);
  const widen = widening();
  let count = 0;
  for (const piece of thin) {
    signal?.throwIfAborted();
    await addSecond(algebra, { layout: "square", second: gram }, widen(piece), true);
    count += piece.rows;
  }
  const centre = meanOf(thin);
  let trace = 0;
  for (let i = 0; i < size; i++) {
    const own = i * size;
    for (let j = 0; j <= i; j++) gram[own + j] = gram[own + j]! / count - centre[i]! * centre[j]!;
    trace += gram[own + i]!;
  }
  // Where all rows are alike any metric will do.
  const unit = trace > 0 ? trace / size : 1;
  for (let i = 0; i < size; i++) gram[i * size + i]! += ridge * unit;
  const factor = await factorize(algebra, gram, size, { what: "router softmax", signal });
  return { mean, unit, solver: new NarrowSolver(algebra, factor) };
}

function meanOf(pieces: readonly Piece[]): Float64Array {
  const mean = new Float64Array(pieces[0]!.columns);
  let count = 0;
  for (const { rows, columns, values } of pieces) {
    for (let row = 0, place = 0; row < rows; row++)
      for (let i = 0; i < columns; i++) mean[i]! += values[place++]!;
    count += rows;
  }
  for (let i = 0; i < mean.length; i++) mean[i]! /= count;
  return mean;
}

/**
 * (H − 1·mᵀ)ᵀ·R / n and the mean of R.
 * @param slope V of the logits H·V, (M, C); absent where R does not ask for them
 */
async function gradientAt(
  algebra: Algebra,
  pieces: readonly Piece[],
  mean: Float64Array,
  columns: number,
  residuals: Residuals,
  slope?: Matrix32,
): Promise<{ readonly slope: Matrix32; readonly intercept: Float64Array }> {
  const size = mean.length;
  // Products with H on the right are the faster ones, so the gradient comes transposed.
  const gradient = new Float64Array(columns * size);
  const sums = new Float64Array(columns);
  const widen = widening();
  let count = 0;
  for (const piece of pieces) {
    const expanded = widen(piece);
    const logits =
      slope === undefined
        ? { rows: piece.rows, columns, values: new Float32Array(piece.rows * columns) }
        : await algebra.product32(expanded, slope);
    residuals(logits.values, piece.targets);
    for (let row = 0, place = 0; row < piece.rows; row++)
      for (let c = 0; c < columns; c++) sums[c]! += logits.values[place++]!;
    const { values: part } = await algebra.product32(logits, expanded, "first"); // (C, M)
    for (let place = 0; place < part.length; place++) gradient[place]! += part[place]!;
    count += piece.rows;
    await nextTick();
  }
  const turned = new Float32Array(size * columns);
  for (let c = 0, place = 0; c < columns; c++)
    for (let i = 0; i < size; i++, place++)
      turned[i * columns + c] = (gradient[place]! - mean[i]! * sums[c]!) / count;
  return { slope: { rows: size, columns, values: turned }, intercept: sums.map((sum) => sum / count) };
}

/** A multiple of the ridge's own solution. */
async function beginDescent(
  { algebra }: FitContext,
  pieces: readonly Piece[],
  { mean, solver }: Preconditioner,
  columns: number,
): Promise<Descent> {
  const shares = new Float64Array(columns);
  let count = 0;
  for (const { targets } of pieces) {
    for (const target of targets) shares[target]! += 1;
    count += targets.length;
  }
  for (let c = 0; c < columns; c++) shares[c]! /= count;
  const { slope } = await gradientAt(algebra, pieces, mean, columns, shareResiduals(shares));
  await solver.solve(slope);
  const weight = Float64Array.from(slope.values, (value) => softmaxSettings.start * value);
  return { weight, ahead: weight, intercept: new Float64Array(columns), steps: 0 };
}

/**
 * Softmax regression with label smoothing, by Nesterov's accelerated gradient in the metric of the ridge: every step
 * solves with A = S/n + ρ·(tr S/(n·M))·I, S the scatter of the random features.
 */
async function descend(
  { algebra, signal }: FitContext,
  pieces: readonly Piece[],
  { mean, unit, solver }: Preconditioner,
  from: Descent,
  iterations: number,
): Promise<Descent> {
  const { decay, step, smoothing } = softmaxSettings;
  let { weight, ahead, intercept, steps } = from;
  const columns = intercept.length;
  const size = mean.length;
  for (const last = steps + iterations; steps < last; steps++) {
    signal?.throwIfAborted();
    const slope = { rows: size, columns, values: new Float32Array(ahead) };
    const offsets = intercept.slice();
    for (let i = 0, place = 0; i < size; i++)
      for (let c = 0; c < columns; c++, place++) offsets[c]! -= mean[i]! * slope.values[place]!;
    const residuals = softmaxResiduals(offsets, smoothing);
    const found = await gradientAt(algebra, pieces, mean, columns, residuals, slope);
    const direction = found.slope.values;
    for (let k = 0; k < direction.length; k++) direction[k]! -= decay * unit * ahead[k]!;
    await solver.solve(found.slope);
    const momentum = (steps + 1) / (steps + 4);
    const [next, further] = [new Float64Array(ahead.length), new Float64Array(ahead.length)];
    for (let k = 0; k < next.length; k++) {
      next[k] = ahead[k]! + step * direction[k]!;
      further[k] = next[k]! + momentum * (next[k]! - weight[k]!);
    }
    weight = next;
    ahead = further;
    intercept = intercept.map((value, c) => value + step * found.intercept[c]!);
  }
  return { weight, ahead, intercept, steps };
}

function readoutOf({ weight, intercept }: Descent, mean: Float64Array): Readout {
  const [rows, columns] = [mean.length, intercept.length];
  const bias = intercept.slice();
  for (let i = 0, place = 0; i < rows; i++)
    for (let c = 0; c < columns; c++, place++) bias[c]! -= mean[i]! * weight[place]!;
  return { weight: { rows, columns, values: weight }, bias };
}

function rowCount(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { rows }) => sum + rows, 0);
}

export async function chooseSoftmax(
  context: FitContext,
  member: SoftmaxMember,
): Promise<ChosenMember<AffineMember>> {
  const { algebra, statistics, split } = context;
  const { furtherIterations } = softmaxSettings;
  const expansion = expansionOf(member, statistics.constants);
  const expander = context.expander(expansion);
  const pieces = await piecesOf(context, expander, trainingRows(statistics, "fit"));
  const metric = await precondition(context, pieces);
  const begun = await beginDescent(context, pieces, metric, statistics.labels.length);
  // Descent would tell every single row apart; ridge regression, with which it begins, generalises.
  const interpolates = rowCount(pieces) < expander.size;
  const iterations = interpolates ? 0 : softmaxSettings.iterations;
  const chosen = await descend(context, pieces, metric, begun, iterations);
  const judges = await expander.expand(algebra, split.judges);
  const expanded = { ...judges, values: new Float64Array(judges.values) };
  const logits = await readOut(algebra, expanded, readoutOf(chosen, metric.mean));
  const beta = fitInverseTemperature(logits, split.targets);
  const { weight } = member;
  return {
    settings: { temperature: 1 / beta },
    logits,
    beta,
    weight,
    finish: async () => {
      const all = [...pieces, ...(await heldOutPieces(context, expander))];
      const fitted = { type: "affine", expansion, beta, weight } as const;
      if (interpolates) {
        const own = await precondition(context, all);
        const ridge = await beginDescent(context, all, own, statistics.labels.length);
        return { ...fitted, readout: readoutOf(ridge, own.mean) };
      }
      // Without a row more the descent is over.
      const further = all.length > pieces.length ? furtherIterations : 0;
      return {
        ...fitted,
        readout: readoutOf(await descend(context, all, metric, chosen, further), metric.mean),
      };
    },
  };
}
