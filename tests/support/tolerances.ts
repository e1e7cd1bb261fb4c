import { expect } from "vitest";
import type { HostTensor } from "../../src/core/tensor.ts";

/**
 * Every numeric tolerance of the tests. All are relative to a whole tensor: max|actual − expected| ≤
 * tolerance · max|expected|. Loosening one needs a reason written beside it.
 */
export const tolerances = {
  /** Analytic against central differences, both in float64. */
  gradient: 1e-6,
  /** Whole models and training steps in float32 against a reference. */
  float32: 1e-4,
  /** A single operator in float32 against float64. */
  float32Operator: 1e-5,
  /**
   * Whole models and ten training steps in float64 against torch in float64. Not tighter, because a graph's scalar
   * constants are float32 (2/√π in the gradient of GELU alone is off by 3e-8).
   */
  goldenFloat64: 1e-7,
  /** The same computation in float64, twice. */
  float64: 1e-12,
  /** A linear system solved in float64 in two ways: rounding is multiplied by the condition number. */
  float64Solve: 1e-10,
  /** Of the error function itself, relative to its value. */
  erf: 1e-15,
  /**
   * Whole runs on another processor than the one that recorded them: a difference in last bits goes through every step.
   * Errors of 2e-7 of every output of the engine moved a tensor by 4e-3, all but that one and the scores by less than 2e-3.
   */
  behaviour: 1e-2,
  /**
   * The same, where last bits decide which rows are held out, or go through hundreds of steps of a router's training. The
   * same errors moved scores by up to 0.1, and figures by as much as three of 18 texts.
   */
  behaviourRough: 0.2,
  /**
   * Scores of a router of few classes, fitted to rows that another build of the engine made. The last bits of a row say whether it
   * calibrates, so other rows set the temperatures.
   */
  redrawn: 3e-2,
} as const;

/** Decimals to which single figures agree (`toBeCloseTo`). */
export const digits = {
  /** The same sum of fractions in float64, in another order. */
  float64: 12,
  /** Through logarithms, exponentials or long sums in float64. */
  float64Long: 10,
  /** Of values kept in float32. */
  float32: 6,
} as const;

/** max|x|, infinities aside. */
export function largestMagnitude(tensor: HostTensor): number {
  let largest = 0;
  for (const value of tensor.data) {
    const magnitude = Math.abs(Number(value));
    if (magnitude > largest && magnitude < Number.POSITIVE_INFINITY) largest = magnitude;
  }
  return largest;
}

/**
 * max|actual − expected| / max|expected|; infinite where shapes differ, a value is not a number, or only one
 * side is infinite.
 */
export function relativeDifference(actual: HostTensor, expected: HostTensor): number {
  if (actual.dims.join() !== expected.dims.join()) return Number.POSITIVE_INFINITY;
  let difference = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const [x, y] = [Number(actual.data[i]), Number(expected.data[i])];
    if (x === y) continue;
    if (!Number.isFinite(x) || !Number.isFinite(y)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(x - y));
  }
  return difference === 0 ? 0 : difference / largestMagnitude(expected);
}

/** Compares a whole tensor. @param tolerance of the table above */
export function expectClose(
  actual: HostTensor | undefined,
  expected: HostTensor,
  tolerance: number,
  what = "",
): void {
  expect(actual, what).toBeDefined();
  if (actual !== undefined) expect(relativeDifference(actual, expected), what).toBeLessThanOrEqual(tolerance);
}
