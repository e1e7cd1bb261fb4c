/**
 * The one place that learns and answers: a frozen backbone with a task type and what routes among tasks. It keeps no state
 * of its own; every call is given what was learned so far.
 */

import type { Answer, PredictOptions } from "../continual/answers.ts";
import type { FitWatch } from "../continual/routers/fit.ts";
import type { CrossCheck } from "../continual/routing/crossCheck.ts";
import type { ReadFile } from "../continual/routing/taskRouting.ts";
import type { Item, NewTask, TaskToLearn, TaskType } from "../continual/taskTypes/taskType.ts";
import type { FeatureRows, LearnedTask, LoadedBackbone, RouterStage } from "../continual/types.ts";
import type { RouterFitting, RouterSummary } from "../core/record.ts";
import type { FeatureSpec } from "../nn/features.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { FitEvent } from "../train/trainer.ts";
import type { EvaluatorOptions, RunEvaluator } from "./evaluator.ts";
import type { ModelSettings } from "./settings/settings.ts";
import type { ModelState, TaskState } from "./state.ts";

/** How a long call goes on. */
export type LearnEvent =
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
  /** So many items have given their features. */
  | { readonly type: "features"; readonly texts: number; readonly totalTexts: number }
  | ({ readonly type: "router-fitting" } & RouterFitting);

export interface LearnTaskOptions {
  /** The task was checked when its stream was loaded. */
  readonly checked?: boolean | undefined;
  /** Trains no adapter: seconds. The classes are told apart from frozen features. */
  readonly statisticsOnly?: boolean | undefined;
  /** Taken in place of training one; with `rows` also in place of reading what a router keeps of the task. */
  readonly adapter?:
    | { readonly saved: SavedAdapter; readonly where: string; readonly rows?: TaskState["rows"] }
    | undefined;
  /** Measures what the adapter gains on the held-out items. */
  readonly measureGain?: boolean | undefined;
  /** Measures the adapter on the held-out items. */
  readonly validate?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As transformers generates where it is not told. */
export const DEFAULT_NEW_TOKENS = 20;

/** How texts are continued. */
export interface GenerateOptions {
  /** The task whose adapter continues the texts; default: the router's choice, without one the newest. */
  readonly task?: string | undefined;
  /** The newest task's adapter, where a router was fitted too. */
  readonly exact?: boolean | undefined;
  /** Default 20. */
  readonly maxNewTokens?: number | undefined;
  /** Told what comes after a prompt so far, whenever a token was added. */
  readonly onText?: ((prompt: number, text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was generated after a text. */
export interface Completion {
  /** What comes after the text, without it. */
  readonly completion: string;
  /** Tokens that it has. */
  readonly tokens: number;
  /** The task whose adapter generated it; absent for a bare model. */
  readonly task?: string;
}

/** What a task's held-out items say of its adapter, each chosen among the task's own labels. */
export interface AdapterGain {
  readonly heldOut: number;
  /** Share that is right by the adapter and its head. */
  readonly adapter: number;
  /** Share that is right by frozen features alone. */
  readonly frozen: number;
}

/** What learning gives: the next state, and what is told of it. */
export interface Learned {
  readonly state: ModelState;
  readonly task: TaskState;
  readonly truncatedTexts: number;
  readonly stoppedEarly: boolean;
  /** Mean loss over the last epoch; absent where nothing was trained. */
  readonly loss?: number;
  /** Share of held-out items that are right, at word level micro F1, where it was asked for and there are any. */
  readonly validationAccuracy?: number;
  /** Where it was asked for; absent without held-out items, or where frozen features tell no classes. */
  readonly gain?: AdapterGain;
}

/** What answers for a state, fitted. */
export interface StateRouter {
  readonly stage: RouterStage;
  /** Absent where NewLoRA's network routes. */
  readonly summary: RouterSummary | undefined;
  /** The files that answer without the statistics, by name. */
  files(watch?: FitWatch): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Files that the fit of a next state goes on from, by name: no answer hangs on them. */
  totals(): ReadonlyMap<string, Uint8Array>;
}

export interface ModelPredictOptions extends PredictOptions {
  /** Gives the router of the state, where one is needed. */
  readonly router?: (() => Promise<StateRouter | undefined>) | undefined;
}

/** A model without what its task type is made of. Holds native memory: dispose of it. */
export interface ContinualModel extends AsyncDisposable {
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  readonly type: TaskType;
  /** Whether something routes among tasks. */
  readonly routes: boolean;
  /** Whether what routes reads every adapter's outputs on every text. */
  readonly routesByAdapters: boolean;
  /** How a text's vector is made; a formality where none is read. */
  readonly feature: FeatureSpec;
  /** Whether statistics of classes are kept, so that a class can be learned without training. */
  readonly keepsStatistics: boolean;
  /** Why learned classes cannot be taken out again, or joined with another model's; undefined where they can. */
  readonly entangled: string | undefined;
  /** @throws DataError or StoreError if the task cannot be learned */
  check(state: ModelState, task: NewTask): TaskToLearn;
  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number;
  /** The task with a tenth of every class of `train` held out, where it brings no validation data. */
  withValidation(task: NewTask): NewTask;
  learn(state: ModelState, task: NewTask, options?: LearnTaskOptions): AsyncGenerator<LearnEvent, Learned>;
  /** Learns a class from a few items, without training. @param task that it joins */
  learnClass(
    state: ModelState,
    label: string,
    items: readonly Item[],
    options?: { readonly task?: string | undefined; readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<LearnEvent, Learned>;
  /** Learns what texts of none of the classes look like, so that they are better told as unknown. */
  learnOutside(
    state: ModelState,
    items: readonly Item[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<LearnEvent, Learned>;
  /** A task before it is learned: the adapter that it begins with. */
  untrained(task: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask>;
  restore(name: string, saved: SavedAdapter, where: string): LearnedTask;
  /** The stages of a state's router, in the order in which they answer; none where nothing routes among its tasks. */
  routerStages(state: ModelState): readonly RouterStage[];
  /**
   * A router of a state: a function of it.
   * @param stage a state whose router has a single stage gets that one
   * @returns undefined where nothing routes among its tasks
   */
  fitRouter(state: ModelState, stage: RouterStage, watch?: FitWatch): Promise<StateRouter | undefined>;
  /** The router of a state as its files say; undefined where they are missing, damaged, or of another state. */
  openRouter(state: ModelState, stage: RouterStage, read: ReadFile): Promise<StateRouter | undefined>;
  /** Goes on from the `totals` of a state's router, so that a fit of the next one counts only what is new. */
  restoreTotals(state: ModelState, read: ReadFile): Promise<void>;
  /** The latest stage of a state's router that was fitted or opened. */
  bestRouter(state: ModelState): StateRouter | undefined;
  /** @returns one an item, in their order */
  predict(
    state: ModelState,
    items: readonly Item[],
    options?: ModelPredictOptions,
  ): Promise<readonly Answer[]>;
  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows>;
  /**
   * Continues texts as they are given, by the adapter of the router's choice, of `task`, or with `exact` of the newest task.
   * @throws ConfigError unless the model generates text
   */
  generate(
    state: ModelState,
    texts: readonly string[],
    options?: GenerateOptions & Pick<ModelPredictOptions, "router">,
  ): Promise<readonly Completion[]>;
  /** What every kept row is answered with by a fit without it; undefined where nothing of the kind is kept. */
  crossCheck(state: ModelState, signal?: AbortSignal): Promise<CrossCheck | undefined>;
  openEvaluator(options?: EvaluatorOptions): RunEvaluator;
}
