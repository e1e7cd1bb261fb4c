// Dimensions: B batch, T tokens, D width, V vocabulary, K key-value heads, d head width.
import type { Value } from "../../graph/types.ts";
import { frozenProduct, type LayerContext } from "../layers/layers.ts";
import type { HiddenStates, TokenInputs, Trunk } from "../layers/tokens.ts";
import { cachedAttention, type KeyValue, type Past } from "./cachedAttention.ts";
import { type AttentionInputs, decoderAttention } from "./decoderAttention.ts";
import type { DecoderConfig } from "./decoderConfig.ts";
import type { DecoderNetwork } from "./decoderNetwork.ts";

/** A batch of new tokens: texts, or branches of a tree. */
export type DecoderInputs = TokenInputs & AttentionInputs;

export interface DecoderOutputs extends HiddenStates {
  /** Behind a past: each layer's keys and values of the new tokens, (B, T, K·d). */
  readonly keyValues: readonly KeyValue[];
}

/**
 * A decoder over a batch of new tokens.
 * @param past what the tokens follow; with one the graph has no gradients
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
  const { attention, keyValues } =
    past === undefined
      ? { attention: decoderAttention(config, context, inputs), keyValues: [] }
      : cachedAttention(config, inputs.positionIds, past);
  let x = trunk?.state ?? network.embed(config, context, inputs);
  const hidden: Value[] = [];
  for (let i = trunk?.layers ?? 0; i < config.layers; i++) {
    hidden.push(x);
    x = network.layer(config, context, i, x, attention(i));
  }
  const last = network.norm(config, context, x);
  return { hidden: [...hidden, last], last, keyValues };
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
