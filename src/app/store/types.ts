import type { Example, LabelledExample } from "../../data/types.ts";
import type { FitEvent } from "../../train/trainer.ts";
import type { Override } from "../overrides.ts";
import type { StoreConfig } from "./settings.ts";

/** How a long call goes on. */
export type StoreEvent =
  | {
      readonly type: "started";
      readonly task: string;
      readonly labels: readonly string[];
      readonly trainExamples: number;
      readonly validationExamples: number;
      /** Optimisation steps at most; 0 where statistics alone are learned. */
      readonly totalSteps: number;
    }
  | FitEvent
  /** So many texts have given their features. */
  | { readonly type: "features"; readonly texts: number; readonly totalTexts: number }
  /** What the reader should know, one sentence. */
  | { readonly type: "note"; readonly message: string };

export interface StoreOptions {
  /** Begins a store with these settings where the folder has none. */
  readonly create?: StoreConfig;
  /** With `create`: settings that beat it, as `--set` gives them. */
  readonly overrides?: readonly Override[];
  /** Where the backbone lies now; its hash must be the one that the store names. */
  readonly backbone?: string;
  readonly onEvent?: (event: StoreEvent) => void;
  readonly signal?: AbortSignal;
}

export interface ChangeOptions {
  readonly onEvent?: (event: StoreEvent) => void;
  readonly signal?: AbortSignal;
}

/** A task for a store to learn. */
export interface TaskForStore {
  readonly name: string;
  readonly train: readonly LabelledExample[];
  /**
   * For early stopping, and to choose the router's settings by; default: a tenth of every class of `train`, which is then
   * not learned from. None: `[]`.
   */
  readonly validation?: readonly LabelledExample[];
  /** In slot order; default: by first appearance in `train`. */
  readonly labels?: readonly string[];
}

export interface LearnOptions extends ChangeOptions {
  /** Trains no adapter: seconds. The classes are told apart from frozen features. */
  readonly statisticsOnly?: boolean;
}

export interface LearnClassOptions extends ChangeOptions {
  /** The task that the class joins; default: the one that has it, else one of the class's own name. */
  readonly task?: string;
}

export interface StoreChange {
  /** The version that the change made. */
  readonly version: number;
}

export interface LearnedInStore extends StoreChange {
  readonly task: string;
  readonly labels: readonly string[];
  readonly seconds: number;
  /** The adapter's identity: SHA-256 over its files, hex; without an adapter, over the statistics. */
  readonly adapter: string;
  /** Mean loss over the last epoch; absent where nothing was trained. */
  readonly loss?: number;
  /** Texts that were cut at the maximal length. */
  readonly truncatedTexts: number;
  /** Bytes of feature rows that are kept of the task. */
  readonly statisticsBytes: number;
}

/** What is to be forgotten: a class wherever it was learned, or a task with its adapter. */
export type ForgetTarget = { readonly class: string } | { readonly task: string };

export interface MergeOptions {
  /** What messages call the store that takes the other in; default: its folder. */
  readonly called?: string;
  readonly signal?: AbortSignal;
}

export interface ForgetOptions {
  readonly signal?: AbortSignal;
  /** Deletes the versions before as well, which still hold it; there is no way back then. */
  readonly purge?: boolean;
}

export interface Forgotten extends StoreChange {
  /** Classes that the store knows no more. */
  readonly classes: readonly string[];
  /** Feature rows that left the statistics. */
  readonly rows: number;
  /** Tasks that are gone. */
  readonly deletedTasks: readonly string[];
  /** Those of them that had an adapter, which is gone too. */
  readonly deletedAdapters: readonly string[];
  /** Tasks whose adapters stay and saw the class in training; their heads have no slot for it any more. */
  readonly adaptersThatSaw: readonly string[];
  /** Files at the top of the folder with weights fitted to it, deleted. */
  readonly deletedFiles: readonly string[];
  /** Earlier versions that are kept and can be gone back to. */
  readonly keptVersions: readonly number[];
  /** With a purge: files of texts' states that were deleted from the system's folder for caches; else 0. */
  readonly deletedStates: number;
  /** Files of the experiment that the store began as, which stay and may name it. */
  readonly recordFiles: readonly string[];
}

/** What is gone for good. */
export interface Purged {
  /** The present version, which is the only one now. */
  readonly version: number;
  readonly deletedVersions: readonly number[];
  /** Files of texts' states that were deleted from the system's folder for caches. */
  readonly deletedStates: number;
  /** Files of the experiment that the store began as, which stay and may name what was forgotten. */
  readonly recordFiles: readonly string[];
}

export interface Merged extends StoreChange {
  /** Tasks that came from the other store, under the names that they have here. */
  readonly tasks: readonly { readonly name: string; readonly was: string }[];
}

/** A task as a store lists it. */
export interface StoreTaskInfo {
  readonly name: string;
  readonly labels: readonly string[];
  /** `adapter`: has an adapter and a head; `statistics`: only feature rows. */
  readonly kind: "adapter" | "statistics";
  /** Feature rows that were counted; 0 where an experiment without a router learned the task. */
  readonly rows: number;
  /** Of the rows that are kept of it. */
  readonly statisticsBytes: number;
  readonly folder: string;
  readonly id: string;
  /** Classes that its adapter saw and the store has forgotten. */
  readonly forgotten: number;
}

/** A class as a store lists it. */
export interface StoreClassInfo {
  readonly label: string;
  /** Those that have learned it. */
  readonly tasks: readonly string[];
  /** Feature rows that were counted of it. */
  readonly rows: number;
  /** Of its rows that are kept. */
  readonly statisticsBytes: number;
}

export interface StoreVersionInfo {
  readonly version: number;
  readonly change: string;
  /** ISO 8601 in UTC; absent for the experiment that a store began as. */
  readonly time?: string;
}

export interface StoreInfo {
  readonly folder: string;
  readonly version: number;
  readonly backbone: { readonly source: string; readonly hash: string };
  readonly classes: number;
  readonly tasks: readonly StoreTaskInfo[];
  /** Sorted by code unit. */
  readonly perClass: readonly StoreClassInfo[];
  readonly statisticsBytes: number;
  /** The present version and those before it that are kept, newest first. */
  readonly versions: readonly StoreVersionInfo[];
}

export type StoreText = string | Example;
