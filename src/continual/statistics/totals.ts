// Dimensions: n rows, M numbers of an expansion.
/** Sums over rows of an expansion: whole numbers, exact, so order and blocking leave no trace. */
import { EngineError } from "../../core/errors.ts";
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import { copyLower, type LowerLayout, lowerRowStarts } from "../../linalg/lower.ts";
import { nextTick } from "../../portable/nextTick.ts";
import type { FixedRows } from "../types.ts";
import { EXACT_ROWS, type FeatureMap, type FeatureMapper } from "./featureMaps.ts";
import { takeRows } from "./fixedRows.ts";
import { addRounded } from "./roundedMoments.ts";

/** Rows whose sums of products of 15-bit numbers are exact in float64. */
const MOST_ROWS = 2 ** 22;
/** Columns of a panel of the Gram matrix: a panel's product fits the caches. */
const PANEL = 512;

export interface ClassSum {
  count: number;
  /** Σ h, (M) */
  readonly sum: Float64Array;
}

/** Count and sum of each class, and the second moment of all together. */
export interface Totals {
  readonly size: number;
  /** Of the second moment. */
  readonly layout: LowerLayout;
  readonly classes: Map<string, ClassSum>;
  rows: number;
  /** Σ h·hᵀ, (M, M), its lower triangle. Absent where no second moment is asked for. */
  readonly second: Float64Array | undefined;
}

export interface LabelledRows {
  readonly label: string;
  readonly rows: FixedRows;
}

export function emptyTotals(size: number, second: boolean, layout: LowerLayout = "square"): Totals {
  const moment = second ? new Float64Array(lowerRowStarts[layout](size, size)) : undefined;
  return { size, layout, classes: new Map(), rows: 0, second: moment };
}

/** The same totals in copies. */
export function cloneTotals(totals: Totals, as: LowerLayout = "square"): Totals {
  const classes = new Map(
    [...totals.classes].map(([label, { count, sum }]) => [label, { count, sum: sum.slice() }]),
  );
  const { second: values, layout, size } = totals;
  const target = { layout: as, n: size };
  const second =
    values &&
    copyLower(
      { layout, n: size, values },
      { ...target, values: new Float64Array(lowerRowStarts[as](size, size)) },
    );
  return { size, layout: as, classes, rows: totals.rows, second };
}

/** Pieces of at most {@link EXACT_ROWS} rows, those of small classes together. */
function* chunksOf(batches: Iterable<LabelledRows>): Generator<LabelledRows[]> {
  let chunk: LabelledRows[] = [];
  let held = 0;
  for (const { label, rows } of batches) {
    for (let start = 0; start < rows.rows; ) {
      const taken = Math.min(rows.rows - start, EXACT_ROWS - held);
      const indices = Array.from({ length: taken }, (_, i) => start + i);
      chunk.push({ label, rows: taken === rows.rows ? rows : takeRows(rows, indices) });
      held += taken;
      start += taken;
      if (held < EXACT_ROWS) continue;
      yield chunk;
      chunk = [];
      held = 0;
    }
  }
  if (held > 0) yield chunk;
}

/** Several pieces as one. */
export function joinRows(pieces: readonly FixedRows[], width: number): FixedRows {
  const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  const values = new Int16Array(rows * width);
  let place = 0;
  for (const piece of pieces) {
    values.set(piece.values, place);
    place += piece.values.length;
  }
  return { rows, width, values };
}

/**
 * Adds rows to totals, or takes them away.
 * @param sign 1 or −1
 * @throws EngineError beyond the number of rows whose sums are exact
 */
export async function accumulate(
  algebra: Algebra,
  expander: FeatureMapper,
  totals: Totals,
  batches: Iterable<LabelledRows>,
  sign: 1 | -1 = 1,
  signal?: AbortSignal,
): Promise<void> {
  for (const chunk of chunksOf(batches)) {
    signal?.throwIfAborted();
    const joined = joinRows(
      chunk.map(({ rows }) => rows),
      chunk[0]!.rows.width,
    );
    const expanded = await expander.expand(algebra, joined, totals.size);
    addSums(totals, chunk, expanded.values, sign);
    if (totals.rows > MOST_ROWS)
      throw new EngineError(`statistics of more than ${MOST_ROWS} rows are not exact`);
    await addMoments(algebra, totals, expanded, expander.expansion.kind, sign);
    await nextTick();
  }
}

/** Adds ± hᵀh, exactly, with as little as its kind of numbers needs. */
async function addMoments(
  algebra: Algebra,
  totals: Totals,
  expanded: Matrix32,
  kind: FeatureMap["kind"],
  sign: 1 | -1,
): Promise<void> {
  const { layout, second } = totals;
  if (kind !== "rounded" || second === undefined)
    return await addSecond(algebra, totals, expanded, kind !== "identity", sign);
  const narrow = (block: Matrix32) => addSecond(algebra, totals, block, true, sign);
  await addRounded(algebra, { layout, second }, expanded, narrow, sign);
}

function addSums(totals: Totals, chunk: readonly LabelledRows[], values: Float32Array, sign: 1 | -1): void {
  const { size } = totals;
  let place = 0;
  for (const { label, rows } of chunk) {
    let own = totals.classes.get(label);
    if (own === undefined) {
      own = { count: 0, sum: new Float64Array(size) };
      totals.classes.set(label, own);
    }
    own.count += sign * rows.rows;
    totals.rows += sign * rows.rows;
    const { sum } = own;
    for (let row = 0; row < rows.rows; row++, place += size)
      for (let i = 0; i < size; i++) sum[i]! += sign * values[place + i]!;
    if (own.count === 0) totals.classes.delete(label);
  }
}

/**
 * Adds ± hᵀh of (n, M), panel by panel of the lower triangle.
 * @param target with the second moment
 * @param narrow whether products in float32 will do
 */
export async function addSecond(
  algebra: Algebra,
  { layout, second }: Pick<Totals, "layout" | "second">,
  expanded: Matrix32,
  narrow: boolean,
  sign: 1 | -1 = 1,
): Promise<void> {
  const { rows, columns: size } = expanded;
  if (second === undefined) return;
  const panels: Float32Array[] = [];
  for (let left = 0; left < size; left += PANEL)
    panels.push(panelOf(expanded, left, Math.min(size, left + PANEL)));
  for (const [i, first] of panels.entries())
    for (const [j, other] of panels.slice(0, i + 1).entries()) {
      const [height, width] = [first.length / rows, other.length / rows];
      const product = narrow
        ? await algebra.product32(
            { rows, columns: height, values: first },
            { rows, columns: width, values: other },
            "first",
          )
        : await algebra.product(
            { rows, columns: height, values: new Float64Array(first) },
            { rows, columns: width, values: new Float64Array(other) },
            "first",
          );
      const { values } = product;
      for (let row = 0; row < height; row++) {
        let target = lowerRowStarts[layout](i * PANEL + row, size) + j * PANEL;
        const first = row * width;
        // On the diagonal a row ends with itself.
        const end = first + (i === j ? row + 1 : width);
        for (let place = first; place < end; place++) second[target++]! += sign * values[place]!;
      }
    }
}

function panelOf({ rows, columns, values }: Matrix32, left: number, right: number): Float32Array {
  const width = right - left;
  if (width === columns) return values;
  const panel = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++)
    panel.set(values.subarray(row * columns + left, row * columns + right), row * width);
  return panel;
}
