import type { DType, HostTensor, StorageDType } from "../core/tensor.ts";
import type { Dim, Shape } from "./shape.ts";

/** Where a frozen weight lies: a byte range of a file that the engine maps, never copied into the graph. */
export interface WeightSource {
  readonly file: string;
  readonly dtype: StorageDType;
  readonly dims: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A frozen matrix (K, O) in 8 bits: w[k, o] = scales[o] · codes[k, o]. */
export interface QuantizedWeight {
  readonly name: string;
  /** (K, O), each an int8 in −127 … 127, as bytes. */
  readonly codes: WeightSource;
  /** (O), float32 */
  readonly scales: WeightSource;
}

/** How the rows of what is multiplied are rounded to 8 bits. */
export interface RowRounding {
  /** (K), float32: factors of the columns, which the weight's rows are divided by. Outliers then stand in the weight. */
  readonly smoothing?: { readonly name: string; readonly source: WeightSource };
  /**
   * Of a row that lies on one side of 0 for the most part, as behind an activation: its steps go from its smallest element to
   * its largest one, and `sums` (O), what W's columns add up to, undo the shift. Else they go as far to either side of 0.
   */
  readonly sums?: WeightSource;
}

type None = Readonly<Record<never, never>>;

/**
 * The operators, with their attributes. Four tables are keyed by these names (infer, gradient, lower,
 * interpret); an operator does not compile until it stands in all of them.
 */
export interface OpAttributes {
  /** A tensor fed at every run. */
  readonly input: { readonly name: string; readonly dtype: DType; readonly shape: Shape };
  /** A frozen weight, widened to float32 where it is stored in half precision. */
  readonly weight: { readonly name: string; readonly source: WeightSource };
  readonly constant: { readonly tensor: HostTensor };

  readonly neg: None;
  readonly exp: None;
  readonly log: None;
  readonly sqrt: None;
  readonly reciprocal: None;
  readonly tanh: None;
  readonly sigmoid: None;
  readonly relu: None;
  /** The nearest whole number, of two the even one. */
  readonly round: None;
  readonly erf: None;
  readonly cos: None;
  readonly sin: None;
  /** x·Φ(x), Φ the standard normal distribution function (the exact form, not tanh's). */
  readonly gelu: None;

  readonly add: None;
  readonly sub: None;
  readonly mul: None;
  readonly div: None;
  readonly maximum: None;
  readonly equal: None;
  readonly greater: None;
  /** where(condition, a, b) */
  readonly where: None;
  readonly cast: { readonly to: DType };

  /** Batched product over the last two axes; leading axes equal, or the second operand is a matrix. */
  readonly matmul: { readonly transposeA: boolean; readonly transposeB: boolean; readonly alpha: number };
  /** alpha·op(A)·op(B) + C on matrices; C is optional and broadcasts. */
  readonly gemm: { readonly transposeA: boolean; readonly transposeB: boolean; readonly alpha: number };
  /**
   * x·W + C of a frozen W (K, O) in 8 bits, each row of x rounded to 8 bits by itself; C is optional and
   * broadcasts. `transposed` is Wᵀ, rounded by itself: what gradients go through.
   */
  readonly quantizedGemm: {
    readonly weight: QuantizedWeight;
    readonly transposed: QuantizedWeight;
    readonly rounding: RowRounding;
  };

  readonly transpose: { readonly permutation: readonly number[] };
  readonly reshape: { readonly shape: Shape };
  readonly expand: { readonly shape: Shape };
  readonly concat: { readonly axis: number };
  /** Elements start…end−1 along an axis. */
  readonly slice: { readonly axis: number; readonly start: number; readonly end: Dim };
  /** Zeros before and after along an axis: the adjoint of slice. */
  readonly pad: { readonly axis: number; readonly before: number; readonly shape: Shape };
  /** Rows of the first operand (axis 0) by int64 indices of any shape. */
  readonly gather: None;
  /** (indices, updates) → zeros of `shape` with updates added at rows indices: the adjoint of gather. */
  readonly scatterAdd: { readonly shape: Shape };
  /** out[i, j] = x[i, indices[i, j]] on matrices. */
  readonly gatherElements: None;
  /** (indices, updates) → zeros of `shape` with updates added: the adjoint of gatherElements. */
  readonly scatterElementsAdd: { readonly shape: Shape };

  readonly reduceSum: { readonly axes: readonly number[]; readonly keepDims: boolean };
  readonly reduceMax: { readonly axes: readonly number[]; readonly keepDims: boolean };
  /** Over the last axis. */
  readonly softmax: None;
  readonly logSoftmax: None;
  /** (x, γ, β) → y, mean, 1/deviation over the last axis. */
  readonly layerNorm: { readonly epsilon: number };
  /** (x, γ) → γ·x/r and 1/r, r = √(mean(x²) + ε) over the last axis. */
  readonly rmsNorm: { readonly epsilon: number };
  /** The identity, through which no gradient flows. */
  readonly stopGradient: None;

  /**
   * Rotary positions, without a gradient: (x (B, T, h·d), cos (B·T, w/2), sin (B·T, w/2)) → x, of each head's first w
   * elements the halves turned against each other. d is at least w.
   */
  readonly rotate: { readonly heads: number };
  /**
   * softmax(scale·q kᵀ) v of new tokens behind a cache, without a gradient: (q (B, T, H·d), k and v (B, T, K·d), the
   * cache's keys and values (B, K, P, d), lengths int64 (B)) → (B, T, H·d). `lengths` counts each text's tokens, the new
   * ones among them. Where the longest has T, all texts begin here, shorter ones padded behind, and the cache is not
   * read; else each goes on by T tokens behind its first lengths − T places of the cache. A token sees those not later
   * than itself, of a window the last of them. Rows of padding mean nothing.
   */
  readonly cachedAttention: {
    readonly heads: number;
    readonly keyValueHeads: number;
    readonly scale: number;
    /** Tokens that a token sees at most, itself among them. */
    readonly window?: number;
  };
}

export type OpKind = keyof OpAttributes;

/** One application of an operator. Immutable; its inputs exist before it, so a graph cannot have a cycle. */
export interface Node<K extends OpKind = OpKind> {
  readonly kind: K;
  readonly attributes: OpAttributes[K];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

/** A typed edge: output `index` of `node`. */
export interface Value {
  readonly node: Node;
  readonly index: number;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Narrows a node to one kind. */
export function isKind<K extends OpKind>(node: Node, kind: K): node is Node<K> {
  return node.kind === kind;
}

/** What a node reads from files. */
export function weightSources(node: Node): readonly WeightSource[] {
  if (isKind(node, "weight")) return [node.attributes.source];
  if (!isKind(node, "quantizedGemm")) return [];
  const { weight, rounding } = node.attributes;
  const { smoothing, sums } = rounding;
  return [weight.codes, weight.scales, ...(smoothing ? [smoothing.source] : []), ...(sums ? [sums] : [])];
}

export interface TypeAndShape {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A closed graph: named outputs and everything they need, in an order in which it can be computed. */
export interface Graph {
  readonly inputs: readonly Node<"input">[];
  readonly nodes: readonly Node[];
  readonly outputs: ReadonlyMap<string, Value>;
}
