// Dimensions: n rows, M numbers of an expansion, C classes.
/** Softmax regression on random features: what ridge begins, a few preconditioned steps finish. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import { factorize, solveFactored } from "../../linalg/cholesky.ts";
import { fitInverseTemperature } from "./calibration.ts";
import { centredGram, overallMean, type Readout } from "./closedForm.ts";
import { EXACT_ROWS, type Expander } from "./expansions.ts";
import type { ChosenMember, FitGround } from "./ground.ts";
import { type TargetedRows, trainingRows } from "./heldOut.ts";
import { expansionOf, type SoftmaxMember, softmaxSettings } from "./members.ts";
import { readOut } from "./routerModel.ts";
import { accumulate, type Totals } from "./totals.ts";
import type { FixedRows } from "./types.ts";

/** Rows of random features with their classes, as many as go through a product at once. */
interface Piece {
  readonly expanded: Matrix32;
  readonly targets: Int32Array;
}

async function piecesOf(
  { algebra, signal }: FitGround,
  expander: Expander,
  { rows, targets }: TargetedRows,
): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (let start = 0; start < rows.rows; start += EXACT_ROWS) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + EXACT_ROWS);
    const values = rows.values.subarray(start * rows.width, end * rows.width);
    const part: FixedRows = { rows: end - start, width: rows.width, values };
    pieces.push({ expanded: await expander.expand(algebra, part), targets: targets.subarray(start, end) });
    await nextTick();
  }
  return pieces;
}

/** Smoothed one-hot labels less softmax, in place of the logits (n, C). */
function residuals(
  logits: Float32Array,
  offsets: Float64Array,
  targets: Int32Array,
  smoothing: number,
): void {
  const columns = offsets.length;
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
}

/** (H − 1·mᵀ)ᵀ·R / n and the mean of R, R being the residuals at logits (H − 1·mᵀ)·V + b. */
async function gradientAt(
  algebra: Algebra,
  pieces: readonly Piece[],
  mean: Float64Array,
  slope: Matrix,
  intercept: Float64Array,
): Promise<{ readonly slope: Float64Array; readonly intercept: Float64Array }> {
  const { rows: size, columns, values } = slope;
  const narrow = { rows: size, columns, values: Float32Array.from(values) };
  const offsets = intercept.slice();
  for (let i = 0; i < size; i++)
    for (let c = 0; c < columns; c++) offsets[c]! -= mean[i]! * narrow.values[i * columns + c]!;
  const gradient = new Float64Array(size * columns);
  const sums = new Float64Array(columns);
  let count = 0;
  for (const { expanded, targets } of pieces) {
    const logits = await algebra.product32(expanded, narrow);
    residuals(logits.values, offsets, targets, softmaxSettings.smoothing);
    for (let place = 0; place < logits.values.length; place++)
      sums[place % columns]! += logits.values[place]!;
    const { values: part } = await algebra.product32(expanded, logits, "first"); // (M, C)
    for (let place = 0; place < part.length; place++) gradient[place]! += part[place]!;
    count += targets.length;
    await nextTick();
  }
  for (let i = 0, place = 0; i < size; i++)
    for (let c = 0; c < columns; c++, place++)
      gradient[place] = (gradient[place]! - mean[i]! * sums[c]!) / count;
  return { slope: gradient, intercept: sums.map((sum) => sum / count) };
}

/**
 * Softmax regression with label smoothing, by Nesterov's accelerated gradient in the metric of the ridge: every step
 * solves with the Cholesky factor of A = S/n + ρ·(tr S/(n·M))·I, S the scatter of the random features. It starts at a
 * multiple of the ridge's own solution and is close to its end after a few steps.
 * @param totals of the same rows; its second moment is overwritten
 */
async function fitSoftmax(ground: FitGround, pieces: readonly Piece[], totals: Totals): Promise<Readout> {
  const { algebra, statistics, signal } = ground;
  const { ridge, decay, step, start, iterations } = softmaxSettings;
  const { labels } = statistics;
  const { size, rows, classes } = totals;
  const columns = labels.length;
  const mean = overallMean(totals, labels);
  const gram = totals.second!;
  centredGram(totals, labels, gram);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += gram[i * size + i]! / rows;
  const unit = trace > 0 ? trace / size : 1;
  for (let k = 0; k < gram.length; k++) gram[k]! /= rows;
  for (let i = 0; i < size; i++) gram[i * size + i]! += ridge * unit;
  const factor = await factorize(algebra, gram, size, { what: "router softmax", signal });
  const solve = (values: Float64Array) => solveFactored(algebra, factor, { rows: size, columns, values });

  const towards = new Float64Array(size * columns);
  labels.forEach((label, c) => {
    const { sum, count } = classes.get(label)!;
    for (let i = 0; i < size; i++) towards[i * columns + c] = (start * (sum[i]! - count * mean[i]!)) / rows;
  });
  let weight = (await solve(towards)).values;
  const ahead = weight.slice();
  const bias = new Float64Array(columns);
  for (let iteration = 1; iteration <= iterations; iteration++) {
    signal?.throwIfAborted();
    const found = await gradientAt(algebra, pieces, mean, { rows: size, columns, values: ahead }, bias);
    for (let k = 0; k < found.slope.length; k++) found.slope[k]! -= decay * unit * ahead[k]!;
    const { values: direction } = await solve(found.slope);
    const momentum = iteration / (iteration + 3);
    const next = new Float64Array(ahead.length);
    for (let k = 0; k < next.length; k++) {
      next[k] = ahead[k]! + step * direction[k]!;
      ahead[k] = next[k]! + momentum * (next[k]! - weight[k]!);
    }
    for (let c = 0; c < columns; c++) bias[c]! += step * found.intercept[c]!;
    weight = next;
  }
  for (let i = 0, place = 0; i < size; i++)
    for (let c = 0; c < columns; c++, place++) bias[c]! -= mean[i]! * weight[place]!;
  return { weight: { rows: size, columns, values: weight }, bias };
}

async function fitPart(ground: FitGround, expander: Expander, part: "fit" | "all"): Promise<Readout> {
  const { algebra, statistics, split, signal } = ground;
  const totals = await ground.totals(expander, expander.size, true);
  const missing = part === "all" ? [...split.conscripted, ...split.heldOut] : split.conscripted;
  await accumulate(algebra, expander, totals, missing, 1, signal);
  return fitSoftmax(ground, await piecesOf(ground, expander, trainingRows(statistics, part)), totals);
}

export async function chooseSoftmax(ground: FitGround, member: SoftmaxMember): Promise<ChosenMember> {
  const { algebra, statistics, split } = ground;
  const expansion = expansionOf(member, statistics.constants);
  const expander = ground.expander(expansion);
  const readout = await fitPart(ground, expander, "fit");
  const judges = await expander.expand(algebra, split.judges);
  const logits = await readOut(algebra, { ...judges, values: Float64Array.from(judges.values) }, readout);
  const beta = fitInverseTemperature(logits, split.targets);
  const { weight } = member;
  return {
    settings: { temperature: 1 / beta },
    logits,
    beta,
    weight,
    finish: async () => ({
      type: "affine",
      expansion,
      readout: await fitPart(ground, expander, "all"),
      beta,
      weight,
    }),
  };
}
