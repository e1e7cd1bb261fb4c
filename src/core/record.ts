/**
 * The record of a run: what `events.jsonl` and `metrics.json` hold. Writers and readers (terminal, report, server) agree
 * on these schemas and on nothing else. A schema drops unknown keys, so that a newer writer's additions do not stop an
 * older reader.
 */
import { z } from "zod";
import type { ReadonlyDeep } from "./readonlyDeep.ts";

type Of<S extends z.ZodType> = ReadonlyDeep<z.infer<S>>;

const count = z.int().nonnegative();
/** From 0. Bounded, so that a damaged number cannot make the reader reserve too much memory. */
const taskIndex = z.int().min(0).max(99_999);
const amount = z.number().nonnegative();
const fraction = z.number().min(0).max(1);
const fractions = z.array(fraction);
const counts = z.array(count);
const difference = z.number().min(-1).max(1);
const names = z.array(z.string());

const matrixSchema = z.array(z.array(fraction.nullable()));
/** `matrix[k][j]`: after learning task k, measured on task j; null where j > k. Fractions, never percent. */
export type AccuracyMatrix = Of<typeof matrixSchema>;

const unseenAccuraciesSchema = z.object({ newest: fractions, untrained: fractions });
/** The accuracy on each task but the first before it is learned, with the newest and with an untrained adapter. */
export type UnseenAccuracies = Of<typeof unseenAccuraciesSchema>;

const protocolMetricsSchema = z.object({
  matrix: matrixSchema,
  averageAccuracy: fraction,
  sampleAccuracy: fraction,
  averageIncrementalAccuracy: fraction,
  forgetting: fraction.exactOptional(),
  backwardTransfer: difference.exactOptional(),
  /** Where classes can be answered that were never learned. */
  forwardTransfer: difference.exactOptional(),
  /** What `forwardTransfer` is made of; its entry j − 1 is task j's, for j from 1. */
  unseen: unseenAccuraciesSchema.exactOptional(),
  /** Forward passes of the backbone one prediction costs after the last task, without caches. */
  passesPerExample: amount,
});
/** One protocol's figures; the formulas stand at `computeMetrics`. An undefined figure is absent. */
export type ProtocolMetrics = Of<typeof protocolMetricsSchema>;

const answerMetricsSchema = protocolMetricsSchema.extend({
  /** The answer generated freely is the label's words. */
  exactMatch: protocolMetricsSchema,
  /** The likeliest label is the label. */
  labelScored: protocolMetricsSchema,
});
/** Where a model answers in words, both ways of reading its answers; the figures beside them are those of label scoring. */
export type AnswerMetrics = Of<typeof answerMetricsSchema>;

const routerSummarySchema = z.object({
  kind: z.string(),
  /** Share of the held-out training rows that it gets right when fitted without them; null where there are none. */
  heldOutAccuracy: fraction.nullable(),
  /** Bytes kept of all classes, and of one on average. */
  retainedBytes: amount,
  bytesPerClass: amount,
  /** Absent: nothing gets a second pass, as the settings say, or for words since it gained nothing on held-out sentences. */
  secondPass: z
    .object({
      /** Texts whose likeliest class is less probable get one; null: all do. */
      below: z.number().nullable(),
      /** How much the heads' evidence counts beside the router's. */
      weight: amount,
      /** At word level: a task is considered for sentences in which some word is of its types with this probability or more. */
      plausible: fraction.exactOptional(),
      /** Set where the heads that are considered answer alone. */
      headsAlone: z.literal(true).exactOptional(),
      /** Tasks that are considered. */
      topTasks: count,
    })
    .exactOptional(),
});
/** A router on statistics of the classes: how good it is, what it keeps, and its second pass. */
export type RouterSummary = Of<typeof routerSummarySchema>;

const routedMetricsSchema = protocolMetricsSchema.extend({
  /** The share of all test texts whose task is found, after the last task. */
  taskAccuracy: fraction,
  /** What a router's first pass alone reaches, over tasks after the last one; absent where NewLoRA's network routes. */
  firstPassAccuracy: fraction.exactOptional(),
  /** What the immediate router reaches in the place of the consolidated one, over tasks after the last one. */
  immediateAccuracy: fraction.exactOptional(),
  /** Where answers are words, both ways of reading them; the figures beside them are those of label scoring. */
  exactMatch: protocolMetricsSchema.exactOptional(),
  labelScored: protocolMetricsSchema.exactOptional(),
  /** After the last task; absent where NewLoRA's network routes. */
  router: routerSummarySchema.exactOptional(),
});
/** The figures of routed prediction: a router or a network chooses the task. */
export type RoutedMetrics = Of<typeof routedMetricsSchema>;

