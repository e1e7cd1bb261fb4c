// Dimensions: N rows, K inputs, O outputs.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import { GraphError } from "../../src/core/errors.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { float32, type HostTensor } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Graph, QuantizedWeight, RowRounding, Value, WeightSource } from "../../src/graph/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Runtime, Tensors } from "../../src/runtime/types.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

async function runOnce(runtime: Runtime, graph: Graph, feeds: Tensors): Promise<Tensors> {
  await using executable = await runtime.compile(graph, { threads: 1 });
  return await executable.run(feeds);
}

const folder = folderOfTestFile("quantized");
const [K, O] = [24, 10];

/** A matrix in 8 bits with its sums, in files of their own, and as floats. */
interface Written {
  readonly weight: QuantizedWeight;
  readonly sums: WeightSource;
  /** (rows, columns) */
  readonly values: Float64Array;
}

async function save(name: string, data: Uint8Array | Float32Array, dims: readonly number[]) {
  const file = join(folder, name);
  const bytes = new Uint8Array(data.buffer);
  await writeFile(file, bytes);
  const dtype = data instanceof Float32Array ? "float32" : "uint8";
  return { file, dtype, dims, offset: 0, length: bytes.length } as const satisfies WeightSource;
}

async function writeWeight(name: string, rows: number, columns: number, rng: Rng): Promise<Written> {
  const codes = Int8Array.from({ length: rows * columns }, () => rng.integer(255) - 127);
  const scales = Float32Array.from({ length: columns }, () => 0.001 + 0.01 * rng.uniform());
  const values = Float64Array.from(codes, (code, i) => code * scales[i % columns]!);
  const sums = new Float32Array(columns);
  values.forEach((value, i) => {
    sums[i % columns]! += value;
  });
  const weight = {
    name,
    codes: await save(`${name}.codes`, new Uint8Array(codes.buffer), [rows, columns]),
    scales: await save(`${name}.scales`, scales, [columns]),
  };
  return { weight, sums: await save(`${name}.sums`, sums, [columns]), values };
}

let w: Written;
let transposed: Written;
let factors: NonNullable<RowRounding["smoothing"]>;
beforeAll(async () => {
  const rng = createRng(5);
  w = await writeWeight("w", K, O, rng);
  transposed = await writeWeight("wt", O, K, rng);
  const source = await save(
    "factors",
    Float32Array.from({ length: K }, () => 0.5 + rng.uniform()),
    [K],
  );
  factors = { name: "factors", source };
});

/** Rows of quite different sizes, the last one of zeros. @param lift how far above 0 they lie */
function rowsOf(n: number, lift: number): HostTensor<"float32"> {
  const rng = createRng(9);
  const values = Float32Array.from({ length: n * K }, (_, i) => {
    const row = Math.floor(i / K);
    return row === n - 1 ? 0 : 10 ** (row % 4) * (rng.normal() + lift);
  });
  return float32(values, [n, K]);
}

const c = float32(
  Float32Array.from({ length: O }, (_, o) => o - 4),
  [O],
);

/** Ways to round. */
const ways: Readonly<Record<string, () => RowRounding>> = {
  "as far to either side of 0": () => ({}),
  "with smoothed columns": () => ({ smoothing: factors }),
  "with a zero of their own": () => ({ sums: w.sums }),
  "with a zero of their own, smoothed": () => ({ sums: w.sums, smoothing: factors }),
};

function graphOf(rounding: RowRounding, withC = true) {
  const x = op.input("x", "float32", ["N", K]);
  const added = op.input("c", "float32", [O]);
  const y = op.quantizedGemm(x, w.weight, transposed.weight, { rounding, ...(withC && { c: added }) });
  return { x, c: added, y };
}

