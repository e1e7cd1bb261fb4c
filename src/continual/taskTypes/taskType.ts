/**
 * What a task type has to say: how its items are checked, encoded and trained on, and how answers are made and scored.
 * Shared code asks this protocol and never which type it is.
 */

import type { Rng } from "../../core/random.ts";
import type { RunEventBody, TypeScore, UnseenRow } from "../../core/record.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { TaggedSentence } from "../../data/files/tags.ts";
import type { Example, LabelledExample } from "../../data/files/types.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import type { Answer, FoundEntity } from "../answers.ts";
import type { TrainedModel } from "../passes/trainedModel.ts";
import type { FeatureRows, LearnedTask } from "../types.ts";
import type { TaskData } from "./taskTrainer.ts";

/** Hugging Face's names. */
export const taskTypeNames = ["text-classification", "token-classification", "text-generation"] as const;
/** What a model does: labels texts, finds entities, or answers in words. */
export type TaskTypeName = (typeof taskTypeNames)[number];

/** Something to answer, with its label or tags where it is learned from or evaluated on. */
export type Item = Example | LabelledExample | TaggedSentence;

/** A task as a caller gives it. */
export interface NewTask {
  readonly name: string;
  /** `{ text, label }` each; for token classification `{ words, tags }`. */
  readonly train: readonly Item[];
  /** For early stopping, and to choose the settings of a router. */
  readonly validation?: readonly Item[] | undefined;
  /** In slot order; default: by first appearance in `train`. */
  readonly labels?: readonly string[] | undefined;
  /** For token classification: the entity types to learn; tags of others count as `O`. Default: every type in `train`. */
  readonly types?: readonly string[] | undefined;
}

/** A task that was checked. */
export interface TaskToLearn {
  readonly name: string;
  /** In slot order; for token classification `B-x` and `I-x` of each type, without `O`. */
  readonly labels: readonly string[];
  readonly train: readonly Item[];
  readonly validation: readonly Item[];
}

/** Items as the model reads them. */
export interface EncodedItems {
  readonly items: readonly Item[];
  readonly encodings: readonly Encoding[];
  /** Items that were cut at the maximal length. */
  readonly truncated: number;
  /** Words that were cut off, where words are tagged. */
  readonly cutWords?: number;
}

export interface EncodeOptions {
  /** Names the items in messages; default `text`. */
  readonly what?: string;
  /**
   * Keeps what passes over these items give, so that a test set that is asked again after every task runs each adapter
   * once: an adapter never changes.
   */
  readonly keep?: boolean;
}

