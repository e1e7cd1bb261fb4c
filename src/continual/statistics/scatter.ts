// Dimensions: n rows, M numbers of an expansion, C classes.
/**
 * How rows scatter within their classes, counted from rows in a canonical order: in float32 and about the class means, so
 * that it takes a third of the time of exact sums. A function of the rows alone, whatever the order in which tasks came.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import type { FixedRows } from "../types.ts";
import { EXACT_ROWS, type FeatureMapper } from "./featureMaps.ts";
import { addSecond } from "./totals.ts";

/** Counts and sums of classes, and the scatter within all of them. */
export interface ClassScatter {
  readonly size: number;
  /** (C) */
  readonly counts: Float64Array;
  /** Σ h of each class, (C, M). */
  readonly sums: Float64Array;
  /** Σ (h − m_c)(h − m_c)ᵀ, (M, M), its lower triangle. */
  readonly within: Float64Array;
}

/** Rows by class, each class's in an order of their own. */
export interface OrderedRows {
  /** (n): rising. */
  readonly targets: Int32Array;
  /** Rows [start, end). */
  take(start: number, end: number): FixedRows;
}

/** What scatter is counted with. */
export interface ScatterOptions {
  readonly classes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Calls for each chunk of expanded rows, which are the caller's own. */
export async function eachChunk(
  algebra: Algebra,
  expander: FeatureMapper,
  { targets, take }: OrderedRows,
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

/** @param ordered a canonical order: sums in float32 hang on it */
export async function scatterOf(
  algebra: Algebra,
  expander: FeatureMapper,
  ordered: OrderedRows,
  { classes, signal }: ScatterOptions,
): Promise<ClassScatter> {
  const { size } = expander;
  const counts = new Float64Array(classes);
  const sums = new Float64Array(classes * size);
  await eachChunk(algebra, expander, ordered, signal, ({ values }, targets) => {
    for (const [row, target] of targets.entries()) {
      counts[target]! += 1;
      for (let i = 0; i < size; i++) sums[target * size + i]! += values[row * size + i]!;
    }
  });
  const within = new Float64Array(size * size);
  await eachChunk(algebra, expander, ordered, signal, async ({ values }, targets) => {
    for (const [row, target] of targets.entries())
      for (let i = 0; i < size; i++) values[row * size + i]! -= sums[target * size + i]! / counts[target]!;
    const residuals = { rows: targets.length, columns: size, values };
    await addSecond(algebra, { layout: "square", second: within }, residuals, true);
  });
  return { size, counts, sums, within };
}

/**
 * Of two sets of rows together: the scatters, and for every class that both have n·n′/(n + n′)·(m − m′)(m − m′)ᵀ.
 * @param a its `within` becomes the sum's
 */
export async function joinScatter(algebra: Algebra, a: ClassScatter, b: ClassScatter): Promise<ClassScatter> {
  const { size } = a;
  const both = [...a.counts.keys()].filter((c) => a.counts[c]! > 0 && b.counts[c]! > 0);
  const between = new Float32Array(both.length * size);
  for (const [row, c] of both.entries()) {
    const [n, m] = [a.counts[c]!, b.counts[c]!];
    const root = Math.sqrt((n * m) / (n + m));
    for (let i = 0; i < size; i++)
      between[row * size + i] = root * (a.sums[c * size + i]! / n - b.sums[c * size + i]! / m);
  }
  const { within } = a;
  for (let place = 0; place < within.length; place++) within[place]! += b.within[place]!;
  const moments = { layout: "square", second: within } as const;
  if (both.length > 0)
    await addSecond(algebra, moments, { rows: both.length, columns: size, values: between }, true);
  return {
    size,
    counts: a.counts.map((count, c) => count + b.counts[c]!),
    sums: a.sums.map((sum, place) => sum + b.sums[place]!),
    within,
  };
}
