// Dimensions: n rows, D width of the feature, N tasks.
/** How a selection network on frozen features learns: with pseudo-features of earlier classes for negatives. */

import type { Rng } from "../../core/random.ts";
import { shuffled } from "../../core/random.ts";
import type { FeatureRows } from "../types.ts";
import type { ClassStatistics } from "./selectorState.ts";

/** Examples that the pooled variance counts as, beside a class's own. */
const POOLED_EXAMPLES = 10;

/**
 * The mean and the diagonal covariance of each class, in float64.
 * @param features (n, D)
 * @param slots the class of each row
 * @param task the number of the task that the classes belong to
 * @returns one a class that has a row, in the order of the slots
 */
export function measureClasses(
  features: FeatureRows,
  slots: readonly number[],
  task: number,
): ClassStatistics[] {
  const { width, values } = features;
  const members = new Map<number, number[]>();
  for (const [row, slot] of slots.entries()) members.set(slot, [...(members.get(slot) ?? []), row]);
  return [...members]
    .sort(([a], [b]) => a - b)
    .map(([, rows]) => {
      const mean = new Float64Array(width);
      const variance = new Float64Array(width);
      for (const row of rows)
        for (let d = 0; d < width; d++) mean[d]! += values[row * width + d]! / rows.length;
      for (const row of rows)
        for (let d = 0; d < width; d++)
          variance[d]! += (values[row * width + d]! - mean[d]!) ** 2 / rows.length;
      return { task, count: rows.length, mean, variance };
    });
}

/** Σ_c count_c · variance_c / Σ_c count_c: what the classes vary by, on average. */
function poolVariances(statistics: readonly ClassStatistics[], width: number): Float64Array {
  const pooled = new Float64Array(width);
  const total = statistics.reduce((sum, { count }) => sum + count, 0);
  for (const { count, variance } of statistics)
    for (let d = 0; d < width; d++) pooled[d]! += (count * variance[d]!) / total;
  return pooled;
}

/** Rows to learn from, and the task that each belongs to. */
export interface OwnedRows {
  readonly features: FeatureRows;
  readonly owners: readonly number[];
}

/**
 * A round of training rows: the task's own, and for every earlier class as many draws from
 * N(mean, (count · variance + 10 · pooled) / (count + 10)) as a class of the task has rows, in an order drawn by chance.
 * The pooled variance keeps a class of few examples from standing for a point.
 *
 * @param own (n, D)
 * @param earlier classes of tasks before this one
 * @param normalize whether features have length 1: draws are then brought to it
 */
export function mixRows(
  own: OwnedRows & { readonly classes: number },
  earlier: readonly ClassStatistics[],
  normalize: boolean,
  rng: Rng,
): OwnedRows {
  const { rows, width, values } = own.features;
  const each = earlier.length === 0 ? 0 : Math.max(1, Math.round(rows / own.classes));
  const pooled = poolVariances(earlier, width);
  const total = rows + each * earlier.length;
  const places = shuffled([...Array(total).keys()], rng.fork("order"));
  const mixed = new Float32Array(total * width);
  const owners = new Array<number>(total).fill(0);
  for (let row = 0; row < rows; row++) {
    const place = places[row]!;
    mixed.set(values.subarray(row * width, (row + 1) * width), place * width);
    owners[place] = own.owners[row]!;
  }
  let next = rows;
  earlier.forEach((statistics, i) => {
    const draw = rng.fork("class", i);
    for (let k = 0; k < each; k++) {
      const place = places[next++]!;
      drawFeature(mixed.subarray(place * width, (place + 1) * width), statistics, pooled, normalize, draw);
      owners[place] = statistics.task;
    }
  });
  return { features: { rows: total, width, values: mixed }, owners };
}

function drawFeature(
  target: Float32Array,
  { count, mean, variance }: ClassStatistics,
  pooled: Float64Array,
  normalize: boolean,
  rng: Rng,
): void {
  let squares = 0;
  for (let d = 0; d < target.length; d++) {
    const spread = (count * variance[d]! + POOLED_EXAMPLES * pooled[d]!) / (count + POOLED_EXAMPLES);
    const value = mean[d]! + Math.sqrt(spread) * rng.normal();
    target[d] = value;
    squares += value * value;
  }
  if (!normalize || squares === 0) return;
  const length = Math.sqrt(squares);
  for (let d = 0; d < target.length; d++) target[d]! /= length;
}
