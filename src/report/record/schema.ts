/**
 * What may stand in `events.jsonl` and `metrics.json`. Files are other people's data: they are parsed here, once,
 * and trusted as {@link RunEvent} and {@link RunMetrics} afterwards. Unknown keys are dropped, so that a newer
 * writer's additions do not stop an older reader.
 */
import { z } from "zod";
import {
  type AccuracyMatrix,
  type AnswerMetrics,
  type AnswerRow,
  type BaselineMetrics,
  type OutOfScopeMetrics,
  type ProbingMetrics,
  type ProtocolMetrics,
  probeKinds,
  type RoutedMetrics,
  type RoutedRow,
  type RouterSummary,
  type RunCost,
  type RunEvent,
  type RunHeader,
  type RunMetrics,
  type SentenceMetrics,
  type TypeScore,
  type UnseenAccuracies,
  type UnseenRow,
  type WordMetrics,
  type WordProtocolMetrics,
  type WordScores,
} from "../../core/record.ts";

const count = z.int().nonnegative();
/** Bounded, so that a damaged number cannot make the reader reserve the earth. */
const taskIndex = z.int().min(0).max(99_999);
const seconds = z.number().nonnegative();
const fraction = z.number().min(0).max(1);
/** ISO 8601 in UTC. */
const time = z.iso.datetime();

const accuracyMatrixSchema = z.array(z.array(fraction.nullable())) satisfies z.ZodType<AccuracyMatrix>;

const unseenAccuraciesSchema = z.object({
  newest: z.array(fraction),
  untrained: z.array(fraction),
}) satisfies z.ZodType<UnseenAccuracies>;

const protocolMetricsSchema = z.object({
  matrix: accuracyMatrixSchema,
  averageAccuracy: fraction,
  sampleAccuracy: fraction,
  averageIncrementalAccuracy: fraction,
  forgetting: fraction.exactOptional(),
  backwardTransfer: z.number().min(-1).max(1).exactOptional(),
  forwardTransfer: z.number().min(-1).max(1).exactOptional(),
  unseen: unseenAccuraciesSchema.exactOptional(),
  passesPerExample: z.number().nonnegative(),
}) satisfies z.ZodType<ProtocolMetrics>;

const answerMetricsSchema = protocolMetricsSchema.extend({
  exactMatch: protocolMetricsSchema,
  labelScored: protocolMetricsSchema,
}) satisfies z.ZodType<AnswerMetrics>;

const routerSummarySchema = z.object({
  kind: z.string(),
  heldOutAccuracy: fraction.nullable(),
  retainedBytes: z.number().nonnegative(),
  bytesPerClass: z.number().nonnegative(),
  secondPass: z
    .object({
      below: z.number().nullable(),
      weight: z.number().nonnegative(),
      topTasks: count,
      plausible: fraction.exactOptional(),
      headsAlone: z.literal(true).exactOptional(),
    })
    .exactOptional(),
}) satisfies z.ZodType<RouterSummary>;

const outOfScopeSchema = z.object({
  auroc: fraction,
  falsePositiveRateAt95: fraction,
  rejectRate: fraction,
  inScopeAccuracy: fraction,
  inScopeRejected: fraction,
  outOfScopeRejected: fraction,
}) satisfies z.ZodType<OutOfScopeMetrics>;

const routedMetricsSchema = protocolMetricsSchema.extend({
  taskAccuracy: fraction,
  firstPassAccuracy: fraction.exactOptional(),
  router: routerSummarySchema.exactOptional(),
}) satisfies z.ZodType<RoutedMetrics>;

/** The longer first: a schema drops the keys that it does not know. */
const sentenceProtocolSchema = z.union([answerMetricsSchema, protocolMetricsSchema]);

const runCostSchema = z.object({
  trainSeconds: seconds,
  evalSeconds: seconds,
  peakRssBytes: z.number().nonnegative(),
}) satisfies z.ZodType<RunCost>;

const typeScoreSchema = z.object({
  precision: fraction,
  recall: fraction,
  f1: fraction,
  support: count,
}) satisfies z.ZodType<TypeScore>;

const perType = z.record(z.string(), typeScoreSchema);

const typeMatrixSchema = z.object({
  types: z.array(z.string()),
  f1: z.array(z.array(fraction.nullable())),
  forgetting: z.array(fraction.nullable()),
  meanForgetting: fraction.exactOptional(),
});

const wordProtocolMetricsSchema = z.object({
  matrix: accuracyMatrixSchema,
  microF1: fraction,
  macroF1: fraction.exactOptional(),
  averageIncrementalF1: fraction,
  forgetting: fraction.exactOptional(),
  backwardTransfer: z.number().min(-1).max(1).exactOptional(),
  perType,
  typeMatrix: typeMatrixSchema,
  passesPerExample: z.number().nonnegative(),
}) satisfies z.ZodType<WordProtocolMetrics>;

const probeKind = z.enum(probeKinds);

const probingSchema = z.partialRecord(
  probeKind,
  z.array(z.array(fraction)),
) satisfies z.ZodType<ProbingMetrics>;

const baselineSchema = z.object({
  method: z.string(),
  cil: fraction,
  til: fraction,
  seconds,
}) satisfies z.ZodType<BaselineMetrics>;

const sentenceMetricsSchema = z.object({
  schemaVersion: z.literal(1),
  level: z.undefined().optional(),
  cil: sentenceProtocolSchema,
  til: sentenceProtocolSchema,
  routed: routedMetricsSchema.exactOptional(),
  outOfScope: outOfScopeSchema.exactOptional(),
  probing: probingSchema.exactOptional(),
  baseline: baselineSchema.exactOptional(),
  cost: runCostSchema,
}) satisfies z.ZodType<SentenceMetrics>;

