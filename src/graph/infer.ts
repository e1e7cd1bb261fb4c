import { GraphError } from "../core/errors.ts";
import type { DType } from "../core/tensor.ts";
import {
  broadcastShapes,
  type Dim,
  formatShape,
  multiplyDims,
  normaliseAxis,
  sameShape,
  sameSize,
  sumDims,
} from "./shape.ts";
import type { OpAttributes, OpKind, TypeAndShape, Value } from "./types.ts";

/** The types and shapes of an operator's outputs. @throws GraphError naming the operands that do not fit. */
export type InferRule<K extends OpKind> = (
  attributes: OpAttributes[K],
  inputs: readonly Value[],
) => readonly TypeAndShape[];

function operand(kind: string, inputs: readonly Value[], index: number): Value {
  const value = inputs[index];
  if (value === undefined) throw new GraphError(`${kind}: operand ${index} is missing`);
  return value;
}

function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64";
}

function checkFloat(kind: string, value: Value): Value {
  if (!isFloat(value.dtype)) throw new GraphError(`${kind}: expected a float operand, got ${value.dtype}`);
  return value;
}

function checkIndex(kind: string, value: Value): Value {
  if (value.dtype !== "int64") throw new GraphError(`${kind}: indices must be int64, got ${value.dtype}`);
  return value;
}

function checkSameType(kind: string, a: Value, b: Value): void {
  if (a.dtype !== b.dtype)
    throw new GraphError(`${kind}: operands are ${a.dtype} and ${b.dtype}`, { hint: "cast one of them" });
}

function unary(kind: string) {
  return (_: unknown, inputs: readonly Value[]): readonly TypeAndShape[] => {
    const x = checkFloat(kind, operand(kind, inputs, 0));
    return [{ dtype: x.dtype, shape: x.shape }];
  };
}

function binary(kind: string, result?: DType) {
  return (_: unknown, inputs: readonly Value[]): readonly TypeAndShape[] => {
    const a = operand(kind, inputs, 0);
    const b = operand(kind, inputs, 1);
    checkSameType(kind, a, b);
    return [{ dtype: result ?? a.dtype, shape: broadcastShapes(kind, a.shape, b.shape) }];
  };
}

