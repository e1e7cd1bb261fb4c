// Dimensions: n, the size of a symmetric matrix; W, the width of a block; C right-hand sides.
/** Symmetric positive definite systems: blocked Cholesky, its products on the engine. */

import { nextTick } from "../portable/nextTick.ts";
import type { Algebra, Matrix } from "./algebra.ts";
import { factorLower, invertLower } from "./triangular.ts";

/** Wide enough for fast products, narrow enough that the loops over one block are little work. */
const BLOCK = 64;

/** A factor L with L·Lᵀ = A, and the inverses of its diagonal blocks. */
export interface CholeskyFactor {
  readonly size: number;
  /** (n, n), row-major; what lies above the diagonal is left over from A. */
  readonly lower: Float64Array;
  /** L_kk⁻¹ of each block (W, W). */
  readonly inverses: readonly Matrix[];
}

export interface CholeskyOptions {
  /** Names the system in messages. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

/** Rows [top, bottom) and columns [left, right) of an (n, n) matrix, copied. */
function cut(
  values: Float64Array,
  n: number,
  top: number,
  bottom: number,
  left: number,
  right: number,
): Matrix {
  const columns = right - left;
  const block = new Float64Array((bottom - top) * columns);
  for (let row = top; row < bottom; row++)
    block.set(values.subarray(row * n + left, row * n + right), (row - top) * columns);
  return { rows: bottom - top, columns, values: block };
}

/**
 * Factors a symmetric positive definite matrix in place, a block of columns at a time: what the columns before
 * contribute is one product, and so is the division by the diagonal block.
 *
 * @param values (n, n), row-major; only the lower triangle is read, and it is overwritten
 * @throws EngineError if the matrix is singular or not finite
 */
export async function factorize(
  algebra: Algebra,
  values: Float64Array,
  n: number,
  { what, signal }: CholeskyOptions,
): Promise<CholeskyFactor> {
  const inverses: Matrix[] = [];
  for (let start = 0; start < n; start += BLOCK) {
    signal?.throwIfAborted();
    const end = Math.min(n, start + BLOCK);
    const width = end - start;
    // A[start:, block] − L[start:, :start] · L[block, :start]ᵀ
    if (start > 0) {
      const below = cut(values, n, start, n, 0, start);
      const beside = cut(values, n, start, end, 0, start);
      const done = await algebra.product(below, beside, "second"); // (n − start, W)
      for (let row = start; row < n; row++)
        for (let j = 0; j < width; j++)
          values[row * n + start + j]! -= done.values[(row - start) * width + j]!;
    }
    const diagonal = cut(values, n, start, end, start, end);
    factorLower(diagonal.values, width, what, start);
    for (let i = 0; i < width; i++)
      for (let j = 0; j <= i; j++) values[(start + i) * n + start + j] = diagonal.values[i * width + j]!;
    const inverse = { rows: width, columns: width, values: invertLower(diagonal.values, width) };
    inverses.push(inverse);
    if (end < n) {
      // L[end:, block] = A[end:, block] · L_kk⁻ᵀ
      const panel = await algebra.product(cut(values, n, end, n, start, end), inverse, "second");
      for (let row = end; row < n; row++)
        values.set(panel.values.subarray((row - end) * width, (row - end + 1) * width), row * n + start);
    }
    await nextTick();
  }
  return { size: n, lower: values, inverses };
}

function subtract(target: Float64Array, taken: Float64Array): void {
  for (let i = 0; i < target.length; i++) target[i]! -= taken[i]!;
}

/** Solves L·Y = B. @param right (n, C) @returns (n, C) */
export async function solveLower(algebra: Algebra, factor: CholeskyFactor, right: Matrix): Promise<Matrix> {
  const { size: n, lower, inverses } = factor;
  const { columns } = right;
  const solved = right.values.slice();
  for (const [k, inverse] of inverses.entries()) {
    const [start, end] = [k * BLOCK, Math.min(n, (k + 1) * BLOCK)];
    const own = solved.subarray(start * columns, end * columns);
    if (start > 0) {
      const before = { rows: start, columns, values: solved.subarray(0, start * columns) };
      subtract(own, (await algebra.product(cut(lower, n, start, end, 0, start), before)).values);
    }
    own.set((await algebra.product(inverse, { rows: end - start, columns, values: own })).values);
  }
  return { rows: n, columns, values: solved };
}

/** Solves Lᵀ·X = Y. @param right (n, C) @returns (n, C) */
export async function solveUpper(algebra: Algebra, factor: CholeskyFactor, right: Matrix): Promise<Matrix> {
  const { size: n, lower, inverses } = factor;
  const { columns } = right;
  const solved = right.values.slice();
  for (let k = inverses.length - 1; k >= 0; k--) {
    const [start, end] = [k * BLOCK, Math.min(n, (k + 1) * BLOCK)];
    const own = solved.subarray(start * columns, end * columns);
    if (end < n) {
      const after = { rows: n - end, columns, values: solved.subarray(end * columns) };
      subtract(own, (await algebra.product(cut(lower, n, end, n, start, end), after, "first")).values);
    }
    own.set(
      (await algebra.product(inverses[k]!, { rows: end - start, columns, values: own }, "first")).values,
    );
  }
  return { rows: n, columns, values: solved };
}

/**
 * Solves A·X = B for the matrix that was factored.
 * @param right (n, C)
 * @returns (n, C)
 */
export async function solveFactored(
  algebra: Algebra,
  factor: CholeskyFactor,
  right: Matrix,
): Promise<Matrix> {
  return solveUpper(algebra, factor, await solveLower(algebra, factor, right));
}
