// Dimensions: B batch, T tokens, H heads.
/** MPNet (Song et al. 2020): BERT's layers, and a bias on the scores that depends on the distance alone. */
import { z } from "zod";
import * as op from "../../graph/ops.ts";
import type { Value } from "../../graph/types.ts";
import type { LayerContext } from "../layers/layers.ts";
import { bertConfig, bertKeys } from "./bert.ts";
import { type EncoderConfig, maxTokens, type OpenEncoder, readEncoderConfig } from "./encoderNetwork.ts";
import { attentionBias, type LayerNames, plainMix, postNormEncoder } from "./postNorm.ts";
import { bucketsOfPairs } from "./relativePositions.ts";

const names: LayerNames = {
  list: "encoder.layer",
  query: "attention.attn.q",
  key: "attention.attn.k",
  value: "attention.attn.v",
  mixed: "attention.attn.o",
  attentionNorm: "attention.LayerNorm",
  inner: "intermediate.dense",
  outer: "output.dense",
  outputNorm: "output.LayerNorm",
  dropouts: { attention: "attention.attn", mixed: "attention", outer: "output" },
};

/** transformers counts in as many, whatever config.json says. */
const BUCKETS = 32;

const schema = z.object({
  model_type: z.literal("mpnet"),
  ...bertKeys,
  relative_attention_num_buckets: z.literal(BUCKETS).default(BUCKETS),
});

/** The farthest distance that has a bucket of its own. */
const FAR = 128;

/** T5's buckets (Raffel et al. 2020): half for keys that follow; near distances each their own, then by logarithm. */
export function mpnetBucket(distance: number): number {
  const half = BUCKETS / 2;
  const exact = half / 2;
  const side = distance < 0 ? half : 0;
  const n = Math.abs(distance);
  if (n < exact) return side + n;
  const steps = Math.fround(Math.log(n / exact) / Math.log(FAR / exact)) * (half - exact);
  return side + Math.min(half - 1, exact + Math.trunc(Math.fround(steps)));
}

/** (1, H, T, T) */
function positionBias(config: EncoderConfig, context: LayerContext, positionIds: Value): Value {
  const buckets = bucketsOfPairs(positionIds, maxTokens(config), mpnetBucket);
  const table = context.parameters.get("encoder.relative_attention_bias.weight", [BUCKETS, config.heads]);
  const bias = op.transpose(op.gather(table, buckets), [2, 0, 1]); // (H, T, T)
  return op.reshape(bias, [1, ...bias.shape]);
}

/** Positions begin after the padding id, which is fixed. */
const PAD_POSITION = 1;

/** @throws CheckpointError for a setting that cannot be honoured */
export const openMpnet: OpenEncoder = (json, where) => {
  const c = readEncoderConfig(schema, json, where);
  const config: EncoderConfig = {
    ...bertConfig(c, where),
    typeVocabularySize: 0,
    padId: c.pad_token_id ?? 1,
    firstPosition: PAD_POSITION + 1,
  };
  return postNormEncoder(config, {
    names,
    tables: { positions: true, types: false },
    openMix: (context, inputs) => {
      const bias = positionBias(config, context, inputs.positionIds);
      return plainMix(config, names, context, op.add(attentionBias(inputs.attentionMask), bias));
    },
  });
};
