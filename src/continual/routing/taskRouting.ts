/** What chooses among tasks, whatever the task type: it keeps something of every task, is fitted to that, and answers. */
import type { OutOfScopeMetrics, RouterFitting, RouterSummary } from "../../core/record.ts";
import type { FitWatch } from "../routers/fit.ts";
import type { KeptContribution } from "../statistics/statistics.ts";
import type { AnswerOptions, EncodedItems, RoutedItem, TaskToLearn } from "../taskTypes/taskType.ts";
import type { FeatureConstants, LearnedTask, RouterStage } from "../types.ts";
import type { CrossCheck } from "./crossCheck.ts";
import type { TagCounts } from "./tagCounts.ts";

/** What routers on statistics keep of a task: rows of features, never text. */
export interface TaskRows {
  readonly constants: FeatureConstants;
  /** Each once. */
  readonly contributions: readonly KeptContribution[];
  /** Where words are tagged. */
  readonly tags?: TagCounts;
}

/** A task among which items are routed. */
export interface RoutedTask {
  readonly name: string;
  /** In the slot order of its head, where it has one. */
  readonly labels: readonly string[];
  /** Absent: its classes are told apart by statistics alone. */
  readonly learned?: LearnedTask;
  /** Absent where the task was learned without a router. */
  readonly rows?: TaskRows;
}

export interface CollectWatch extends FitWatch {
  /** Hears how many items have given their rows. */
  readonly onItems?: ((items: number) => void) | undefined;
}

/** The name of a file → its bytes; undefined where it is not there. */
export type ReadFile = (name: string) => Promise<Uint8Array | undefined>;

/** Holds native memory: dispose of it. */
export interface TaskRouting<E extends EncodedItems, R> extends AsyncDisposable {
  /**
   * What is kept of a task.
   * @param learned the task with its adapter, where one was trained
   * @param known tasks learned before it
   */
  collect(
    task: TaskToLearn,
    train: E,
    validation: E,
    learned: LearnedTask | undefined,
    known: readonly RoutedTask[],
    watch?: CollectWatch,
  ): Promise<TaskRows>;
  /**
   * How often frozen features are right on a task's held-out rows, among the task's own classes; undefined without any.
   * Absent where they tell no classes.
   */
  frozenAccuracy?(rows: TaskRows, signal?: AbortSignal): Promise<number | undefined>;
  /**
   * What every kept row is answered with by a fit without it; undefined where no class has two rows. Absent where what is kept
   * tells no classes.
   */
  crossCheck?(tasks: readonly RoutedTask[], signal?: AbortSignal): Promise<CrossCheck | undefined>;
  /** Whether another kind of router takes over from the immediate one. */
  consolidates(tasks: readonly RoutedTask[]): boolean;
  /** What routes among the tasks: a function of what is kept of them. */
  fit(tasks: readonly RoutedTask[], stage: RouterStage, watch?: FitWatch): Promise<R>;
  /** @returns one an item; other items of the call change no answer */
  route(
    routing: R,
    tasks: readonly RoutedTask[],
    encoded: E,
    options?: AnswerOptions,
  ): Promise<readonly RoutedItem[]>;
  /**
   * How well items of no known class are told from test items; absent where there is no such thing.
   * @param answered the routed answers of each test set
   */
  measureRejection?(
    routing: R,
    tests: readonly E[],
    answered: readonly (readonly RoutedItem[])[],
    outside: E,
    signal?: AbortSignal,
  ): Promise<OutOfScopeMetrics>;
  /** Whose adapter continues each text, as it is given; absent where no text is generated. */
  chooseTasks?(
    routing: R,
    tasks: readonly RoutedTask[],
    texts: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly (number | undefined)[]>;
  summarize(routing: R): RouterSummary | undefined;
  /** The files that answer without the statistics, by name. */
  encode(
    routing: R,
    tasks: readonly RoutedTask[],
    watch?: FitWatch,
  ): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Files that the fit of a next state goes on from, by name: no answer hangs on them. */
  encodeTotals?(): ReadonlyMap<string, Uint8Array>;
  /** The inverse of `encodeTotals`, where the files are of these tasks. */
  restoreTotals?(tasks: readonly RoutedTask[], read: ReadFile): Promise<void>;
  /** The inverse of `encode`; undefined where the files are missing, damaged, or of other tasks. */
  open(tasks: readonly RoutedTask[], stage: RouterStage, read: ReadFile): Promise<R | undefined>;
}

export type { RouterFitting };
