// Dimensions: B batch, D width of the feature, C classes.
import { GraphError } from "../core/errors.ts";
import type { Rng } from "../core/random.ts";
import { float32, type HostTensor, sizeOf } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { type Dim, divideDim } from "../graph/shape.ts";
import type { Value } from "../graph/types.ts";
import { normalize } from "./features.ts";

/**
 * `dense…` are Hugging Face's heads of two layers, with tanh between them (RoBERTa, MPNet), ReLU (DistilBERT), GELU
 * (ELECTRA, DeBERTa), or GELU and a normalisation (ModernBERT).
 */
export const headKinds = [
  "linear",
  "cosine",
  "dense",
  "dense-relu",
  "dense-gelu",
  "dense-gelu-norm",
] as const;

export type HeadKind = (typeof headKinds)[number];

export interface HeadSpec {
  readonly kind: HeadKind;
  /** The cosine head's scale: learned from this start, or fixed. */
  readonly scale: number;
  readonly scaleLearnable: boolean;
}

export const defaultHeads: { readonly [K in HeadKind]: HeadSpec } = {
  linear: { kind: "linear", scale: 1, scaleLearnable: false },
  // Cosines lie within ±1: at a scale of 1 the softmax of ten classes cannot come near a one-hot.
  cosine: { kind: "cosine", scale: 16, scaleLearnable: true },
  dense: { kind: "dense", scale: 1, scaleLearnable: false },
  "dense-relu": { kind: "dense-relu", scale: 1, scaleLearnable: false },
  "dense-gelu": { kind: "dense-gelu", scale: 1, scaleLearnable: false },
  "dense-gelu-norm": { kind: "dense-gelu-norm", scale: 1, scaleLearnable: false },
};

interface HeadDefinition {
  /** Names and shapes of the parameters, for a feature of width D and C classes (a symbol in graphs). */
  shapes(width: number, classes: Dim): Readonly<Record<string, readonly Dim[]>>;
  /** feature (B, D) → logits (B, C) */
  logits(feature: Value, parameter: (name: string) => Value): Value;
}

/** x wᵀ + c of matrices; of three axes where every example has weights of its own, (B, M, D) × (B, C, D) → (B, M, C). */
function product(x: Value, w: Value, c?: Value): Value {
  if (w.shape.length === 2) return op.gemm(x, w, { transposeB: true, ...(c && { c }) });
  const y = op.matmul(x, w, { transposeB: true });
  return c === undefined ? y : op.add(y, c);
}

function linearLogits(feature: Value, parameter: (name: string) => Value): Value {
  return product(feature, parameter("weight"), parameter("bias"));
}

/** z = W φ(W₀ f + b₀) + b */
function denseHead(between: (x: Value) => Value): HeadDefinition {
  return {
    shapes: (width, classes) => ({
      "dense.weight": [width, width],
      "dense.bias": [width],
      weight: [classes, width],
      bias: [classes],
    }),
    logits: (feature, parameter) =>
      linearLogits(between(product(feature, parameter("dense.weight"), parameter("dense.bias"))), parameter),
  };
}

/** torch's epsilon of a normalisation. */
const EPSILON = 1e-5;

/** γ·(x − mean)/√(variance + ε) over the last axis; γ (D), or one an example, (B, 1, D). */
function scaledNorm(x: Value, gamma: Value): Value {
  const width = x.shape.at(-1);
  const size = typeof width === "number" ? width : 1;
  const flat = (value: number) => op.constant(float32(new Float32Array(size).fill(value), [size]));
  return op.mul(op.layerNorm(x, flat(1), flat(0), EPSILON), gamma);
}