export interface AnswerOptions {
  /** The place among the tasks of the one that answers alone (task-incremental). */
  readonly only?: number | undefined;
  /** Labels that an answer lists at most. */
  readonly top?: number | undefined;
  /** Asks for a set of labels that contains the right one with this probability. */
  readonly coverage?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer of a router, with what evaluation asks of it besides. */
export interface RoutedItem {
  readonly answer: Answer;
  /** The place of the task that was chosen. */
  readonly task: number | undefined;
  /** The answer after the first pass alone; absent where there is no such thing. */
  readonly first?: Answer;
  /** Adapters that a second pass asked; absent where there is none by its nature. */
  readonly asked?: number;
}

/** The answers of all protocols after learning a task, by test set in the order of learning. */
export interface AnsweredTests {
  /** Tasks learned so far, with their test items. */
  readonly tasks: readonly TestedTask[];
  /** By task, on its own test set by its own adapter. */
  readonly til: readonly (readonly Answer[])[];
  readonly cil: readonly (readonly Answer[])[];
  readonly routed?: readonly (readonly RoutedItem[])[] | undefined;
}

export interface TestedTask {
  readonly name: string;
  readonly labels: readonly string[];
  readonly types?: readonly string[];
  readonly test: readonly Item[];
}

export interface ContinueOptions {
  readonly maxNewTokens: number;
  /** Told what comes after a text so far, whenever a token was added. */
  readonly onText?: ((text: number, completion: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ContinuedText {
  /** What comes after the text, without it. */
  readonly completion: string;
  /** Tokens that it has. */
  readonly tokens: number;
}

/** One row of the record: what was measured after learning a task. */
export type Evaluation = Extract<RunEventBody, { readonly type: "evaluated" | "words-evaluated" }>;

type Unplaced<E> = E extends Evaluation ? Omit<E, "task" | "seconds"> : never;
export type EvaluationFigures = Unplaced<Evaluation>;

/** How well labelled items are answered, all of them together. */
export type LabelledFigures =
  | {
      /** Share of items whose label was found. */
      readonly accuracy: number;
      readonly items: number;
      /** Of the items of each label: how many there are, and the share that was found. */
      readonly perClass: Readonly<Record<string, { readonly accuracy: number; readonly items: number }>>;
    }
  | {
      readonly microF1: number;
      readonly macroF1?: number;
      readonly items: number;
      readonly perType: Readonly<Record<string, TypeScore>>;
    };

/** What was expected of an item, and what was answered. */
export type PredictionLine =
  | { readonly gold: string; readonly label: string | null; readonly score: number }
  | {
      readonly goldEntities: readonly Omit<FoundEntity, "score">[];
      readonly entities: readonly FoundEntity[];
    };

/** A task type on a frozen backbone. Holds native memory: dispose of it. */
export interface TaskType<E extends EncodedItems = EncodedItems> extends AsyncDisposable {
  readonly name: TaskTypeName;
  /** What adapters are trained on. */
  readonly trained: TrainedModel;
  /** Whether all tasks are tested on the same items. */
  readonly sharesTest: boolean;
  /**
   * @param known tasks learned so far
   * @throws DataError if the task cannot be learned from
   */
  check(task: NewTask, known: readonly Pick<LearnedTask, "name" | "labels">[], least?: number): TaskToLearn;
  /** Holds a part of every class, or of all sentences, out of a task's items. */
  splitValidation(
    train: NewTask["train"],
    fraction: number,
    rng: Rng,
  ): { readonly train: NewTask["train"]; readonly validation: NewTask["train"] };
  /** The slots of the head that the task gets. */
  headLabels(task: Pick<TaskToLearn, "labels">, known: readonly unknown[]): readonly string[];
  /** The labels that a head's slots stand for, without `O`. */
  ownLabels(labels: readonly string[]): readonly string[];
  /** The labels that a class has: itself; of an entity type `B-x` and `I-x`. */
  labelsOfClass(name: string): readonly string[];
  /** The classes that a user would name: labels; of tags the entity types. */
  classNames(labels: readonly string[]): readonly string[];
  /** Every label that may be an answer; a longer one leaves texts less room where labels are generated. */
  expectLabels(labels: readonly string[]): void;
  /** @throws DataError naming the item (counted from 1) that cannot be put before the model */
  encode(items: readonly Item[], options?: EncodeOptions): E;
  /** @param known tasks learned so far, in order */
  trainingData(
    task: TaskToLearn,
    train: E,
    validation: E,
    known: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<TaskData>;
  /**
   * Exact answers: every adapter runs, or the one of `only`.
   * @param known tasks learned so far, in order
   * @returns one an item
   */
  answer(known: readonly LearnedTask[], encoded: E, options?: AnswerOptions): Promise<readonly Answer[]>;
  /**
   * All that exact answers ask of one task's adapter, (n, C) of its slots; absent where they ask for more than that.
   * An adapter never changes, so that it may be computed elsewhere.
   */
  outputs?(task: LearnedTask, encoded: E, signal?: AbortSignal): Promise<Float32Array>;
  /** Takes {@link outputs} for kept items, in place of computing them. */
  takeOutputs?(task: LearnedTask, encoded: E, values: Float32Array): void;
  score(answered: AnsweredTests): EvaluationFigures;
  measure(items: readonly Item[], answers: readonly Answer[]): LabelledFigures;
  /** @param types of entities that are asked for; default: all */
  describePrediction(item: Item, answer: Answer, types?: readonly string[]): PredictionLine;
  /** How well a task is answered before it is learned; absent where labels that were never learned cannot be answers. */
  measureUnseen?(
    known: readonly LearnedTask[],
    next: TestedTask,
    untrained: LearnedTask,
    signal?: AbortSignal,
  ): Promise<UnseenRow>;
  /**
   * Continues texts as they are given, each by its task's adapter; absent where no text is generated.
   * @param tasks one a text
   */
  continueTexts?(
    tasks: readonly LearnedTask[],
    texts: readonly string[],
    options: ContinueOptions,
  ): Promise<readonly ContinuedText[]>;
  /** Sentence vectors of the frozen backbone, (n, D). */
  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows>;
  /** What is written of a learned task. */
  save(learned: LearnedTask): SavedAdapter;
  /**
   * The inverse of `save`.
   * @throws CheckpointError if the adapter does not fit the backbone or this task type
   */
  restore(name: string, saved: SavedAdapter, where: string): LearnedTask;
  /** How adapters of this model are built, fact by fact. */
  describe(): Readonly<Record<string, unknown>>;
  /** How an adapter that was saved is built. @throws CheckpointError if it does not fit the backbone or this task type */
  describeSaved(saved: SavedAdapter): Readonly<Record<string, unknown>>;
}
