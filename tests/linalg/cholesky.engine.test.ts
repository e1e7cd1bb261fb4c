import { afterAll, describe, expect, it } from "vitest";
import { EngineError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, float64 } from "../../src/core/tensor.ts";
import { Algebra, type Matrix } from "../../src/linalg/algebra.ts";
import { factorize, solveFactored, solveLower } from "../../src/linalg/cholesky.ts";
import { NarrowSolver } from "../../src/linalg/narrowSolver.ts";
import { factorLower, invertLower } from "../../src/linalg/triangular.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

const algebra = new Algebra((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => algebra[Symbol.asyncDispose]());

function random(rows: number, columns: number, seed: number): Matrix {
  const rng = createRng(seed);
  return { rows, columns, values: Float64Array.from({ length: rows * columns }, () => rng.normal()) };
}

/** B·Bᵀ + I, by loops. */
function positiveDefinite(n: number, seed: number): Float64Array {
  const { values } = random(n, n, seed);
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let sum = i === j ? 1 : 0;
      for (let k = 0; k < n; k++) sum += (values[i * n + k]! * values[j * n + k]!) / n;
      result[i * n + j] = sum;
    }
  return result;
}

function solvePlain(a: Float64Array, n: number, right: Matrix): Float64Array {
  const lower = a.slice();
  factorLower(lower, n, "plain");
  const x = right.values.slice();
  const { columns: c } = right;
  for (let column = 0; column < c; column++) {
    for (let i = 0; i < n; i++) {
      let sum = x[i * c + column]!;
      for (let k = 0; k < i; k++) sum -= lower[i * n + k]! * x[k * c + column]!;
      x[i * c + column] = sum / lower[i * n + i]!;
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = x[i * c + column]!;
      for (let k = i + 1; k < n; k++) sum -= lower[k * n + i]! * x[k * c + column]!;
      x[i * c + column] = sum / lower[i * n + i]!;
    }
  }
  return x;
}

describe("blocked Cholesky on the engine", () => {
  // Below one block, exactly one, a ragged last block, several.
  it.each([1, 5, 128, 129, 300])("solves as plain float64 loops do, n = %i", async (n) => {
    const a = positiveDefinite(n, n);
    const right = random(n, 7, n + 1);
    const factor = await factorize(algebra, a.slice(), n, { what: "test" });
    const solved = await solveFactored(algebra, factor, right);
    const expected = float64(solvePlain(a, n, right), [n, 7]);
    expect(relativeDifference(float64(solved.values, [n, 7]), expected)).toBeLessThan(
      tolerances.float64Solve,
    );
    // And the residual, for the plain solver shares the code of one block.
    const residual = await algebra.product({ rows: n, columns: n, values: a }, solved);
    expect(relativeDifference(float64(residual.values, [n, 7]), float64(right.values, [n, 7]))).toBeLessThan(
      tolerances.float64Solve,
    );
  });

  it.each([1, 128, 129, 300])("solves again and again in float32, n = %i", async (n) => {
    const a = positiveDefinite(n, n);
    const right = random(n, 7, n + 1);
    const solver = new NarrowSolver(algebra, await factorize(algebra, a.slice(), n, { what: "test" }));
    const expected = float64(solvePlain(a, n, right), [n, 7]);
    for (let time = 0; time < 2; time++) {
      const solved = { ...right, values: new Float32Array(right.values) };
      await solver.solve(solved);
      expect(relativeDifference(float32(solved.values, [n, 7]), expected)).toBeLessThan(tolerances.float32);
    }
  });

  it("reads the lower triangle alone", async () => {
    const n = 200;
    const a = positiveDefinite(n, 3);
    const spoilt = a.slice();
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) spoilt[i * n + j] = Number.NaN;
    const right = random(n, 2, 4);
    const clean = await solveFactored(algebra, await factorize(algebra, a, n, { what: "test" }), right);
    const other = await solveFactored(algebra, await factorize(algebra, spoilt, n, { what: "test" }), right);
    expect(other.values).toEqual(clean.values);
  });

  it("solves with the factor alone: |L⁻¹b|² = bᵀA⁻¹b", async () => {
    const n = 150;
    const a = positiveDefinite(n, 8);
    const right = random(n, 1, 9);
    const factor = await factorize(algebra, a, n, { what: "test" });
    const half = await solveLower(algebra, factor, right);
    const whole = await solveFactored(algebra, factor, right);
    const square = half.values.reduce((sum, value) => sum + value * value, 0);
    const product = whole.values.reduce((sum, value, i) => sum + value * right.values[i]!, 0);
    expect(Math.abs(square - product) / product).toBeLessThan(tolerances.float64Solve);
  });

  it.each([3, 200])("refuses a singular matrix with the pivot's number, n = %i", async (n) => {
    const ones = new Float64Array(n * n).fill(1);
    const failed = factorize(algebra, ones, n, { what: "router lda" });
    await expect(failed).rejects.toThrow(EngineError);
    await expect(failed).rejects.toThrow(/router lda: the matrix is singular: pivot 1 /);
  });

  it("refuses a matrix with a value that is not a number", async () => {
    const a = positiveDefinite(10, 1);
    a[50] = Number.NaN;
    await expect(factorize(algebra, a, 10, { what: "test" })).rejects.toThrow(EngineError);
  });

  it("stops where it is told to", async () => {
    const signal = AbortSignal.abort();
    await expect(factorize(algebra, positiveDefinite(4, 1), 4, { what: "test", signal })).rejects.toThrow(
      /abort/i,
    );
  });
});

describe("triangular inverse", () => {
  it("times the matrix is the identity", () => {
    const n = 20;
    const lower = positiveDefinite(n, 2);
    factorLower(lower, n, "test");
    const inverse = invertLower(lower, n);
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let k = j; k <= i; k++) sum += lower[i * n + k]! * inverse[k * n + j]!;
        expect(Math.abs(sum - (i === j ? 1 : 0))).toBeLessThan(tolerances.float64Solve);
      }
  });
});

describe("products on the engine", () => {
  it("compiles once for callers that come at the same time, and releases what it compiled", async () => {
    let open = 0;
    let compiled = 0;
    await using own = new Algebra(async (graph) => {
      compiled += 1;
      const executable = await nodeRuntime.compile(graph, { threads: 1 });
      open += 1;
      return {
        ...executable,
        run: (feeds) => executable.run(feeds),
        [Symbol.asyncDispose]: async () => {
          open -= 1;
          await executable[Symbol.asyncDispose]();
        },
      };
    });
    const a = random(2, 3, 1);
    const [one, two] = await Promise.all([own.product(a, a, "second"), own.product(a, a, "second")]);
    expect(one.values).toEqual(two.values);
    expect(compiled).toBe(1);
    await own[Symbol.asyncDispose]();
    expect(open).toBe(0);
  });

  it("compiles anew after a failure", async () => {
    let fails = true;
    await using own = new Algebra((graph) => {
      if (fails) return Promise.reject(new EngineError("no room"));
      return nodeRuntime.compile(graph, { threads: 1 });
    });
    const a = random(2, 2, 1);
    await expect(own.product(a, a)).rejects.toThrow("no room");
    fails = false;
    expect((await own.product(a, a)).rows).toBe(2);
  });
});
