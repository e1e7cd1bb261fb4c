/** B batch, T tokens, D width; numbers elsewhere. */
import { float32, int64 } from "../../src/core/tensor.ts";
import * as op from "../../src/graph/ops.ts";
import type { OpKind, Value } from "../../src/graph/types.ts";
import { awayFromZero, type Draw, positive } from "./draw.ts";

/** An operator applied to random inputs; every case is run on every runtime. */
export interface OperatorCase {
  readonly name: string;
  readonly build: (draw: Draw) => Value;
}

const c = (name: string, build: (draw: Draw) => Value): OperatorCase => ({ name, build });

type Unary = (x: Value) => Value;
type Binary = (a: Value, b: Value) => Value;
type Element = NonNullable<Parameters<Draw["float"]>[2]>;

function unary(f: Unary, element?: Element): readonly OperatorCase[] {
  return [
    c("(B, T, 3)", (draw) => f(draw.float("x", ["B", "T", 3], element))),
    c("a scalar", (draw) => f(draw.float("x", [], element))),
  ];
}

function binary(f: Binary, right?: Element): readonly OperatorCase[] {
  const shapes = [
    [
      ["B", "T", 3],
      ["B", "T", 3],
    ],
    [["B", "T", 3], [3]],
    [[3], ["B", "T", 3]],
    [
      ["B", 1, 3],
      ["T", 1],
    ],
    [
      [1, 1],
      ["B", 2, 1],
    ],
    [[], ["B", 2]],
    [["B", 2], []],
  ] as const;
  return shapes.map(([a, b]) =>
    c(`(${a.join(", ")}) with (${b.join(", ")})`, (draw) => f(draw.float("a", a), draw.float("b", b, right))),
  );
}

