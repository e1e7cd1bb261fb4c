/**
 * The record of a run: what `events.jsonl` and `metrics.json` hold. Producers (the learner) and consumers
 * (terminal, report, server) agree on these types and on nothing else.
 */

/** `matrix[k][j]`: after learning task k, measured on task j; null where j > k. Fractions, never percent. */
export type AccuracyMatrix = readonly (readonly (number | null)[])[];

/** One protocol's figures; the formulas stand at `computeMetrics`. An undefined figure is absent. */
export interface ProtocolMetrics {
  readonly matrix: AccuracyMatrix;
  readonly averageAccuracy: number;
  readonly sampleAccuracy: number;
  readonly averageIncrementalAccuracy: number;
  readonly forgetting?: number;
  readonly backwardTransfer?: number;
  /** Where classes can be answered that were never learned. */
  readonly forwardTransfer?: number;
  /** What `forwardTransfer` is made of; its entry j − 1 is task j's, for j from 1. */
  readonly unseen?: UnseenAccuracies;
  /** Forward passes of the backbone one prediction costs after the last task, without caches. */
  readonly passesPerExample: number;
}

/** The accuracy on each task but the first before it is learned; fractions. */
export interface UnseenAccuracies {
  /** With the adapter of the task before. */
  readonly newest: readonly number[];
  /** With an adapter that has learned nothing. */
  readonly untrained: readonly number[];
}

/** Where a model answers in words, both ways of reading its answers; the figures beside them are those of label scoring. */
export interface AnswerMetrics extends ProtocolMetrics {
  /** The answer generated freely is the label's words. */
  readonly exactMatch: ProtocolMetrics;
  /** The likeliest label is the label. */
  readonly labelScored: ProtocolMetrics;
}

/** What routes on statistics of the classes, and what it rests on. */
export interface RouterSummary {
  readonly kind: string;
  /** Share of the held-out training rows that it gets right when fitted without them; null where there are none. */
  readonly heldOutAccuracy: number | null;
  /** Bytes kept of all classes, and of one on average. */
  readonly retainedBytes: number;
  readonly bytesPerClass: number;
  /** Absent: nothing gets a second pass, as the settings say, or for words since it gained nothing on held-out sentences. */
  readonly secondPass?: {
    /** Texts whose likeliest class is less probable get one; null: all do. */
    readonly below: number | null;
    /** How much the heads' evidence counts beside the router's. */
    readonly weight: number;
    /** At word level: a task is asked about sentences in which some word is of its types with this probability or more. */
    readonly plausible?: number;
    /** Set where the heads that are asked answer alone. */
    readonly headsAlone?: true;
    /** Tasks that are asked. */
    readonly topTasks: number;
  };
}

/** The figures of routed prediction: a router or a network chooses the task. */
export interface RoutedMetrics extends ProtocolMetrics {
  /** The share of all test texts whose task is found, after the last task. */
  readonly taskAccuracy: number;
  /** What a router's first pass alone reaches, over tasks after the last one; absent where NewLoRA's network routes. */
  readonly firstPassAccuracy?: number;
  /** After the last task; absent where NewLoRA's network routes. */
  readonly router?: RouterSummary;
}

/** How well texts of no known class are told from those of one, after the last task; out of scope is the positive kind. */
export interface OutOfScopeMetrics {
  readonly auroc: number;
  /** Share of in-scope texts that are rejected where 95 % of the others are. */
  readonly falsePositiveRateAt95: number;
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  readonly rejectRate: number;
  /** Share of in-scope test texts that are accepted at the threshold and get the right label. */
  readonly inScopeAccuracy: number;
  /** Shares that are rejected at the threshold. */
  readonly inScopeRejected: number;
  readonly outOfScopeRejected: number;
}

/** Trained: `linear`, `cosine`. Of class means: `prototype`, the nearest one; `cosine-prototype`, that of the smallest angle. */
export const probeKinds = ["linear", "cosine", "prototype", "cosine-prototype"] as const;
export type ProbeKind = (typeof probeKinds)[number];

/**
 * What probes find in features, by kind of probe: `rows[k][j]`, the accuracy on task j's test texts among the classes of
 * all tasks. Row 0 is of the backbone alone, row k of the adapter of the k-th task learned. Fractions.
 */
export type ProbingMetrics = { readonly [K in ProbeKind]?: readonly (readonly number[])[] };

/**
 * What a classifier of spellings reaches after the last task, without a network: fractions, means over tasks, at word level
 * micro F1.
 */
export interface BaselineMetrics {
  readonly method: string;
  readonly cil: number;
  readonly til: number;
  readonly seconds: number;
}

