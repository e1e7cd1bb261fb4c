// Dimensions: B batch, T tokens, D width.
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";
import { type LayerContext, linear, MASKED } from "./layers.ts";

/**
 * Which vector stands for a sentence: that of its own [CLS] (or first token), of the last token, all tokens' mean, the
 * largest value of each component, the sum divided by the root of the count, the mean weighted by position (1, 2, …), or
 * BERT's pooler over [CLS]. With virtual tokens in front, `peft-first` and `peft-first-pooler` read the first of those, as a
 * sequence classifier of Hugging Face does under peft; without, they are `cls` and `pooler`.
 */
export const poolingKinds = [
  "cls",
  "mean",
  "last",
  "max",
  "mean-sqrt-len",
  "weighted-mean",
  "pooler",
  "peft-first",
  "peft-first-pooler",
] as const;

export type Pooling = (typeof poolingKinds)[number];

export interface FeatureSpec {
  readonly pooling: Pooling;
  /** Divide by the Euclidean norm. */
  readonly normalize: boolean;
}

/** x / max(‖x‖, 1e-12) over the last axis, as torch's `normalize`. */
export function normalize(x: Value): Value {
  const norm = op.sqrt(op.reduceSum(op.mul(x, x), [-1], true));
  return op.div(x, op.maximum(norm, 1e-12));
}

/** How much each token counts in its sentence's vector; padding has 0. */
export function declarePoolingWeights(): Value {
  return op.input("pooling_weights", "float32", ["B", "T"]);
}

/** The weighted sum of a sentence's rows. hidden (B·T, D), weights (B, T) → (B, D) */
export function pooledRows(hidden: Value, weights: Value, width: number): Value {
  const rows = op.reshape(hidden, ["B", "T", width]);
  const pooled = op.matmul(op.reshape(weights, ["B", 1, "T"]), rows); // (B, 1, D)
  return op.reshape(pooled, ["B", width]); // (B, D)
}

/** The largest value of each component over the tokens of weight above 0. hidden (B·T, D), weights (B, T) → (B, D) */
function largestRows(hidden: Value, weights: Value, width: number): Value {
  const rows = op.reshape(hidden, ["B", "T", width]);
  const counts = op.greater(op.reshape(weights, ["B", "T", 1]), 0);
  return op.reduceMax(op.where(counts, rows, op.scalar(MASKED, rows)), [1], false); // (B, D)
}

/**
 * A sentence's vector: the weighted sum of its tokens' last hidden states. The weights say which kind of
 * pooling it is, so that one compiled graph serves all of them; `pooler` adds BERT's dense layer and tanh.
 * @param hidden (B·T, D)
 * @param weights (B, T), see `poolingWeights`
 * @returns (B, D)
 */
export function sentenceFeature(
  config: { readonly width: number },
  context: LayerContext,
  spec: FeatureSpec,
  hidden: Value,
  weights: Value,
): Value {
  const pool = poolings[spec.pooling].largest ? largestRows : pooledRows;
  const flat = pool(hidden, weights, config.width); // (B, D)
  const feature = readsPooler(spec)
    ? op.tanh(linear(context, "pooler.dense", flat, config.width, config.width))
    : flat;
  return spec.normalize ? normalize(feature) : feature;
}

/** The linear layers that a feature adds to the encoder's, for an adapter to hook into: AutoModel path → (in, out). */
export function featureSites(
  config: { readonly width: number },
  spec: FeatureSpec,
): ReadonlyMap<string, readonly [number, number]> {
  return new Map(readsPooler(spec) ? [["pooler.dense", [config.width, config.width]]] : []);
}

/** A padded batch of token ids. */
export interface TokenBatch {
  readonly inputIds: HostTensor<"int64">;
  readonly attentionMask: HostTensor<"int64">;
  readonly tokenTypeIds: HostTensor<"int64">;
}

/** Writes the weights of one row, whose tokens the mask marks. */
type PoolingRow = (row: Float32Array, mask: BigInt64Array) => void;

const first: PoolingRow = (row, mask) => {
  row[Math.max(0, mask.indexOf(1n))] = 1;
};
const last: PoolingRow = (row, mask) => {
  row[Math.max(0, mask.lastIndexOf(1n))] = 1;
};
const mean: PoolingRow = (row, mask) => {
  const count = mask.reduce((sum, bit) => sum + Number(bit), 0);
  mask.forEach((bit, t) => {
    row[t] = Number(bit) / Math.max(1, count);
  });
};

