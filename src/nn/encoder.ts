// Dimensions: B batch, T tokens, D width.
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";
import type { EncoderConfig } from "./encoderConfig.ts";
import { activate, attention, type LayerContext, layerNorm, linear, MASKED } from "./layers.ts";

/** The token inputs of an encoder, each int64 (B, T). */
export interface TokenInputs {
  readonly inputIds: Value;
  readonly attentionMask: Value;
  readonly tokenTypeIds: Value;
  readonly positionIds: Value;
}

export function declareTokenInputs(): TokenInputs {
  const tokens = (name: string) => op.input(name, "int64", ["B", "T"]);
  return {
    inputIds: tokens("input_ids"),
    attentionMask: tokens("attention_mask"),
    tokenTypeIds: tokens("token_type_ids"),
    positionIds: tokens("position_ids"),
  };
}

export interface EncoderOutputs {
  /** hidden[0]: the embeddings; hidden[i]: the output of layer i; each (B·T, D). */
  readonly hidden: readonly Value[];
  readonly last: Value;
}

/** What the lower layers gave for the same tokens, where a network is built from some layer on. */
export interface Trunk {
  readonly layers: number;
  /** (B·T, D) */
  readonly state: Value;
}

/** (B, T) of ones and zeros → (B, 1, 1, T), added to attention scores. */
function attentionBias(attentionMask: Value): Value {
  const present = op.cast(attentionMask, "float32");
  const absent = op.sub(op.scalar(1, present), present);
  return op.reshape(op.mul(absent, MASKED), ["B", 1, 1, "T"]);
}

function embed(config: EncoderConfig, context: LayerContext, inputs: TokenInputs): Value {
  const table = (name: string, rows: number, ids: Value) =>
    op.gather(
      context.parameters.get(`embeddings.${name}.weight`, [rows, config.width]),
      op.reshape(ids, ["B*T"]),
    );
  const looked = table("word_embeddings", config.vocabularySize, inputs.inputIds);
  const words = context.embed?.(looked) ?? looked;
  const types = table("token_type_embeddings", config.typeVocabularySize, inputs.tokenTypeIds);
  const positions = table("position_embeddings", config.positions, inputs.positionIds);
  const sum = op.add(op.add(words, types), positions); // (B·T, D)
  const normed = layerNorm(context, "embeddings.LayerNorm", sum, config.width, config.epsilon);
  return context.dropout("embeddings", normed, config.hiddenDropout);
}

function encoderLayer(
  config: EncoderConfig,
  context: LayerContext,
  index: number,
  x: Value,
  bias: Value,
): Value {
  const { width, intermediate, epsilon, hiddenDropout, attentionDropout } = config;
  const at = `encoder.layer.${index}`;
  const shape = { heads: config.heads, headWidth: width / config.heads, batch: "B", tokens: "T" };

  const project = (name: string) => linear(context, `${at}.attention.self.${name}`, x, width, width);
  const attended = attention(project("query"), project("key"), project("value"), bias, shape, (weights) =>
    context.dropout(`${at}.attention.self`, weights, attentionDropout),
  );
  const mixed = linear(context, `${at}.attention.output.dense`, attended, width, width);
  const afterAttention = op.add(context.dropout(`${at}.attention.output`, mixed, hiddenDropout), x);
  const middle = layerNorm(context, `${at}.attention.output.LayerNorm`, afterAttention, width, epsilon);

  const inner = activate(
    config.activation,
    linear(context, `${at}.intermediate.dense`, middle, width, intermediate),
  );
  const outer = linear(context, `${at}.output.dense`, inner, intermediate, width);
  const afterFeedForward = op.add(context.dropout(`${at}.output`, outer, hiddenDropout), middle);
  return layerNorm(context, `${at}.output.LayerNorm`, afterFeedForward, width, epsilon);
}

/**
 * BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019): the same network, RoBERTa's positions shifted.
 * @param trunk what to go on from; the hidden states then begin with its own
 */
export function buildEncoder(
  config: EncoderConfig,
  context: LayerContext,
  inputs: TokenInputs,
  trunk?: Trunk,
): EncoderOutputs {
  const bias = attentionBias(inputs.attentionMask);
  let last = trunk?.state ?? embed(config, context, inputs);
  const hidden = [last];
  for (let i = trunk?.layers ?? 0; i < config.layers; i++) {
    last = encoderLayer(config, context, i, last, bias);
    hidden.push(last);
  }
  return { hidden, last };
}

/** Every linear layer that an adapter can hook into, by AutoModel path, with its (in, out) sizes. */
export function encoderSites(config: EncoderConfig): ReadonlyMap<string, readonly [number, number]> {
  const { width, intermediate } = config;
  const sites = new Map<string, readonly [number, number]>();
  for (let i = 0; i < config.layers; i++) {
    const at = `encoder.layer.${i}`;
    for (const name of ["query", "key", "value"]) sites.set(`${at}.attention.self.${name}`, [width, width]);
    sites.set(`${at}.attention.output.dense`, [width, width]);
    sites.set(`${at}.intermediate.dense`, [width, intermediate]);
    sites.set(`${at}.output.dense`, [intermediate, width]);
  }
  return sites;
}

/** Every bias of the network with its size, in peft's sense of `bias: all`. */
export function encoderBiases(config: EncoderConfig): ReadonlyMap<string, number> {
  const biases = new Map<string, number>([["embeddings.LayerNorm.bias", config.width]]);
  for (const [site, [, outFeatures]] of encoderSites(config)) biases.set(`${site}.bias`, outFeatures);
  for (let i = 0; i < config.layers; i++)
    for (const name of ["attention.output", "output"])
      biases.set(`encoder.layer.${i}.${name}.LayerNorm.bias`, config.width);
  return biases;
}