/** What gets a label: a text, or each of its words. */
export type RunLevel = "sentence" | "word";

/** How well the entities of one type are found; fractions, 0 where nothing was predicted or there was nothing to find. */
export interface TypeScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Entities there were to find. */
  readonly support: number;
}

/** One protocol's entity scores on the shared test set, types unseen so far masked. */
export interface WordScores {
  /** Over the counts of all types; TIL pools those of each task's own prediction. */
  readonly microF1: number;
  /** The mean over the types that occur in gold or in predictions; absent where none does. */
  readonly macroF1?: number;
  /** Micro F1 over each task's own types, for tasks 0…k. */
  readonly perTask: readonly number[];
  /** Only types that occur in gold or in predictions. */
  readonly perType: Readonly<Record<string, TypeScore>>;
  readonly passesPerExample: number;
}

/** Routed prediction on the shared test set. */
export interface RoutedWordScores extends WordScores {
  /** Of the router alone, one pass a sentence. */
  readonly firstPassMicroF1: number;
  readonly router?: RouterSummary;
}

/** How well each type is found as tasks are learned: what forgetting means where one test set serves all. */
export interface TypeMatrix {
  /** In the order in which they are learned. */
  readonly types: readonly string[];
  /** `f1[i][k]`: of type i after learning task k, a fraction; null before the type is learned. */
  readonly f1: readonly (readonly (number | null)[])[];
  /**
   * For each type: the highest F1 so far, its last included, minus the last; never negative. Null for the types of
   * the last task, which have had no time to be forgotten.
   */
  readonly forgetting: readonly (number | null)[];
  /** The mean over the types that have one; absent where only one task is learned. */
  readonly meanForgetting?: number;
}

/** One protocol's figures at word level; the formulas stand at `computeWordMetrics`. */
export interface WordProtocolMetrics {
  /** Micro F1 over task j's types in place of accuracies. */
  readonly matrix: AccuracyMatrix;
  readonly microF1: number;
  readonly macroF1?: number;
  readonly averageIncrementalF1: number;
  readonly forgetting?: number;
  readonly backwardTransfer?: number;
  readonly perType: Readonly<Record<string, TypeScore>>;
  readonly typeMatrix: TypeMatrix;
  readonly passesPerExample: number;
}

/** The figures of routed prediction at word level, with what the last task's evaluation says of the router. */
export interface RoutedWordMetrics extends WordProtocolMetrics {
  readonly firstPassMicroF1: number;
  readonly router?: RouterSummary;
}

export interface RunCost {
  /** Learning all tasks: tokenising, building the graph and starting sessions included; evaluation not. */
  readonly trainSeconds: number;
  readonly evalSeconds: number;
  readonly peakRssBytes: number;
}

export interface SentenceMetrics {
  readonly schemaVersion: 1;
  readonly level?: undefined;
  readonly cil: ProtocolMetrics | AnswerMetrics;
  readonly til: ProtocolMetrics | AnswerMetrics;
  readonly routed?: RoutedMetrics;
  readonly outOfScope?: OutOfScopeMetrics;
  readonly probing?: ProbingMetrics;
  readonly baseline?: BaselineMetrics;
  readonly cost: RunCost;
}

export interface WordMetrics {
  readonly schemaVersion: 1;
  readonly level: "word";
  readonly cil: WordProtocolMetrics;
  readonly til: WordProtocolMetrics;
  readonly routed?: RoutedWordMetrics;
  readonly baseline?: BaselineMetrics;
  readonly cost: RunCost;
}

export type RunMetrics = SentenceMetrics | WordMetrics;

/** A task before it is learned. */
export interface TaskHeader {
  readonly name: string;
  readonly labels: readonly string[];
  /** At word level the entity types that the labels are of. */
  readonly types?: readonly string[];
}

/** What is known of a run before its first task. */
export interface RunHeader {
  readonly accreteVersion: string;
  readonly nodeVersion: string;
  readonly engineVersion: string;
  readonly platform: string;
  readonly backbone: { readonly name: string; readonly hash: string; readonly parameters: number };
  readonly dataHash: string;
  readonly seed: number;
  /** One line a setting, resolved: `method.rank` → `4`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly trainableParametersPerTask: number;
  /** Of the network that NewLoRA shares among all tasks, at its full size; absent without one. */
  readonly selectorParameters?: number;
  /** Absent: the sentence. */
  readonly level?: RunLevel;
  readonly tasks: readonly TaskHeader[];
}