const calibrationSchema = z.object({
  /** Σ_b n_b/n · |accuracy of bin b − mean score of bin b| over 15 bins of equal width. */
  expectedCalibrationError: fraction,
  /** Its 95th percentile were every score right: what chance alone explains. */
  byChance: fraction,
  /** Answers that were counted: those that name a label. */
  counted: count,
});
/** Whether the scores of routed answers are the probabilities that they are called, after the last task. */
export type CalibrationMetrics = Of<typeof calibrationSchema>;

const outOfScopeSchema = z.object({
  auroc: fraction,
  /** Share of in-scope texts that are rejected where 95 % of the others are. */
  falsePositiveRateAt95: fraction,
  /** Shares of in-scope texts rejected and of the others found, from [0, 0] to [1, 1]; absent in records of before. */
  roc: z.array(z.tuple([fraction, fraction])).exactOptional(),
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  rejectRate: fraction,
  /** Share of in-scope test texts that are accepted at the threshold and get the right label. */
  inScopeAccuracy: fraction,
  /** Shares that are rejected at the threshold. */
  inScopeRejected: fraction,
  outOfScopeRejected: fraction,
});
/** How well texts of no known class are told from those of one, after the last task; out of scope is the positive kind. */
export type OutOfScopeMetrics = Of<typeof outOfScopeSchema>;

/** Trained: `linear`, `cosine`. Of class means: `prototype`, the nearest one; `cosine-prototype`, that of the smallest angle. */
export const probeKinds = ["linear", "cosine", "prototype", "cosine-prototype"] as const;
/** A kind of probe. */
export type ProbeKind = (typeof probeKinds)[number];

const probingSchema = z.partialRecord(z.enum(probeKinds), z.array(fractions));
/**
 * What probes find in features, by kind of probe: `rows[k][j]`, the accuracy on task j's test texts among the classes of
 * all tasks. Row 0 is of the backbone alone, row k of the adapter of the k-th task learned. Fractions.
 */
export type ProbingMetrics = Of<typeof probingSchema>;

export const baselineSchema = z.object({ method: z.string(), cil: fraction, til: fraction, seconds: amount });
/** What a classifier of spellings reaches after the last task: means over tasks, at word level micro F1. */
export type BaselineMetrics = Of<typeof baselineSchema>;

const extraSchema = z.record(z.string(), z.record(z.string(), z.number()));
/** Registered metrics: name → protocol → value; a protocol for which a metric is not defined is absent. */
export type ExtraMetrics = Of<typeof extraSchema>;

const levelSchema = z.enum(["sentence", "word"]);
/** What gets a label: a text, or each of its words. */
export type RunLevel = z.infer<typeof levelSchema>;

const typeScoreSchema = z.object({
  precision: fraction,
  recall: fraction,
  f1: fraction,
  /** Entities there were to find. */
  support: count,
});
/** How well the entities of one type are found; fractions, 0 where nothing was predicted or there was nothing to find. */
export type TypeScore = Of<typeof typeScoreSchema>;

const wordScoresSchema = z.object({
  /** Over the counts of all types; TIL pools those of each task's own prediction. */
  microF1: fraction,
  /** The mean over the types that occur in gold or in predictions; absent where none does. */
  macroF1: fraction.exactOptional(),
  /** Micro F1 over each task's own types, for tasks 0…k. */
  perTask: fractions,
  /** Only types that occur in gold or in predictions. */
  perType: z.record(z.string(), typeScoreSchema),
  passesPerExample: amount,
});
/** One protocol's entity scores on the shared test set, types unseen so far masked. */
export type WordScores = Of<typeof wordScoresSchema>;

const wordRouting = {
  /** Of the router alone, one pass a sentence. */
  firstPassMicroF1: fraction,
  router: routerSummarySchema.exactOptional(),
};

const typeMatrixSchema = z.object({
  /** In the order in which they are learned. */
  types: names,
  /** `f1[i][k]`: of type i after learning task k, a fraction; null before the type is learned. */
  f1: matrixSchema,
  /** For each type: the highest F1 so far minus the last; never negative. Null for the types of the last task. */
  forgetting: z.array(fraction.nullable()),
  /** The mean over the types that have one; absent where only one task is learned. */
  meanForgetting: fraction.exactOptional(),
});
/** How well each type is found as tasks are learned: what forgetting means where one test set serves all. */
export type TypeMatrix = Of<typeof typeMatrixSchema>;

