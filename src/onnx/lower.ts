import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import { type Dim, sumDims } from "../graph/shape.ts";
import type { Node, OpKind, RowRounding, Value, WeightSource } from "../graph/types.ts";
import { baseName } from "../portable/paths.ts";
import {
  type Attributes,
  type EmitOptions,
  type Emitter,
  float,
  int,
  ints,
  onnxTypes,
  type RoundedRows,
  string,
} from "./emitter.ts";
import { TensorProto_DataType as DataType } from "./generated/onnx_pb.ts";

/** Emits the ONNX nodes of one graph node and binds its outputs' names. */
export type LowerRule<K extends OpKind> = (node: Node<K>, emitter: Emitter) => void;

function bindAll(node: Node, names: readonly string[], emitter: Emitter): void {
  node.outputs.forEach((value: Value, i) => {
    emitter.bind(value, names[i] ?? "");
  });
}

function bindOne(node: Node, name: string, emitter: Emitter): void {
  bindAll(node, [name], emitter);
}

/** One ONNX operator of the same operands. */
function direct<K extends OpKind>(opType: string, options: EmitOptions = {}): LowerRule<K> {
  return (node, emitter) => bindOne(node, emitter.emit(opType, emitter.operands(node), options), emitter);
}

const microsoft = "com.microsoft";
const lastAxis: EmitOptions = { attributes: { axis: int(-1) } };

function reduction(opType: string): LowerRule<"reduceSum"> & LowerRule<"reduceMax"> {
  return (node: Node<"reduceSum"> | Node<"reduceMax">, emitter: Emitter) => {
    const { axes, keepDims } = node.attributes;
    const [x = ""] = emitter.operands(node);
    const attributes: Attributes = { keepdims: int(keepDims ? 1 : 0), noop_with_empty_axes: int(1) };
    bindOne(
      node,
      emitter.emit(opType, [x, emitter.constant(int64(axes, [axes.length]))], { attributes }),
      emitter,
    );
  };
}

/** The shape's zeros with updates added at indices, through one of ONNX's scatter operators. */
function scatter(
  opType: string,
  attributes: Attributes,
  prepare: (indices: string, emitter: Emitter) => string,
): LowerRule<"scatterAdd"> & LowerRule<"scatterElementsAdd"> {
  return (node: Node<"scatterAdd"> | Node<"scatterElementsAdd">, emitter: Emitter) => {
    const [indices = "", updates = ""] = emitter.operands(node);
    const zeros = emitter.emit("ConstantOfShape", [emitter.shape(node.attributes.shape)]);
    const inputs = [zeros, prepare(indices, emitter), updates];
    const all = { ...attributes, reduction: string("add") };
    bindOne(node, emitter.emit(opType, inputs, { attributes: all }), emitter);
  };
}

/** Steps on either side of 0. */
const STEPS = 127;
/** Steps of a row that has a zero of its own. */
const ALL_STEPS = 255;
/** Rows of zeros have a step too. */
const SMALLEST = 1e-30;
/** The code of 0: the engine's products are fast for uint8 × int8 only. */
const ZERO_CODE: HostTensor<"uint8"> = { dtype: "uint8", dims: [1], data: Uint8Array.of(128) };

/** (N) → (N, 1) */
function asColumn(rows: string, emitter: Emitter): string {
  return emitter.emit("Reshape", [rows, emitter.constant(int64([-1, 1], [2]))]);
}

/** The code of 0 in each of so many rows, (N); one tensor for all that are rounded. */
function zeroCodes(rows: Dim, emitter: Emitter): string {
  const known = emitter.zeroCodes.get(rows);
  const codes = known ?? emitter.emit("Expand", [emitter.constant(ZERO_CODE), emitter.dimension(rows)]);
  emitter.zeroCodes.set(rows, codes);
  return codes;
}

/**
 * Rounds each row of x (N, K) to bytes: q = round(x/step) + zero. The step is max|x|/127 and zero 128; with a zero of its own the
 * step is (max − min)/255, 0 included, and zero round(−min/step).
 */
