// Dimensions: B batch, T tokens, D width, H heads, d head width, N = B·T rows.
import { GraphError } from "../../core/errors.ts";
import { float32 } from "../../core/tensor.ts";
import * as op from "../../graph/ops.ts";
import { formatShape, multiplyDims } from "../../graph/shape.ts";
import type { OpKind, Value } from "../../graph/types.ts";
import type { Parameters } from "./parameters.ts";

/** Changes what a linear layer computes: from its input x and output y to a new y. Adapters hook in here. */
export type SiteTransform = (site: string, x: Value, y: Value) => Value;

/** Drops elements of x at a named place with probability `rate`; the identity outside training. */
export type Dropout = (site: string, x: Value, rate: number) => Value;

/**
 * Changes word embeddings (B·T, D) before positions and types are added: a tuned prompt hooks in here.
 * @param ids int64 (B, T), the words
 */
export type EmbeddingTransform = (words: Value, ids: Value) => Value;

/** What every layer is built with. */
export interface LayerContext {
  readonly parameters: Parameters;
  readonly transform: SiteTransform;
  readonly dropout: Dropout;
  readonly embed?: EmbeddingTransform;
}

export const noTransform: SiteTransform = (_site, _x, y) => y;
export const noDropout: Dropout = (_site, x) => x;

export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** How the checkpoint stores W: (out, in) as torch's Linear, the default, or (in, out) as GPT-2's Conv1D. */
  readonly layout?: "out-in" | "in-out";
}

/** y = x Wᵀ + b. x (N, in) → (N, out). The product reads W as it is stored; nothing is transposed in memory. */
export function linear(
  context: LayerContext,
  site: string,
  x: Value,
  inFeatures: number,
  outFeatures: number,
  { bias = true, layout = "out-in" }: LinearOptions = {},
): Value {
  if (x.shape.length !== 2 || x.shape[1] !== inFeatures)
    throw new GraphError(
      `linear(${site}): inner dims differ: x ${formatShape(x.shape)}, w (${outFeatures}, ${inFeatures})`,
    );
  const { parameters } = context;
  const name = `${site}.weight`;
  const c = bias ? () => parameters.get(`${site}.bias`, [outFeatures]) : undefined;
  const transposeB = layout === "out-in";
  const dims = transposeB ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
  return context.transform(
    site,
    x,
    frozenProduct(parameters, x, name, dims, { transposeB, ...(c && { c }) }),
  ); // (N, out)
}

/** What activations, and products of them with gates, come from: their values lie above 0 for the most part. */
const oneSided: ReadonlySet<OpKind> = new Set(["gelu", "relu", "mul"]);

/** x·op(W) + c, W in 8 bits where the backbone is. @param dims of W as the checkpoint stores it */
export function frozenProduct(
  parameters: Parameters,
  x: Value,
  name: string,
  dims: readonly number[],
  { transposeB, c }: { readonly transposeB: boolean; readonly c?: () => Value },
): Value {
  const quantized = parameters.quantized?.(name);
  if (quantized !== undefined) {
    const { weight, transposed, smoothing, sums } = quantized;
    const rounding = { ...(smoothing && { smoothing }), ...(oneSided.has(x.node.kind) && { sums }) };
    return op.quantizedGemm(x, weight, transposed, { rounding, c: c?.() });
  }
  const w = parameters.get(name, dims);
  return op.gemm(x, w, { transposeB, ...(c && { c: c() }) });
}

/** Rows of an embedding table (rows, D). ids (B, T) → (B·T, D). */
export function embedding(
  context: LayerContext,
  site: string,
  ids: Value,
  rows: number,
  width: number,
): Value {
  const flat = op.reshape(ids, [multiplyDims(ids.shape)]);
  return op.gather(context.parameters.get(`${site}.weight`, [rows, width]), flat);
}

/** Word embeddings (B·T, D), as the context's hook leaves them. ids (B, T) */
export function embedWords(
  context: LayerContext,
  site: string,
  ids: Value,
  rows: number,
  width: number,
): Value {
  const words = embedding(context, site, ids, rows, width);
  return context.embed?.(words, ids) ?? words;
}

export function layerNorm(
  context: LayerContext,
  site: string,
  x: Value,
  width: number,
  epsilon: number,
  { bias = true }: Pick<LinearOptions, "bias"> = {},
): Value {
  const gamma = context.parameters.get(`${site}.weight`, [width]);
  const zeros = () => op.constant(float32(new Float32Array(width), [width]));
  const beta = bias ? context.parameters.get(`${site}.bias`, [width]) : zeros();
  if (beta.shape.length === 1) return op.layerNorm(x, gamma, beta, epsilon);
  // A bias of every row's own, (N, width), which the operator does not take.
  return op.add(op.layerNorm(x, gamma, zeros(), epsilon), beta);
}

/** γ·x/√(mean(x²) + ε): Llama's normalisation, which neither centres nor shifts. */
export function rmsNorm(
  context: LayerContext,
  site: string,
  x: Value,
  width: number,
  epsilon: number,
): Value {
  return op.rmsNorm(x, context.parameters.get(`${site}.weight`, [width]), epsilon);
}

export type Activation = (x: Value) => Value;

/** ½x(1 + tanh(√(2/π)(x + 0.044715x³))), as GPT-2 computes it. */
function geluTanh(x: Value): Value {
  const cubic = op.mul(op.mul(x, op.mul(x, x)), 0.044715);
  const bend = op.tanh(op.mul(op.add(x, cubic), Math.sqrt(2 / Math.PI)));
  return op.mul(op.mul(x, 0.5), op.add(bend, 1));
}

/** Hugging Face's names of activations. */
export const activations: Readonly<Record<string, Activation>> = {
  gelu: op.gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  relu: op.relu,
  silu: (x) => op.mul(x, op.sigmoid(x)),
};

/** @throws GraphError if there is no such activation; configs are checked when they are read. */
export function activate(name: string, x: Value): Value {
  const activation = activations[name];
  if (activation === undefined) throw new GraphError(`unknown activation "${name}"`);
  return activation(x);
}

/** Large enough to leave nothing of a masked key after softmax, small enough to add to any score. */
export const MASKED = -1e9;

export interface AttentionShape {
  readonly heads: number;
  readonly headWidth: number;
  /** The batch and token dimensions, whose product is the rows of q, k and v. */
  readonly batch: string;
  readonly tokens: string;
}

/**
 * softmax(q kᵀ/√d + mask) v (Vaswani et al. 2017, eq. 1), the heads side by side.
 * @param q (B·T, H·d), likewise k and v
 * @param mask added to the scores, broadcasting over (B, H, T, T)
 * @param onWeights dropout on the attention weights
 * @returns (B·T, H·d)
 */
export function attention(
  q: Value,
  k: Value,
  v: Value,
  mask: Value,
  shape: AttentionShape,
  onWeights: Activation,
): Value {
  const { heads, headWidth, batch, tokens } = shape;
  const split = (x: Value) => op.transpose(op.reshape(x, [batch, tokens, heads, headWidth]), [0, 2, 1, 3]); // (B, H, T, d)
  const scores = op.matmul(split(q), split(k), { transposeB: true, alpha: 1 / Math.sqrt(headWidth) }); // (B, H, T, T)
  const weights = onWeights(op.softmax(op.add(scores, mask))); // (B, H, T, T)
  const context = op.transpose(op.matmul(weights, split(v)), [0, 2, 1, 3]); // (B, T, H, d)
  return op.reshape(context, [`${batch}*${tokens}`, heads * headWidth]); // (B·T, H·d)
}
