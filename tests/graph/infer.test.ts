import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/core/errors.ts";
import { float32 } from "../../src/core/tensor.ts";
import * as op from "../../src/graph/ops.ts";
import type { Dim } from "../../src/graph/shape.ts";
import type { Value } from "../../src/graph/types.ts";

let counter = 0;
const f = (...shape: Dim[]): Value => op.input(`f${counter++}`, "float32", shape);
const d = (...shape: Dim[]): Value => op.input(`d${counter++}`, "float64", shape);
const i = (...shape: Dim[]): Value => op.input(`i${counter++}`, "int64", shape);
const b = (...shape: Dim[]): Value => op.input(`b${counter++}`, "bool", shape);

const described = ({ dtype, shape }: Value): string => `${dtype} (${shape.join(", ")})`;

/** Of four heads of four elements, two of keys. */
function attention(lengths: Value, keySize = 8): Value {
  const added = [f("B", "T", keySize), f("B", "T", 8)] as const;
  const cached = [f("B", 2, "P", 4), f("B", 2, "P", 4)] as const;
  const attributes = { heads: 4, keyValueHeads: 2, scale: 1 };
  return op.cachedAttention(f("B", "T", 16), added, cached, lengths, attributes);
}

describe("what is inferred", () => {
  const cases: readonly (readonly [string, () => Value, string])[] = [
    ["unary keeps type and shape", () => op.exp(d("B", 3)), "float64 (B, 3)"],
    ["binary broadcasts", () => op.add(f("B", 1, 3), f("T", 1)), "float32 (B, T, 3)"],
    ["a number takes the other's type", () => op.mul(d("B"), 2), "float64 (B)"],
    ["a number beside indices too", () => op.equal(i("B"), 2), "bool (B)"],
    ["comparison gives bool", () => op.greater(f("B", 3), f(3)), "bool (B, 3)"],
    ["where broadcasts all three", () => op.where(b("B", 1), f("T"), f(1, 1)), "float32 (B, T)"],
    ["cast", () => op.cast(f("B"), "int64"), "int64 (B)"],
    [
      "matmul, second transposed",
      () => op.matmul(f("B", 2, "T", 3), f("B", 2, "T", 3), { transposeB: true }),
      "float32 (B, 2, T, T)",
    ],
    [
      "matmul, first transposed",
      () => op.matmul(f("T", 3), f("T", 2), { transposeA: true }),
      "float32 (3, 2)",
    ],
    ["matmul with a shared matrix", () => op.matmul(f("B", "T", 3), f(3, 5)), "float32 (B, T, 5)"],
    ["gemm", () => op.gemm(f("B*T", 3), f(5, 3), { transposeB: true, c: f(5) }), "float32 (B*T, 5)"],
    ["transpose", () => op.transpose(f("B", "T", 2, 3), [0, 2, 1, 3]), "float32 (B, 2, T, 3)"],
    ["reshape", () => op.reshape(f("B", "T", 6), ["B*T", 2, 3]), "float32 (B*T, 2, 3)"],
    ["expand", () => op.expand(f("B", 1), ["B", "T"]), "float32 (B, T)"],
    [
      "concat adds a number to a symbol",
      () => op.concat([f("B", 10, 3), f("B", "T", 3)], 1),
      "float32 (B, T+10, 3)",
    ],
    ["slice", () => op.slice(f("B", "T+10", 3), 1, 10, "T+10"), "float32 (B, T, 3)"],
    ["slice, axis from the end", () => op.slice(f("B", 5), -1, 1, 3), "float32 (B, 2)"],
    ["pad", () => op.pad(f("B", "T"), 1, 2, ["B", "T+2"]), "float32 (B, T+2)"],
    ["gather", () => op.gather(f(100, 8), i("B", "T")), "float32 (B, T, 8)"],
    ["scatterAdd", () => op.scatterAdd(i("B", "T"), f("B", "T", 8), [100, 8]), "float32 (100, 8)"],
    ["gatherElements", () => op.gatherElements(f("B", 7), i("B", 1)), "float32 (B, 1)"],
    ["scatterElementsAdd", () => op.scatterElementsAdd(i("B", 1), f("B", 1), ["B", 7]), "float32 (B, 7)"],
    ["reduceSum", () => op.reduceSum(f("B", "T", 3), [0, -1]), "float32 (T)"],
    ["reduceMax, kept", () => op.reduceMax(f("B", "T", 3), [-1], true), "float32 (B, T, 1)"],
    ["layerNorm", () => op.layerNorm(f("B", "T", 3), f(3), f(3), 1e-5), "float32 (B, T, 3)"],
    [
      "layerNorm's mean",
      () => op.layerNorm(f("B", "T", 3), f(3), f(3), 1e-5).node.outputs[1] ?? f(),
      "float32 (B, T, 1)",
    ],
    ["rmsNorm", () => op.rmsNorm(f("B", "T", 3), f(3), 1e-5), "float32 (B, T, 3)"],
    [
      "rmsNorm's 1/r",
      () => op.rmsNorm(f("B", "T", 3), f(3), 1e-5).node.outputs[1] ?? f(),
      "float32 (B, T, 1)",
    ],
    ["rotate", () => op.rotate(f("B", "T", 8), f("B*T", 2), f("B*T", 2), 2), "float32 (B, T, 8)"],
    ["cachedAttention", () => attention(i("B")), "float32 (B, T, 16)"],
    ["a constant", () => op.constant(float32([1, 2], [2, 1])), "float32 (2, 1)"],
    [
      "a half-precision weight is widened",
      () => op.weight("w", { file: "f", dtype: "bfloat16", dims: [4, 2], offset: 0, length: 16 }),
      "float32 (4, 2)",
    ],
  ];
  it.each(cases)("%s", (_, build, expected) => {
    expect(described(build())).toBe(expected);
  });
});

