// Dimensions: n rows, F features read, C classes.
/**
 * How rows scatter within their classes. The second moment is of rounded features, which float32 counts exactly: so it can be
 * kept, added to and taken from, and hangs on nothing but the rows. Rounding moves a feature by 2^−11 at most, which adds far
 * less to a covariance than shrinkage does.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra } from "../../linalg/algebra.ts";
import { type FeatureMapper, ROUNDED_STEP } from "../statistics/featureMaps.ts";
import { accumulate, cloneTotals, type Totals } from "../statistics/totals.ts";
import type { FitContext } from "./fitContext.ts";
import type { TargetedRows } from "./heldOut.ts";
import { withinCovariance } from "./readouts/closedForm.ts";

/** Rows read at once. */
const CHUNK = 1024;

/** Counts and sums of classes, and the scatter within all of them. */
export interface ClassScatter {
  readonly size: number;
  /** (C) */
  readonly counts: Float64Array;
  /** Σ h of each class, (C, F). */
  readonly sums: Float64Array;
  /** Σ (h − m_c)(h − m_c)ᵀ, (F, F), its lower triangle. */
  readonly within: Float64Array;
}

/** Second moments of all rows, and of those that do not calibrate; features rounded. */
export interface RoundedTotals {
  readonly all: Totals;
  readonly fit: Totals;
}

/** Takes those of all rows on from the fit before, and takes away the rows that calibrate. */
export async function roundedTotals(
  context: FitContext,
  expander: FeatureMapper,
  calibrating: TargetedRows,
): Promise<RoundedTotals> {
  const { algebra, statistics, signal } = context;
  const rounded = context.expander({ ...expander.expansion, kind: "rounded" });
  const all = await context.totals(rounded, rounded.size, true, "all");
  const fit = cloneTotals(all);
  await accumulate(algebra, rounded, fit, labelledParts(calibrating, statistics.labels), -1, signal);
  return { all, fit };
}

function* labelledParts({ rows, targets }: TargetedRows, labels: readonly string[]) {
  const { width, values } = rows;
  for (let start = 0, end = 0; start < targets.length; start = end) {
    while (end < targets.length && targets[end] === targets[start]) end += 1;
    const own = { rows: end - start, width, values: values.subarray(start * width, end * width) };
    yield { label: labels[targets[start]!]!, rows: own };
  }
}

/**
 * @param totals of the rows, their features rounded
 * @param targeted the rows
 */
export async function scatterOf(
  algebra: Algebra,
  expander: FeatureMapper,
  totals: Totals,
  { rows, targets }: TargetedRows,
  labels: readonly string[],
): Promise<ClassScatter> {
  const { size } = expander;
  const counts = new Float64Array(labels.length);
  const sums = new Float64Array(labels.length * size);
  for (let start = 0; start < rows.rows; start += CHUNK) {
    const end = Math.min(rows.rows, start + CHUNK);
    const own = rows.values.subarray(start * rows.width, end * rows.width);
    const { values } = await expander.expand(algebra, { ...rows, rows: end - start, values: own });
    for (const [row, target] of targets.subarray(start, end).entries()) {
      counts[target]! += 1;
      for (let i = 0; i < size; i++) sums[target * size + i]! += values[row * size + i]!;
    }
    await nextTick();
  }
  const covariance = await withinCovariance(algebra, totals, labels);
  const scale = totals.rows * ROUNDED_STEP ** 2;
  return { size, counts, sums, within: covariance.map((value) => value * scale) };
}
