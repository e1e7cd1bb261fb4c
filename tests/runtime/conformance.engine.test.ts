import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AccreteError, EngineError, GraphError } from "../../src/core/errors.ts";
import { float32, type HostTensor, int64, type StorageDType } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Graph, Value } from "../../src/graph/types.ts";
import { emitOnnx } from "../../src/onnx/emit.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Runtime, Tensors } from "../../src/runtime/types.ts";
import { webRuntime } from "../../src/runtime/web.ts";
import { createDraw, type Draw } from "../support/draw.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { edgeCases, operatorCases } from "../support/operatorCases.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

/** A runtime, and the cases it is excused from, each with its reason. */
interface RuntimeUnderTest {
  readonly runtime: Runtime;
  readonly excused: Readonly<Record<string, string>>;
}

/** Every runtime goes through the same suite. */
const runtimes: readonly RuntimeUnderTest[] = [
  { runtime: referenceRuntime, excused: {} },
  { runtime: nodeRuntime, excused: {} },
  { runtime: webRuntime, excused: {} },
];

const SEEDS = [0, 1, 2, 3];

const cases: readonly (readonly [string, (draw: Draw) => Value])[] = [
  ...Object.entries(operatorCases).flatMap(([kind, some]) =>
    some.map(({ name, build }) => [`${kind}: ${name}`, build] as const),
  ),
  ...edgeCases.map(({ name, build }) => [`edge: ${name}`, build] as const),
];

async function runOnce(runtime: Runtime, graph: Graph, feeds: Tensors): Promise<Tensors> {
  const executable = await runtime.compile(graph, { threads: 1 });
  try {
    return await executable.run(feeds);
  } finally {
    await executable[Symbol.asyncDispose]();
  }
}

/** Integers and booleans exactly, floats within a float32 operator's tolerance. */
function checkClose(actual: HostTensor | undefined, expected: HostTensor | undefined, where: string): void {
  if (actual === undefined || expected === undefined) throw new Error(`${where}: no output`);
  const tolerance = expected.dtype === "float64" ? tolerances.float32Operator : 0;
  if (tolerance === 0) expect(actual.dtype, where).toBe(expected.dtype);
  expect(actual.dims, where).toEqual(expected.dims);
  expect(relativeDifference(actual, expected), where).toBeLessThanOrEqual(tolerance);
}

async function expectRefusal(action: Promise<unknown>, message: RegExp): Promise<void> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EngineError);
  expect(error instanceof Error ? error.message : "").toMatch(message);
}

describe.each(runtimes.map((entry) => [entry.runtime.name, entry] as const))("%s", (_, entry) => {
  const { runtime, excused } = entry;

  describe("computes each operator as the reference does", () => {
    for (const [name, build] of cases) {
      const reason = excused[name];
      it.skipIf(reason !== undefined)(
        reason === undefined ? name : `${name} (skipped: ${reason})`,
        async () => {
          for (const seed of SEEDS) {
            const draw = createDraw(seed);
            const graph = createGraph({ y: build(draw) });
            const expected = await runOnce(referenceRuntime, graph, draw.feeds);
            const actual = await runOnce(runtime, graph, draw.feeds);
            checkClose(actual.y, expected.y, `seed ${seed}`);
          }
        },
      );
    }
  });

  it("gives layerNorm's statistics", async () => {
    const draw = createDraw(1);
    const y = op.layerNorm(draw.float("x", ["B", "T", 6]), draw.float("g", [6]), draw.float("b", [6]), 1e-5);
    const [, mean = y, inverseDeviation = y] = y.node.outputs;
    const graph = createGraph({ y, mean, inverseDeviation });
    const expected = await runOnce(referenceRuntime, graph, draw.feeds);
    const actual = await runOnce(runtime, graph, draw.feeds);
    for (const name of ["y", "mean", "inverseDeviation"]) checkClose(actual[name], expected[name], name);
  });

  it("gives rmsNorm's statistic", async () => {
    const draw = createDraw(1);
    const y = op.rmsNorm(draw.float("x", ["B", "T", 6]), draw.float("g", [6]), 1e-5);
    const [, inverseRoot = y] = y.node.outputs;
    const graph = createGraph({ y, inverseRoot });
    const expected = await runOnce(referenceRuntime, graph, draw.feeds);
    const actual = await runOnce(runtime, graph, draw.feeds);
    for (const name of ["y", "inverseRoot"]) checkClose(actual[name], expected[name], name);
  });

  it("runs one compiled graph on batches of other sizes", async () => {
    const build = (draw: Draw) => {
      const x = draw.float("x", ["B", "T", 4]);
      return op.softmax(op.reshape(op.transpose(x, [1, 0, 2]), ["B*T", 2, 2]));
    };
    const graph = createGraph({ y: build(createDraw(0)) });
    const executable = await runtime.compile(graph);
    const reference = await referenceRuntime.compile(graph);
    for (const seed of [0, 1, 2, 5]) {
      const draw = createDraw(seed);
      build(draw);
      checkClose((await executable.run(draw.feeds)).y, (await reference.run(draw.feeds)).y, `seed ${seed}`);
    }
    await executable[Symbol.asyncDispose]();
  });

  it("gives an input back, and one value under two names", async () => {
    const x = op.input("x", "float32", ["B"]);
    const graph = createGraph({ x, again: x, sum: op.add(x, x) });
    const results = await runOnce(runtime, graph, { x: float32([1, 2], [2]) });
    expect(Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]))).toEqual({
      x: [1, 2],
      again: [1, 2],
      sum: [2, 4],
    });
  });

  describe("refuses what does not fit, naming the input", () => {
    const x = op.input("x", "float32", ["B", "T"]);
    const ids = op.input("ids", "int64", ["B"]);
    const graph = createGraph({ y: op.add(x, 1), ids });
    const good = { x: float32([1, 2], [1, 2]), ids: int64([1], [1]) };
    const refuse = (feeds: Tensors, message: RegExp) =>
      expectRefusal(runOnce(runtime, graph, feeds), message);

    it("nothing wrong", async () => {
      expect((await runOnce(runtime, graph, good)).y?.dims).toEqual([1, 2]);
    });
    it("a missing input", () => refuse({ ids: good.ids }, /"x".*not fed/));
    it("another type", () => refuse({ ...good, x: int64([1, 2], [1, 2]) }, /"x".*float32.*int64/));
    it("floats for indices", () => refuse({ ...good, ids: float32([1], [1]) }, /"ids".*int64.*float32/));
    it("another rank", () => refuse({ ...good, x: float32([1, 2], [2]) }, /"x".*\(B, T\).*\(2\)/));
    it("another size", () => {
      const fixed = createGraph({ y: op.add(op.input("w", "float32", ["B", 3]), 1) });
      return expectRefusal(
        runOnce(runtime, fixed, { w: float32([1, 2], [1, 2]) }),
        /"w".*\(B, 3\).*\(1, 2\)/,
      );
    });
    it("symbols that disagree", () => refuse({ ...good, ids: int64([1, 2], [2]) }, /"ids".*B is 1/));
    it("a product that disagrees with its factors", () => {
      const flat = op.input("flat", "float32", ["B*T"]);
      const both = createGraph({ y: op.add(x, 1), flat });
      return expectRefusal(
        runOnce(runtime, both, { flat: float32([1, 2, 3], [3]), x: good.x }),
        /"flat".*B\*T must be 2.*got 3/,
      );
    });
    it("too few elements", () => {
      const short: HostTensor = { dtype: "float32", dims: [1, 2], data: new Float32Array(1) };
      return refuse({ ...good, x: short }, /"x".*1 elements/);
    });
    it("an index out of range", () => {
      const gathered = createGraph({ y: op.gather(op.input("rows", "float32", [3]), ids) });
      const feeds = { rows: float32([1, 2, 3], [3]), ids: int64([3], [1]) };
      return expectRefusal(runOnce(runtime, gathered, feeds), /out of (range|data bounds)/);
    });
  });
});

