import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import type { Rotary } from "../layers/rotary.ts";

/** Decoders by Hugging Face's `model_type`. */
export const decoderArchitectures = [
  "gpt2",
  "gpt_neox",
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "smollm3",
  "phi3",
  "gemma3_text",
] as const;

export type DecoderArchitecture = (typeof decoderArchitectures)[number];

/** How the tokens of one layer look at each other. */
export interface LayerAttention {
  /** Absent where positions are learned, or a layer has none. */
  readonly rotary?: Rotary;
  /** Tokens that a token sees at most, itself among them; absent where it sees all before it. */
  readonly window?: number;
}

/** The sizes and switches of a decoder, from Hugging Face's config.json. */
export interface DecoderConfig {
  readonly architecture: DecoderArchitecture;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Heads of keys and values: a divisor of `heads`, each shared by heads ÷ keyValueHeads queries. */
  readonly keyValueHeads: number;
  readonly headWidth: number;
  readonly intermediate: number;
  readonly vocabularySize: number;
  /** The longest text in tokens. */
  readonly positions: number;
  /** Decoders know no segments. */
  readonly typeVocabularySize: 0;
  readonly firstPosition: 0;
  readonly epsilon: number;
  readonly activation: string;
  /** One a layer. */
  readonly attention: readonly LayerAttention[];
  /** What scores are multiplied with; absent: 1/√(head width). */
  readonly scoreScale?: number;
  /** Attention and feed-forward both read the layer's input, and both are added to it. */
  readonly parallelResidual: boolean;
  /** Every head of queries and keys is normalised before it is rotated. */
  readonly queryKeyNorm?: true;
  /** Which linear layers have a bias. */
  readonly biases: {
    readonly queryKeyValue: boolean;
    readonly output: boolean;
    readonly feedForward: boolean;
  };
  /** The head's weights are the word embeddings. */
  readonly tiedHead: boolean;
  readonly padId: number;
  readonly embeddingDropout: number;
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
}

const tokenId = z.int().nonnegative();

/** Ids that decoders' configs give to special tokens. */
export const specialIds = {
  pad_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
} as const;

/** Decoders often have no padding token; what stands on padding is masked, so the end's id serves. */
export function padIdOf(config: z.infer<z.ZodObject<typeof specialIds>>): number {
  return config.pad_token_id ?? [config.eos_token_id ?? 0].flat()[0] ?? 0;
}

/** @throws CheckpointError if key-value heads do not share the query heads evenly. */
export function checkKeyValueHeads(heads: number, keyValueHeads: number, where: string): void {
  if (heads % keyValueHeads !== 0)
    throw new CheckpointError(
      `${where}: num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`,
    );
}

/** The same attention in every layer. */
export function inAllLayers(layers: number, attention: LayerAttention): readonly LayerAttention[] {
  return Array.from({ length: layers }, () => attention);
}

/** What scores are multiplied with. */
export function scoreScaleOf({ scoreScale, headWidth }: DecoderConfig): number {
  return scoreScale ?? 1 / Math.sqrt(headWidth);
}
