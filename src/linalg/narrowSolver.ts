// Dimensions: n, the size of a symmetric matrix; W, the width of a block; C right-hand sides.
/** Solving with a Cholesky factor many times over, in float32: for preconditioners, which need few digits. */
import type { Algebra, Matrix32 } from "./algebra.ts";
import type { CholeskyFactor } from "./cholesky.ts";

/** A block of the factor, ready for products. */
interface Block {
  readonly start: number;
  /** L[block, :start], (W, start) */
  readonly before: Matrix32;
  /** L[end:, block]ᵀ, (W, n − end) */
  readonly after: Matrix32;
  /** L_kk⁻¹ and its transpose, (W, W) */
  readonly inverse: Matrix32;
  readonly inverseTransposed: Matrix32;
}

/** Copies part of a matrix (…, n) in float32. */
function cutRows(values: Float64Array, n: number, top: number, rows: number, columns: number): Matrix32 {
  const cut = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    cut.set(values.subarray((top + row) * n, (top + row) * n + columns), row * columns);
  return { rows, columns, values: cut };
}

/** The transpose of part of a matrix (…, n), in float32: (columns, rows). */
function cutTransposed(
  values: Float64Array,
  n: number,
  [top, left]: readonly [number, number],
  rows: number,
  columns: number,
): Matrix32 {
  const cut = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0, from = (top + row) * n + left; column < columns; column++)
      cut[column * rows + row] = values[from + column]!;
  return { rows: columns, columns: rows, values: cut };
}

function blocksOf({ size: n, lower, inverses }: CholeskyFactor): Block[] {
  let start = 0;
  return inverses.map(({ rows: width, values }) => {
    const end = start + width;
    const block = {
      start,
      before: cutRows(lower, n, start, width, start),
      after: cutTransposed(lower, n, [end, start], n - end, width),
      inverse: cutRows(values, width, 0, width, width),
      inverseTransposed: cutTransposed(values, width, [0, 0], width, width),
    };
    start = end;
    return block;
  });
}

/** A factor whose blocks lie ready: a solution costs its products and nothing else. */
export class NarrowSolver {
  private readonly algebra: Algebra;
  private readonly blocks: readonly Block[];

  constructor(algebra: Algebra, factor: CholeskyFactor) {
    this.algebra = algebra;
    this.blocks = blocksOf(factor);
  }

  /**
   * Solves A·X = B to float32's precision times A's condition.
   * @param right B, (n, C); becomes X
   */
  async solve(right: Matrix32): Promise<void> {
    for (const { start, before, inverse } of this.blocks) await this.divide(right, start, before, 0, inverse); // L·Y = B
    for (const { start, after, inverseTransposed } of [...this.blocks].reverse())
      await this.divide(right, start, after, start + after.rows, inverseTransposed); // Lᵀ·X = Y
  }

  /** own = inverse · (own − taken · solved) for the rows from `start` on, `solved` being those from `from` on. */
  private async divide(
    { columns, values }: Matrix32,
    start: number,
    taken: Matrix32,
    from: number,
    inverse: Matrix32,
  ): Promise<void> {
    const own = values.subarray(start * columns, (start + inverse.rows) * columns);
    if (taken.columns > 0) {
      const solved = values.subarray(from * columns, (from + taken.columns) * columns);
      const product = await this.algebra.product32(taken, { rows: taken.columns, columns, values: solved });
      for (let i = 0; i < own.length; i++) own[i]! -= product.values[i]!;
    }
    own.set((await this.algebra.product32(inverse, { rows: inverse.rows, columns, values: own })).values);
  }
}
