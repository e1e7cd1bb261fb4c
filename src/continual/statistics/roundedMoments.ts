// Dimensions: n rows, M numbers of an expansion, K of them that are large.
/**
 * Second moments of rounded features, exact though most of it is counted in float32. Where the squares of two columns sum to less
 * than 2^24, so does every part of a sum of their products (Cauchy–Schwarz), and float32 holds it. The few columns that are larger,
 * as backbones have them, are counted in float64. The result is the same whichever columns those are.
 */
import type { Algebra, Matrix32 } from "../../linalg/algebra.ts";
import { type LowerLayout, lowerRowStarts } from "../../linalg/lower.ts";
import { EXACT_FLOAT32 } from "./featureMaps.ts";

/** Rows counted at once: more of them make more columns large. */
const MOST_ROWS = 512;
/** Of more large columns fewer rows are counted at once. */
const MOST_LARGE = 64;

interface Moments {
  readonly layout: LowerLayout;
  readonly second: Float64Array;
}

/** Adds products of a block, all of them exact in float32. */
export type AddNarrow = (block: Matrix32) => Promise<void>;

/** Columns whose squares reach 2^24. */
function largeColumns({ rows, columns, values }: Matrix32): number[] {
  const squares = new Float64Array(columns);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++) squares[i]! += values[row * columns + i]! ** 2;
  return [...squares.keys()].filter((i) => squares[i]! >= EXACT_FLOAT32);
}

function rowsFrom({ columns, values }: Matrix32, start: number, rows: number): Matrix32 {
  return { rows, columns, values: values.subarray(start * columns, (start + rows) * columns) };
}

/** Adds ± hᵀh of the large columns with all. */
async function addLarge(
  algebra: Algebra,
  { layout, second }: Moments,
  { rows, columns, values }: Matrix32,
  large: readonly number[],
  sign: 1 | -1,
): Promise<void> {
  const own = new Float64Array(rows * large.length);
  for (let row = 0; row < rows; row++)
    large.forEach((i, k) => {
      own[row * large.length + k] = values[row * columns + i]!;
    });
  const all = { rows, columns, values: new Float64Array(values) };
  const product = await algebra.product({ rows, columns: large.length, values: own }, all, "first"); // (K, M)
  const start = lowerRowStarts[layout];
  const isLarge = new Set(large);
  for (const [k, i] of large.entries())
    for (let j = 0; j < columns; j++) {
      // A pair of large columns is there twice.
      if (j > i && isLarge.has(j)) continue;
      second[start(Math.max(i, j), columns) + Math.min(i, j)]! += sign * product.values[k * columns + j]!;
    }
}

/**
 * Adds ± hᵀh of rows of rounded features.
 * @param addNarrow adds what float32 counts
 */
export async function addRounded(
  algebra: Algebra,
  moments: Moments,
  rows: Matrix32,
  addNarrow: AddNarrow,
  sign: 1 | -1,
): Promise<void> {
  for (let start = 0, size = MOST_ROWS; start < rows.rows; start += size) {
    size = Math.min(MOST_ROWS, rows.rows - start);
    let large = largeColumns(rowsFrom(rows, start, size));
    while (large.length > MOST_LARGE && size > 1) {
      size = Math.ceil(size / 2);
      large = largeColumns(rowsFrom(rows, start, size));
    }
    const block = rowsFrom(rows, start, size);
    if (large.length === 0) {
      await addNarrow(block);
      continue;
    }
    const small = block.values.slice();
    for (let row = 0; row < size; row++) for (const i of large) small[row * block.columns + i] = 0;
    await addNarrow({ ...block, values: small });
    await addLarge(algebra, moments, block, large, sign);
  }
}
