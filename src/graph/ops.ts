import { GraphError } from "../core/errors.ts";
import { type DType, float32, float64, type HostTensor, int64 } from "../core/tensor.ts";
import { inferRules } from "./infer.ts";
import type { Dim, Shape } from "./shape.ts";
import { normaliseAxis } from "./shape.ts";
import type {
  Node,
  OpAttributes,
  OpKind,
  QuantizedWeight,
  RowRounding,
  Value,
  WeightSource,
} from "./types.ts";

function createNode<K extends OpKind>(
  kind: K,
  attributes: OpAttributes[K],
  inputs: readonly Value[],
): Node<K> {
  const outputs: Value[] = [];
  const node: Node<K> = { kind, attributes, inputs, outputs };
  inferRules[kind](attributes, inputs).forEach(({ dtype, shape }, index) => {
    outputs.push({ node, index, dtype, shape });
  });
  return node;
}

function outputOf(node: Node, index = 0): Value {
  const value = node.outputs[index];
  if (value === undefined) throw new GraphError(`${node.kind}: there is no output ${index}`);
  return value;
}

function apply<K extends OpKind>(kind: K, attributes: OpAttributes[K], ...inputs: readonly Value[]): Value {
  return outputOf(createNode(kind, attributes, inputs));
}

/** A tensor fed at every run; symbolic dimensions take their values from what is fed. */
export function input(name: string, dtype: DType, shape: Shape): Value {
  return apply("input", { name, dtype, shape });
}

/** A frozen weight, read by the engine from its own file. */
export function weight(name: string, source: WeightSource): Value {
  return apply("weight", { name, source });
}

export function constant(tensor: HostTensor): Value {
  return apply("constant", { tensor });
}

/** A scalar constant of the type of `like`. @throws GraphError if that is not float or int64. */
export function scalar(value: number, like: Value): Value {
  switch (like.dtype) {
    case "float32":
      return constant(float32([value], []));
    case "float64":
      return constant(float64([value], []));
    case "int64":
      return constant(int64([value], []));
    case "int32":
    case "uint8":
    case "bool":
      throw new GraphError(`scalar: no constants of type ${like.dtype}`, { hint: "cast the other operand" });
  }
}

export const neg = (x: Value): Value => apply("neg", {}, x);
export const exp = (x: Value): Value => apply("exp", {}, x);
export const log = (x: Value): Value => apply("log", {}, x);
export const sqrt = (x: Value): Value => apply("sqrt", {}, x);
export const reciprocal = (x: Value): Value => apply("reciprocal", {}, x);
export const tanh = (x: Value): Value => apply("tanh", {}, x);
export const sigmoid = (x: Value): Value => apply("sigmoid", {}, x);
export const relu = (x: Value): Value => apply("relu", {}, x);
export const round = (x: Value): Value => apply("round", {}, x);
export const erf = (x: Value): Value => apply("erf", {}, x);
export const cos = (x: Value): Value => apply("cos", {}, x);
export const sin = (x: Value): Value => apply("sin", {}, x);
export const gelu = (x: Value): Value => apply("gelu", {}, x);

/** Binary operators broadcast as NumPy's; a number stands for a scalar of the other operand's type. */
const binary =
  (kind: "add" | "sub" | "mul" | "div" | "maximum" | "equal" | "greater") =>
  (a: Value, b: Value | number): Value =>
    apply(kind, {}, a, typeof b === "number" ? scalar(b, a) : b);

export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const maximum = binary("maximum");
export const equal = binary("equal");
export const greater = binary("greater");
export const where = (condition: Value, a: Value, b: Value): Value => apply("where", {}, condition, a, b);

export function cast(x: Value, to: DType): Value {
  return x.dtype === to ? x : apply("cast", { to }, x);
}

export interface ProductOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
}

/** alpha · op(a) · op(b) over the last two axes: (…, M, K) × (…, K, N) or (K, N) → (…, M, N). */
export function matmul(a: Value, b: Value, options: ProductOptions = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1 } = options;
  return apply("matmul", { transposeA, transposeB, alpha }, a, b);
}

