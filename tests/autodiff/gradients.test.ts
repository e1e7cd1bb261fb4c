import { describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/gradients.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { float32, float64, type HostTensor, int64 } from "../../src/core/tensor.ts";
import { createGraph, topologicalOrder } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Node, Value } from "../../src/graph/types.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Tensors } from "../../src/runtime/types.ts";
import { tolerances } from "../support/tolerances.ts";

async function evaluate(outputs: Readonly<Record<string, Value>>, feeds: Tensors): Promise<Tensors> {
  return (await referenceRuntime.compile(createGraph(outputs))).run(feeds);
}

function sum(x: Value): Value {
  return op.reduceSum(
    x,
    x.shape.map((_, axis) => axis),
  );
}

describe("gradients", () => {
  const x = op.input("x", "float32", ["B", 2]);
  const feeds = { x: float32([1, 2, 3, 4], [2, 2]) };

  it("of a value used twice add up", async () => {
    // Σ x·x + Σ 3x: 2x + 3
    const loss = op.add(sum(op.mul(x, x)), sum(op.mul(x, 3)));
    const [g = loss] = gradients(loss, [x]);
    expect((await evaluate({ g }, feeds)).g?.data).toEqual(Float64Array.of(5, 7, 9, 11));
  });

  it("stop at stopGradient, and only there", async () => {
    // Σ x·stop(x): x, not 2x
    const loss = sum(op.mul(x, op.stopGradient(x)));
    const [g = loss] = gradients(loss, [x]);
    expect((await evaluate({ g }, feeds)).g?.data).toEqual(Float64Array.of(1, 2, 3, 4));
  });

  it("are zeros of the right shape where the loss does not depend on a value", async () => {
    const other = op.input("other", "float32", ["B", 3]);
    const loss = sum(op.exp(op.stopGradient(x)));
    const [toX = loss, toOther = loss] = gradients(loss, [x, other]);
    expect(toX.shape).toEqual(["B", 2]);
    expect(toOther.shape).toEqual(["B", 3]);
    const results = await evaluate({ toX, toOther, loss }, feeds);
    expect(results.toX).toEqual(float64([0, 0, 0, 0], [2, 2]));
    expect(results.toOther).toEqual(float64([0, 0, 0, 0, 0, 0], [2, 3]));
  });

  it("by a value inside the graph, and by the loss itself", async () => {
    const inner = op.mul(x, 2);
    const loss = sum(op.mul(inner, inner));
    const [toInner = loss, toLoss = loss] = gradients(loss, [inner, loss]);
    const results = await evaluate({ toInner, toLoss }, feeds);
    expect(results.toInner?.data).toEqual(Float64Array.of(4, 8, 12, 16));
    expect(results.toLoss).toEqual(float64([1], []));
  });

  it("of gradients", async () => {
    // Σ x³: 3x², then 6x
    const loss = sum(op.mul(op.mul(x, x), x));
    const [first = loss] = gradients(loss, [x]);
    const [second = loss] = gradients(sum(first), [x]);
    expect((await evaluate({ second }, feeds)).second?.data).toEqual(Float64Array.of(6, 12, 18, 24));
  });

  it("of equal largest elements are shared, and of relu at zero vanish", async () => {
    const tied = { x: float32([2, 2, 0, -1], [2, 2]) };
    const loss = sum(op.reduceMax(x, [1]));
    const [toMax = loss] = gradients(loss, [x]);
    const rectified = sum(op.relu(x));
    const [toRelu = loss] = gradients(rectified, [x]);
    const results = await evaluate({ toMax, toRelu }, tied);
    expect(results.toMax?.data).toEqual(Float64Array.of(0.5, 0.5, 1, 0));
    expect(results.toRelu?.data).toEqual(Float64Array.of(1, 1, 0, 0));
  });

  it("do not ask for rules that nothing wanted needs", async () => {
    // A transposed batch against a shared matrix has a gradient by the matrix only.
    const batch = op.input("batch", "float32", ["B", 2, 3]);
    const shared = op.input("shared", "float32", [2, 4]);
    const product = op.matmul(op.exp(batch), shared, { transposeA: true });
    const loss = op.add(sum(product), sum(x));
    expect(gradients(loss, [x, shared]).map(({ shape }) => shape)).toEqual([
      ["B", 2],
      [2, 4],
    ]);
    expect(gradients(loss, [x]).map(({ shape }) => shape)).toEqual([["B", 2]]);
    expect(() => gradients(loss, [batch])).toThrow("is not supported");
  });

  it("want a scalar loss", () => {
    expect(() => gradients(x, [x])).toThrow("gradients: the loss must be a scalar, got shape (B, 2)");
  });

  it("refuse operators for inference", () => {
    const [x, angles] = [op.input("x", "float32", ["B", 1, 4]), op.input("angles", "float32", ["B", 2])];
    const loss = op.reduceSum(op.rotate(x, op.cos(angles), op.sin(angles), 1), [0, 1, 2]);
    expect(() => gradients(loss, [x])).toThrow("rotate has no gradient");
  });

  it("refuse to pass over a normalisation's statistics in silence", () => {
    const one = op.constant(float32([1, 1], [2]));
    const y = op.layerNorm(x, one, one, 1e-5);
    const [, mean = y] = y.node.outputs;
    expect(() => gradients(sum(op.mul(y, mean)), [x])).toThrow(
      "gradient of layerNorm: output 1 is not differentiated",
    );
    expect(() => gradients(sum(op.mul(y, op.stopGradient(mean))), [x])).not.toThrow();
  });
});

