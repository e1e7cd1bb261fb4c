// Dimensions: n texts, F routing features, C classes.
/** What the parts of routing agree on: statistics are learned from, routers are fitted to them, and texts routed. */
import type { FeatureRows } from "../adaptedBackbone.ts";

/** The closed forms, what is trained on the rows that are kept, and a fixed mixture of them. */
export const routerKinds = ["nearest-mean", "lda", "ranpac", "softmax", "network", "ensemble"] as const;
export type RouterKind = (typeof routerKinds)[number];

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
