/** Prompt tuning as real peft computed it: models, tensors and what they feed. n virtual tokens, T text tokens. */
import { join } from "node:path";
import type { HostTensor } from "../../src/core/tensor.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import {
  type FeatureSpec,
  poolingsOf,
  poolingWeights,
  type TokenBatch,
  tokenFeeds,
} from "../../src/nn/features.ts";
import { promptTuningMethod } from "../../src/peft/promptTuning.ts";
import type { PromptTuningSpec } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import { exactWeights, goldensFolder, needIds } from "./goldens.ts";
import { tolerances } from "./tolerances.ts";

export const virtualTokens = 4;
export const spec: PromptTuningSpec = { virtualTokens, init: "random" };
export const prompts = join(goldensFolder, "prompt");

export const setups = [
  { precision: "f32", runtime: nodeRuntime, tolerance: tolerances.float32 },
  {
    precision: "f64",
    runtime: referenceRuntime,
    tolerance: tolerances.goldenFloat64,
  },
] as const;

/** The golden's texts, without virtual tokens. */
export function textBatch(tensors: ReadonlyMap<string, HostTensor>): TokenBatch {
  const inputIds = needIds(tensors, "input_ids");
  const types = tensors.has("token_type_ids") ? "token_type_ids" : "attention_mask";
  return {
    inputIds,
    attentionMask: needIds(tensors, "attention_mask"),
    tokenTypeIds: needIds(tensors, types),
  };
}

/** What a batch of texts feeds beside parameters; `mask` (B, n + T) is 1 on virtual tokens and text. */
export function promptFeeds(
  backbone: Backbone,
  texts: TokenBatch,
  feature: FeatureSpec,
): { readonly feeds: Record<string, HostTensor>; readonly mask: HostTensor<"int64"> } {
  const { batch, textMask, feeds } = promptTuningMethod(spec).adapt(texts, backbone.config.padId);
  const weights = poolingWeights(poolingsOf(backbone, feature), textMask, batch.attentionMask);
  return {
    feeds: {
      ...tokenFeeds(backbone.config, batch),
      ...feeds,
      pooling_weights: exactWeights(weights, feature, textMask),
    },
    mask: batch.attentionMask,
  };
}
