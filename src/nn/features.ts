// Dimensions: B batch, T tokens, D width, K poolings, F width of the feature.
import { GraphError } from "../core/errors.ts";
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";
import { applySteps, type FeatureStep, normalize, widthAfter } from "./featureModules.ts";
import { type LayerContext, linear, MASKED } from "./layers/layers.ts";

export { normalize } from "./featureModules.ts";

const tokenPoolings = [
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

/** One vector of a sentence's tokens. */
export type TokenPooling = (typeof tokenPoolings)[number];

/**
 * Which vector stands for a sentence: that of its own [CLS] (or first token), of the last token, all tokens' mean, the
 * largest value of each component, the sum divided by the root of the count, the mean weighted by position (1, 2, …), or
 * BERT's pooler over [CLS]. With virtual tokens in front, `peft-first` and `peft-first-pooler` read the first of those, as a
 * sequence classifier of Hugging Face does under peft; without, they are `cls` and `pooler`. `modules` is what the
 * model's own modules.json says: several of these side by side, and layers over them.
 */
export const poolingKinds = [...tokenPoolings, "modules"] as const;

/** How the states of tokens become one vector. */
export type Pooling = (typeof poolingKinds)[number];

/** A model's own way from its last hidden states to a sentence's vector. */
export interface FeatureModules {
  /** One or more; their vectors stand side by side. */
  readonly poolings: readonly TokenPooling[];
  readonly steps: readonly FeatureStep[];
}

/** What of a backbone a feature is made with. */
export interface FeatureHost {
  readonly width: number;
  /** Absent where the model has no layers of its own over a pooled vector. */
  readonly modules?: FeatureModules | undefined;
}

export interface FeatureSpec {
  readonly pooling: Pooling;
  /** Divide by the Euclidean norm. */
  readonly normalize: boolean;
}

/** The parts of a feature: `modules` has the backbone's, everything else is one pooling. */
function partsOf(
  { modules }: Pick<FeatureHost, "modules">,
  { pooling }: Pick<FeatureSpec, "pooling">,
): FeatureModules {
  if (pooling !== "modules") return { poolings: [pooling], steps: [] };
  if (modules === undefined) throw new GraphError("pooling modules: the backbone has none");
  return modules;
}

/** The poolings that a feature reads, in order. */
export function poolingsOf(host: Pick<FeatureHost, "modules">, spec: FeatureSpec): readonly TokenPooling[] {
  return partsOf(host, spec).poolings;
}

/** The width of a sentence's vector. */
export function featureWidth(host: FeatureHost, spec: FeatureSpec): number {
  const { poolings, steps } = partsOf(host, spec);
  return widthAfter(steps, poolings.length * host.width);
}

/** A feature in words: `mean`, `cls + max, dense, layer-norm, normalised`. */
export function describeFeature(host: Pick<FeatureHost, "modules">, spec: FeatureSpec): string {
  const { poolings: kinds, steps } = partsOf(host, spec);
  const layers = steps.map(({ kind }) => kind);
  return [kinds.join(" + "), ...layers, ...(spec.normalize ? ["normalised"] : [])].join(", ");
}

/** How much each token counts in each of K poolings; padding has 0. (B, K, T) */
export function declarePoolingWeights(count = 1): Value {
  return op.input("pooling_weights", "float32", ["B", count, "T"]);
}

/** The weighted sum of a sentence's rows. hidden (B·T, D), weights (B, 1, T) → (B, D) */
export function pooledRows(hidden: Value, weights: Value, width: number): Value {
  const rows = op.reshape(hidden, ["B", "T", width]);
  return op.reshape(op.matmul(weights, rows), ["B", width]); // (B, D)
}

/** The largest value of each component over the tokens of weight above 0. hidden (B·T, D), weights (B, 1, T) → (B, D) */
function largestRows(hidden: Value, weights: Value, width: number): Value {
  const rows = op.reshape(hidden, ["B", "T", width]);
  const counts = op.greater(op.reshape(weights, ["B", "T", 1]), 0);
  return op.reduceMax(op.where(counts, rows, op.scalar(MASKED, rows)), [1], false); // (B, D)
}

function pooledBy(
  pooling: TokenPooling,
  context: LayerContext,
  hidden: Value,
  weights: Value,
  width: number,
): Value {
  const { largest, pooler } = poolings[pooling];
  const flat = (largest ? largestRows : pooledRows)(hidden, weights, width); // (B, D)
  return pooler ? op.tanh(linear(context, "pooler.dense", flat, width, width)) : flat;
}

/**
 * A sentence's vector of its tokens' last hidden states. Weighted sums say by their weights which kind of pooling they
 * are, so that one compiled graph serves all of them; `pooler` adds BERT's dense layer and tanh, `modules` the model's
 * own layers.
 * @param hidden (B·T, D)
 * @param given the weights of its poolings, (B, K, T), where they are not fed
 * @returns (B, F), F as `featureWidth` says
 */
export function sentenceFeature(
  host: FeatureHost,
  context: LayerContext,
  spec: FeatureSpec,
  hidden: Value,
  given?: Value,
): Value {
  const { poolings: kinds, steps } = partsOf(host, spec);
  const weights = given ?? declarePoolingWeights(kinds.length); // (B, K, T)
  const pooled = kinds.map((kind, k) => {
    const own = kinds.length === 1 ? weights : op.slice(weights, 1, k, k + 1); // (B, 1, T)
    return pooledBy(kind, context, hidden, own, host.width);
  });
  const joined = pooled.length === 1 ? pooled[0]! : op.concat(pooled, 1); // (B, K·D)
  const feature = applySteps(steps, joined, context.parameters);
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

const poolings: { readonly [P in TokenPooling]: PoolingDefinition } = {
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

function definitionOf(pooling: Pooling): PoolingDefinition | undefined {
  return pooling === "modules" ? undefined : poolings[pooling];
}

/** Whether a feature needs the backbone's pooler. */
export function readsPooler({ pooling }: Pick<FeatureSpec, "pooling">): boolean {
  return definitionOf(pooling)?.pooler === true;
}

/** What a feature reads that the backbone does not have, in words; undefined where nothing is missing. */
export function missingPart(
  { hasPooler, modules }: Pick<FeatureHost, "modules"> & { readonly hasPooler: boolean },
  spec: Pick<FeatureSpec, "pooling">,
): string | undefined {
  if (readsPooler(spec) && !hasPooler) return "pooler weights";
  if (spec.pooling === "modules" && modules === undefined)
    return "modules.json with several poolings, or layers over one";
  return undefined;
}

/** Whether a feature reads virtual tokens, which only an adapter that has them gives a meaning. */
export function readsVirtualTokens({ pooling }: Pick<FeatureSpec, "pooling">): boolean {
  return definitionOf(pooling)?.over === "all";
}

/**
 * @param kinds K of them
 * @param textMask (B, T), 1 on the text's own tokens
 * @param attentionMask (B, T), 1 on virtual tokens before the text too
 * @returns the weights (B, K, T) of `sentenceFeature` for a batch.
 */
export function poolingWeights(
  kinds: readonly TokenPooling[],
  textMask: HostTensor<"int64">,
  attentionMask: HostTensor<"int64"> = textMask,
): HostTensor<"float32"> {
  const [batch = 0, tokens = 0] = textMask.dims;
  const weights = new Float32Array(batch * kinds.length * tokens);
  for (const [k, kind] of kinds.entries()) {
    const { row, over } = poolings[kind];
    const { data } = { text: textMask, all: attentionMask }[over];
    for (let b = 0; b < batch; b++) {
      const start = (b * kinds.length + k) * tokens;
      row(weights.subarray(start, start + tokens), data.subarray(b * tokens, (b + 1) * tokens));
    }
  }
  return float32(weights, [batch, kinds.length, tokens]);
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
