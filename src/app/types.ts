import type { Example } from "../data/types.ts";
import type { Pooling } from "../nn/features.ts";

export interface RunOptions {
  /** Go on where an interrupted run stopped, instead of refusing a folder that is not empty. */
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
}

export interface ScoredLabel {
  readonly label: string;
  /** Softmax over the classes in play, in [0, 1]. */
  readonly score: number;
}

export interface Prediction extends ScoredLabel {
  readonly text: string;
  /** The task whose head gave the label. */
  readonly task: string;
  /** The best classes, best first; `top[0]` is the prediction itself. */
  readonly top: readonly ScoredLabel[];
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
}

export interface PredictOptions {
  /** Use this task's own head (task-incremental) instead of all heads together. */
  readonly task?: string;
  /** How many classes `Prediction.top` holds at most. */
  readonly top?: number;
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

export interface OpenRunOptions {
  /** Where the backbone lies now; its hash must be the one that the run names. */
  readonly backbone?: string;
  readonly signal?: AbortSignal;
}

export interface LoadAdapterOptions {
  /** Folder or hub id of the backbone; default: the one that the adapter names. */
  readonly backbone?: string;
  /** What the task is to be called; default: the folder's name. */
  readonly name?: string;
  /** How the head's sentence vector is made, where the adapter does not say: a head beside it, made elsewhere. */
  readonly pooling?: Pooling;
  readonly normalize?: boolean;
  /** Tokens a text may have; default: as many as the backbone takes. */
  readonly maxLength?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/** A predictor with a single task. */
export interface LoadedAdapter extends Predictor {
  /** What a user should know but need not act on, such as an origin that cannot be checked. */
  readonly notes: readonly string[];
}

export interface Predictor extends AsyncDisposable {
  readonly tasks: readonly { readonly name: string; readonly labels: readonly string[] }[];
  predict(examples: readonly Example[], options?: PredictOptions): Promise<Prediction[]>;
}
