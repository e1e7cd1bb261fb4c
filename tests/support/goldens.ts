/** Opens the golden models and tensors, and names them as our graphs do. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { float32, float64, type HostTensor, int64 } from "../../src/core/tensor.ts";
import { answerFeeds } from "../../src/generate/feeds.ts";
import { LOGIT_ROWS } from "../../src/generate/graphs.ts";
import type { WeightSource } from "../../src/graph/types.ts";
import { readSafetensorsHeader, readTensor } from "../../src/io/safetensors.ts";
import { type Backbone, createBackbone, type DecoderBackbone } from "../../src/nn/backbone.ts";
import { type FeatureSpec, poolingsOf, poolingWeights, tokenFeeds } from "../../src/nn/features.ts";
import type { HeadKind } from "../../src/nn/heads.ts";
import type { LoraBias, LoraSpec } from "../../src/peft/types.ts";

export const goldensFolder = join(packageRoot, "tests/goldens");

export type Precision = "f32" | "f64";

export interface GoldenCase {
  readonly feature: string;
  readonly head: HeadKind;
  readonly bias?: LoraBias;
  readonly zeroGradients: readonly string[];
  readonly steps?: readonly string[];
}

export interface AdamwInfo {
  readonly adapterLearningRate: number;
  readonly headLearningRate: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly steps: number;
}

export interface GoldenInfo {
  readonly classes: number;
  readonly lengths: readonly number[];
  readonly lora: { readonly rank: number; readonly alpha: number; readonly targetModules: readonly string[] };
  /** Clipped nowhere but in the encoders' goldens. */
  readonly adamw: AdamwInfo & { readonly maxNormWhereClipped: number };
  readonly cases: Readonly<Record<string, GoldenCase>>;
}

export function goldenInfo(model: string): GoldenInfo {
  return JSON.parse(readFileSync(join(goldensFolder, model, "golden.json"), "utf8"));
}

/** All tensors of a file of the goldens. */
export async function readTensors(...path: readonly string[]): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  const file = await readSafetensorsHeader(join(goldensFolder, ...path));
  for (const [name, entry] of file.tensors) tensors.set(name, await readTensor(entry));
  return tensors;
}

/** Those of a model's golden of one precision. */
export async function goldenTensors(
  model: string,
  name: string,
  precision: Precision,
): Promise<Map<string, HostTensor>> {
  return await readTensors(model, `${name}.${precision}.safetensors`);
}

export async function goldenBackbone(model: string): Promise<Backbone> {
  // These models have no tokenizer, so they are opened by their files.
  const folder = join(goldensFolder, model);
  const weights = new Map<string, WeightSource>();
  for (const file of readdirSync(folder).filter((name) => /^model.*\.safetensors$/.test(name)))
    for (const [name, entry] of (await readSafetensorsHeader(join(folder, file))).tensors)
      weights.set(name, entry);
  return createBackbone(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), weights, folder);
}

export async function goldenDecoder(model: string): Promise<DecoderBackbone> {
  const backbone = await goldenBackbone(model);
  if (backbone.kind !== "decoder") throw new TypeError(`${model} is no decoder`);
  return backbone;
}

export function need(tensors: ReadonlyMap<string, HostTensor>, name: string): HostTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`golden has no ${name}: ${[...tensors.keys()].join(", ")}`);
  return tensor;
}

export function needIds(tensors: ReadonlyMap<string, HostTensor>, name: string): HostTensor<"int64"> {
  const { dims, data } = need(tensors, name);
  if (!(data instanceof BigInt64Array)) throw new Error(`${name} is not int64`);
  return int64(data, dims);
}

/** The golden's names of features, in our terms. */
export const features: Readonly<Record<string, FeatureSpec>> = {
  cls: { pooling: "cls", normalize: false },
  mean: { pooling: "mean", normalize: false },
  last: { pooling: "last", normalize: false },
  meanL2: { pooling: "mean", normalize: true },
  pooler: { pooling: "pooler", normalize: false },
};

export function featureOf(name: string): FeatureSpec {
  const feature = features[name];
  if (feature === undefined) throw new Error(`unknown feature ${name}`);
  return feature;
}