describe.each(Object.entries(ways))("rows rounded %s", (name, rounding) => {
  const x = rowsOf(9, name.includes("own") ? 1.5 : 0);

  it("give on the engine what they give in float64", async () => {
    for (const withC of [true, false]) {
      const { y } = graphOf(rounding(), withC);
      const feeds = withC ? { x, c } : { x };
      const [engine, reference] = [nodeRuntime, referenceRuntime].map((runtime) =>
        runOnce(runtime, createGraph({ y }), feeds),
      );
      const difference = relativeDifference((await engine!).y!, (await reference!).y!);
      expect(difference).toBeLessThan(tolerances.float32Operator);
    }
  });

  it("give nearly the product of floats", async () => {
    const { smoothing } = rounding();
    const scale =
      smoothing &&
      (await runOnce(referenceRuntime, createGraph({ f: op.weight("f", smoothing.source) }), {}));
    const { y } = await runOnce(nodeRuntime, createGraph({ y: graphOf(rounding()).y }), { x, c });
    for (let row = 0; row < 9; row++) {
      let [largest, furthest] = [0, 0];
      for (let o = 0; o < O; o++) {
        let sum = 0;
        for (let k = 0; k < K; k++)
          sum += x.data[row * K + k]! * Number(scale?.f?.data[k] ?? 1) * w.values[k * O + o]!;
        largest = Math.max(largest, Math.abs(sum));
        furthest = Math.max(furthest, Math.abs(Number(y!.data[row * O + o]) - sum - c.data[o]!));
      }
      // Each row by its own size: one of zeros is exact.
      expect(furthest).toBeLessThanOrEqual(0.02 * largest + 1e-6);
    }
  });

  it("give a row alone what they give it among others, to the last bit", async () => {
    await using executable = await nodeRuntime.compile(createGraph({ y: graphOf(rounding()).y }), {
      threads: 1,
    });
    const all = (await executable.run({ x, c })).y!;
    for (const row of [0, 3, 8]) {
      const own = float32(x.data.slice(row * K, (row + 1) * K), [1, K]);
      const alone = (await executable.run({ x: own, c })).y!;
      expect([...alone.data]).toEqual([...all.data.slice(row * O, (row + 1) * O)]);
    }
  });
});

it("gradients go through the transposed weight, and to what is added", async () => {
  const { x, c: added, y } = graphOf({ smoothing: factors });
  const r = op.input("r", "float32", ["N", O]);
  const loss = op.reduceSum(op.mul(y, r), [0, 1]);
  const [dx, dc] = gradients(loss, [x, added]) as [Value, Value];
  const rng = createRng(2);
  const feeds = {
    x: rowsOf(4, 0),
    c,
    r: float32(
      Float32Array.from({ length: 4 * O }, () => rng.normal()),
      [4, O],
    ),
  };
  const found = await runOnce(nodeRuntime, createGraph({ dx, dc }), feeds);
  for (let row = 0; row < 4; row++)
    for (let k = 0; k < K; k++) {
      let sum = 0;
      for (let o = 0; o < O; o++) sum += feeds.r.data[row * O + o]! * transposed.values[o * K + k]!;
      expect(Math.abs(Number(found.dx!.data[row * K + k]) - sum)).toBeLessThan(0.05);
    }
  const sums = Array.from({ length: O }, (_, o) =>
    [0, 1, 2, 3].reduce((sum, row) => sum + feeds.r.data[row * O + o]!, 0),
  );
  for (const [o, sum] of sums.entries()) expect(Number(found.dc!.data[o])).toBeCloseTo(sum, 4);
});

it("refuses operands that do not fit", () => {
  const x = op.input("x", "float32", ["N", K + 1]);
  expect(() => op.quantizedGemm(x, w.weight, transposed.weight)).toThrow(GraphError);
  const fits = op.input("x", "float32", ["N", K]);
  expect(() => op.quantizedGemm(fits, w.weight, w.weight)).toThrow(/is not w \(24, 10\) transposed/);
  expect(() => op.quantizedGemm(fits, w.weight, transposed.weight, { c: x })).toThrow(GraphError);
});
