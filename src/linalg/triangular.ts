// Dimensions: n, the size of a square matrix. Only the lower triangle is read and written.
/** Cholesky's method as loops: for one block of a large matrix, and whole for small ones. */
import { EngineError } from "../core/errors.ts";

/**
 * Overwrites the lower triangle of a symmetric positive definite matrix by L with L·Lᵀ = A.
 * @param values (n, n), row-major
 * @param first the row of the whole matrix that this block begins at, for messages
 * @throws EngineError naming the pivot that is not positive: the matrix is singular or not finite
 */
export function factorLower(values: Float64Array, n: number, what: string, first = 0): void {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(values[i * n + i]!));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const sum = values[i * n + j]! - rowProduct(values, i * n, j * n, j);
      if (i !== j) {
        values[i * n + j] = sum / values[j * n + j]!;
        continue;
      }
      if (!(sum > largest * n * Number.EPSILON) || !Number.isFinite(sum))
        throw new EngineError(`${what}: the matrix is singular: pivot ${first + i} is ${sum}`, {
          hint: "more shrinkage or a larger λ makes it regular; a value that is not a number makes every pivot fail",
        });
      values[i * n + i] = Math.sqrt(sum);
    }
  }
}

/** Σ_{k<count} values[a + k]·values[b + k], in four sums: one alone would wait for every addition. */
function rowProduct(values: Float64Array, a: number, b: number, count: number): number {
  let [first, second, third, fourth] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < count; k += 4) {
    first += values[a + k]! * values[b + k]!;
    second += values[a + k + 1]! * values[b + k + 1]!;
    third += values[a + k + 2]! * values[b + k + 2]!;
    fourth += values[a + k + 3]! * values[b + k + 3]!;
  }
  for (; k < count; k++) first += values[a + k]! * values[b + k]!;
  return first + second + (third + fourth);
}

/** The inverse of a lower triangular matrix (n, n), itself lower triangular. */
export function invertLower(lower: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    // Row i of L⁻¹ = (e_i − Σ_{k<i} L_ik · row k of L⁻¹) / L_ii
    const row = inverse.subarray(i * n, (i + 1) * n);
    row[i] = 1;
    for (let k = 0; k < i; k++) {
      const factor = lower[i * n + k]!;
      for (let j = 0; j <= k; j++) row[j]! -= factor * inverse[k * n + j]!;
    }
    const pivot = lower[i * n + i]!;
    for (let j = 0; j <= i; j++) row[j]! /= pivot;
  }
  return inverse;
}