function roundRows(x: Value, rounding: RowRounding, emitter: Emitter): RoundedRows {
  const { smoothing, sums } = rounding;
  const ownZero = sums !== undefined;
  const key = `${smoothing?.name ?? ""} ${ownZero}`;
  const ways = emitter.roundedRows.get(x) ?? new Map<string, RoundedRows>();
  const known = ways.get(key);
  if (known !== undefined) return known;
  const scalar = (value: number) => emitter.constant(float32([value], [1]));
  const given = emitter.nameOf(x);
  const { name: factorName = "", source } = smoothing ?? {};
  const name = source
    ? emitter.emit("Mul", [given, emitter.externalWeight(factorName, source, baseName(source.file))])
    : given;
  const axes = emitter.constant(int64([1], [1]));
  const keep = { attributes: { keepdims: int(0) } };
  const largest = emitter.emit("ReduceMax", [name, axes], keep); // (N)
  const below = emitter.emit("Neg", [emitter.emit("ReduceMin", [name, axes], keep)]);
  const quantize = (steps: string, zeros: string) =>
    emitter.emit("QuantizeLinear", [name, steps, zeros], { attributes: { axis: int(0) } });
  const rounded = (): RoundedRows => {
    if (!ownZero) {
      const bound = emitter.emit("Max", [largest, below, scalar(SMALLEST)]);
      const steps = emitter.emit("Div", [bound, scalar(STEPS)]);
      const codes = quantize(steps, zeroCodes(x.shape[0] ?? 1, emitter));
      return { codes, steps: asColumn(steps, emitter) };
    }
    const under = emitter.emit("Max", [below, scalar(0)]);
    const range = emitter.emit("Add", [emitter.emit("Max", [largest, scalar(SMALLEST)]), under]);
    const steps = emitter.emit("Div", [range, scalar(ALL_STEPS)]);
    const zeros = emitter.emit("Round", [emitter.emit("Div", [under, steps])]);
    const bytes = emitter.emit("Cast", [zeros], { attributes: { to: int(onnxTypes.uint8) } });
    const shifts = emitter.emit("Mul", [zeros, steps]);
    return {
      codes: quantize(steps, bytes),
      steps: asColumn(steps, emitter),
      shifts: asColumn(shifts, emitter),
    };
  };
  const made = rounded();
  emitter.roundedRows.set(x, ways.set(key, made));
  return made;
}

/** step · (q − zero)·W + c, by the steps of x's rows and of W's columns. */
function roundedProduct(node: Node<"quantizedGemm">, x: Value, emitter: Emitter): string {
  const { weight, rounding } = node.attributes;
  const { codes, steps, shifts } = roundRows(x, rounding, emitter);
  const external = (name: string, source: WeightSource, type?: DataType) =>
    emitter.externalWeight(name, source, baseName(source.file), type);
  const matrix = external(`${weight.name} codes`, weight.codes, DataType.INT8);
  const columns = external(`${weight.name} scales`, weight.scales);
  const one = emitter.constant(float32([1], []));
  const zero = shifts === undefined ? [emitter.constant({ ...ZERO_CODE, dims: [] })] : [];
  const inputs = [codes, matrix, one, columns, ...zero];
  const product = emitter.emit("MatMulIntegerToFloat", inputs, { domain: microsoft });
  const y = emitter.emit("Mul", [product, steps]);
  const c = node.inputs[1] && emitter.nameOf(node.inputs[1]);
  if (shifts === undefined || rounding.sums === undefined)
    return c === undefined ? y : emitter.emit("Add", [y, c]);
  const sums = emitter.emit("Reshape", [
    external(`${weight.name} sums`, rounding.sums),
    emitter.constant(int64([1, -1], [2])),
  ]);
  // What the rows' zeros added, step·zero·Σ_k w, goes: (N, O).
  const less = { attributes: { alpha: float(-1) } };
  if (c === undefined) return emitter.emit("Gemm", [shifts, sums, y], less);
  return emitter.emit("Add", [y, emitter.emit("Gemm", [shifts, sums, c], less)]);
}

/** The engine's attention takes heads of a multiple of so many elements. */
const HEAD_MULTIPLE = 8;