/** Distinct elements at least 0.2 apart, in random order, so that no step changes which is the largest. */
function distinct(draw: Draw, name: string, shape: readonly (number | string)[]): Value {
  const size = draw.dims(shape).reduce((a, b) => a * b, 1);
  const order = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = draw.rng.integer(i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return draw.float(name, shape, (_, i) => ((order[i] ?? 0) - size / 2) * 0.2);
}

const flags = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const;
const sides = (rows: number | string, columns: number | string, transposed: boolean) =>
  transposed ? [columns, rows] : [rows, columns];

function matmulCases(): OperatorCase[] {
  return flags.flatMap(([transposeA, transposeB]) => {
    const options = { transposeA, transposeB, alpha: 0.375 };
    const flagged = `transposeA ${transposeA}, transposeB ${transposeB}`;
    const cases = [
      c(`matrices, ${flagged}`, (draw) =>
        op.matmul(
          draw.float("a", sides("T", 3, transposeA)),
          draw.float("b", sides(3, 2, transposeB)),
          options,
        ),
      ),
      c(`4-D batch, ${flagged}`, (draw) =>
        op.matmul(
          draw.float("a", ["B", 2, ...sides("T", 3, transposeA)]),
          draw.float("b", ["B", 2, ...sides(3, "T", transposeB)]),
          options,
        ),
      ),
    ];
    // A transposed batch against a shared matrix has no gradient and no use.
    if (!transposeA)
      cases.push(
        c(`a batch and a shared matrix, ${flagged}`, (draw) =>
          op.matmul(draw.float("a", ["B", "T", 3]), draw.float("b", sides(3, 2, transposeB)), options),
        ),
      );
    return cases;
  });
}

function gemmCases(): OperatorCase[] {
  const bias = [undefined, [], [2], [1, 2], ["T", 1], ["T", 2]] as const;
  return flags.flatMap(([transposeA, transposeB]) =>
    bias.map((shape) =>
      c(`transposeA ${transposeA}, transposeB ${transposeB}, c ${shape && `(${shape.join(", ")})`}`, (draw) =>
        op.gemm(draw.float("a", sides("T", 3, transposeA)), draw.float("b", sides(3, 2, transposeB)), {
          transposeA,
          transposeB,
          alpha: -1.5,
          ...(shape === undefined ? {} : { c: draw.float("c", shape) }),
        }),
      ),
    ),
  );
}

function reductionCases(
  f: (x: Value, axes: readonly number[], keepDims?: boolean) => Value,
): readonly OperatorCase[] {
  const axes = [[0], [1], [-1], [0, 2], [1, -1], [0, 1, 2]];
  return axes.flatMap((some) =>
    [false, true].map((keepDims) =>
      c(`axes ${some.join(", ")}${keepDims ? ", kept" : ""}`, (draw) =>
        f(distinct(draw, "x", ["B", "T", 3]), some, keepDims),
      ),
    ),
  );
}

/** At least one case an operator, at points where it is smooth in its float inputs. */
export const operatorCases: { readonly [K in OpKind]: readonly OperatorCase[] } = {
  input: [c("through to the output", (draw) => draw.float("x", ["B", 3]))],
  // Weights need a file: the conformance suite writes one.
  weight: [],
  constant: [
    c("a matrix", (draw) => op.add(draw.float("x", ["B", 3]), op.constant(float32([1, -2, 3], [1, 3])))),
  ],

  neg: unary(op.neg),
  exp: unary(op.exp),
  log: unary(op.log, positive),
  sqrt: unary(op.sqrt, positive),
  reciprocal: unary(op.reciprocal, awayFromZero),
  tanh: unary(op.tanh),
  sigmoid: unary(op.sigmoid),
  relu: unary(op.relu, awayFromZero),
  round: unary((x) => op.round(op.mul(x, 3))),
  erf: unary(op.erf),
  cos: unary(op.cos),
  sin: unary(op.sin),
  gelu: unary(op.gelu),

  add: binary(op.add),
  sub: binary(op.sub),
  mul: binary(op.mul),
  div: binary(op.div, awayFromZero),
  maximum: [
    ...binary((a, b) => op.maximum(op.add(op.mul(op.tanh(a), 0.4), 1), op.add(b, 1)), awayFromOne),
    c("of two inputs", (draw) =>
      op.maximum(draw.float("a", ["B", 3], awayFromZero), draw.float("b", [3], tiny)),
    ),
  ],
  equal: [c("of floats with repeats", (draw) => op.equal(repeats(draw, "a"), repeats(draw, "b")))],
  greater: [c("of floats with repeats", (draw) => op.greater(repeats(draw, "a"), repeats(draw, "b")))],
  where: [
    c("all shapes equal", (draw) =>
      op.where(draw.bool("condition", ["B", 3]), draw.float("a", ["B", 3]), draw.float("b", ["B", 3])),
    ),
    c("condition broadcasts", (draw) =>
      op.where(draw.bool("condition", ["B", 1, "T"]), draw.float("a", ["B", 2, "T"]), draw.float("b", [])),
    ),
    c("operands broadcast", (draw) =>
      op.where(
        draw.bool("condition", ["B", "T", 2]),
        draw.float("a", ["T", 1]),
        draw.float("b", ["B", 1, 2]),
      ),
    ),
  ],
  cast: [
    c("float32 to float64 and back", (draw) =>
      op.cast(op.cast(draw.float("x", ["B", 3]), "float64"), "float32"),
    ),
  ],

  matmul: matmulCases(),
  gemm: gemmCases(),

  // Its weights need a file too: tests of their own write one.
  quantizedGemm: [],

  transpose: [
    c("(0, 2, 1, 3)", (draw) => op.transpose(draw.float("x", ["B", "T", 2, 3]), [0, 2, 1, 3])),
    c("(2, 0, 1)", (draw) => op.transpose(draw.float("x", ["B", "T", 3]), [2, 0, 1])),
  ],
  reshape: [
    c("(B, T, 6) to (B*T, 2, 3)", (draw) => op.reshape(draw.float("x", ["B", "T", 6]), ["B*T", 2, 3])),
    c("(B*T, 6) to (B, T, 6)", (draw) => {
      // The symbols come from an input of their own: a product alone does not tell its factors.
      const x = op.mul(draw.float("x", ["B", "T", 6]), 1);
      return op.reshape(op.reshape(x, ["B*T", 6]), ["B", "T", 2, 3]);
    }),
    c("to a scalar", (draw) => op.reshape(draw.float("x", [1, 1]), [])),
    c("a scalar", (draw) => op.reshape(draw.float("x", []), [1, 1])),
  ],
  expand: [
    c("(3) to (B, T, 3)", (draw) => op.expand(withSymbols(draw, draw.float("x", [3])), ["B", "T", 3])),
    c("(B, 1, 3) to (B, T, 3)", (draw) =>
      op.expand(withSymbols(draw, draw.float("x", ["B", 1, 3])), ["B", "T", 3]),
    ),
    c("a scalar", (draw) => op.expand(withSymbols(draw, draw.float("x", [])), ["B*T", 2])),
  ],
  concat: [
    c("three along the last axis", (draw) =>
      op.concat([draw.float("a", ["B", 2]), draw.float("b", ["B", 1]), draw.float("c", ["B", 3])], -1),
    ),
    c("a fixed and a symbolic length", (draw) =>
      op.concat([draw.float("a", ["B", 2, 3]), draw.float("b", ["B", "T", 3])], 1),
    ),
  ],
  slice: [
    c("fixed ends", (draw) => op.slice(draw.float("x", ["B", 5, 2]), 1, 1, 4)),
    c("to a symbolic end", (draw) => op.slice(draw.float("x", ["B", "T", 2]), 1, 1, "T")),
    c("the first of a symbolic axis", (draw) => op.slice(draw.float("x", ["B", "T", 2]), 1, 0, 1)),
  ],
  pad: [
    c("on both sides", (draw) => op.pad(draw.float("x", ["B", 2, 3]), 1, 1, ["B", 5, 3])),
    c("to a longer symbolic axis", (draw) => op.pad(draw.float("x", ["B", "T", 3]), 1, 2, ["B", "T+3", 3])),
    c("from one to a symbolic axis", (draw) =>
      op.pad(withSymbols(draw, draw.float("x", ["B", 1, 3])), 1, 0, ["B", "T", 3]),
    ),
  ],
  gather: [
    c("rows, some twice", (draw) => op.gather(draw.float("x", [3, 2]), draw.index("i", ["B", "T", 3], 3))),
    c("elements of a vector", (draw) => op.gather(draw.float("x", [4]), draw.index("i", ["B"], 4))),
  ],
  scatterAdd: [
    c("rows, some twice", (draw) =>
      op.scatterAdd(draw.index("i", ["B", 5], 3), draw.float("x", ["B", 5, 2]), [3, 2]),
    ),
    c("into symbolic rows", (draw) =>
      op.scatterAdd(draw.index("i", [4], 1), withSymbols(draw, draw.float("x", [4, 2])), ["T", 2]),
    ),
  ],
  gatherElements: [
    c("one a row", (draw) => op.gatherElements(draw.float("x", ["B", 4]), draw.index("i", ["B", 1], 4))),
    c("several a row", (draw) => op.gatherElements(draw.float("x", ["B", 3]), draw.index("i", ["B", 5], 3))),
  ],
  scatterElementsAdd: [
    c("one a row", (draw) =>
      op.scatterElementsAdd(draw.index("i", ["B", 1], 4), draw.float("x", ["B", 1]), ["B", 4]),
    ),
    c("several a row", (draw) =>
      op.scatterElementsAdd(draw.index("i", ["B", 5], 3), draw.float("x", ["B", 5]), ["B", 3]),
    ),
  ],

  reduceSum: reductionCases(op.reduceSum),
  reduceMax: reductionCases(op.reduceMax),
  softmax: [
    c("(B, T, 4)", (draw) => op.softmax(draw.float("x", ["B", "T", 4]))),
    c("large scores", (draw) => op.softmax(draw.float("x", ["B", 3], (rng) => 50 + rng.normal()))),
  ],
  logSoftmax: [
    c("(B, T, 4)", (draw) => op.logSoftmax(draw.float("x", ["B", "T", 4]))),
    c("large scores", (draw) => op.logSoftmax(draw.float("x", ["B", 3], (rng) => 50 + rng.normal()))),
  ],
  layerNorm: [
    c("(B, T, 6)", (draw) =>
      op.layerNorm(draw.float("x", ["B", "T", 6]), draw.float("gamma", [6]), draw.float("beta", [6]), 1e-12),
    ),
    c("a large epsilon", (draw) =>
      op.layerNorm(draw.float("x", ["B", 4]), draw.float("gamma", [4]), draw.float("beta", [4]), 0.5),
    ),
  ],
  rmsNorm: [
    c("(B, T, 6)", (draw) => op.rmsNorm(draw.float("x", ["B", "T", 6]), draw.float("gamma", [6]), 1e-12)),
    c("a large epsilon", (draw) => op.rmsNorm(draw.float("x", ["B", 4]), draw.float("gamma", [4]), 0.5)),
  ],
  rotate: [
    c("(B, T, 18), heads in part", (draw) =>
      op.rotate(
        draw.float("x", ["B", "T", 18]),
        draw.float("cos", ["B*T", 2]),
        draw.float("sin", ["B*T", 2]),
        3,
      ),
    ),
    c("whole heads", (draw) =>
      op.rotate(
        draw.float("x", ["B", "T", 16]),
        draw.float("cos", ["B*T", 4]),
        draw.float("sin", ["B*T", 4]),
        2,
      ),
    ),
  ],
  cachedAttention: [
    c("texts that begin", (draw) =>
      attentionBehindCache(draw, { heads: 4, keyValueHeads: 2, width: 8, tokens: 3 }),
    ),
    c("texts that go on, of different lengths", (draw) =>
      attentionBehindCache(draw, { heads: 4, keyValueHeads: 2, width: 8, tokens: 1 }),
    ),
    c("a window", (draw) =>
      attentionBehindCache(draw, { heads: 4, keyValueHeads: 4, width: 8, tokens: 1, window: 3 }),
    ),
    c("a window over texts that begin", (draw) =>
      attentionBehindCache(draw, { heads: 2, keyValueHeads: 1, width: 8, tokens: 5, window: 2 }),
    ),
    ...[1, 3].map((tokens) =>
      c(`heads that the engine widens, ${tokens} tokens`, (draw) =>
        attentionBehindCache(draw, { heads: 6, keyValueHeads: 2, width: 12, tokens }),
      ),
    ),
  ],
  stopGradient: [c("the identity", (draw) => op.stopGradient(draw.float("x", ["B", 3])))],
};

function awayFromOne(rng: Draw["rng"]): number {
  return awayFromZero(rng) * 2;
}

function tiny(rng: Draw["rng"]): number {
  return 0.2 * (rng.uniform() - 0.5);
}

interface AttentionCase {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly width: number;
  readonly tokens: number;
  readonly window?: number;
}

/** Several tokens begin their texts; one goes on behind 0 … 10 others. */
function attentionBehindCache(draw: Draw, { width, tokens, ...attributes }: AttentionCase): Value {
  const { heads, keyValueHeads } = attributes;
  const rows = (name: string, count: number) => draw.float(name, ["B", tokens, count * width]);
  const cached = (name: string) => draw.float(name, ["B", keyValueHeads, 11, width]);
  return op.cachedAttention(
    rows("q", heads),
    [rows("k", keyValueHeads), rows("v", keyValueHeads)],
    [cached("past k"), cached("past v")],
    op.add(draw.index("before", ["B"], tokens === 1 ? 11 : 1), tokens),
    { ...attributes, scale: 0.4 },
  );
}

function repeats(draw: Draw, name: string): Value {
  return draw.float(name, ["B", 5], (rng) => rng.integer(3));
}

/** The same value, in a graph one of whose inputs has the axes B and T. */
function withSymbols(draw: Draw, x: Value): Value {
  const carrier = draw.float("carrier", ["B", "T"]);
  return op.add(x, op.mul(op.reduceSum(carrier, [0, 1]), 0.25));
}

/** Places where an operator is not smooth, or where float32 kernels are known to go wrong. */
export const edgeCases: readonly OperatorCase[] = [
  c("maximum of equal operands", (draw) => op.maximum(repeats(draw, "a"), repeats(draw, "b"))),
  c("maximum of integers", (draw) => op.maximum(draw.index("a", ["B", 4], 9), draw.index("b", ["B", 4], 9))),
  c("round at halves", (draw) => op.round(op.div(op.sub(repeats(draw, "a"), 1), 2))),
  c("relu at zero", (draw) => op.relu(op.sub(repeats(draw, "a"), 1))),
  c("gelu and erf far out", (draw) =>
    op.concat([op.gelu(draw.float("x", ["B", 9], wide)), op.erf(draw.float("y", ["B", 9], wide))], 1),
  ),
  c("sigmoid and tanh far out", (draw) =>
    op.concat([op.sigmoid(draw.float("x", ["B", 9], wide)), op.tanh(draw.float("y", ["B", 9], wide))], 1),
  ),
  c("a dimension of an input that is used later", (draw) => {
    const rows = op.reshape(draw.float("x", ["B*T", 3]), ["B", "T", 3]);
    return op.add(rows, draw.float("y", ["B", "T", 3]));
  }),
  c("reduceMax with ties", (draw) => op.reduceMax(repeats(draw, "x"), [1])),
  c("reduceSum of integers", (draw) => op.reduceSum(draw.index("x", ["B", 7], 100), [1])),
  c("arithmetic of integers", (draw) => {
    const [a, b] = [draw.index("a", ["B", 5], 9), draw.index("b", ["B", 5], 9)];
    return op.sub(op.mul(a, b), op.add(a, op.constant(int64([3], []))));
  }),
  c("equal integers", (draw) => op.equal(draw.index("a", ["B", 9], 2), draw.index("b", ["B", 9], 2))),
  c("greater integers", (draw) => op.greater(draw.index("a", ["B", 9], 3), draw.index("b", ["B", 9], 3))),
  c("where chooses integers", (draw) =>
    op.where(draw.bool("condition", ["B", 3]), draw.index("a", ["B", 3], 9), draw.index("b", [3], 9)),
  ),
  c("cast float to int64 truncates", (draw) =>
    op.cast(
      draw.float("x", ["B", 5], (rng) => 5 * rng.normal()),
      "int64",
    ),
  ),
  c("cast float to int32 truncates", (draw) =>
    op.cast(
      draw.float("x", ["B", 5], (rng) => 5 * rng.normal()),
      "int32",
    ),
  ),
  c("cast float to bool", (draw) => op.cast(repeats(draw, "x"), "bool")),
  c("cast bool to float", (draw) => op.cast(draw.bool("x", ["B", 5]), "float32")),
  c("cast int64 to float", (draw) => op.cast(draw.index("x", ["B", 5], 100), "float32")),
  c("softmax of a masked row", (draw) => {
    const masked = op.where(draw.bool("mask", ["B", 1, "T"]), number(0), number(-3.4e38));
    return op.softmax(op.add(draw.float("x", ["B", 2, "T"]), masked));
  }),
  c("logSoftmax of distant scores", (draw) =>
    op.logSoftmax(draw.float("x", ["B", 5], (rng) => 200 * rng.normal())),
  ),
  c("layerNorm of nearly equal elements", (draw) =>
    op.layerNorm(
      draw.float("x", ["B", 8], (rng) => 1e-4 * rng.normal()),
      draw.float("gamma", [8]),
      draw.float("beta", [8]),
      1e-12,
    ),
  ),
  c("rmsNorm of zeros", (draw) =>
    op.rmsNorm(op.mul(draw.float("x", ["B", 4]), 0), draw.float("gamma", [4]), 1e-5),
  ),
  c("cos and sin of a long text's angles", (draw) => {
    const x = draw.float("x", ["B", 9], (rng) => 2000 * rng.uniform());
    return op.concat([op.cos(x), op.sin(x)], 1);
  }),
  c("layerNorm of equal elements", (draw) =>
    op.layerNorm(
      draw.float("x", ["B", 4], () => 0.5),
      draw.float("gamma", [4]),
      draw.float("beta", [4]),
      1e-5,
    ),
  ),
  c("gather of integers", (draw) => op.gather(draw.index("x", [5], 50), draw.index("i", ["B", 3], 5))),
  c("gatherElements of integers", (draw) =>
    op.gatherElements(draw.index("x", ["B", 4], 50), draw.index("i", ["B", 2], 4)),
  ),
  c("scatterAdd, every update to one row", (draw) =>
    op.scatterAdd(draw.index("i", ["B", 40], 1), draw.float("x", ["B", 40, 3]), [2, 3]),
  ),
  c("an axis of no elements", (draw) => op.slice(draw.float("x", ["B", 3]), 1, 2, 2)),
  c("a product over no elements", (draw) => op.matmul(draw.float("a", ["B", 0]), draw.float("b", [0, 3]))),
  c("a gemm over no elements", (draw) =>
    op.gemm(draw.float("a", ["B", 0]), draw.float("b", [0, 3]), { c: draw.float("c", [3]) }),
  ),
  c("a transposed batch against a shared matrix", (draw) =>
    op.matmul(draw.float("a", ["B", 3, "T"]), draw.float("b", [3, 2]), { transposeA: true }),
  ),
  c("slice and pad of integers", (draw) =>
    op.pad(op.slice(draw.index("x", ["B", 5], 9), 1, 1, 3), 1, 1, ["B", 6]),
  ),
  c("concat, transpose, reshape and expand of integers", (draw) => {
    const x = draw.index("x", ["B", 2], 9);
    const both = op.transpose(op.concat([x, draw.index("y", ["B", 1], 9)], 1), [1, 0]);
    return op.expand(op.reshape(both, [3, 1, "B"]), [3, 2, "B"]);
  }),
  c("reductions of booleans by way of floats", (draw) =>
    op.reduceSum(op.cast(draw.bool("x", ["B", "T"]), "float32"), [1]),
  ),
];

const number = (value: number): Value => op.constant(float32([value], []));

function wide(rng: Draw["rng"]): number {
  return 16 * (rng.uniform() - 0.5);
}
