// Dimensions: n texts asked, N rows kept, F features read, K directions, C classes.
/** A kernel density of every class, in the directions in which classes differ, and what it says. */
import type { Algebra, Matrix, Matrix32 } from "../../../linalg/algebra.ts";

/** A fitted density. */
export interface KernelReadout {
  /** (K, F): directions of unit variance within classes. */
  readonly projection: Matrix32;
  /** (K), of the mean of all rows; taken away from what is projected. */
  readonly offset: Float64Array;
  /** (K): 1 + ψ, the variance of texts of any class along each direction: 1 within classes, ψ between them. */
  readonly spread: Float64Array;
  /** (N, K), ordered by class. */
  readonly rows: Matrix32;
  /** (C + 1): rows of class c are `starts[c]` to `starts[c + 1]`. */
  readonly starts: Int32Array;
  /** (C), added to the logits. */
  readonly bias: Float64Array;
}

/** h², the square of the kernel's width; directions have variance 1. */
export const SQUARED_WIDTH = 10;

/** What lies further below the largest exponent adds less to a sum than float64 rounds away. */
const NEGLIGIBLE = -40;

/** Where rows lie along the directions. @param expanded (n, F) @returns (n, K) */
export async function project(
  algebra: Algebra,
  { projection, offset }: Pick<KernelReadout, "projection" | "offset">,
  expanded: Matrix32,
): Promise<Matrix32> {
  if (projection.rows === 0) return { rows: expanded.rows, columns: 0, values: new Float32Array() };
  const { rows, columns, values } = await algebra.product32(expanded, projection, "second");
  for (let start = 0; start < values.length; start += columns)
    for (let k = 0; k < columns; k++) values[start + k]! -= offset[k]!;
  return { rows, columns, values };
}

function squaredLengths({ rows, columns, values }: Matrix32): Float64Array {
  const lengths = new Float64Array(rows);
  for (let row = 0, at = 0; row < rows; row++)
    for (let k = 0; k < columns; k++, at++) lengths[row]! += values[at]! * values[at]!;
  return lengths;
}

/** What a density says of texts. */
export interface KernelAnswer {
  /** (n, C) */
  readonly logits: Matrix;
  /**
   * (n): log N(t; 0, 1 + ψ), a text of any class, known or not, in the same unit as the logits: both lack the constant of the
   * directions.
   */
  readonly background: Float64Array;
}

/** −½·Σ_k t_k²/(1 + ψ_k) − ½·Σ_k log(1 + ψ_k), t the projected row. */
function backgroundOf(spread: Float64Array, { rows, columns, values }: Matrix32): Float64Array {
  const constant = spread.reduce((sum, variance) => sum + Math.log(variance), 0);
  return Float64Array.from({ length: rows }, (_, row) => {
    let squares = 0;
    for (let k = 0; k < columns; k++) squares += values[row * columns + k]! ** 2 / spread[k]!;
    return -0.5 * (squares + constant);
  });
}

/** log mean_i exp(x_i) over [start, end). */
function logMean(exponents: Float64Array, start: number, end: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < end; i++) if (exponents[i]! > largest) largest = exponents[i]!;
  let sum = 0;
  for (let i = start; i < end; i++) {
    const below = exponents[i]! - largest;
    if (below > NEGLIGIBLE) sum += Math.exp(below);
  }
  return largest + Math.log(sum / (end - start));
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
  const { rows: kept, starts, bias, spread } = readout;
  const columns = bias.length;
  const values = new Float64Array(expanded.rows * columns);
  const logits = { rows: expanded.rows, columns, values };
  // Classes that nothing tells apart.
  if (kept.columns === 0) return { logits, background: new Float64Array(expanded.rows) };
  const asked = await project(algebra, readout, expanded);
  const products = await algebra.product32(asked, kept, "second"); // (n, N)
  const [own, other] = [squaredLengths(asked), squaredLengths(kept)];
  const exponents = new Float64Array(kept.rows);
  for (let row = 0; row < expanded.rows; row++) {
    const first = row * kept.rows;
    for (let i = 0; i < exponents.length; i++)
      exponents[i] = (2 * products.values[first + i]! - own[row]! - other[i]!) / (2 * SQUARED_WIDTH);
    for (let c = 0; c < columns; c++)
      values[row * columns + c] = logMean(exponents, starts[c]!, starts[c + 1]!) + bias[c]!;
  }
  return { logits, background: backgroundOf(spread, asked) };
}
