import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { activations } from "./layers.ts";

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
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
}

const size = z.int().positive();
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

const modelTypeSchema = z.object({ model_type: z.string() });
const known = encoderSchema.shape.model_type.options;

/**
 * Reads a Hugging Face config.json.
 * @throws CheckpointError for an architecture that is not known, or a setting that cannot be honoured.
 */
export function parseEncoderConfig(config: unknown, where: string): EncoderConfig {
  const type = modelTypeSchema.safeParse(config);
  if (!type.success)
    throw new CheckpointError(`${where}: config.json has no "model_type"`, {
      hint: `known: ${known.join(", ")}`,
    });
  if (!known.some((name) => name === type.data.model_type))
    throw new CheckpointError(`${where}: unknown architecture "${type.data.model_type}"`, {
      hint: `Accrete runs ${known.join(" and ")} encoders`,
    });
  const parsed = encoderSchema.safeParse(config);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new CheckpointError(`${where}: config.json cannot be honoured: ${problems.join("; ")}`);
  }
  const c = parsed.data;
  if (c.hidden_size % c.num_attention_heads !== 0)
    throw new CheckpointError(
      `${where}: hidden_size ${c.hidden_size} is no multiple of num_attention_heads ${c.num_attention_heads}`,
    );
  if (!Object.hasOwn(activations, c.hidden_act))
    throw new CheckpointError(`${where}: unknown hidden_act "${c.hidden_act}"`, {
      hint: `known: ${Object.keys(activations).join(", ")}`,
    });
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
    activation: c.hidden_act,
    padId: c.pad_token_id ?? (c.model_type === "roberta" ? 1 : 0),
    hiddenDropout: c.hidden_dropout_prob,
    attentionDropout: c.attention_probs_dropout_prob,
  };
}

/** RoBERTa's positions begin after the padding id, BERT's at 0. */
export function firstPosition(config: EncoderConfig): number {
  return config.architecture === "roberta" ? config.padId + 1 : 0;
}

/** The longest text in tokens, special tokens included. */
export function maxTokens(config: EncoderConfig): number {
  return config.positions - firstPosition(config);
}
