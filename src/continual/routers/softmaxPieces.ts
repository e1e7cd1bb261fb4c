// Dimensions: n rows, M numbers of an expansion.
/** Rows of random features as softmax regression reads them: again and again, so they are made once and lie small. */
import type { Matrix32 } from "../../linalg/algebra.ts";
import { nextTick } from "../../portable/nextTick.ts";
import { EXACT_ROWS, type FeatureMapper } from "../statistics/featureMaps.ts";
import { joinRows } from "../statistics/totals.ts";
import type { FixedRows } from "../types.ts";
import type { FitContext } from "./fitContext.ts";
import type { TargetedRows } from "./heldOut.ts";

/** Rows with their classes, as many as go through a product at once. Random features have 8 bits, features 16. */
export interface Piece {
  readonly rows: number;
  readonly columns: number;
  readonly values: Int8Array | Int16Array;
  readonly targets: Int32Array;
}

export async function piecesOf(
  { algebra, signal }: FitContext,
  expander: FeatureMapper,
  { rows, targets }: TargetedRows,
): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (let start = 0; start < rows.rows; start += EXACT_ROWS) {
    signal?.throwIfAborted();
    const end = Math.min(rows.rows, start + EXACT_ROWS);
    const values = rows.values.subarray(start * rows.width, end * rows.width);
    const part: FixedRows = { rows: end - start, width: rows.width, values };
    const { columns, values: expanded } = await expander.expand(algebra, part);
    const small = expander.expansion.kind === "identity" ? new Int16Array(expanded) : new Int8Array(expanded);
    pieces.push({ rows: part.rows, columns, values: small, targets: targets.subarray(start, end) });
    await nextTick();
  }
  return pieces;
}

/** The rows held out, which the last fit takes in. */
export function heldOutPieces(context: FitContext, expander: FeatureMapper): Promise<Piece[]> {
  const { statistics, split } = context;
  const places = new Map(statistics.labels.map((label, place) => [label, place]));
  const rows = joinRows(
    split.heldOut.map((own) => own.rows),
    statistics.constants.width,
  );
  const targets = split.heldOut.flatMap((own) =>
    Array<number>(own.rows.rows).fill(places.get(own.label) ?? 0),
  );
  return piecesOf(context, expander, { rows, targets: Int32Array.from(targets) });
}

/** @returns makes a piece float32, for products, in the same memory every time: of one piece when the next is asked for */
export function widening(): (piece: Piece) => Matrix32 {
  let held = new Float32Array(0);
  return ({ rows, columns, values }) => {
    if (held.length < values.length) held = new Float32Array(values.length);
    held.set(values);
    return { rows, columns, values: held.subarray(0, values.length) };
  };
}

/** Every so many-th row of all, so that at most `most` remain. */
export function thinPieces(pieces: readonly Piece[], most: number): Piece[] {
  const all = pieces.reduce((sum, { rows }) => sum + rows, 0);
  const every = Math.ceil(all / most);
  let passed = 0;
  return pieces.flatMap(({ rows, columns, values, targets }) => {
    const first = (every - (passed % every)) % every;
    passed += rows;
    const taken = Array.from(
      { length: Math.ceil(Math.max(0, rows - first) / every) },
      (_, i) => first + i * every,
    );
    if (taken.length === 0) return [];
    const thin =
      values instanceof Int8Array
        ? new Int8Array(taken.length * columns)
        : new Int16Array(taken.length * columns);
    for (const [i, row] of taken.entries())
      thin.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
    const classes = Int32Array.from(taken, (row) => targets[row]!);
    return [{ rows: taken.length, columns, values: thin, targets: classes }];
  });
}