describe("gradients by the upper of two layers", () => {
  const x = op.input("x", "float32", ["B", 3]);
  const lower = op.input("lower", "float32", [3, 4]);
  const upper = op.input("upper", "float32", [4, 2]);
  const [a, b] = [op.input("A", "float32", [1, 4]), op.input("B", "float32", [2, 1])];
  const below = op.matmul(x, lower);
  const hidden = op.gelu(below);
  const adapted = op.matmul(op.matmul(hidden, a, { transposeB: true }), b, { transposeB: true });
  const loss = sum(op.tanh(op.add(op.matmul(hidden, upper), adapted)));
  const forward = new Set(topologicalOrder([loss]));

  function backward(wrt: readonly Value[]): Node[] {
    return topologicalOrder(gradients(loss, wrt)).filter((node) => !forward.has(node));
  }

  it("contain nothing of the layer below", () => {
    const nodes = backward([a, b]);
    const reads = new Set(nodes.flatMap(({ inputs }) => inputs));
    expect(reads.has(hidden)).toBe(true);
    for (const value of [x, lower, below, upper]) expect(reads.has(value)).toBe(false);
    expect(nodes.some(({ kind }) => kind === "erf")).toBe(false);
  });

  it("by B alone do not go through B", () => {
    expect(backward([b]).flatMap(({ inputs }) => inputs)).not.toContain(b);
    expect(backward([a]).flatMap(({ inputs }) => inputs)).toContain(b);
  });

  it("by the lower layer do pass the upper", () => {
    expect(backward([lower]).flatMap(({ inputs }) => inputs)).toContain(upper);
  });
});