/** One way of reading answers: row k of both matrices, with the correct examples behind it. */
export interface AnswerRow {
  readonly til: readonly number[];
  readonly cil: readonly number[];
  readonly tilCorrect: readonly number[];
  readonly cilCorrect: readonly number[];
}

/** Right answers on the test set of the task that is learned next, by label scoring. */
export interface UnseenRow {
  readonly counted: number;
  /** Among the task's own labels. */
  readonly til: UnseenCorrect;
  /** Among these and the labels of all tasks before it. */
  readonly cil: UnseenCorrect;
}

export interface UnseenCorrect {
  /** With the adapter of the task that was learned last. */
  readonly newest: number;
  /** With the adapter that the task begins with, which has learned nothing. */
  readonly untrained: number;
}

/** Routed prediction after task k: row k of its matrix, with the counts behind it. */
export interface RoutedRow {
  readonly accuracy: readonly number[];
  readonly correct: readonly number[];
  /** Examples of each task that are given to that task. */
  readonly taskCorrect: readonly number[];
  /** The mean over all examples so far. */
  readonly passesPerExample: number;
  /** Where a router answers: examples of each task that its first pass alone gets right. */
  readonly firstPassCorrect?: readonly number[];
  readonly router?: RouterSummary;
}

/** What the fit of a router is at: it chooses each kind's members, then fits those of the kind chosen to all rows. */
export interface RouterFitting {
  readonly stage: "choose" | "fit";
  readonly kind: string;
  /** From 1. */
  readonly member: number;
  readonly members: number;
}

/** `time` is ISO 8601 in UTC; `task` counts from 0. */
export type RunEvent = { readonly time: string } & RunEventBody;

export type RunEventBody =
  | { readonly type: "run-started"; readonly header: RunHeader }
  | { readonly type: "run-resumed"; readonly finishedTasks: number }
  | { readonly type: "warning"; readonly message: string }
  | {
      readonly type: "task-started";
      readonly task: number;
      readonly name: string;
      readonly labels: readonly string[];
      readonly trainExamples: number;
      readonly validationExamples: number;
      readonly testExamples: number;
      readonly totalSteps: number;
    }
  | {
      readonly type: "step";
      readonly task: number;
      readonly epoch: number;
      readonly step: number;
      readonly totalSteps: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly examplesPerSecond: number;
      readonly tokensPerSecond: number;
      /** Estimated seconds until the whole run is done. */
      readonly secondsLeft: number;
    }
  | {
      readonly type: "epoch";
      readonly task: number;
      readonly epoch: number;
      readonly meanLoss: number;
      /** Accuracy, at word level micro F1, on the task's own validation data, where there is any and it was asked for. */
      readonly validationAccuracy?: number;
    }
  | {
      readonly type: "task-learned";
      readonly task: number;
      readonly name: string;
      readonly adapter: string;
      readonly seconds: number;
      readonly truncatedTexts: number;
      readonly stoppedEarly: boolean;
    }
  | ({ readonly type: "router-fitting"; readonly task: number } & RouterFitting)
  | {
      readonly type: "evaluated";
      readonly task: number;
      /** Row k of each matrix: entries for tasks 0…k. */
      readonly til: readonly number[];
      readonly cil: readonly number[];
      /** Correct and counted test examples a task, for accuracies over samples. */
      readonly tilCorrect: readonly number[];
      readonly cilCorrect: readonly number[];
      readonly counted: readonly number[];
      readonly passesPerExample: number;
      /** Where the model answers in words: what it generates freely. The rows above are those of label scoring. */
      readonly exactMatch?: AnswerRow;
      /** Where the model answers in words and another task follows. */
      readonly unseen?: UnseenRow;
      /** Where a router or a selection network chooses the task. */
      readonly routed?: RoutedRow;
      /** Where there are texts out of scope and statistics to tell them. */
      readonly outOfScope?: OutOfScopeMetrics;
      readonly seconds: number;
    }
  | {
      readonly type: "words-evaluated";
      readonly task: number;
      readonly til: WordScores;
      readonly cil: WordScores;
      /** Where a router answers. */
      readonly routed?: RoutedWordScores;
      readonly seconds: number;
    }
  | {
      readonly type: "probed";
      /** Tasks learned by then; 0: the backbone alone is probed, else the adapter of the newest of them. */
      readonly learned: number;
      /** By kind of probe, an accuracy on each task's test texts among the classes of all tasks. */
      readonly accuracies: { readonly [K in ProbeKind]?: readonly number[] };
      readonly seconds: number;
    }
  | { readonly type: "baseline-measured"; readonly baseline: BaselineMetrics }
  | { readonly type: "run-finished"; readonly metrics: RunMetrics };