/** Attention over heads that are widened with zeros where the engine asks for it; they change no product. */
function groupedAttention(node: Node<"cachedAttention">, emitter: Emitter): string {
  const { heads, keyValueHeads, scale, window } = node.attributes;
  const [q = "", k = "", v = "", pastKey = "", pastValue = "", lengths = ""] = emitter.operands(node);
  const width = Number(node.inputs[3]?.shape[3]);
  const wide = Math.ceil(width / HEAD_MULTIPLE) * HEAD_MULTIPLE;
  // In a target of Reshape 0 keeps a dimension.
  const split = (x: string, sizes: readonly number[]) =>
    emitter.emit("Reshape", [x, emitter.constant(int64([0, 0, ...sizes], [2 + sizes.length]))]);
  const ends = emitter.constant(int64([0, wide - width], [2]));
  const pad = (x: string) => emitter.emit("Pad", [x, ends, "", emitter.dimension(3)]);
  const widen = (x: string, count: number) =>
    wide === width ? x : split(pad(split(x, [count, width])), [count * wide]);
  const past = [pastKey, pastValue].map((x) => (wide === width ? x : pad(x)));
  const toInt32 = { attributes: { to: int(onnxTypes.int32) } };
  const last = emitter.emit("Sub", [lengths, emitter.dimension(1)]);
  const longest = emitter.emit("ReduceMax", [lengths], { attributes: { keepdims: int(1) } });
  const inputs = [
    ...[widen(q, heads), widen(k, keyValueHeads), widen(v, keyValueHeads), ...past],
    ...[last, longest].map((x) => emitter.emit("Cast", [x], toInt32)),
  ];
  const attributes = {
    num_heads: int(heads),
    kv_num_heads: int(keyValueHeads),
    scale: float(scale),
    ...(window !== undefined && { local_window_size: int(window) }),
  };
  // The engine's copies of the whole cache are given up as soon as it has read them.
  const [y = ""] = emitter.emitAll("GroupQueryAttention", inputs, {
    attributes,
    domain: microsoft,
    outputs: 3,
  });
  if (wide === width) return y;
  const bounds = [0, width, 3].map((value) => emitter.dimension(value));
  return split(emitter.emit("Slice", [split(y, [heads, wide]), ...bounds]), [heads * width]);
}