/** Every kind of head. */
export const heads: { readonly [K in HeadKind]: HeadDefinition } = {
  // z = W f + b
  linear: {
    shapes: (width, classes) => ({ weight: [classes, width], bias: [classes] }),
    logits: linearLogits,
  },
  // z_c = s · cos(w_c, f) (LUCIR: Hou et al. 2019, eq. 3)
  cosine: {
    shapes: (width, classes) => ({ weight: [classes, width], scale: [1] }),
    logits: (feature, parameter) =>
      op.mul(product(normalize(feature), normalize(parameter("weight"))), parameter("scale")),
  },
  // Hugging Face's RobertaClassificationHead
  dense: denseHead(op.tanh),
  // DistilBertForSequenceClassification
  "dense-relu": denseHead(op.relu),
  // ElectraClassificationHead; DebertaV2's pooler and classifier
  "dense-gelu": denseHead(op.gelu),
  // ModernBertPredictionHead and classifier: z = W norm(gelu(W₀ f)) + b
  "dense-gelu-norm": {
    shapes: (width, classes) => ({
      "dense.weight": [width, width],
      "norm.weight": [width],
      weight: [classes, width],
      bias: [classes],
    }),
    logits: (feature, parameter) => {
      const inner = op.gelu(product(feature, parameter("dense.weight")));
      return linearLogits(scaledNorm(inner, parameter("norm.weight")), parameter);
    },
  },
};

/** The graph inputs' prefix of a head's parameters. */
export const HEAD_PREFIX = "head.";

const parameterOf = (kind: HeadKind, values: ReadonlyMap<string, Value>) => (name: string) => {
  const value = values.get(name);
  if (value === undefined) throw new GraphError(`the ${kind} head has no parameter "${name}"`);
  return value;
};

/** A head over graph inputs, the number of classes left open as the dimension `C`. */
export function declareHead(
  kind: HeadKind,
  width: number,
): { inputs: ReadonlyMap<string, Value>; logits: (feature: Value) => Value } {
  const shapes = Object.entries(heads[kind].shapes(width, "C"));
  const inputs = new Map(
    shapes.map(([name, shape]) => [name, op.input(HEAD_PREFIX + name, "float32", shape)]),
  );
  return { inputs, logits: (feature) => heads[kind].logits(feature, parameterOf(kind, inputs)) };
}

/** A head whose parameters are part of the graph. @param rows (B, D) @returns (B, C) */
export function frozenHead(
  {
    kind,
    tensors,
  }: { readonly kind: HeadKind; readonly tensors: ReadonlyMap<string, HostTensor<"float32">> },
  rows: Value,
): Value {
  const values = new Map(Array.from(tensors, ([name, tensor]) => [name, op.constant(tensor)]));
  return heads[kind].logits(rows, parameterOf(kind, values));
}

/**
 * Heads of S tasks, each example's rows classified by its own task's. Inputs as `declareHead`'s with S in front; C is the
 * largest head's number of classes, and what stands in a smaller one's last slots means nothing.
 *
 * @param taskOf int64 (B), the place of each example's task among the S
 * @returns rows (B·M, D) → logits (B·M, C), the rows of an example side by side
 */
export function declareStackedHead(kind: HeadKind, width: number, taskOf: Value): (rows: Value) => Value {
  const batch = taskOf.shape[0] ?? "B";
  const own = new Map<string, Value>();
  for (const [name, shape] of Object.entries(heads[kind].shapes(width, "C"))) {
    const stacked = op.input(HEAD_PREFIX + name, "float32", ["S", ...shape]);
    const gathered = op.gather(stacked, taskOf); // (B, …)
    own.set(name, shape.length === 1 ? op.reshape(gathered, [batch, 1, ...shape]) : gathered);
  }
  return (rows) => {
    const [count = batch] = rows.shape;
    const perExample = op.reshape(rows, [batch, divideDim(count, batch), width]); // (B, M, D)
    return op.reshape(heads[kind].logits(perExample, parameterOf(kind, own)), [count, "C"]);
  };
}

/** Fresh parameters: U(±1/√D) for weights and biases as torch's Linear, the scale as the spec says. */
export function initHead(
  spec: HeadSpec,
  width: number,
  classes: number,
  rng: Rng,
): Map<string, HostTensor<"float32">> {
  const bound = 1 / Math.sqrt(width);
  const tensors = new Map<string, HostTensor<"float32">>();
  for (const [name, shape] of Object.entries(heads[spec.kind].shapes(width, classes))) {
    const dims = shape.map((dim) => (typeof dim === "number" ? dim : classes));
    const draw = rng.fork(name);
    const fixed = name === "scale" ? spec.scale : name === "norm.weight" ? 1 : undefined;
    const fill = fixed !== undefined ? () => fixed : () => (2 * draw.uniform() - 1) * bound;
    tensors.set(name, float32(Float32Array.from({ length: sizeOf(dims) }, fill), dims));
  }
  return tensors;
}