/** B batch, T tokens, D width, H heads. */
describe("a whole encoder layer", () => {
  const [D, H, V, R, classes] = [8, 2, 11, 2, 3];

  function build() {
    const rng = createRng(7);
    const feeds: Record<string, HostTensor> = {};
    const parameter = (name: string, shape: readonly number[], scale = 0.5, shift = 0): Value => {
      const from: Rng = rng.fork(name);
      const size = shape.reduce((product, dim) => product * dim, 1);
      feeds[name] = float32(
        Array.from({ length: size }, () => shift + scale * from.normal()),
        shape,
      );
      return op.input(name, "float32", shape);
    };
    const ids = op.input("ids", "int64", ["B", "T"]);
    const mask = op.input("mask", "int64", ["B", "T"]);
    const labels = op.input("labels", "int64", ["B", 1]);
    feeds.ids = int64([1, 2, 3, 4, 5, 2, 7, 0, 0, 0, 9, 9, 8, 10, 1], [3, 5]);
    feeds.mask = int64([1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], [3, 5]);
    feeds.labels = int64([0, 2, 1], [3, 1]);
    const norm = (x: Value, name: string): Value =>
      op.layerNorm(x, parameter(`${name}.g`, [D], 0.2, 1), parameter(`${name}.b`, [D], 0.2), 1e-12);
    const linear = (x: Value, name: string, from: number, to: number): Value =>
      op.gemm(x, parameter(`${name}.w`, [to, from]), { transposeB: true, c: parameter(`${name}.c`, [to]) });
    const heads = (x: Value, permutation: readonly number[]): Value =>
      op.transpose(op.reshape(x, ["B", "T", H, D / H]), permutation); // (B, H, T, D/H)

    const embedded = op.gather(parameter("embeddings", [V, D]), ids); // (B, T, D)
    const x = op.reshape(norm(embedded, "embeddings.norm"), ["B*T", D]);
    const adapted = (name: string): Value => {
      const low = op.gemm(x, parameter(`${name}.A`, [R, D]), { transposeB: true });
      const delta = op.gemm(low, parameter(`${name}.B`, [D, R]), { transposeB: true, alpha: 2 });
      return op.add(linear(x, name, D, D), delta);
    };
    const [q, k, v] = [adapted("query"), linear(x, "key", D, D), adapted("value")];
    const scores = op.matmul(heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 1, 3]), {
      transposeB: true,
      alpha: 1 / Math.sqrt(D / H),
    }); // (B, H, T, T)
    const shown = op.reshape(op.cast(mask, "float32"), ["B", 1, 1, "T"]);
    const hidden = op.mul(op.sub(shown, 1), 1e9);
    const context = op.matmul(op.softmax(op.add(scores, hidden)), heads(v, [0, 2, 1, 3]));
    const merged = op.reshape(op.transpose(context, [0, 2, 1, 3]), ["B*T", D]);
    const attended = norm(op.add(linear(merged, "output", D, D), x), "norm1");
    const inner = op.gelu(linear(attended, "inner", D, 2 * D));
    const y = norm(op.add(linear(inner, "outer", 2 * D, D), attended), "norm2"); // (B*T, D)
    const first = op.reshape(op.slice(op.reshape(y, ["B", "T", D]), 1, 0, 1), ["B", D]);
    const logits = linear(first, "head", D, classes);
    const loss = op.mul(sum(op.gatherElements(op.logSoftmax(logits), labels)), -1 / 3);
    return { loss, feeds };
  }

  it("has the gradients that central differences along random directions say", async () => {
    const { loss, feeds } = build();
    const wrt = topologicalOrder([loss]).flatMap((node) => node.outputs.filter(isFloatInput));
    const names = wrt.map(({ node }) => ("name" in node.attributes ? node.attributes.name : ""));
    expect(names).toHaveLength(25);
    const results = await evaluate(
      Object.fromEntries(gradients(loss, wrt).map((value, i) => [names[i] ?? "", value])),
      feeds,
    );
    const executable = await referenceRuntime.compile(createGraph({ loss }));
    const step = 1e-5;
    for (const name of names) {
      const [point, gradient] = [feeds[name], results[name]];
      if (point === undefined || gradient === undefined) throw new Error(`${name} is missing`);
      const rng = createRng(11).fork(name);
      const direction = Float64Array.from({ length: point.data.length }, () => rng.normal());
      const lossAt = async (distance: number): Promise<number> => {
        const moved = direction.map((d, i) => Number(point.data[i]) + distance * d);
        return Number((await executable.run({ ...feeds, [name]: float64(moved, point.dims) })).loss?.data[0]);
      };
      const numeric = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
      const products = direction.map((d, i) => d * Number(gradient.data[i]));
      const analytic = products.reduce((total, value) => total + value, 0);
      const scale = Math.hypot(...products);
      // The attention's scores do not change when every key is moved alike: no gradient there.
      if (name !== "key.c") expect(scale, name).toBeGreaterThan(1e-3);
      expect(Math.abs(analytic - numeric), name).toBeLessThanOrEqual(
        tolerances.gradient * Math.max(scale, 1e-3),
      );
    }
  });
});

function isFloatInput(value: Value): boolean {
  return value.node.kind === "input" && value.dtype === "float32";
}
