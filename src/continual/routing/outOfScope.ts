// Dimensions: n texts, F routing features.
/** Scores that tell texts of no known class. */
import type { FeatureRows } from "../adaptedBackbone.ts";
import type { FittedRouter } from "./fit.ts";

/** Larger scores are less like the known classes. */
export interface OutOfScopeDetector {
  /** Scores above it are "unknown". */
  readonly threshold: number;
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  readonly falseRejectRate: number;
  /** @param features (n, F) @returns (n), each text's independent of the others' */
  score(features: FeatureRows, signal?: AbortSignal): Promise<Float64Array>;
}

export interface OutOfScopeOptions {
  /** Default 0.05. */
  readonly falseRejectRate?: number;
  /** Adds its evidence; without it the statistics' distances alone speak. */
  readonly router?: FittedRouter;
  readonly signal?: AbortSignal;
}