export const lowerRules: { readonly [K in OpKind]: LowerRule<K> } = {
  // The emitter has bound it already.
  input: () => {},
  // Half-precision weights are widened by the engine when the session loads.
  weight: (node, emitter) => {
    const { name, source } = node.attributes;
    const stored = emitter.externalWeight(name, source, baseName(source.file));
    const half = source.dtype === "float16" || source.dtype === "bfloat16";
    const attributes = { to: int(onnxTypes.float32) };
    bindOne(node, half ? emitter.emit("Cast", [stored], { attributes }) : stored, emitter);
  },
  constant: (node, emitter) => bindOne(node, emitter.constant(node.attributes.tensor), emitter),

  neg: direct("Neg"),
  exp: direct("Exp"),
  log: direct("Log"),
  sqrt: direct("Sqrt"),
  reciprocal: direct("Reciprocal"),
  tanh: direct("Tanh"),
  sigmoid: direct("Sigmoid"),
  relu: direct("Relu"),
  round: direct("Round"),
  erf: direct("Erf"),
  cos: direct("Cos"),
  sin: direct("Sin"),
  gelu: direct("Gelu"),

  add: direct("Add"),
  sub: direct("Sub"),
  mul: direct("Mul"),
  div: direct("Div"),
  maximum: direct("Max"),
  equal: direct("Equal"),
  greater: direct("Greater"),
  where: direct("Where"),
  cast: (node, emitter) => {
    const attributes = { to: int(onnxTypes[node.attributes.to]) };
    bindOne(node, emitter.emit("Cast", emitter.operands(node), { attributes }), emitter);
  },

  matmul: (node, emitter) => {
    const { transposeA, transposeB, alpha } = node.attributes;
    const plain = !transposeA && !transposeB && alpha === 1;
    const attributes = {
      transA: int(transposeA ? 1 : 0),
      transB: int(transposeB ? 1 : 0),
      alpha: float(alpha),
    };
    const operands = emitter.operands(node);
    const name = plain
      ? emitter.emit("MatMul", operands)
      : emitter.emit("FusedMatMul", operands, { attributes, domain: microsoft });
    bindOne(node, name, emitter);
  },
  gemm: (node, emitter) => {
    const { transposeA, transposeB, alpha } = node.attributes;
    const attributes = {
      transA: int(transposeA ? 1 : 0),
      transB: int(transposeB ? 1 : 0),
      alpha: float(alpha),
    };
    bindOne(node, emitter.emit("Gemm", emitter.operands(node), { attributes }), emitter);
  },

  quantizedGemm: (node, emitter) => {
    const [x] = node.inputs;
    if (x !== undefined) bindOne(node, roundedProduct(node, x, emitter), emitter);
  },

  transpose: (node, emitter) => {
    const attributes = { perm: ints(node.attributes.permutation) };
    bindOne(node, emitter.emit("Transpose", emitter.operands(node), { attributes }), emitter);
  },
  reshape: (node, emitter) => {
    const [x = ""] = emitter.operands(node);
    bindOne(node, emitter.emit("Reshape", [x, emitter.reshapeTarget(node.attributes.shape)]), emitter);
  },
  expand: (node, emitter) => {
    const [x = ""] = emitter.operands(node);
    bindOne(node, emitter.emit("Expand", [x, emitter.shape(node.attributes.shape)]), emitter);
  },
  concat: (node, emitter) => {
    const attributes = { axis: int(node.attributes.axis) };
    bindOne(node, emitter.emit("Concat", emitter.operands(node), { attributes }), emitter);
  },
  slice: (node, emitter) => {
    const { axis, start, end } = node.attributes;
    const [x = ""] = emitter.operands(node);
    const bounds = [emitter.dimension(start), emitter.dimension(end), emitter.dimension(axis)];
    bindOne(node, emitter.emit("Slice", [x, ...bounds]), emitter);
  },
  pad: (node, emitter) => {
    const { axis, before, shape } = node.attributes;
    const [x = ""] = emitter.operands(node);
    const from = node.inputs[0]?.shape[axis] ?? 0;
    const to = shape[axis] ?? 0;
    const after =
      typeof from === "number" && typeof to === "number"
        ? emitter.dimension(to - from - before)
        : emitter.emit("Sub", [emitter.dimension(to), emitter.dimension(sumDims(from, before))]);
    const amounts = emitter.emit("Concat", [emitter.dimension(before), after], {
      attributes: { axis: int(0) },
    });
    bindOne(node, emitter.emit("Pad", [x, amounts, "", emitter.dimension(axis)]), emitter);
  },
  gather: direct("Gather", { attributes: { axis: int(0) } }),
  scatterAdd: scatter("ScatterND", {}, (indices, emitter) =>
    emitter.emit("Unsqueeze", [indices, emitter.constant(int64([-1], [1]))]),
  ),
  gatherElements: direct("GatherElements", { attributes: { axis: int(1) } }),
  scatterElementsAdd: scatter("ScatterElements", { axis: int(1) }, (indices) => indices),

  reduceSum: reduction("ReduceSum"),
  reduceMax: reduction("ReduceMax"),
  softmax: direct("Softmax", lastAxis),
  logSoftmax: direct("LogSoftmax", lastAxis),
  layerNorm: (node, emitter) => {
    const attributes = { axis: int(-1), epsilon: float(node.attributes.epsilon) };
    const options = { attributes, outputs: 3 };
    bindAll(node, emitter.emitAll("LayerNormalization", emitter.operands(node), options), emitter);
  },
  // ONNX Runtime's name for it; ONNX's own RMSNormalization comes with a later opset.
  rmsNorm: (node, emitter) => {
    const attributes = { axis: int(-1), epsilon: float(node.attributes.epsilon) };
    const options = { attributes, outputs: 2 };
    bindAll(node, emitter.emitAll("SimplifiedLayerNormalization", emitter.operands(node), options), emitter);
  },
  rotate: (node, emitter) => {
    const { heads } = node.attributes;
    const [x = "", cos = "", sin = ""] = emitter.operands(node);
    const [batch = 1, tokens = 1] = node.inputs[0]?.shape ?? [];
    const [rows = 1, half = 1] = node.inputs[1]?.shape ?? [];
    // Every row has an angle of its own: it stands at its own number.
    const [from, step] = [emitter.constant(int64([0], [])), emitter.constant(int64([1], []))];
    const count = emitter.emit("Reshape", [emitter.dimension(rows), emitter.constant(int64([], [0]))]);
    const numbers = emitter.emit("Range", [from, count, step]);
    const places = emitter.emit("Reshape", [numbers, emitter.shape([batch, tokens])]);
    const attributes = { num_heads: int(heads), rotary_embedding_dim: int(2 * Number(half)) };
    bindOne(
      node,
      emitter.emit("RotaryEmbedding", [x, places, cos, sin], { attributes, domain: microsoft }),
      emitter,
    );
  },
  cachedAttention: (node, emitter) => {
    bindOne(node, groupedAttention(node, emitter), emitter);
  },
  stopGradient: direct("Identity"),
};