const wordMetricsSchema = z.object({
  schemaVersion: z.literal(1),
  level: z.literal("word"),
  cil: wordProtocolMetricsSchema,
  til: wordProtocolMetricsSchema,
  routed: wordProtocolMetricsSchema
    .extend({ firstPassMicroF1: fraction, router: routerSummarySchema.exactOptional() })
    .exactOptional(),
  baseline: baselineSchema.exactOptional(),
  cost: runCostSchema,
}) satisfies z.ZodType<WordMetrics>;

export const runMetricsSchema = z.discriminatedUnion("level", [
  sentenceMetricsSchema,
  wordMetricsSchema,
]) satisfies z.ZodType<RunMetrics>;

const wordScoresSchema = z.object({
  microF1: fraction,
  macroF1: fraction.exactOptional(),
  perTask: z.array(fraction),
  perType,
  passesPerExample: z.number().nonnegative(),
}) satisfies z.ZodType<WordScores>;

export const runHeaderSchema = z.object({
  accreteVersion: z.string(),
  nodeVersion: z.string(),
  engineVersion: z.string(),
  platform: z.string(),
  backbone: z.object({ name: z.string(), hash: z.string(), parameters: count }),
  dataHash: z.string(),
  seed: z.number(),
  config: z.record(z.string(), z.unknown()),
  trainableParametersPerTask: count,
  selectorParameters: count.exactOptional(),
  level: z.enum(["sentence", "word"]).exactOptional(),
  tasks: z.array(
    z.object({
      name: z.string(),
      labels: z.array(z.string()),
      types: z.array(z.string()).exactOptional(),
    }),
  ),
}) satisfies z.ZodType<RunHeader>;

const unseenCorrectSchema = z.object({ newest: count, untrained: count });

const unseenRowSchema = z.object({
  counted: count,
  til: unseenCorrectSchema,
  cil: unseenCorrectSchema,
}) satisfies z.ZodType<UnseenRow>;

const answerRowSchema = z.object({
  til: z.array(fraction),
  cil: z.array(fraction),
  tilCorrect: z.array(count),
  cilCorrect: z.array(count),
}) satisfies z.ZodType<AnswerRow>;

const routedRowSchema = z.object({
  accuracy: z.array(fraction),
  correct: z.array(count),
  taskCorrect: z.array(count),
  passesPerExample: z.number().nonnegative(),
  firstPassCorrect: z.array(count).exactOptional(),
  router: routerSummarySchema.exactOptional(),
}) satisfies z.ZodType<RoutedRow>;

export const runEventSchema = z.discriminatedUnion("type", [
  z.object({ time, type: z.literal("run-started"), header: runHeaderSchema }),
  z.object({ time, type: z.literal("run-resumed"), finishedTasks: count }),
  z.object({ time, type: z.literal("warning"), message: z.string() }),
  z.object({
    time,
    type: z.literal("task-started"),
    task: taskIndex,
    name: z.string(),
    labels: z.array(z.string()),
    trainExamples: count,
    validationExamples: count,
    testExamples: count,
    totalSteps: count,
  }),
  z.object({
    time,
    type: z.literal("step"),
    task: taskIndex,
    epoch: count,
    step: count,
    totalSteps: count,
    loss: z.number(),
    learningRate: z.number(),
    examplesPerSecond: z.number(),
    tokensPerSecond: z.number(),
    secondsLeft: z.number(),
  }),
  z.object({
    time,
    type: z.literal("epoch"),
    task: taskIndex,
    epoch: count,
    meanLoss: z.number(),
    validationAccuracy: fraction.exactOptional(),
  }),
  z.object({
    time,
    type: z.literal("task-learned"),
    task: taskIndex,
    name: z.string(),
    adapter: z.string(),
    seconds,
    truncatedTexts: count,
    stoppedEarly: z.boolean(),
  }),
  z.object({
    time,
    type: z.literal("router-fitting"),
    task: taskIndex,
    stage: z.enum(["choose", "fit"]),
    kind: z.string(),
    member: count,
    members: count,
  }),
  z.object({
    time,
    type: z.literal("evaluated"),
    task: taskIndex,
    til: z.array(fraction),
    cil: z.array(fraction),
    tilCorrect: z.array(count),
    cilCorrect: z.array(count),
    counted: z.array(count),
    passesPerExample: z.number().nonnegative(),
    exactMatch: answerRowSchema.exactOptional(),
    unseen: unseenRowSchema.exactOptional(),
    routed: routedRowSchema.exactOptional(),
    outOfScope: outOfScopeSchema.exactOptional(),
    seconds,
  }),
  z.object({
    time,
    type: z.literal("words-evaluated"),
    task: taskIndex,
    til: wordScoresSchema,
    cil: wordScoresSchema,
    routed: wordScoresSchema
      .extend({ firstPassMicroF1: fraction, router: routerSummarySchema.exactOptional() })
      .exactOptional(),
    seconds,
  }),
  z.object({
    time,
    type: z.literal("probed"),
    learned: taskIndex,
    accuracies: z.partialRecord(probeKind, z.array(fraction)),
    seconds,
  }),
  z.object({ time, type: z.literal("baseline-measured"), baseline: baselineSchema }),
  z.object({ time, type: z.literal("run-finished"), metrics: runMetricsSchema }),
]) satisfies z.ZodType<RunEvent>;
