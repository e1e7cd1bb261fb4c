import { afterAll, expect, it } from "vitest";
import { spanOf } from "../../../src/continual/routers/kernelFit.ts";
import { createRng } from "../../../src/core/random.ts";
import { Algebra, type Matrix } from "../../../src/linalg/algebra.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";

const algebra = new Algebra((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => algebra[Symbol.asyncDispose]());

/** Columns whose mean is zero, of rank `rank` at most. */
function centred(rows: number, columns: number, rank: number): Matrix {
  const rng = createRng(rows * 100 + columns);
  const draw = (n: number) => Float64Array.from({ length: n }, () => rng.normal());
  const [left, right] = [draw(rows * rank), draw(rank * columns)];
  const values = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < columns; c++)
      for (let k = 0; k < rank; k++)
        values[i * columns + c]! += left[i * rank + k]! * right[k * columns + c]!;
    const own = values.subarray(i * columns, (i + 1) * columns);
    const mean = own.reduce((sum, value) => sum + value, 0) / columns;
    for (let c = 0; c < columns; c++) own[c]! -= mean;
  }
  return { rows, columns, values };
}

const identity = (n: number) => Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));

function expectClose(found: Matrix, expected: ArrayLike<number>): void {
  for (let i = 0; i < expected.length; i++) expect(found.values[i]).toBeCloseTo(expected[i]!, 9);
}

it.each([
  ["fewer classes than features", 9, 5, 9, 4],
  ["as many", 6, 6, 6, 5],
  ["more classes than features", 5, 12, 5, 5],
  ["more classes than features, which differ in three directions", 6, 14, 3, 3],
])(
  "%s: directions are orthonormal, span the means, and the means vary by each on its own",
  async (_, rows, columns, rank, wanted) => {
    const means = centred(rows, columns, rank);
    const span = await spanOf(algebra, means);
    expect([span.rows, span.columns]).toEqual([rows, wanted]);
    expectClose(await algebra.product(span, span, "first"), identity(wanted));
    const along = await algebra.product(span, means, "first"); // (K, C)
    expectClose(await algebra.product(span, along), means.values);
    const { values } = await algebra.product(along, along, "second"); // (K, K)
    for (let i = 0; i < wanted; i++)
      for (let j = 0; j < i; j++) expect(values[i * wanted + j]).toBeCloseTo(0, 9);
  },
);