/** sum / √n, as sentence-transformers' mean_sqrt_len_tokens. */
const meanOfRoot: PoolingRow = (row, mask) => {
  const count = mask.reduce((sum, bit) => sum + Number(bit), 0);
  mask.forEach((bit, t) => {
    row[t] = Number(bit) / Math.sqrt(Math.max(1, count));
  });
};

/** Σ i·x_i / Σ i, with i = 1 at the first token (Muennighoff 2022, SGPT). */
const byPosition: PoolingRow = (row, mask) => {
  const start = mask.indexOf(1n);
  const sum = mask.reduce((total, bit, t) => total + Number(bit) * (t - start + 1), 0);
  mask.forEach((bit, t) => {
    row[t] = (Number(bit) * (t - start + 1)) / Math.max(1, sum);
  });
};

interface PoolingDefinition {
  readonly row: PoolingRow;
  /** The mask it reads: the text's own tokens, or virtual ones before them too. */
  readonly over: "text" | "all";
  /** BERT's pooler on top. */
  readonly pooler: boolean;
  /** The largest value in place of the sum; the weights say which tokens count. */
  readonly largest?: true;
}

const poolings: { readonly [P in Pooling]: PoolingDefinition } = {
  cls: { row: first, over: "text", pooler: false },
  mean: { row: mean, over: "text", pooler: false },
  last: { row: last, over: "text", pooler: false },
  max: { row: mean, over: "text", pooler: false, largest: true },
  "mean-sqrt-len": { row: meanOfRoot, over: "text", pooler: false },
  "weighted-mean": { row: byPosition, over: "text", pooler: false },
  pooler: { row: first, over: "text", pooler: true },
  "peft-first": { row: first, over: "all", pooler: false },
  "peft-first-pooler": { row: first, over: "all", pooler: true },
};

/** Whether a feature needs the backbone's pooler. */
export function readsPooler({ pooling }: Pick<FeatureSpec, "pooling">): boolean {
  return poolings[pooling].pooler;
}

/** Whether a feature reads virtual tokens, which only an adapter that has them gives a meaning. */
export function readsVirtualTokens({ pooling }: Pick<FeatureSpec, "pooling">): boolean {
  return poolings[pooling].over === "all";
}

/**
 * @param textMask (B, T), 1 on the text's own tokens
 * @param attentionMask (B, T), 1 on virtual tokens before the text too
 * @returns the weights (B, T) of `sentenceFeature` for a batch.
 */
export function poolingWeights(
  pooling: Pooling,
  textMask: HostTensor<"int64">,
  attentionMask: HostTensor<"int64"> = textMask,
): HostTensor<"float32"> {
  const { row, over } = poolings[pooling];
  const { data } = { text: textMask, all: attentionMask }[over];
  const [batch = 0, tokens = 0] = textMask.dims;
  const weights = new Float32Array(batch * tokens);
  for (let b = 0; b < batch; b++) {
    const span = [b * tokens, (b + 1) * tokens] as const;
    row(weights.subarray(...span), data.subarray(...span));
  }
  return float32(weights, [batch, tokens]);
}

/** What of a backbone's config says how a batch is fed. */
export interface TokenLayout {
  readonly firstPosition: number;
  /** 0 or 1 where the model knows no segments. */
  readonly typeVocabularySize: number;
}

/** Positions of real tokens count up from the model's first position; padding takes RoBERTa's padding position. */
function positionIds(
  { firstPosition: first }: TokenLayout,
  attentionMask: HostTensor<"int64">,
): HostTensor<"int64"> {
  const [batch = 0, tokens = 0] = attentionMask.dims;
  const positions = new BigInt64Array(batch * tokens);
  for (let b = 0; b < batch; b++) {
    let next = first;
    for (let t = 0; t < tokens; t++) {
      const real = attentionMask.data[b * tokens + t] === 1n;
      positions[b * tokens + t] = BigInt(real ? next++ : Math.max(0, first - 1));
    }
  }
  return int64(positions, [batch, tokens]);
}

/** What is fed to `declareTokenInputs` for a batch. */
export function tokenFeeds(config: TokenLayout, batch: TokenBatch): Record<string, HostTensor> {
  const types =
    config.typeVocabularySize > 1
      ? batch.tokenTypeIds
      : int64(new BigInt64Array(batch.tokenTypeIds.data.length), batch.tokenTypeIds.dims);
  return {
    input_ids: batch.inputIds,
    attention_mask: batch.attentionMask,
    token_type_ids: types,
    position_ids: positionIds(config, batch.attentionMask),
  };
}
