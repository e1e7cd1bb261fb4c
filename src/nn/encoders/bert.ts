// Dimensions: B batch, T tokens, D width, E width of the word embeddings.
/** BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and the families that are one of them by another name. */
import { z } from "zod";
import { checkActivation, checkHeads, rate, size } from "../layers/configFile.ts";
import { linear } from "../layers/layers.ts";
import { type EncoderConfig, encoderKeys, type OpenEncoder, readEncoderConfig } from "./encoderNetwork.ts";
import { embedTables, type LayerNames, postNormEncoder } from "./postNorm.ts";

export const bertNames: LayerNames = {
  list: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  mixed: "attention.output.dense",
  attentionNorm: "attention.output.LayerNorm",
  inner: "intermediate.dense",
  outer: "output.dense",
  outputNorm: "output.LayerNorm",
  dropouts: { attention: "attention.self", mixed: "attention.output", outer: "output" },
};

/** What the families call the same sizes. */
export const bertKeys = {
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: size,
  type_vocab_size: size.default(2),
  layer_norm_eps: z.number().positive().default(1e-12),
  hidden_act: z.string().default("gelu"),
  pad_token_id: z.int().nonnegative().nullish(),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  ...encoderKeys,
} as const;

const keysSchema = z.object(bertKeys);

/**
 * The sizes of a family with BERT's keys, as BERT reads them.
 * @throws CheckpointError if heads do not divide the width, or the activation is unknown
 */
export function bertConfig(
  c: z.infer<typeof keysSchema> & { readonly model_type: EncoderConfig["architecture"] },
  where: string,
): EncoderConfig {
  checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  return {
    architecture: c.model_type,
    width: c.hidden_size,
    embeddingWidth: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    typeVocabularySize: c.type_vocab_size,
    epsilon: c.layer_norm_eps,
    activation: checkActivation(c.hidden_act, "hidden_act", where),
    padId: c.pad_token_id ?? 0,
    firstPosition: 0,
    hiddenDropout: c.hidden_dropout_prob,
    attentionDropout: c.attention_probs_dropout_prob,
  };
}

const schema = z.object({
  model_type: z.enum(["bert", "roberta", "xlm-roberta", "camembert", "electra"]),
  ...bertKeys,
  embedding_size: size.nullish(),
  position_embedding_type: z.literal("absolute").default("absolute"),
});

/** How a family differs from BERT. */
interface Variant {
  /** Positions begin after the padding id, which is 1 where config.json does not say. */
  readonly shiftedPositions: boolean;
  /** The word embeddings may be narrower than the layers, and are widened by a linear layer. */
  readonly ownEmbeddingWidth: boolean;
}

const variants: { readonly [A in z.infer<typeof schema>["model_type"]]: Variant } = {
  bert: { shiftedPositions: false, ownEmbeddingWidth: false },
  roberta: { shiftedPositions: true, ownEmbeddingWidth: false },
  "xlm-roberta": { shiftedPositions: true, ownEmbeddingWidth: false },
  camembert: { shiftedPositions: true, ownEmbeddingWidth: false },
  electra: { shiftedPositions: false, ownEmbeddingWidth: true },
};

const projection = "embeddings_project";

/** @throws CheckpointError for a setting that cannot be honoured */
export const openBert: OpenEncoder = (json, where) => {
  const c = readEncoderConfig(schema, json, where);
  const bert = bertConfig(c, where);
  const { width } = bert;
  const { shiftedPositions, ownEmbeddingWidth } = variants[c.model_type];
  const padId = c.pad_token_id ?? (shiftedPositions ? 1 : 0);
  const embeddingWidth = ownEmbeddingWidth ? (c.embedding_size ?? width) : width;
  const config = { ...bert, embeddingWidth, padId, firstPosition: shiftedPositions ? padId + 1 : 0 };
  const parts = { names: bertNames, tables: { positions: true, types: true } };
  if (embeddingWidth === width) return postNormEncoder(config, parts);
  return postNormEncoder(config, {
    ...parts,
    embed: (context, inputs) =>
      linear(context, projection, embedTables(config, parts, context, inputs), embeddingWidth, width),
    moreSites: new Map([[projection, [embeddingWidth, width]]]),
  });
};
