/** What changes and answers of a teachable are asked with, and what changes give. */
import type { PredictOptions } from "../continual/answers.ts";
import type { RouterFitting } from "../core/record.ts";
import type { AdapterGain, LearnEvent } from "./continualModel.ts";
import type { Forgotten as ForgottenState } from "./forgetting.ts";

/** A note is what the reader should know, one sentence. */
export type ChangeEvent = LearnEvent | { readonly type: "note"; readonly message: string };

/** How a change is watched and stopped. */
export interface ChangeOptions {
  /** Hears how a change goes on. */
  readonly onEvent?: ((event: ChangeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a task is learned. */
export interface LearnOptions extends ChangeOptions {
  /** Trains no adapter: seconds. The classes are told apart from frozen features. */
  readonly statisticsOnly?: boolean | undefined;
}

/** How a class is taught. */
export interface LearnClassOptions extends ChangeOptions {
  /** The task that the class joins; default: the one that has it, else one of the class's own name. */
  readonly task?: string | undefined;
}

/** What a change left. */
export interface Change {
  /** The version that the change made. */
  readonly version: number;
}

/** What learning left. */
export interface LearnedSummary extends Change {
  readonly task: string;
  /** In slot order; of words tags. */
  readonly labels: readonly string[];
  /** Labels, of words entity types. */
  readonly classes: readonly string[];
  readonly seconds: number;
  /** The adapter's identity: SHA-256 over its files, hex; without an adapter, over the statistics. */
  readonly adapter: string;
  /** Mean loss over the last epoch; absent where nothing was trained. */
  readonly loss?: number;
  /** What the adapter gains on held-out texts; absent where none was trained, or none is held out. */
  readonly gain?: AdapterGain;
  /** Texts that were cut at the maximal length. */
  readonly truncatedTexts: number;
  /** Bytes of feature rows that are kept of the task. */
  readonly statisticsBytes: number;
}

/** What corrections left. */
export interface Corrected extends Change {
  /** Each class that was given texts, with the task that keeps them. */
  readonly classes: readonly { readonly label: string; readonly task: string; readonly texts: number }[];
}

/** What merging took over. */
export interface Merged extends Change {
  /** Tasks that came from the other one, under the names that they have here. */
  readonly tasks: readonly { readonly name: string; readonly was: string }[];
}

/** What forgetting took out. */
export type Forgotten = Omit<ForgottenState, "state"> & Change;

export interface AnswerOptions extends PredictOptions {
  /** Told what a router's fit is at, where one must be fitted before it can answer. */
  readonly onFitting?: ((progress: RouterFitting) => void) | undefined;
}

export interface EntityOptions extends AnswerOptions {
  /** Entities of a lower score are left out; default: 0. */
  readonly minScore?: number | undefined;
}

/** How consolidating is watched and stopped. */
export interface ConsolidateOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told what the fit is at. */
  readonly onFitting?: ((progress: RouterFitting) => void) | undefined;
}