describe("what is refused, saying where and why", () => {
  const cases: readonly (readonly [string, () => Value])[] = [
    ["exp: expected a float operand, got int64", () => op.exp(i("B"))],
    ["add: operands are float32 and float64", () => op.add(f("B"), d("B"))],
    ["add: shapes (B, 3) and (T, 3) do not broadcast", () => op.add(f("B", 3), f("T", 3))],
    ["where: the condition must be bool, got float32", () => op.where(f(), f(), f())],
    ["where: operands are float32 and int64", () => op.where(b(), f(), i())],
    ["matmul: inner dims differ: a (B, T, 3), b (4, 2)", () => op.matmul(f("B", "T", 3), f(4, 2))],
    [
      "matmul: inner dims differ: a (3, T) transposed, b (4, 2)",
      () => op.matmul(f(3, "T"), f(4, 2), { transposeA: true }),
    ],
    ["matmul: leading dims differ: a (B, 2, 3), b (T, 3, 2)", () => op.matmul(f("B", 2, 3), f("T", 3, 2))],
    ["matmul: operands need at least two axes, got (3) and (3, 2)", () => op.matmul(f(3), f(3, 2))],
    ["matmul: operands are float32 and float64", () => op.matmul(f(2, 3), d(3, 2))],
    ["matmul: expected a float operand, got int64", () => op.matmul(f(2, 3), i(3, 2))],
    ["gemm: operands must be matrices, got (B, T, 3) and (3, 2)", () => op.gemm(f("B", "T", 3), f(3, 2))],
    ["gemm: shapes (3) and (B, 2) do not broadcast", () => op.gemm(f("B", 3), f(3, 2), { c: f(3) })],
    [
      "gemm: c (T, B, 2) does not broadcast to (B, 2)",
      () => op.gemm(f("B", 3), f(3, 2), { c: f("T", "B", 2) }),
    ],
    ["gemm: operands are float32 and float64", () => op.gemm(f("B", 3), f(3, 2), { c: d(2) })],
    ["transpose: (0, 0) does not permute (B, 3)", () => op.transpose(f("B", 3), [0, 0])],
    ["reshape: (B, 6) and (B, 2, 2) differ in size", () => op.reshape(f("B", 6), ["B", 2, 2])],
    ["expand: (B, 2) does not broadcast to (B, 1)", () => op.expand(f("B", 2), ["B", 1])],
    ["concat: (T, 2) does not continue (B, 2) along axis 1", () => op.concat([f("B", 2), f("T", 2)], 1)],
    ["cannot add the symbolic dimensions T and T", () => op.concat([f("B", "T"), f("B", "T")], 1)],
    ["slice: end 1 lies before start 2", () => op.slice(f("B", 5), 1, 2, 1)],
    ["slice: 1…6 does not lie within axis 1 of (B, 5)", () => op.slice(f("B", 5), 1, 1, 6)],
    ["slice: -1…3 does not lie within axis 1 of (B, 5)", () => op.slice(f("B", 5), 1, -1, 3)],
    ["slice: axis 2 is out of range for rank 2", () => op.slice(f("B", 5), 2, 0, 1)],
    ["pad: (B, 4) after 2 zeros on axis 1 does not fit into (B, 5)", () => op.pad(f("B", 4), 1, 2, ["B", 5])],
    ["pad: (B, 4) after 0 zeros on axis 1 does not fit into (T, 5)", () => op.pad(f("B", 4), 1, 0, ["T", 5])],
    ["gather: indices must be int64, got float32", () => op.gather(f(5, 2), f("B"))],
    [
      "scatterAdd: updates (B, 3) do not fit indices (B) into (5, 2)",
      () => op.scatterAdd(i("B"), f("B", 3), [5, 2]),
    ],
    [
      "gatherElements: x (B, 4) and indices (T, 1) must be matrices of equal rows",
      () => op.gatherElements(f("B", 4), i("T", 1)),
    ],
    [
      "scatterElementsAdd: updates (B, 2) do not fit indices (B, 1) into (B, 4)",
      () => op.scatterElementsAdd(i("B", 1), f("B", 2), ["B", 4]),
    ],
    ["reduceSum: axis 2 is out of range for rank 2", () => op.reduceSum(f("B", 3), [2])],
    [
      "layerNorm: x (B, 3) wants a parameter of (3), got (4)",
      () => op.layerNorm(f("B", 3), f(4), f(3), 1e-5),
    ],
    ["layerNorm: operands are float32 and float64", () => op.layerNorm(f("B", 3), f(3), d(3), 1e-5)],
    [
      "rotate: cos (B*T, 3) and sin (B*T, 3) do not turn 2 heads of (B, T, 8)",
      () => op.rotate(f("B", "T", 8), f("B*T", 3), f("B*T", 3), 2),
    ],
    ["cachedAttention: operand 5 must be (B), got (T)", () => attention(i("T"))],
    ["cachedAttention: operand 1 must be (B, T, 8), got (B, T, 16)", () => attention(i("B"), 16)],
    ["scalar: no constants of type bool", () => op.equal(b("B"), 1)],
  ];
  it.each(cases)("%s", (message, build) => {
    expect(build).toThrow(GraphError);
    expect(build).toThrow(message);
  });
});