/** alpha · op(a) · op(b) + c on matrices: (M, K) × (K, N) + (M, N) → (M, N). */
export function gemm(a: Value, b: Value, options: ProductOptions & { readonly c?: Value } = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1, c } = options;
  const attributes = { transposeA, transposeB, alpha };
  return c === undefined ? apply("gemm", attributes, a, b) : apply("gemm", attributes, a, b, c);
}

/** x·W + c of a frozen weight in 8 bits: (N, K) × (K, O) + (N, O) → (N, O). @param transposed Wᵀ, for gradients */
export function quantizedGemm(
  x: Value,
  weight: QuantizedWeight,
  transposed: QuantizedWeight,
  { rounding = {}, c }: { readonly rounding?: RowRounding; readonly c?: Value | undefined } = {},
): Value {
  const attributes = { weight, transposed, rounding };
  return c === undefined ? apply("quantizedGemm", attributes, x) : apply("quantizedGemm", attributes, x, c);
}

export function transpose(x: Value, permutation: readonly number[]): Value {
  return apply("transpose", { permutation }, x);
}

export function reshape(x: Value, shape: Shape): Value {
  return apply("reshape", { shape }, x);
}

export function expand(x: Value, shape: Shape): Value {
  return apply("expand", { shape }, x);
}

export function concat(values: readonly Value[], axis: number): Value {
  return apply("concat", { axis: normaliseAxis("concat", axis, values[0]?.shape.length ?? 0) }, ...values);
}

export function slice(x: Value, axis: number, start: number, end: Dim): Value {
  return apply("slice", { axis: normaliseAxis("slice", axis, x.shape.length), start, end }, x);
}

/** Embeds x into zeros of `shape`, `before` zeros ahead along the axis. */
export function pad(x: Value, axis: number, before: number, shape: Shape): Value {
  return apply("pad", { axis, before, shape }, x);
}

export const gather = (x: Value, indices: Value): Value => apply("gather", {}, x, indices);
export const gatherElements = (x: Value, indices: Value): Value => apply("gatherElements", {}, x, indices);

export function scatterAdd(indices: Value, updates: Value, shape: Shape): Value {
  return apply("scatterAdd", { shape }, indices, updates);
}

export function scatterElementsAdd(indices: Value, updates: Value, shape: Shape): Value {
  return apply("scatterElementsAdd", { shape }, indices, updates);
}

function reduction(kind: "reduceSum" | "reduceMax") {
  return (x: Value, axes: readonly number[], keepDims = false): Value =>
    apply(kind, { axes: axes.map((axis) => normaliseAxis(kind, axis, x.shape.length)), keepDims }, x);
}

export const reduceSum = reduction("reduceSum");
export const reduceMax = reduction("reduceMax");
export const softmax = (x: Value): Value => apply("softmax", {}, x);
export const logSoftmax = (x: Value): Value => apply("logSoftmax", {}, x);

/** γ·(x − mean)/√(variance + ε) + β over the last axis. */
export function layerNorm(x: Value, gamma: Value, beta: Value, epsilon: number): Value {
  return apply("layerNorm", { epsilon }, x, gamma, beta);
}

/** γ·x/√(mean(x²) + ε) over the last axis (Zhang & Sennrich 2019). */
export function rmsNorm(x: Value, gamma: Value, epsilon: number): Value {
  return apply("rmsNorm", { epsilon }, x, gamma);
}

/** Turns the heads of x (B, T, h·d) by angles given as cos and sin, (B·T, w/2) each. For inference. */
export function rotate(x: Value, cos: Value, sin: Value, heads: number): Value {
  return apply("rotate", { heads }, x, cos, sin);
}

/**
 * Attention of new tokens behind a cache. For inference.
 * @param query (B, T, H·d)
 * @param added keys and values of the new tokens, (B, T, K·d) each
 * @param cached those before them, (B, K, P, d) each
 * @param lengths int64 (B), each text's tokens with the new ones
 * @returns (B, T, H·d)
 */
export function cachedAttention(
  query: Value,
  added: readonly [key: Value, value: Value],
  cached: readonly [key: Value, value: Value],
  lengths: Value,
  attributes: OpAttributes["cachedAttention"],
): Value {
  return apply("cachedAttention", attributes, query, ...added, ...cached, lengths);
}

export const stopGradient = (x: Value): Value => apply("stopGradient", {}, x);
