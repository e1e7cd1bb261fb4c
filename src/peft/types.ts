/**
 * What an adapter, a head and a saved pair of them are. Dimensions: R = rank, D = width, C = classes.
 */
import type { HostTensor } from "../core/tensor.ts";
import type { Architecture } from "../nn/backbone.ts";
import type { Pooling } from "../nn/features.ts";
import type { HeadKind } from "../nn/heads.ts";
import type { ParameterShape } from "../nn/layers/parameters.ts";

export type { Architecture } from "../nn/backbone.ts";
export type { Pooling } from "../nn/features.ts";
export type { HeadKind } from "../nn/heads.ts";

/** Which of the backbone's biases train with the adapter, in peft's words. */
export type LoraBias = "none" | "all" | "lora_only";

export interface LoraSpec {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly bias: LoraBias;
  /** A list: the exact module path, or its end after a dot. A string: a regex that matches the whole path. */
  readonly targetModules: readonly string[] | string;
  /** The layers that are adapted, counted from 0 at the bottom; absent: all of them. */
  readonly layers?: readonly number[];
  /** Scale by alpha / √rank in place of alpha / rank. */
  readonly rslora: boolean;
  /** Sites of another rank: regex → rank. It must match a whole path or its end after a dot; the first match counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Sites of another alpha, matched as in `rankPattern`. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Weight-decomposed (DoRA: Liu et al. 2024): every output has a trained magnitude. */
  readonly dora?: true;
  /** Whole tables that were trained or saved along, in place of the backbone's: word embeddings, the language-modelling head. */
  readonly replaced?: readonly ParameterShape[];
}

/** Where the first values of a prompt come from: N(0, 1), embeddings of a text's words, or of words drawn by chance. */
export type PromptInit = "random" | "text" | "vocab";

export interface PromptTuningSpec {
  readonly virtualTokens: number;
  readonly init: PromptInit;
  /** The text of `init: text`. */
  readonly text?: string;
}

/** The settings of every kind of adapter. */
export interface AdapterSpecs {
  readonly lora: LoraSpec;
  readonly "prompt-tuning": PromptTuningSpec;
}

export type AdapterKind = keyof AdapterSpecs;

/** One kind of adapter with its settings. */
export type AdapterSpec = { readonly [K in AdapterKind]: SpecOfKind<K> }[AdapterKind];

export interface SpecOfKind<K extends AdapterKind> {
  readonly kind: K;
  readonly spec: AdapterSpecs[K];
}

/** Settings with the values that training gave. */
export interface AdapterOfKind<K extends AdapterKind> extends SpecOfKind<K> {
  readonly tensors: ReadonlyMap<string, HostTensor<"float32">>;
}

export interface LoraAdapter extends AdapterOfKind<"lora"> {
  /**
   * Keyed by AutoModel module path: `encoder.layer.0.attention.self.query.lora_A.weight` (R, in),
   * `….lora_B.weight` (out, R), and where bias is not `none` the trained bias, `….query.bias` (out). With DoRA
   * `….query.lora_magnitude_vector` (out); replaced tables by their AutoModel name.
   */
  readonly tensors: ReadonlyMap<string, HostTensor<"float32">>;
}

export interface PromptTuningAdapter extends AdapterOfKind<"prompt-tuning"> {
  /** `prompt_embeddings` (virtual tokens, D). */
  readonly tensors: ReadonlyMap<string, HostTensor<"float32">>;
}

export type Adapter = LoraAdapter | PromptTuningAdapter;

export interface Head {
  readonly kind: HeadKind;
  /**
   * linear: `weight` (C, D), `bias` (C). cosine: `weight` (C, D), `scale` (1).
   * dense, dense-relu, dense-gelu: `dense.weight` (D, D), `dense.bias` (D), `weight` (C, D), `bias` (C).
   * dense-gelu-norm: `dense.weight` (D, D), `norm.weight` (D), `weight` (C, D), `bias` (C).
   */
  readonly tensors: ReadonlyMap<string, HostTensor<"float32">>;
}

/** An adapter with all that is needed to predict with it on the backbone it was trained on. */
export interface SavedAdapter {
  readonly adapter: Adapter;
  readonly head?: Head;
  /** Present where the adapter answers in words: it was trained with the model's own language-modelling head. */
  readonly causal?: true;
  /** What a configuration calls `prompt`; absent where texts went in as they are, or nobody says. */
  readonly prompt?: string;
  /** Present where the head classifies every token's last hidden state; no pooling is read then. */
  readonly level?: "word";
  /** One a head slot, in slot order; what an adapter that answers in words can answer. */
  readonly labels: readonly string[];
  readonly pooling: Pooling;
  readonly normalize: boolean;
  /** Absent where an adapter made elsewhere does not say. */
  readonly architecture?: Architecture;
  /** The backbone's layers and their attention heads, which peft notes with a prompt; absent where not known. */
  readonly depth?: { readonly layers: number; readonly heads: number };
  /** Path or hub id of the backbone, as the user named it. */
  readonly baseModel: string;
  /** Hashes of the model folder and of tokenizer.json; empty where an adapter made elsewhere does not say. */
  readonly backboneHash: string;
  readonly tokenizerHash: string;
  /** The version of Accrete that trained it; absent where something else did. */
  readonly accreteVersion?: string;
}
