// Dimensions: n rows, F features read, C classes.
/**
 * How rows scatter within their classes. The second moment is of rounded features, which float32 counts exactly: so it can be
 * kept, added to and taken from, and hangs on nothing but the rows. Rounding moves a feature by 2^−11 at most, which adds far
 * less to a covariance than shrinkage does.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import { EXACT_ROWS, type FeatureMapper, ROUNDED_STEP } from "../statistics/featureMaps.ts";
import { accumulate, cloneTotals, type Totals } from "../statistics/totals.ts";
import type { FitContext } from "./fitContext.ts";
import type { RowList } from "./heldOut.ts";
import { withinCovariance } from "./readouts/closedForm.ts";

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

/** Calls for each chunk of expanded rows, which are the caller's own. */
export async function eachChunk(
  algebra: Algebra,
  expander: FeatureMapper,
  { targets, take }: RowList,
  signal: AbortSignal | undefined,
  visit: (expanded: Matrix32, targets: Int32Array, start: number) => Promise<void> | void,
): Promise<void> {
  for (let start = 0; start < targets.length; start += EXACT_ROWS) {
    signal?.throwIfAborted();
    const end = Math.min(targets.length, start + EXACT_ROWS);
    await visit(await expander.expand(algebra, take(start, end)), targets.subarray(start, end), start);
    await nextTick();
  }
}

/** Second moments of all rows, and of those that do not calibrate; features rounded. */
export interface RoundedTotals {
  readonly all: Totals;
  readonly fit: Totals;
}

/** Goes on from the totals of the fit before, and takes away the rows that calibrate. */
export async function roundedTotals(
  context: FitContext,
  expander: FeatureMapper,
  calibrating: RowList,
): Promise<RoundedTotals> {
  const { algebra, statistics, signal } = context;
  const rounded = context.expander({ ...expander.expansion, kind: "rounded" });
  const all = await context.totals(rounded, rounded.size, true, "all");
  const fit = cloneTotals(all);
  await accumulate(algebra, rounded, fit, byClass(calibrating, statistics.labels), -1, signal);
  return { all, fit };
}

function* byClass({ targets, take }: RowList, labels: readonly string[]) {
  for (let start = 0, end = 0; start < targets.length; start = end) {
    while (end < targets.length && targets[end] === targets[start]) end += 1;
    yield { label: labels[targets[start]!]!, rows: take(start, end) };
  }
}

/**
 * @param totals of the rows, their features rounded
 * @param rows by label
 */
export async function scatterOf(
  { algebra, statistics: { labels }, signal }: FitContext,
  expander: FeatureMapper,
  totals: Totals,
  rows: RowList,
): Promise<ClassScatter> {
  const { size } = expander;
  const counts = new Float64Array(labels.length);
  const sums = new Float64Array(labels.length * size);
  await eachChunk(algebra, expander, rows, signal, ({ values }, targets) => {
    for (const [row, target] of targets.entries()) {
      counts[target]! += 1;
      for (let i = 0; i < size; i++) sums[target * size + i]! += values[row * size + i]!;
    }
  });
  const within = await withinCovariance(algebra, totals, labels);
  const scale = totals.rows * ROUNDED_STEP ** 2;
  for (let i = 0; i < within.length; i++) within[i]! *= scale;
  return { size, counts, sums, within };
}
