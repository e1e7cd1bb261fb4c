import { describe, expect, test } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { symmetricEigen } from "../../src/linalg/symmetricEigen.ts";
import { digits } from "../support/tolerances.ts";

function random(n: number, rank = n): Float64Array {
  const rng = createRng(3).fork("eigen", n, rank);
  const rows = Array.from({ length: rank }, () => Float64Array.from({ length: n }, () => rng.normal()));
  return Float64Array.from({ length: n * n }, (_, at) =>
    rows.reduce((sum, row) => sum + row[Math.floor(at / n)]! * row[at % n]!, 0),
  );
}

describe("eigenvalues of a symmetric matrix", () => {
  test.each([
    [1, 1],
    [2, 2],
    [7, 7],
    [24, 5],
    [60, 60],
  ])("A·v = λ·v and the vectors are orthonormal, n = %i of rank %i", (n, rank) => {
    const matrix = random(n, rank);
    const { values, vectors } = symmetricEigen(matrix, n);
    const scale = Math.max(1, ...values);
    for (let j = 0; j < n; j++)
      for (let row = 0; row < n; row++) {
        let product = 0;
        for (let k = 0; k < n; k++) product += matrix[row * n + k]! * vectors[k * n + j]!;
        expect((product - values[j]! * vectors[row * n + j]!) / scale).toBeCloseTo(0, digits.float64 ?? 10);
      }
    for (let a = 0; a < n; a++)
      for (let b = 0; b <= a; b++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += vectors[k * n + a]! * vectors[k * n + b]!;
        expect(dot).toBeCloseTo(a === b ? 1 : 0, 10);
      }
    expect([...values]).toEqual([...values].sort((x, y) => x - y));
  });

  test("equal values, and none at all", () => {
    expect([...symmetricEigen(Float64Array.of(2, 0, 0, 2), 2).values]).toEqual([2, 2]);
    expect(symmetricEigen(new Float64Array(), 0).values).toHaveLength(0);
  });
});