export function loraOf(info: GoldenInfo, bias: LoraBias = "none"): LoraSpec {
  return { ...info.lora, dropout: 0, bias, rslora: false };
}

/** Our input name of a golden's parameter: AutoModel's path, heads under `head.`. */
export function ourName(golden: string): string {
  return golden
    .replace(/^base_model\.model\./, "")
    .replace(".base_layer.", ".")
    .replace("head.out_proj.", "head.");
}

/** Tensors under a golden prefix (`param.`, `grad.`, `step1.`), by our names; a scalar scale becomes (1). */
export function underPrefix(
  tensors: ReadonlyMap<string, HostTensor>,
  prefix: string,
): Map<string, HostTensor> {
  const found = new Map<string, HostTensor>();
  for (const [key, tensor] of tensors)
    if (key.startsWith(prefix)) {
      const dims = tensor.dims.length === 0 ? [1] : tensor.dims;
      found.set(ourName(key.slice(prefix.length)), { ...tensor, dims });
    }
  return found;
}

/** What the golden batch feeds into our graphs. */
export function batchFeeds(
  backbone: Backbone,
  feature: FeatureSpec,
  tensors: ReadonlyMap<string, HostTensor>,
): Record<string, HostTensor> {
  const attentionMask = needIds(tensors, "attention_mask");
  const batch = {
    inputIds: needIds(tensors, "input_ids"),
    attentionMask,
    tokenTypeIds: needIds(tensors, "token_type_ids"),
  };
  const weights = poolingWeights(poolingsOf(backbone, feature), attentionMask);
  return {
    ...tokenFeeds(backbone.config, batch),
    pooling_weights: exactWeights(weights, feature, attentionMask),
  };
}

/** Mean pooling's 1/n in float64, so that the float64 comparison is not limited by a float32 input. */
export function exactWeights(
  weights: HostTensor<"float32">,
  feature: FeatureSpec,
  mask: HostTensor<"int64">,
): HostTensor {
  if (feature.pooling !== "mean") return weights;
  const [batch = 0, tokens = 0] = mask.dims;
  const exact = Float64Array.from(mask.data, (bit) => Number(bit));
  for (let b = 0; b < batch; b++) {
    const row = exact.subarray(b * tokens, (b + 1) * tokens);
    const count = row.reduce((sum, bit) => sum + bit, 0);
    for (let t = 0; t < tokens; t++) row[t] = row[t]! / count;
  }
  return float64(exact, weights.dims);
}

/** What labels feed: the mean cross-entropy of the batch. */
export function labelFeeds(tensors: ReadonlyMap<string, HostTensor>): Record<string, HostTensor> {
  const labels = needIds(tensors, "labels");
  const size = labels.data.length;
  return { labels, example_weights: float64(new Float64Array(size).fill(1 / size), [size]) };
}

/** What answers feed, their weights exactly 1/M. @param labels (B, T), −100 where nothing is asked */
export function exactAnswerFeeds(labels: HostTensor<"int64">, virtualTokens = 0): Record<string, HostTensor> {
  const feeds = answerFeeds(labels, virtualTokens);
  const count = feeds[LOGIT_ROWS]?.data.length ?? 0;
  return { ...feeds, answer_weights: float64(new Float64Array(count).fill(1 / count), [count]) };
}

/** Feeds of one runtime: the engine wants float32, the reference takes float64. */
export function inPrecision(
  feeds: Readonly<Record<string, HostTensor>>,
  precision: Precision,
): Record<string, HostTensor> {
  if (precision === "f64") return { ...feeds };
  return Object.fromEntries(
    Object.entries(feeds).map(([name, tensor]) => [
      name,
      tensor.dtype === "float64" ? float32(Float32Array.from(tensor.data, Number), tensor.dims) : tensor,
    ]),
  );
}

/** (B·T, D) rows at real tokens only: what stands at padding is nobody's business. */
export function realRows(tensor: HostTensor, mask: HostTensor, width: number): HostTensor<"float64"> {
  const rows: number[] = [];
  for (let row = 0; row < mask.data.length; row++)
    if (Number(mask.data[row]) === 1)
      for (let d = 0; d < width; d++) rows.push(Number(tensor.data[row * width + d]));
  return float64(rows, [rows.length / width, width]);
}
