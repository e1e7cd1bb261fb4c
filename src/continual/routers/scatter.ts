// Dimensions: n rows, F features read, C classes.
/**
 * How rows scatter within their classes. The second moment is of rounded features, which float32 counts exactly: so it can be
 * kept, added to and taken from, and hangs on nothing but the rows. Rounding moves a feature by 2^−11 at most, which adds far
 * less to a covariance than shrinkage does.
 */
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import { nextTick } from "../../portable/nextTick.ts";
import { EXACT_ROWS, type FeatureMapper, ROUNDED_STEP } from "../statistics/featureMaps.ts";
import { accumulate, type Totals } from "../statistics/totals.ts";
import type { FitContext } from "./fitContext.ts";
import type { CalibrationSplit, RowList } from "./heldOut.ts";
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

/**
 * Scatter of established classes, without the rows that calibrate. Goes on from the totals of the fit before.
 * @param expander of the features, which are rounded here
 */
export async function establishedScatter(
  context: FitContext,
  expander: FeatureMapper,
  { established, calibrating }: Pick<CalibrationSplit, "established" | "calibrating">,
): Promise<ClassScatter> {
  const { algebra, statistics, signal } = context;
  const labels = established.map((c) => statistics.labels[c]!);
  const rounded = context.expander({ ...expander.expansion, kind: "rounded" });
  const totals = await context.totals(rounded, rounded.size, true, { part: "all", labels: new Set(labels) });
  await accumulate(algebra, rounded, totals, byClass(calibrating, statistics.labels), -1, signal);
  return await scatterOf(algebra, totals, labels);
}

function* byClass({ targets, take }: RowList, labels: readonly string[]) {
  for (let start = 0, end = 0; start < targets.length; start = end) {
    while (end < targets.length && targets[end] === targets[start]) end += 1;
    yield { label: labels[targets[start]!]!, rows: take(start, end) };
  }
}

/** @param totals of rounded features */
async function scatterOf(algebra: Algebra, totals: Totals, labels: readonly string[]): Promise<ClassScatter> {
  const { size, classes, rows } = totals;
  const counts = Float64Array.from(labels, (label) => classes.get(label)!.count);
  const sums = new Float64Array(labels.length * size);
  labels.forEach((label, c) => {
    const { sum } = classes.get(label)!;
    for (let i = 0; i < size; i++) sums[c * size + i] = ROUNDED_STEP * sum[i]!;
  });
  const within = await withinCovariance(algebra, totals, labels);
  const scale = rows * ROUNDED_STEP ** 2;
  for (let i = 0; i < within.length; i++) within[i]! *= scale;
  return { size, counts, sums, within };
}
