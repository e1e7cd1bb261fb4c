import { basename } from "node:path";
import { int64 } from "../core/tensor.ts";
import { sumDims } from "../graph/shape.ts";
import type { Node, OpKind, Value } from "../graph/types.ts";
import {
  type Attributes,
  type EmitOptions,
  type Emitter,
  float,
  int,
  ints,
  onnxTypes,
  string,
} from "./emitter.ts";

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

export const lowerRules: { readonly [K in OpKind]: LowerRule<K> } = {
  // The emitter has bound it already.
  input: () => {},
  // Half-precision weights are widened by the engine when the session loads.
  weight: (node, emitter) => {
    const { name, source } = node.attributes;
    const stored = emitter.externalWeight(name, source, basename(source.file));
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
  stopGradient: direct("Identity"),
};
