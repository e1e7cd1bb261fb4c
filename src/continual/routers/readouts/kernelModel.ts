// Dimensions: n texts asked, N rows kept, F features read, K directions, C classes.
/** A kernel density of every class, in the directions in which classes differ, and what it says. */
import type { Algebra, Matrix, Matrix32 } from "../../../linalg/algebra.ts";

/** What a density is measured in: directions of unit variance within classes that span the differences of their means. */
export interface Directions {
  /** (F, K) */
  readonly projection: Matrix32;
  /** (K), of the mean of the classes; taken away from what is projected. */
  readonly offset: Float64Array;
  /** (K): 1 + ψ, the variance of texts of any class along each direction: 1 within classes, ψ between them. */
  readonly spread: Float64Array;
}

/** Rows that a density keeps, class by class; of each class those that it is fitted to come before those that calibrate. */
export interface KernelRows {
  /** (K, N): each row is a column. */
  readonly columns: Matrix32;
  /** (N): |r|²/2h² of each. */
  readonly lengths: Float64Array;
  /** (C + 1): rows of class c are `starts[c]` to `starts[c + 1]`. */
  readonly starts: Int32Array;
  /** (C): where those begin that calibrate. */
  readonly fitEnds: Int32Array;
}

/** A fitted density. */
export interface KernelReadout extends Directions {
  readonly kept: KernelRows;
  /** (C), added to the logits. */
  readonly bias: Float64Array;
  /** (C), added to those of the rows that it is fitted to. */
  readonly fitBias: Float64Array;
}

/** h², the square of the kernel's width; directions have variance 1. */
export const SQUARED_WIDTH = 10;

/** What lies further below the largest exponent adds less than 10⁻¹⁰ to the sum of 512. */
const NEGLIGIBLE = -30;

/** Where rows lie along the directions. @param expanded (n, F) @returns (n, K) */
export async function project(
  algebra: Algebra,
  { projection, offset }: Pick<Directions, "projection" | "offset">,
  expanded: Matrix32,
): Promise<Matrix32> {
  if (projection.columns === 0) return { rows: expanded.rows, columns: 0, values: new Float32Array() };
  const { rows, columns, values } = await algebra.product32(expanded, projection);
  for (let start = 0; start < values.length; start += columns)
    for (let k = 0; k < columns; k++) values[start + k]! -= offset[k]!;
  return { rows, columns, values };
}

/** Half of a squared length, in units of the squared width. */
function halfLength(row: Float32Array): number {
  let squares = 0;
  for (let k = 0; k < row.length; k++) squares += row[k]! * row[k]!;
  return squares / (2 * SQUARED_WIDTH);
}

/** Projected rows of a class, each (K). */
export interface ClassRows {
  readonly fit: readonly Float32Array[];
  readonly calibrating: readonly Float32Array[];
}

/** Rows that are turned at once: what is read and written then stays in the caches. */
const TOGETHER = 16;

/** @param directions K */
export function layOut(classes: readonly ClassRows[], directions: number): KernelRows {
  const all = classes.flatMap(({ fit, calibrating }) => [...fit, ...calibrating]);
  const count = all.length;
  const values = new Float32Array(directions * count);
  for (let first = 0; first < count; first += TOGETHER) {
    const end = Math.min(count, first + TOGETHER);
    for (let k = 0; k < directions; k++)
      for (let i = first; i < end; i++) values[k * count + i] = all[i]![k]!;
  }
  const starts = new Int32Array(classes.length + 1);
  classes.forEach(({ fit, calibrating }, c) => {
    starts[c + 1] = starts[c]! + fit.length + calibrating.length;
  });
  return {
    columns: { rows: directions, columns: count, values },
    lengths: Float64Array.from(all, halfLength),
    starts,
    fitEnds: Int32Array.from(classes, ({ fit }, c) => starts[c]! + fit.length),
  };
}

/** Projected rows, each (K), in their order: the inverse of {@link layOut}. */
export function rowsIn({
  columns: { rows: directions, columns: count, values },
}: KernelRows): Float32Array[] {
  const all = Array.from({ length: count }, () => new Float32Array(directions));
  for (let first = 0; first < count; first += TOGETHER) {
    const end = Math.min(count, first + TOGETHER);
    for (let k = 0; k < directions; k++)
      for (let i = first; i < end; i++) all[i]![k] = values[k * count + i]!;
  }
  return all;
}

