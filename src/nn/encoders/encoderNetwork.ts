// Dimensions: B batch, T tokens, D width.
import { z } from "zod";
import type { Value } from "../../graph/types.ts";
import { parseConfigFile } from "../layers/configFile.ts";
import type { LayerContext } from "../layers/layers.ts";
import type { HiddenStates, TokenInputs, Trunk } from "../layers/tokens.ts";

/** Encoders by Hugging Face's `model_type`. */
export const encoderArchitectures = [
  "bert",
  "roberta",
  "xlm-roberta",
  "camembert",
  "distilbert",
  "electra",
  "mpnet",
  "modernbert",
  "deberta-v2",
] as const;

export type EncoderArchitecture = (typeof encoderArchitectures)[number];

/** The sizes of an encoder, from Hugging Face's config.json. */
export interface EncoderConfig {
  readonly architecture: EncoderArchitecture;
  readonly width: number;
  /** Width of the word embeddings, where it is another than that of the layers. */
  readonly embeddingWidth: number;
  readonly layers: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly vocabularySize: number;
  /** Rows of the position table; the longest text where there is none. */
  readonly positions: number;
  /** 0 where the model knows no segments. */
  readonly typeVocabularySize: number;
  readonly epsilon: number;
  readonly activation: string;
  readonly padId: number;
  /** The position of a text's first token: RoBERTa's begin after the padding id, BERT's at 0. */
  readonly firstPosition: number;
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
}

/** What config.json says of Hugging Face's own classification head, where it is not the family's usual one. */
export interface ClassifierSettings {
  /** What it reads of a text. */
  readonly pooling?: "cls" | "mean";
  /** The setting because of which it cannot be run. */
  readonly refused?: string;
}

/** One encoder as its config.json describes it. Names are AutoModel's paths. */
export interface EncoderNetwork {
  readonly config: EncoderConfig;
  /** The word embedding table (V, embedding width). */
  readonly wordEmbeddings: string;
  /** → (B·T, D) */
  embed(context: LayerContext, inputs: TokenInputs): Value;
  /** What the layers share, such as the mask, is built once. @returns x (B·T, D) of a layer → (B·T, D) */
  openLayers(context: LayerContext, inputs: TokenInputs): (index: number, x: Value) => Value;
  /** A normalisation above the last layer, where there is one. (B·T, D) → (B·T, D) */
  finish?(context: LayerContext, x: Value): Value;
  /** Every linear layer that an adapter can hook into, with its (in, out) sizes. */
  readonly sites: ReadonlyMap<string, readonly [number, number]>;
  /** Every bias with its size, in peft's sense of `bias: all`. */
  readonly biases: ReadonlyMap<string, number>;
  /** Some linear layers read, beside tokens, rows that all texts share: distances. */
  readonly sharesRows?: true;
  readonly classifier?: ClassifierSettings;
}

/** @throws CheckpointError for a setting of config.json that is missing or cannot be honoured */
export type OpenEncoder = (json: unknown, where: string) => EncoderNetwork;

/**
 * An encoder over a batch.
 * @param trunk what to go on from; the hidden states then begin with its own
 */
export function buildEncoder(
  network: EncoderNetwork,
  context: LayerContext,
  inputs: TokenInputs,
  trunk?: Trunk,
): HiddenStates {
  const layer = network.openLayers(context, inputs);
  let x = trunk?.state ?? network.embed(context, inputs);
  const hidden = [x];
  for (let i = trunk?.layers ?? 0; i < network.config.layers; i++) {
    x = layer(i, x);
    hidden.push(x);
  }
  const last = network.finish?.(context, x) ?? x;
  return { hidden: [...hidden.slice(0, -1), last], last };
}

/** The longest text in tokens, special tokens included. */
export function maxTokens(config: EncoderConfig): number {
  return config.positions - config.firstPosition;
}

/** What every encoder's config.json is refused for. */
export const encoderKeys = {
  is_decoder: z.literal(false).default(false),
  add_cross_attention: z.literal(false).default(false),
  chunk_size_feed_forward: z.int().optional(),
} as const;

/** @throws CheckpointError naming every setting that is missing or cannot be honoured */
export function readEncoderConfig<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  return parseConfigFile(schema, json, where);
}
