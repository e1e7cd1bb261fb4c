import { z } from "zod";
import { checkActivation, checkHeads, modelTypeOf, parseConfigFile, size } from "./configFile.ts";

/** The sizes of a BERT-type encoder, from Hugging Face's config.json. */
export interface EncoderConfig {
  readonly architecture: "bert" | "roberta";
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly vocabularySize: number;
  readonly positions: number;
  readonly typeVocabularySize: number;
  readonly epsilon: number;
  readonly activation: string;
  readonly padId: number;
  /** The position of a text's first token: RoBERTa's begin after the padding id, BERT's at 0. */
  readonly firstPosition: number;
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
}

const encoderSchema = z.object({
  model_type: z.enum(["bert", "roberta"]),
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
  hidden_dropout_prob: z.number().min(0).lt(1).default(0.1),
  attention_probs_dropout_prob: z.number().min(0).lt(1).default(0.1),
  position_embedding_type: z.literal("absolute").default("absolute"),
  is_decoder: z.literal(false).default(false),
});

/**
 * Reads a Hugging Face config.json.
 * @throws CheckpointError for an architecture that is not known, or a setting that cannot be honoured.
 */
export function parseEncoderConfig(config: unknown, where: string): EncoderConfig {
  modelTypeOf(config, encoderSchema.shape.model_type.options, where);
  const c = parseConfigFile(encoderSchema, config, where);
  checkHeads(c.hidden_size, c.num_attention_heads, ["hidden_size", "num_attention_heads"], where);
  const padId = c.pad_token_id ?? (c.model_type === "roberta" ? 1 : 0);
  return {
    architecture: c.model_type,
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    intermediate: c.intermediate_size,
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    typeVocabularySize: c.type_vocab_size,
    epsilon: c.layer_norm_eps,
    activation: checkActivation(c.hidden_act, "hidden_act", where),
    padId,
    firstPosition: c.model_type === "roberta" ? padId + 1 : 0,
    hiddenDropout: c.hidden_dropout_prob,
    attentionDropout: c.attention_probs_dropout_prob,
  };
}

/** The longest text in tokens, special tokens included. */
export function maxTokens(config: EncoderConfig): number {
  return config.positions - config.firstPosition;
}
