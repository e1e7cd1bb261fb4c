// Dimensions: n texts, F routing features, C classes.
/** Plain types and tiny helpers that every part of continual learning shares; this file imports no other of them. */
import type { OneOf } from "../core/registry.ts";
import type { Tokenizer } from "../data/encoding/tokenizer.ts";
import type { ModelFolder } from "../io/models/modelFolder.ts";
import type { Backbone } from "../nn/backbone.ts";
import type { TrainableState } from "../train/trainer.ts";

/** What learning a task leaves: the values of its adapter and head, and its labels in slot order. */
export interface LearnedTask extends TrainableState {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Logits of n texts, or of a text's n tokens, over one head's C slots, row-major (n, C). */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
  readonly values: Float32Array;
}

/** Vectors of n texts, row-major (n, width). */
export interface FeatureRows {
  readonly rows: number;
  readonly width: number;
  readonly values: Float32Array;
}

/** What a forward pass of texts through a task's adapter and head gives. */
export interface TaskOutputs {
  readonly logits: Logits;
  /** What the head reads: (n, D). */
  readonly features: FeatureRows;
}

export function rowOf(logits: Logits, row: number): Float32Array {
  return logits.values.subarray(row * logits.classes, (row + 1) * logits.classes);
}

/** The slot of the largest logit of a row; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** A backbone with its tokenizer and where both came from. */
export interface LoadedBackbone {
  readonly folder: ModelFolder;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
}

/** The closed forms, what is trained on the rows that are kept, and a fixed mixture of them. */
export const routerKinds = [
  "nearest-mean",
  "lda",
  "kernel-discriminant",
  "stacking",
  "ranpac",
  "softmax",
  "network",
  "ensemble",
] as const;
export type BuiltInRouterKind = (typeof routerKinds)[number];
/** Built in, or registered by an extension. */
export type RouterKind = OneOf<BuiltInRouterKind>;

/**
 * `immediate`: closed form, fitted as part of the change that makes a state. `consolidated`: fitted to the same state
 * afterwards; it takes over when it stands.
 */
export const routerStages = ["immediate", "consolidated"] as const;
export type RouterStage = (typeof routerStages)[number];

/** What makes a text's routing feature: constants of the backbone, never of the tasks seen. */
export interface RoutingFeatureSpec {
  /** Hidden states whose pooled vectors are concatenated, 0 the embeddings', each brought to length 1. */
  readonly layers: readonly number[];
}

/**
 * Everything that shapes a feature and what is drawn from it. Statistics with other constants cannot be added: a merge
 * or a fit refuses them.
 */
export interface FeatureConstants {
  /** Hash of what computes the features: backbone, tokenizer, pooling, prompt. */
  readonly backbone: string;
  readonly layers: readonly number[];
  /** F: the widths of all layers together, each layer's part as wide as the others'. */
  readonly width: number;
  /** Of the random projections. */
  readonly seed: number;
  /** Of words: hash of the first task's adapter, where features are read through it. */
  readonly featureAdapter?: string;
}

/**
 * When a router of sentences asks adapters: of no text, of those of which the first pass is not sure, or of all. The first
 * is the default.
 */
export const secondPasses = ["off", "unsure", "always"] as const;
export type SecondPass = (typeof secondPasses)[number];

/** When a router of words asks adapters: as it does best on validation sentences, about every sentence, or never. */
export const wordSecondPasses = ["auto", "always", "off"] as const;
export type WordSecondPass = (typeof wordSecondPasses)[number];

/** Whose adapter features are read through: the first task's, or none. */
export type FeatureAdapter = "first" | "none";

/** Features rounded once to fixed point: value · 2^15 as int16, row-major (n, F). Sums of products are exact. */
export interface FixedRows {
  readonly rows: number;
  readonly width: number;
  readonly values: Int16Array;
}

/** Log-probabilities of n texts over C classes, row-major (n, C); the exponentials of a row sum to 1. */
export interface Posterior {
  readonly rows: number;
  readonly classes: number;
  readonly values: Float64Array;
}

/**
 * Says which class a text belongs to from its frozen feature alone. It never sees a task, so a class-incremental result
 * cannot peek: whoever needs the task sums over the classes of each.
 */
export interface Router {
  readonly kind: RouterKind;
  /** In the order of the posterior's columns, which is the canonical one: sorted by code unit. */
  readonly labels: readonly string[];
  /** @param features (n, F) @returns calibrated log-posteriors (n, C), each text's independent of the others' */
  posterior(features: FeatureRows, signal?: AbortSignal): Promise<Posterior>;
}