it("an input and a weight of one name are refused, since the engine would ignore what is fed", () => {
  const source = { file: "m.bin", dtype: "float32", dims: [2], offset: 0, length: 8 } as const;
  const graph = createGraph({ y: op.add(op.input("w", "float32", [2]), op.weight("w", source)) });
  expect(() => emitOnnx(graph)).toThrow(GraphError);
  expect(() => emitOnnx(graph)).toThrow('an input and a weight are both called "w"');
});

describe.each(
  runtimes
    // A browser has no files: there weights are part of a model.
    .filter(({ runtime }) => runtime !== webRuntime)
    .map(({ runtime }) => [runtime.name, runtime] as const),
)("%s reads weights from their file", (_, runtime) => {
  const folder = folderOfTestFile("weights");

  /** 1.5, −2, 0.25 and 65504 in each format, after eight other bytes. */
  const stored: readonly (readonly [StorageDType, Uint8Array])[] = [
    ["float32", new Uint8Array(Float32Array.of(1.5, -2, 0.25, 65504).buffer)],
    ["float64", new Uint8Array(Float64Array.of(1.5, -2, 0.25, 65504).buffer)],
    ["float16", new Uint8Array(Uint16Array.of(0x3e00, 0xc000, 0x3400, 0x7bff).buffer)],
    ["int64", new Uint8Array(BigInt64Array.of(1n, -2n, 3n, 65504n).buffer)],
    // bfloat16 has eight bits of fraction: 65504 is not among its numbers.
    ["bfloat16", new Uint8Array(Uint16Array.of(0x3fc0, 0xc000, 0x3e80, 0x4780).buffer)],
  ];

  it.each(stored)("%s", async (dtype, bytes) => {
    const file = join(folder, `${dtype}.bin`);
    await writeFile(file, Buffer.concat([Buffer.alloc(8), bytes]));
    const source = { file, dtype, dims: [2, 2], offset: 8, length: bytes.length };
    const w = op.weight("w", source);
    const graph = createGraph({ y: op.transpose(w, [1, 0]) });
    const { y } = await runOnce(runtime, graph, {});
    const expected = { int64: [1n, 3n, -2n, 65504n], bfloat16: [1.5, 0.25, -2, 65536] };
    expect([...(y?.data ?? [])]).toEqual(
      dtype === "int64" || dtype === "bfloat16" ? expected[dtype] : [1.5, 0.25, -2, 65504],
    );
  });

  it("refuses a file that is missing or too short", async () => {
    const file = join(folder, "short.bin");
    await writeFile(file, Buffer.alloc(12));
    const build = (from: string) =>
      createGraph({
        y: op.add(op.weight("w", { file: from, dtype: "float32", dims: [4], offset: 0, length: 16 }), 1),
      });
    for (const path of [file, join(folder, "none.bin")])
      await expect(runOnce(runtime, build(path), {})).rejects.toBeInstanceOf(AccreteError);
  });
});
