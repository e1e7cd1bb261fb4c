// Dimensions: B batch, T tokens, P past tokens, D width, V vocabulary, K key-value heads, d head width.
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import { frozenProduct, type LayerContext } from "../layers/layers.ts";
import type { HiddenStates, TokenInputs, Trunk } from "../layers/tokens.ts";
import { type AttentionInputs, decoderAttention, type KeyValue, type Past } from "./decoderAttention.ts";
import { type DecoderConfig, hasWindow } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";

/** A batch of new tokens: texts, or branches of a tree. */
export type DecoderInputs = TokenInputs & AttentionInputs;

export interface DecoderOutputs extends HiddenStates {
  /** Each layer's keys and values of the new tokens, (B, K, T, d). */
  readonly keyValues: readonly KeyValue[];
}

/**
 * A decoder over a batch of new tokens.
 * @param past what the tokens follow
 * @param trunk what to go on from; the hidden states then begin with its own
 * @returns as Hugging Face's hidden states: the embeddings, each layer's output, and the last one's after the final
 *   normalisation in place of before it
 */
export function buildDecoder(
  network: DecoderNetwork,
  config: DecoderConfig,
  context: LayerContext,
  inputs: DecoderInputs,
  past?: Past,
  trunk?: Trunk,
): DecoderOutputs {
  const attention = decoderAttention(config, context, inputs, past);
  let x = trunk?.state ?? network.embed(config, context, inputs);
  const hidden: Value[] = [];
  for (let i = trunk?.layers ?? 0; i < config.layers; i++) {
    hidden.push(x);
    x = network.layer(config, context, i, x, attention.layer(i));
  }
  const last = network.norm(config, context, x);
  return { hidden: [...hidden, last], last, keyValues: attention.keyValues };
}

/** The input names of a layer's past keys and values. */
export function pastInput(layer: number, part: keyof KeyValue): string {
  return `past_key_values.${layer}.${part}`;
}

/** The input of the past's positions, where a layer has a window. */
export const PAST_POSITIONS = "past_positions";

/**
 * The past as graph inputs: `past_mask` int64 (B, P), with a window `past_positions` int64 (B, P), and each layer's keys
 * and values (B, K, P, d).
 */
export function declarePast(config: DecoderConfig): Past {
  const { layers, keyValueHeads, headWidth } = config;
  const declare = (layer: number, part: keyof KeyValue) =>
    op.input(pastInput(layer, part), "float32", ["B", keyValueHeads, "P", headWidth]);
  return {
    mask: op.input("past_mask", "int64", ["B", "P"]),
    ...(hasWindow(config) && { positions: op.input(PAST_POSITIONS, "int64", ["B", "P"]) }),
    layers: Array.from({ length: layers }, (_, layer) => ({
      key: declare(layer, "key"),
      value: declare(layer, "value"),
    })),
  };
}

/** What the model expects to come next. rows (M, D) of the last hidden states → logits (M, V) */
export function languageModelLogits(
  { head, wordEmbeddings }: DecoderNetwork,
  config: DecoderConfig,
  context: LayerContext,
  rows: Value,
): Value {
  const name = config.tiedHead ? wordEmbeddings : head;
  const dims = [config.vocabularySize, config.width];
  return frozenProduct(context.parameters, rows, name, dims, { transposeB: true });
}
