// Dimensions: n, the size of a square matrix.
/** The lower triangle of a matrix: how it lies in memory and in files, and the way from one to the other. */

/** In a square's rows, or row after row without the rest. */
export type LowerLayout = "square" | "packed";

/** Where row i of a triangle begins; row n is where it ends. */
export const lowerRowStarts: { readonly [L in LowerLayout]: (row: number, n: number) => number } = {
  square: (row, n) => row * n,
  packed: (row) => (row * (row + 1)) / 2,
};

/** The numbers of a triangle of n rows. */
export function packedLength(n: number): number {
  return lowerRowStarts.packed(n, n);
}

export interface Lower<A extends Float32Array | Float64Array = Float32Array | Float64Array> {
  readonly layout: LowerLayout;
  readonly n: number;
  readonly values: A;
}

/** Copies the leading rows of a triangle into another; what does not lie in the triangle stays. @returns the other's values */
export function copyLower<A extends Float32Array | Float64Array>(
  from: Lower,
  to: Lower<A>,
  rows: number = to.n,
): A {
  for (let row = 0; row < rows; row++) {
    const start = lowerRowStarts[from.layout](row, from.n);
    to.values.set(from.values.subarray(start, start + row + 1), lowerRowStarts[to.layout](row, to.n));
  }
  return to.values;
}

/** Gives a square (n, n) the upper triangle that makes it symmetric. @returns it */
export function mirrorLower(values: Float64Array, n: number): Float64Array {
  for (let row = 0; row < n; row++)
    for (let column = 0; column < row; column++) values[column * n + row] = values[row * n + column]!;
  return values;
}