const wordProtocolMetricsSchema = wordScoresSchema.omit({ perTask: true }).extend({
  /** Micro F1 over task j's types in place of accuracies. */
  matrix: matrixSchema,
  averageIncrementalF1: fraction,
  forgetting: fraction.exactOptional(),
  backwardTransfer: difference.exactOptional(),
  typeMatrix: typeMatrixSchema,
});
/** One protocol's figures at word level; the formulas stand at `computeWordMetrics`. */
export type WordProtocolMetrics = Of<typeof wordProtocolMetricsSchema>;

const routedWordMetricsSchema = wordProtocolMetricsSchema.extend(wordRouting);
/** The figures of routed prediction at word level, with what the last task's evaluation says of the router. */
export type RoutedWordMetrics = Of<typeof routedWordMetricsSchema>;

const runCostSchema = z.object({
  /** Learning all tasks: tokenising, building the graph and starting sessions included; evaluation not. */
  trainSeconds: amount,
  evalSeconds: amount,
  peakRssBytes: amount,
});
/** What a run cost: seconds, memory, parameters. */
export type RunCost = Of<typeof runCostSchema>;

const commonMetrics = {
  baseline: baselineSchema.exactOptional(),
  extra: extraSchema.exactOptional(),
  cost: runCostSchema,
};

/** The longer first: a schema drops the keys that it does not know. */
const sentenceProtocolSchema = z.union([answerMetricsSchema, protocolMetricsSchema]);
const sentenceMetricsSchema = z.object({
  schemaVersion: z.literal(1),
  level: z.undefined().optional(),
  cil: sentenceProtocolSchema,
  til: sentenceProtocolSchema,
  routed: routedMetricsSchema.exactOptional(),
  outOfScope: outOfScopeSchema.exactOptional(),
  calibration: calibrationSchema.exactOptional(),
  probing: probingSchema.exactOptional(),
  ...commonMetrics,
});
/** `metrics.json` of a run that labels texts. */
export type SentenceMetrics = Of<typeof sentenceMetricsSchema>;

const wordMetricsSchema = z.object({
  schemaVersion: z.literal(1),
  level: z.literal("word"),
  cil: wordProtocolMetricsSchema,
  til: wordProtocolMetricsSchema,
  routed: routedWordMetricsSchema.exactOptional(),
  ...commonMetrics,
});
/** `metrics.json` of a run that finds entities. */
export type WordMetrics = Of<typeof wordMetricsSchema>;

export const runMetricsSchema = z.discriminatedUnion("level", [sentenceMetricsSchema, wordMetricsSchema]);
/** What `metrics.json` holds. */
export type RunMetrics = SentenceMetrics | WordMetrics;

const taskHeaderSchema = z.object({
  name: z.string(),
  labels: names,
  /** At word level the entity types that the labels are of. */
  types: names.exactOptional(),
});
/** A task before it is learned. */
export type TaskHeader = Of<typeof taskHeaderSchema>;

const runHeaderSchema = z.object({
  accreteVersion: z.string(),
  nodeVersion: z.string(),
  engineVersion: z.string(),
  platform: z.string(),
  backbone: z.object({ name: z.string(), hash: z.string(), parameters: count }),
  dataHash: z.string(),
  seed: z.number(),
  /** One line a setting, resolved: `method.rank` → `4`. */
  config: z.record(z.string(), z.unknown()),
  trainableParametersPerTask: count,
  /** Of the network that NewLoRA shares among all tasks, at its full size; absent without one. */
  selectorParameters: count.exactOptional(),
  /** Absent: the sentence. */
  level: levelSchema.exactOptional(),
  tasks: z.array(taskHeaderSchema),
});
/** What is known of a run before its first task. */
export type RunHeader = Of<typeof runHeaderSchema>;

const rowsOfBoth = { til: fractions, cil: fractions, tilCorrect: counts, cilCorrect: counts };
const answerRowSchema = z.object(rowsOfBoth);
/** One way of reading answers: row k of both matrices (entries for tasks 0…k), with the correct examples behind it. */
export type AnswerRow = Of<typeof answerRowSchema>;

/** With the adapter of the task that was learned last, and with the one that the task begins with. */
const unseenCorrectSchema = z.object({ newest: count, untrained: count });
const unseenRowSchema = z.object({
  counted: count,
  /** Among the task's own labels. */
  til: unseenCorrectSchema,
  /** Among these and the labels of all tasks before it. */
  cil: unseenCorrectSchema,
});
/** Right answers on the test set of the task that is learned next, by label scoring. */
export type UnseenRow = Of<typeof unseenRowSchema>;

