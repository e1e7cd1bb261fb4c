import { describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import { multiplyDims, type Shape } from "../../src/graph/shape.ts";
import type { Graph } from "../../src/graph/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Tensors } from "../../src/runtime/types.ts";
import { runInParts } from "../../src/train/parts.ts";

const WIDTH = 3;

/** Σ over rows of weight · tanh(x·w)², and its gradient. @param shape of x; its last dimension is w's first */
function lossOfRows(...shape: Shape): Graph {
  const w = op.input("w", "float32", [WIDTH, "C"]);
  const rows = multiplyDims(shape.slice(0, -1));
  const x = op.reshape(op.input("x", "float32", shape), [rows, WIDTH]);
  const y = op.tanh(op.matmul(x, w)); // (rows, C)
  const weighted = op.mul(op.mul(y, y), op.input("weights", "float32", [rows, 1]));
  const loss = op.reduceSum(weighted, [0, 1]);
  const [gradient] = gradients(loss, [w]);
  if (gradient === undefined) throw new Error("the loss does not depend on w");
  return createGraph({ loss, "gradient/w": gradient });
}

function draw(name: string, dims: readonly number[]): HostTensor<"float32"> {
  const rng = createRng(1).fork(name);
  return float32(
    Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
    dims,
  );
}

/** Loss and gradient in parts and whole, and the first dimension of x in each run. @param dims of x */
async function run(graph: Graph, dims: readonly number[], size: number, length: number, width = 384) {
  const rows = sizeOf(dims) / WIDTH;
  await using executable = await nodeRuntime.compile(graph, { threads: 1 });
  const runs: number[] = [];
  const counting: typeof executable = {
    run: async (feeds: Tensors) => {
      runs.push(feeds.x?.dims[0] ?? 0);
      return await executable.run(feeds);
    },
    [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
  };
  const feeds = {
    parameters: { w: draw("w", [WIDTH, 2]) },
    batch: { x: draw("x", dims), weights: draw("weights", [rows, 1]) },
  };
  const inParts = await runInParts(graph, counting, feeds, { size, length, width });
  const whole = await executable.run({ ...feeds.parameters, ...feeds.batch });
  return { inParts, whole, runs };
}

function expectSame(inParts: Tensors, whole: Tensors): void {
  expect(Object.keys(inParts).sort()).toEqual(Object.keys(whole).sort());
  for (const [name, { data }] of Object.entries(whole))
    data.forEach((value, i) => {
      expect(inParts[name]?.data[i], `${name}[${i}]`).toBeCloseTo(Number(value), 4);
    });
}

describe("a batch in parts", () => {
  it("has the loss and the gradients of the whole", async () => {
    const { inParts, whole, runs } = await run(lossOfRows("B", "T", WIDTH), [41, 30, WIDTH], 41, 30);
    // 17 examples of 30 tokens are 510; three parts of nearly the same size.
    expect(runs).toEqual([13, 14, 14]);
    expectSame(inParts, whole);
  });

  it("takes what has a row for each example", async () => {
    const { inParts, whole, runs } = await run(lossOfRows("B", WIDTH), [6, WIDTH], 6, 200);
    expect(runs).toEqual([2, 2, 2]);
    expectSame(inParts, whole);
  });

  it("goes through whole where it is short", async () => {
    const { runs } = await run(lossOfRows("B", "T", WIDTH), [16, 32, WIDTH], 16, 32);
    expect(runs).toEqual([16]);
  });

  it("takes fewer tokens of a wide backbone", async () => {
    const graph = lossOfRows("B", "T", WIDTH);
    const { inParts, whole, runs } = await run(graph, [32, 32, WIDTH], 32, 32, 768);
    expect(runs).toEqual([10, 11, 11]);
    expectSame(inParts, whole);
    expect((await run(graph, [16, 32, WIDTH], 16, 32, 1024)).runs).toEqual([8, 8]);
  });

  it("takes one example at a time where each is long", async () => {
    const { inParts, whole, runs } = await run(lossOfRows("B", "T", WIDTH), [3, 600, WIDTH], 3, 600);
    expect(runs).toEqual([1, 1, 1]);
    expectSame(inParts, whole);
  });

  it("goes through whole where rows are not told apart by example, as tokens of answers", async () => {
    const { runs } = await run(lossOfRows("M", WIDTH), [50, WIDTH], 64, 64);
    expect(runs).toEqual([50]);
  });
});