function inner(
  kind: string,
  a: Value,
  b: Value,
  transposeA: boolean,
  transposeB: boolean,
): readonly [Dim, Dim] {
  const [aRows, aColumns] = [a.shape.at(-2), a.shape.at(-1)];
  const [bRows, bColumns] = [b.shape.at(-2), b.shape.at(-1)];
  if (aRows === undefined || aColumns === undefined || bRows === undefined || bColumns === undefined)
    throw new GraphError(
      `${kind}: operands need at least two axes, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
    );
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [k2, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== k2)
    throw new GraphError(
      `${kind}: inner dims differ: a ${formatShape(a.shape)}${transposeA ? " transposed" : ""}, b ${formatShape(b.shape)}${transposeB ? " transposed" : ""}`,
    );
  return [m, n];
}

function reduce(kind: string) {
  return (attributes: OpAttributes["reduceSum"], inputs: readonly Value[]): readonly TypeAndShape[] => {
    const x = operand(kind, inputs, 0);
    const axes = new Set(attributes.axes.map((axis) => normaliseAxis(kind, axis, x.shape.length)));
    const shape = attributes.keepDims
      ? x.shape.map((dim, i) => (axes.has(i) ? 1 : dim))
      : x.shape.filter((_, i) => !axes.has(i));
    return [{ dtype: x.dtype, shape }];
  };
}

/** What a normalisation over the last axis gives, once its parameters of that axis' size are checked. */
function normalisation(kind: string, inputs: readonly Value[], parameters: number) {
  const x = checkFloat(kind, operand(kind, inputs, 0));
  const width = x.shape.at(-1);
  for (let index = 1; index <= parameters; index++) {
    const parameter = operand(kind, inputs, index);
    checkSameType(kind, x, parameter);
    if (parameter.shape.length !== 1 || parameter.shape[0] !== width)
      throw new GraphError(
        `${kind}: x ${formatShape(x.shape)} wants a parameter of (${width}), got ${formatShape(parameter.shape)}`,
      );
  }
  const result: TypeAndShape = { dtype: x.dtype, shape: x.shape };
  const statistics: TypeAndShape = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
  return { result, statistics };
}

export const inferRules: { readonly [K in OpKind]: InferRule<K> } = {
  input: ({ dtype, shape }) => [{ dtype, shape }],
  weight: ({ source }) => [
    {
      dtype: source.dtype === "float16" || source.dtype === "bfloat16" ? "float32" : source.dtype,
      shape: source.dims,
    },
  ],
  constant: ({ tensor }) => [{ dtype: tensor.dtype, shape: tensor.dims }],

  neg: unary("neg"),
  exp: unary("exp"),
  log: unary("log"),
  sqrt: unary("sqrt"),
  reciprocal: unary("reciprocal"),
  tanh: unary("tanh"),
  sigmoid: unary("sigmoid"),
  relu: unary("relu"),
  round: unary("round"),
  erf: unary("erf"),
  cos: unary("cos"),
  sin: unary("sin"),
  gelu: unary("gelu"),

  add: binary("add"),
  sub: binary("sub"),
  mul: binary("mul"),
  div: binary("div"),
  maximum: binary("maximum"),
  equal: binary("equal", "bool"),
  greater: binary("greater", "bool"),
  where: (_, inputs) => {
    const condition = operand("where", inputs, 0);
    const a = operand("where", inputs, 1);
    const b = operand("where", inputs, 2);
    if (condition.dtype !== "bool")
      throw new GraphError(`where: the condition must be bool, got ${condition.dtype}`);
    checkSameType("where", a, b);
    const shape = broadcastShapes("where", condition.shape, broadcastShapes("where", a.shape, b.shape));
    return [{ dtype: a.dtype, shape }];
  },
  cast: ({ to }, inputs) => [{ dtype: to, shape: operand("cast", inputs, 0).shape }],

  matmul: ({ transposeA, transposeB }, inputs) => {
    const a = checkFloat("matmul", operand("matmul", inputs, 0));
    const b = checkFloat("matmul", operand("matmul", inputs, 1));
    checkSameType("matmul", a, b);
    const [m, n] = inner("matmul", a, b, transposeA, transposeB);
    const batch = a.shape.slice(0, -2);
    if (b.shape.length > 2 && !sameShape(batch, b.shape.slice(0, -2)))
      throw new GraphError(
        `matmul: leading dims differ: a ${formatShape(a.shape)}, b ${formatShape(b.shape)}`,
      );
    return [{ dtype: a.dtype, shape: [...batch, m, n] }];
  },
  gemm: ({ transposeA, transposeB }, inputs) => {
    const a = checkFloat("gemm", operand("gemm", inputs, 0));
    const b = checkFloat("gemm", operand("gemm", inputs, 1));
    checkSameType("gemm", a, b);
    if (a.shape.length !== 2 || b.shape.length !== 2)
      throw new GraphError(
        `gemm: operands must be matrices, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
      );
    const shape = inner("gemm", a, b, transposeA, transposeB);
    const c = inputs[2];
    if (c !== undefined) checkSameType("gemm", a, c);
    if (c !== undefined && !sameShape(broadcastShapes("gemm", c.shape, shape), shape))
      throw new GraphError(`gemm: c ${formatShape(c.shape)} does not broadcast to ${formatShape(shape)}`);
    return [{ dtype: a.dtype, shape }];
  },

  quantizedGemm: ({ weight, transposed }, inputs) => {
    const x = checkFloat("quantizedGemm", operand("quantizedGemm", inputs, 0));
    const [k = 0, o = 0] = weight.codes.dims;
    if (x.shape.length !== 2 || x.shape[1] !== k)
      throw new GraphError(
        `quantizedGemm: x ${formatShape(x.shape)} does not fit weight ${weight.name} (${k}, ${o})`,
      );
    if (transposed.codes.dims.join() !== `${o},${k}`)
      throw new GraphError(
        `quantizedGemm: ${transposed.name} (${transposed.codes.dims.join(", ")}) is not ${weight.name} (${k}, ${o}) transposed`,
      );
    const shape = [x.shape[0] ?? 1, o];
    const c = inputs[1];
    if (c !== undefined) checkSameType("quantizedGemm", x, c);
    if (c !== undefined && !sameShape(broadcastShapes("quantizedGemm", c.shape, shape), shape))
      throw new GraphError(
        `quantizedGemm: c ${formatShape(c.shape)} does not broadcast to ${formatShape(shape)}`,
      );
    return [{ dtype: x.dtype, shape }];
  },

  transpose: ({ permutation }, inputs) => {
    const x = operand("transpose", inputs, 0);
    const sorted = [...permutation].sort((a, b) => a - b);
    if (sorted.length !== x.shape.length || sorted.some((axis, i) => axis !== i))
      throw new GraphError(`transpose: (${permutation.join(", ")}) does not permute ${formatShape(x.shape)}`);
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis] ?? 1) }];
  },
  reshape: ({ shape }, inputs) => {
    const x = operand("reshape", inputs, 0);
    if (!sameSize(x.shape, shape))
      throw new GraphError(`reshape: ${formatShape(x.shape)} and ${formatShape(shape)} differ in size`);
    return [{ dtype: x.dtype, shape }];
  },
  expand: ({ shape }, inputs) => {
    const x = operand("expand", inputs, 0);
    if (!sameShape(broadcastShapes("expand", x.shape, shape), shape))
      throw new GraphError(`expand: ${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  concat: ({ axis }, inputs) => {
    const first = operand("concat", inputs, 0);
    const at = normaliseAxis("concat", axis, first.shape.length);
    const total = inputs.slice(1).reduce<Dim>((sum, value) => {
      const differs = value.shape.some((dim, i) => i !== at && dim !== first.shape[i]);
      if (value.shape.length !== first.shape.length || differs || value.dtype !== first.dtype)
        throw new GraphError(
          `concat: ${formatShape(value.shape)} does not continue ${formatShape(first.shape)} along axis ${at}`,
        );
      return sumDims(sum, value.shape[at] ?? 0);
    }, first.shape[at] ?? 0);
    return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => (i === at ? total : dim)) }];
  },
  slice: ({ axis, start, end }, inputs) => {
    const x = operand("slice", inputs, 0);
    const at = normaliseAxis("slice", axis, x.shape.length);
    const length = sumDims(end, -start);
    if (typeof length === "number" && length < 0)
      throw new GraphError(`slice: end ${end} lies before start ${start}`);
    const size = x.shape[at];
    if (start < 0 || (typeof end === "number" && typeof size === "number" && end > size))
      throw new GraphError(
        `slice: ${start}…${end} does not lie within axis ${at} of ${formatShape(x.shape)}`,
      );
    return [{ dtype: x.dtype, shape: x.shape.map((dim, i) => (i === at ? length : dim)) }];
  },
  pad: ({ axis, before, shape }, inputs) => {
    const x = operand("pad", inputs, 0);
    const [from, to] = [x.shape[axis], shape[axis]];
    const tooShort = typeof from === "number" && typeof to === "number" && before + from > to;
    const differs = shape.some((dim, i) => i !== axis && dim !== x.shape[i]);
    if (before < 0 || tooShort || differs || shape.length !== x.shape.length)
      throw new GraphError(
        `pad: ${formatShape(x.shape)} after ${before} zeros on axis ${axis} does not fit into ${formatShape(shape)}`,
      );
    return [{ dtype: x.dtype, shape }];
  },
  gather: (_, inputs) => {
    const x = operand("gather", inputs, 0);
    const indices = checkIndex("gather", operand("gather", inputs, 1));
    return [{ dtype: x.dtype, shape: [...indices.shape, ...x.shape.slice(1)] }];
  },
  scatterAdd: ({ shape }, inputs) => {
    const indices = checkIndex("scatterAdd", operand("scatterAdd", inputs, 0));
    const updates = operand("scatterAdd", inputs, 1);
    if (!sameShape(updates.shape, [...indices.shape, ...shape.slice(1)]))
      throw new GraphError(
        `scatterAdd: updates ${formatShape(updates.shape)} do not fit indices ${formatShape(indices.shape)} into ${formatShape(shape)}`,
      );
    return [{ dtype: updates.dtype, shape }];
  },
  gatherElements: (_, inputs) => {
    const x = operand("gatherElements", inputs, 0);
    const indices = checkIndex("gatherElements", operand("gatherElements", inputs, 1));
    if (x.shape.length !== 2 || indices.shape.length !== 2 || x.shape[0] !== indices.shape[0])
      throw new GraphError(
        `gatherElements: x ${formatShape(x.shape)} and indices ${formatShape(indices.shape)} must be matrices of equal rows`,
      );
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  scatterElementsAdd: ({ shape }, inputs) => {
    const indices = checkIndex("scatterElementsAdd", operand("scatterElementsAdd", inputs, 0));
    const updates = operand("scatterElementsAdd", inputs, 1);
    if (shape.length !== 2 || !sameShape(updates.shape, indices.shape) || shape[0] !== indices.shape[0])
      throw new GraphError(
        `scatterElementsAdd: updates ${formatShape(updates.shape)} do not fit indices ${formatShape(indices.shape)} into ${formatShape(shape)}`,
      );
    return [{ dtype: updates.dtype, shape }];
  },

  reduceSum: reduce("reduceSum"),
  reduceMax: reduce("reduceMax"),
  softmax: unary("softmax"),
  logSoftmax: unary("logSoftmax"),
  // y, mean, 1/deviation
  layerNorm: (_, inputs) => {
    const { result, statistics } = normalisation("layerNorm", inputs, 2);
    return [result, statistics, statistics];
  },
  // y, 1/r
  rmsNorm: (_, inputs) => {
    const { result, statistics } = normalisation("rmsNorm", inputs, 1);
    return [result, statistics];
  },
  rotate: ({ heads }, inputs) => {
    const x = checkFloat("rotate", operand("rotate", inputs, 0));
    const [cos, sin] = [operand("rotate", inputs, 1), operand("rotate", inputs, 2)];
    const [batch = 1, tokens = 1, size] = x.shape;
    const [rows, half] = cos.shape;
    const fits =
      x.shape.length === 3 &&
      typeof size === "number" &&
      typeof half === "number" &&
      size % heads === 0 &&
      2 * half <= size / heads &&
      rows === multiplyDims([batch, tokens]);
    if (!fits || !sameShape(cos.shape, sin.shape))
      throw new GraphError(
        `rotate: cos ${formatShape(cos.shape)} and sin ${formatShape(sin.shape)} do not turn ${heads} heads of ${formatShape(x.shape)}`,
      );
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  cachedAttention: ({ heads, keyValueHeads }, inputs) => {
    const q = checkFloat("cachedAttention", operand("cachedAttention", inputs, 0));
    checkIndex("cachedAttention", operand("cachedAttention", inputs, 5));
    const [batch = 1, tokens = 1] = q.shape;
    const [, , places = 1, width = 1] = operand("cachedAttention", inputs, 3).shape;
    const added = [batch, tokens, multiplyDims([keyValueHeads, width])];
    const cached = [batch, keyValueHeads, places, width];
    const query = [batch, tokens, multiplyDims([heads, width])];
    [query, added, added, cached, cached, [batch]].forEach((expected, i) => {
      const { shape } = operand("cachedAttention", inputs, i);
      if (!sameShape(shape, expected))
        throw new GraphError(
          `cachedAttention: operand ${i} must be ${formatShape(expected)}, got ${formatShape(shape)}`,
        );
    });
    return [{ dtype: q.dtype, shape: q.shape }];
  },
  stopGradient: (_, inputs) => {
    const x = operand("stopGradient", inputs, 0);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
};