const routedRowSchema = z.object({
  accuracy: fractions,
  correct: counts,
  /** Examples of each task that are given to that task. */
  taskCorrect: counts,
  /** The mean over all examples so far. */
  passesPerExample: amount,
  /** Where a router answers: examples of each task that its first pass alone gets right. */
  firstPassCorrect: counts.exactOptional(),
  /** Examples of each task that the immediate router gets right, where another one is evaluated. */
  immediateCorrect: counts.exactOptional(),
  /** Where answers are words: what the chosen adapters said freely is the label's words. */
  exactMatch: z.object({ accuracy: fractions, correct: counts }).exactOptional(),
  router: routerSummarySchema.exactOptional(),
  calibration: calibrationSchema.exactOptional(),
});
/** Routed prediction after task k: row k of its matrix, with the counts behind it. */
export type RoutedRow = Of<typeof routedRowSchema>;

export const routerFittingSchema = z.object({
  stage: z.enum(["choose", "fit"]),
  kind: z.string(),
  /** From 1. */
  member: count,
  members: count,
});
/** The progress of a router's fit: it chooses each kind's members, then fits those of the kind chosen to all rows. */
export type RouterFitting = Of<typeof routerFittingSchema>;

const eventBodySchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("run-started"), header: runHeaderSchema }),
  z.object({ type: z.literal("run-resumed"), finishedTasks: count }),
  z.object({ type: z.literal("warning"), message: z.string() }),
  z.object({
    type: z.literal("task-started"),
    task: taskIndex,
    name: z.string(),
    labels: names,
    trainExamples: count,
    validationExamples: count,
    testExamples: count,
    totalSteps: count,
  }),
  z.object({
    type: z.literal("step"),
    task: taskIndex,
    epoch: count,
    step: count,
    totalSteps: count,
    loss: z.number(),
    learningRate: z.number(),
    examplesPerSecond: z.number(),
    tokensPerSecond: z.number(),
    /** Estimated seconds until the whole run is done. */
    secondsLeft: z.number(),
  }),
  z.object({
    type: z.literal("epoch"),
    task: taskIndex,
    epoch: count,
    meanLoss: z.number(),
    /** Accuracy, at word level micro F1, on the task's own validation data, where there is any and it was requested. */
    validationAccuracy: fraction.exactOptional(),
  }),
  z.object({
    type: z.literal("task-learned"),
    task: taskIndex,
    name: z.string(),
    adapter: z.string(),
    seconds: amount,
    truncatedTexts: count,
    stoppedEarly: z.boolean(),
    /** Accuracy, at word level micro F1, of the new adapter on the task's own validation data, where that was asked for. */
    validationAccuracy: fraction.exactOptional(),
  }),
  routerFittingSchema.extend({ type: z.literal("router-fitting"), task: taskIndex }),
  z.object({
    type: z.literal("evaluated"),
    task: taskIndex,
    ...rowsOfBoth,
    /** Test examples of each task, for accuracies over samples. */
    counted: counts,
    passesPerExample: amount,
    /** Where the model answers in words: what it generates freely. The rows above are those of label scoring. */
    exactMatch: answerRowSchema.exactOptional(),
    /** Where the model answers in words and another task follows. */
    unseen: unseenRowSchema.exactOptional(),
    /** Where a router or a selection network chooses the task. */
    routed: routedRowSchema.exactOptional(),
    /** Where there are texts out of scope and statistics to tell them. */
    outOfScope: outOfScopeSchema.exactOptional(),
    seconds: amount,
  }),
  z.object({
    type: z.literal("words-evaluated"),
    task: taskIndex,
    til: wordScoresSchema,
    cil: wordScoresSchema,
    /** Where a router answers. */
    routed: wordScoresSchema.extend(wordRouting).exactOptional(),
    seconds: amount,
  }),
  z.object({
    type: z.literal("probed"),
    /** Tasks learned by then; 0: the backbone alone is probed, else the adapter of the newest of them. */
    learned: taskIndex,
    /** By kind of probe, an accuracy on each task's test texts among the classes of all tasks. */
    accuracies: z.partialRecord(z.enum(probeKinds), fractions),
    seconds: amount,
  }),
  z.object({ type: z.literal("baseline-measured"), baseline: baselineSchema }),
  z.object({ type: z.literal("run-finished"), metrics: runMetricsSchema }),
]);
/** An event without its time. */
export type RunEventBody = Of<typeof eventBodySchema>;

export const runEventSchema = z.intersection(z.object({ time: z.iso.datetime() }), eventBodySchema);
/** `time` is ISO 8601 in UTC. */
export type RunEvent = { readonly time: string } & RunEventBody;

/** The events of one type. */
export type EventOf<T extends RunEvent["type"]> = Extract<RunEvent, { readonly type: T }>;
