import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";

export type DecoderArchitecture = "gpt2" | "gpt_neox" | "llama" | "mistral" | "qwen2";

/** Rotary position embeddings (Su et al. 2021), halves of a head's first `width` elements rotated against each other. */
export interface Rotary {
  readonly theta: number;
  /** Elements of each head that are rotated; even, at most the head's width. */
  readonly width: number;
  /** Positions are divided by it: 1, or the factor of linear scaling. */
  readonly factor: number;
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
  readonly positions: number;
  /** Tokens that a token sees at most, itself among them; absent where it sees all before it. */
  readonly slidingWindow?: number;
  /** Decoders know no segments. */
  readonly typeVocabularySize: 0;
  readonly firstPosition: 0;
  readonly epsilon: number;
  readonly activation: string;
  /** Absent where positions are learned. */
  readonly rotary?: Rotary;
  /** Attention and feed-forward both read the layer's input, and both are added to it. */
  readonly parallelResidual: boolean;
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

const scalingSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  factor: z.number().positive().optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().positive().max(1).optional(),
});

/** Rotary settings: `rope_parameters` since transformers 5, the other two before. */
export const rotaryKeys = {
  rope_parameters: scalingSchema.nullish(),
  rope_scaling: scalingSchema.nullish(),
  rope_theta: z.number().positive().optional(),
} as const;

/** What a config that says nothing means. */
export interface RotaryDefaults {
  readonly theta: number;
  /** The part of each head that is rotated. */
  readonly part: number;
}

/**
 * @param headWidth elements of a head
 * @throws CheckpointError naming a kind of scaling other than none and linear
 */
export function rotaryOf(
  config: z.infer<z.ZodObject<typeof rotaryKeys>>,
  headWidth: number,
  defaults: RotaryDefaults,
  where: string,
): Rotary {
  const scaling = config.rope_parameters ?? config.rope_scaling ?? {};
  const kind = scaling.rope_type ?? scaling.type ?? "default";
  if (kind !== "default" && kind !== "linear")
    throw new CheckpointError(`${where}: config.json asks for rotary scaling "${kind}"`, {
      hint: "Accrete computes rotary embeddings unscaled or with linear scaling.",
    });
  const width = Math.trunc(headWidth * (scaling.partial_rotary_factor ?? defaults.part));
  if (width % 2 !== 0)
    throw new CheckpointError(`${where}: config.json rotates ${width} elements of each head, an odd number`);
  return {
    theta: scaling.rope_theta ?? config.rope_theta ?? defaults.theta,
    width,
    factor: kind === "linear" ? (scaling.factor ?? 1) : 1,
  };
}

/** @throws CheckpointError if key-value heads do not share the query heads evenly. */
export function checkKeyValueHeads(heads: number, keyValueHeads: number, where: string): void {
  if (heads % keyValueHeads !== 0)
    throw new CheckpointError(
      `${where}: num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`,
    );
}

/** The longest text in tokens. Within a sliding window's length the window hides nothing. */
export function maxDecoderTokens(config: DecoderConfig): number {
  return Math.min(config.positions, config.slidingWindow ?? config.positions);
}
