// Dimensions: B batch, T tokens, D width, E width of the word embeddings, N = B·T rows.
/** Encoders whose layers normalise after attention and after the feed-forward: BERT and its descendants. */
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { activate, attention, type LayerContext, layerNorm, linear } from "../layers/layers.ts";
import { hide, type TokenInputs } from "../layers/tokens.ts";
import type { EncoderConfig, EncoderNetwork } from "./encoderNetwork.ts";

/** What a family calls the parts of a layer. */
export interface LayerNames {
  /** In front of a layer's number. */
  readonly list: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  /** The projection of what attention mixed. */
  readonly mixed: string;
  readonly attentionNorm: string;
  readonly inner: string;
  readonly outer: string;
  readonly outputNorm: string;
  /** Where elements are dropped; absent where a family does not. */
  readonly dropouts: { readonly attention: string; readonly mixed?: string; readonly outer: string };
}

/** Mixes the values of one layer, up to the output projection. q, k and v (N, D) → (N, D) */
export type Mix = (at: string, q: Value, k: Value, v: Value) => Value;

export interface PostNormParts {
  readonly names: LayerNames;
  /** Tables added to the word embeddings. */
  readonly tables: { readonly positions: boolean; readonly types: boolean };
  /** → (N, D); default: the sum of the tables, normalised. */
  embed?(context: LayerContext, inputs: TokenInputs): Value;
  /** How tokens look at each other; default: as in BERT. */
  openMix?(context: LayerContext, inputs: TokenInputs): Mix;
  /** Linear layers, with and without a bias, and biases beside those of the layers and the embeddings' normalisation. */
  readonly moreSites?: ReadonlyMap<string, readonly [number, number]>;
  readonly biaslessSites?: ReadonlyMap<string, readonly [number, number]>;
  readonly moreBiases?: ReadonlyMap<string, number>;
}

/** (B, T) of ones and zeros → (B, 1, 1, T), added to attention scores. */
export function attentionBias(attentionMask: Value): Value {
  return op.reshape(hide(attentionMask), ["B", 1, 1, "T"]);
}

/** Words, and where a family has them positions and types. → (N, E) */
export function sumOfTables(
  config: EncoderConfig,
  { tables }: Pick<PostNormParts, "tables">,
  context: LayerContext,
  inputs: TokenInputs,
): Value {
  const table = (name: string, rows: number, ids: Value) =>
    op.gather(
      context.parameters.get(`embeddings.${name}.weight`, [rows, config.embeddingWidth]),
      op.reshape(ids, ["B*T"]),
    );
  const looked = table("word_embeddings", config.vocabularySize, inputs.inputIds);
  const words = context.embed?.(looked, inputs.inputIds) ?? looked;
  const typed = tables.types
    ? op.add(words, table("token_type_embeddings", config.typeVocabularySize, inputs.tokenTypeIds))
    : words;
  if (!tables.positions) return typed;
  return op.add(typed, table("position_embeddings", config.positions, inputs.positionIds));
}

/** The sum of the tables, normalised. → (N, E) */
export function embedTables(
  config: EncoderConfig,
  parts: Pick<PostNormParts, "tables">,
  context: LayerContext,
  inputs: TokenInputs,
): Value {
  const sum = sumOfTables(config, parts, context, inputs);
  const normed = layerNorm(context, "embeddings.LayerNorm", sum, config.embeddingWidth, config.epsilon);
  return context.dropout("embeddings", normed, config.hiddenDropout);
}

/** softmax(q kᵀ/√d + bias) v with dropout on the weights. @param bias broadcasting over (B, H, T, T) */
export function plainMix(config: EncoderConfig, names: LayerNames, context: LayerContext, bias: Value): Mix {
  const { width, heads, attentionDropout } = config;
  const shape = { heads, headWidth: width / heads, batch: "B", tokens: "T" };
  return (at, q, k, v) =>
    attention(q, k, v, bias, shape, (weights) =>
      context.dropout(`${at}.${names.dropouts.attention}`, weights, attentionDropout),
    );
}

function layer(config: EncoderConfig, names: LayerNames, context: LayerContext, mix: Mix) {
  const { width, intermediate, epsilon, hiddenDropout } = config;
  const { dropouts } = names;
  return (index: number, x: Value): Value => {
    const at = `${names.list}.${index}`;
    const drop = (name: string | undefined, value: Value) =>
      name === undefined ? value : context.dropout(`${at}.${name}`, value, hiddenDropout);
    const project = (name: string) => linear(context, `${at}.${name}`, x, width, width);
    const attended = mix(at, project(names.query), project(names.key), project(names.value));
    const mixed = linear(context, `${at}.${names.mixed}`, attended, width, width);
    const afterAttention = op.add(drop(dropouts.mixed, mixed), x);
    const middle = layerNorm(context, `${at}.${names.attentionNorm}`, afterAttention, width, epsilon);

    const inner = activate(
      config.activation,
      linear(context, `${at}.${names.inner}`, middle, width, intermediate),
    );
    const outer = linear(context, `${at}.${names.outer}`, inner, intermediate, width);
    const afterFeedForward = op.add(drop(dropouts.outer, outer), middle);
    return layerNorm(context, `${at}.${names.outputNorm}`, afterFeedForward, width, epsilon);
  };
}

function layerSites(
  { width, intermediate, layers }: EncoderConfig,
  names: LayerNames,
): ReadonlyMap<string, readonly [number, number]> {
  const sites = new Map<string, readonly [number, number]>();
  for (let i = 0; i < layers; i++) {
    const at = `${names.list}.${i}`;
    for (const name of [names.query, names.key, names.value, names.mixed])
      sites.set(`${at}.${name}`, [width, width]);
    sites.set(`${at}.${names.inner}`, [width, intermediate]);
    sites.set(`${at}.${names.outer}`, [intermediate, width]);
  }
  return sites;
}

function normBiases(
  { width, embeddingWidth, layers }: EncoderConfig,
  names: LayerNames,
): ReadonlyMap<string, number> {
  const biases = new Map([["embeddings.LayerNorm.bias", embeddingWidth]]);
  for (let i = 0; i < layers; i++)
    for (const norm of [names.attentionNorm, names.outputNorm])
      biases.set(`${names.list}.${i}.${norm}.bias`, width);
  return biases;
}

/** An encoder of that kind. */
export function postNormEncoder(config: EncoderConfig, parts: PostNormParts): EncoderNetwork {
  const { names } = parts;
  const sites = new Map([...(parts.moreSites ?? []), ...layerSites(config, names)]);
  const siteBiases = Array.from(sites, ([site, [, size]]) => [`${site}.bias`, size] as const);
  return {
    config,
    wordEmbeddings: "embeddings.word_embeddings.weight",
    embed: (context, inputs) => parts.embed?.(context, inputs) ?? embedTables(config, parts, context, inputs),
    openLayers: (context, inputs) => {
      const mix =
        parts.openMix?.(context, inputs) ??
        plainMix(config, names, context, attentionBias(inputs.attentionMask));
      return layer(config, names, context, mix);
    },
    sites: new Map([...(parts.biaslessSites ?? []), ...sites]),
    biases: new Map([...normBiases(config, names), ...siteBiases, ...(parts.moreBiases ?? [])]),
  };
}