/** What the rows of each class say of rows, log mean_i exp(−|t − r_i|²/2h²): of all, and of those that are fitted to alone. */
export interface KernelSums {
  /** (n, C) */
  readonly all: Float64Array;
  /** (n, C) */
  readonly fit: Float64Array;
}

/** Largest and sum of exponentials of a part of a row of exponents: log Σ_i exp(x_i) over [start, end). */
function logSum(exponents: Float64Array, start: number, end: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < end; i++) if (exponents[i]! > largest) largest = exponents[i]!;
  let sum = 0;
  for (let i = start; i < end; i++) {
    const below = exponents[i]! - largest;
    if (below > NEGLIGIBLE) sum += Math.exp(below);
  }
  return largest + Math.log(sum);
}

function logAdd(a: number, b: number): number {
  const [high, low] = a > b ? [a, b] : [b, a];
  return high + Math.log1p(Math.exp(low - high));
}

/** @param asked (n, K), projected */
export async function sumKernels(
  algebra: Algebra,
  { columns: kept, lengths, starts, fitEnds }: KernelRows,
  asked: Matrix32,
): Promise<KernelSums> {
  const classes = fitEnds.length;
  const all = new Float64Array(asked.rows * classes);
  const fit = new Float64Array(asked.rows * classes);
  // Classes that nothing tells apart.
  if (kept.rows === 0) return { all, fit };
  const products = await algebra.product32(asked, kept); // (n, N)
  const exponents = new Float64Array(kept.columns);
  for (let row = 0, at = 0; row < asked.rows; row++) {
    const own = halfLength(asked.values.subarray(row * asked.columns, (row + 1) * asked.columns));
    const first = row * kept.columns;
    for (let i = 0; i < exponents.length; i++)
      exponents[i] = products.values[first + i]! / SQUARED_WIDTH - lengths[i]!;
    for (let c = 0; c < classes; c++, at++) {
      const [start, middle, end] = [starts[c]!, fitEnds[c]!, starts[c + 1]!];
      const sum = logSum(exponents, start, middle);
      fit[at] = sum - Math.log(middle - start) - own;
      all[at] =
        middle === end ? fit[at]! : logAdd(sum, logSum(exponents, middle, end)) - Math.log(end - start) - own;
    }
  }
  return { all, fit };
}

/** What a density says of texts. */
export interface KernelAnswer {
  /** (n, C) */
  readonly logits: Matrix;
  /** (n, C), without the rows that calibrate. */
  readonly fitLogits: Matrix;
  /**
   * (n): log N(t; 0, 1 + ψ), a text of any class, known or not, in the same unit as the logits: both lack the constant of the
   * directions.
   */
  readonly background: Float64Array;
}

/** −½·Σ_k t_k²/(1 + ψ_k) − ½·Σ_k log(1 + ψ_k), t the projected row. @param asked (n, K) */
export function backgroundOf(
  { spread }: Pick<Directions, "spread">,
  { rows, columns, values }: Matrix32,
): Float64Array {
  const constant = spread.reduce((sum, variance) => sum + Math.log(variance), 0);
  return Float64Array.from({ length: rows }, (_, row) => {
    let squares = 0;
    for (let k = 0; k < columns; k++) squares += values[row * columns + k]! ** 2 / spread[k]!;
    return -0.5 * (squares + constant);
  });
}

/** Adds a class's bias to every row's sum. @param sums (n, C) */
export function withBias(sums: Float64Array, bias: Float64Array): Matrix {
  const columns = bias.length;
  const values = sums.map((sum, at) => sum + bias[at % columns]!);
  return { rows: sums.length / columns, columns, values };
}

/**
 * log mean_i exp(−|t − r_i|²/2h²) + bias over the rows r_i of each class (Parzen 1962), t the projected row.
 * @param expanded (n, F)
 */
export async function askKernel(
  algebra: Algebra,
  readout: KernelReadout,
  expanded: Matrix32,
): Promise<KernelAnswer> {
  const asked = await project(algebra, readout, expanded);
  const { all, fit } = await sumKernels(algebra, readout.kept, asked);
  return {
    logits: withBias(all, readout.bias),
    fitLogits: withBias(fit, readout.fitBias),
    background: backgroundOf(readout, asked),
  };
}
