import type { RouterFitting, RunLevel } from "../core/record.ts";
import type { Example } from "../data/types.ts";
import type { Pooling } from "../nn/features.ts";

export interface RunOptions {
  /** Go on where an interrupted run stopped, instead of refusing a folder that is not empty. */
  readonly resume?: boolean;
  /**
   * Folder of a finished run of the same data, backbone, method, head, training and seed, whose adapters are taken in
   * place of training: another router or `newlora-frozen` selector is measured without learning the tasks again.
   */
  readonly adaptersFrom?: string;
  readonly signal?: AbortSignal;
}

export interface ScoredLabel {
  readonly label: string;
  /** Softmax over the classes in play, in [0, 1]. */
  readonly score: number;
}

export interface Prediction extends Omit<ScoredLabel, "label"> {
  readonly text: string;
  /** Null where the text is taken to be of no known class; only a run with `router.rejectRate` answers so. */
  readonly label: string | null;
  /** Set with `label: null`. */
  readonly unknown?: true;
  /** The task of the likeliest class: the one whose head gave the label. */
  readonly task: string;
  /** The best classes, best first; `top[0]` is the prediction, or what comes nearest to a text of no known class. */
  readonly top: readonly ScoredLabel[];
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
}

export interface PredictOptions {
  /** Use this task's own head (task-incremental) instead of all heads together. */
  readonly task?: string;
  /** Run every adapter and put all heads side by side, where a router was learned too. */
  readonly exact?: boolean;
  /** How many classes `Prediction.top` holds at most. */
  readonly top?: number;
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
  /** Told what a router's fit is at, where one must be fitted before it can answer. */
  readonly onFitting?: (progress: RouterFitting) => void;
}

/** An entity in a text. */
export interface FoundEntity {
  readonly type: string;
  /** The mean over its words of the probability of their tags, in [0, 1]. */
  readonly score: number;
  /** `text.slice(start, end)`. */
  readonly word: string;
  /** Places in the text, in UTF-16 code units as JavaScript counts. */
  readonly start: number;
  readonly end: number;
}

export interface TaggedText {
  /** As it was given; words that came split, joined by one space. */
  readonly text: string;
  /** In the order of the text. */
  readonly entities: readonly FoundEntity[];
  /** Forward passes of the backbone that this text cost. */
  readonly passes: number;
}

export type EntityOptions = Pick<PredictOptions, "task" | "exact" | "signal">;

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
  /** What was learned: labels of texts (`predict`), or entities in them (`findEntities`). */
  readonly level: RunLevel;
  readonly tasks: readonly { readonly name: string; readonly labels: readonly string[] }[];
  /** @throws StoreError if words were learned */
  predict(examples: readonly Example[], options?: PredictOptions): Promise<Prediction[]>;
  /**
   * Texts are split at white space; `words` of an example are taken as they are.
   * @throws StoreError if labels of texts were learned
   */
  findEntities(examples: readonly Example[], options?: EntityOptions): Promise<TaggedText[]>;
}
