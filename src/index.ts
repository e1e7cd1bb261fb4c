/** The public API of `accrete-lm`. */
import "./runtime/telemetry.ts";

export { type LoadedConfig, loadConfig, resolveConfig } from "./config/load.ts";
export type { AppliedOverride, Override } from "./config/overrides.ts";
export type { DeepReadonly, ModelConfig, ResolvedConfig } from "./config/schema.ts";
export type {
  FoundEntity,
  Prediction,
  PredictOptions,
  ScoredLabel,
  TaggedText,
} from "./continual/answers.ts";
export type { EvaluatedRow } from "./continual/metrics/metrics.ts";
export type { Evaluation, Figures } from "./continual/metrics/runMetrics.ts";
export type { WordsEvaluatedRow } from "./continual/metrics/wordMetrics.ts";
export type {
  Item,
  LabelledFigures,
  NewTask,
  PredictionLine,
  TaskTypeName,
} from "./continual/taskTypes/taskType.ts";
export type { LoadedBackbone } from "./continual/types.ts";
export {
  AccreteError,
  CheckpointError,
  ConfigError,
  type ConfigIssue,
  DataError,
  EngineError,
  type ErrorDetails,
  GraphError,
  StoreError,
  type StoreErrorCode,
} from "./core/errors.ts";
export type {
  AccuracyMatrix,
  AnswerMetrics,
  BaselineMetrics,
  OutOfScopeMetrics,
  ProbeKind,
  ProbingMetrics,
  ProtocolMetrics,
  RoutedMetrics,
  RouterFitting,
  RouterSummary,
  RunCost,
  RunEvent,
  RunEventBody,
  RunHeader,
  RunLevel,
  RunMetrics,
  SentenceMetrics,
  TaskHeader,
  TypeMatrix,
  TypeScore,
  WordMetrics,
  WordProtocolMetrics,
  WordScores,
} from "./core/record.ts";
export { probeKinds } from "./core/record.ts";
export type { Tokenizer } from "./data/encoding/tokenizer.ts";
export type { TaggedSentence } from "./data/files/tags.ts";
export type { Example, LabelledExample } from "./data/files/types.ts";
export type { StreamSpec } from "./data/streamSpec.ts";
export { computeMetrics, type Run, readRun } from "./experiment/readRun.ts";
export { type RunOptions, runExperiment } from "./experiment/runExperiment.ts";
export { type Exported, type ExportOptions, exportStore } from "./export/exportStore.ts";
export { type ExportKind, exportKinds } from "./export/types.ts";
export type { ModelFolder } from "./io/models/modelFolder.ts";
export type {
  AnswerOptions,
  Change,
  ChangeEvent,
  ChangeOptions,
  ConsolidateOptions,
  Corrected,
  EntityOptions,
  Forgotten,
  LearnClassOptions,
  LearnedSummary,
  LearnOptions,
  Merged,
} from "./model/changes.ts";
export type { Completion, GenerateOptions, LearnEvent } from "./model/continualModel.ts";
export type { Protocol, RecordedPrediction } from "./model/evaluator.ts";
export type { ForgetTarget } from "./model/forgetting.ts";
export { createLearner, type Learner } from "./model/learner.ts";
export { loadBackbone } from "./model/settings/backbone.ts";
export type { Evaluated, Teachable, Text } from "./model/teachable.ts";
export type { Backbone } from "./nn/backbone.ts";
export type { Pooling } from "./nn/features.ts";
export type { TaskRecord } from "./report/record/record.ts";
export { type OpenGeneratorOptions, openGenerator, type TextGenerator } from "./store/generator.ts";
export {
  describeStore,
  type StoreClassInfo,
  type StoreInfo,
  type StoreTaskInfo,
  type StoreVersionInfo,
} from "./store/info.ts";
export { mergeStores } from "./store/mergeStores.ts";
export type { OpenRunOptions, StoreOptions } from "./store/opening.ts";
export {
  type LoadAdapterOptions,
  type LoadedAdapter,
  loadAdapter,
  openRun,
  type Predictor,
} from "./store/openRun.ts";
export {
  type CheckedState,
  type Compared,
  type ConfidenceBin,
  compareChecks,
  type Preview,
  type PreviewOptions,
  type Quality,
  qualityOf,
  type Tally,
} from "./store/quality.ts";
export { SharedBackbones } from "./store/shared.ts";
export {
  type ForgetOptions,
  type ForgottenInStore,
  type MergeOptions,
  openStore,
  type Store,
  type StoreStatus,
} from "./store/store.ts";
export { type Collected, cleanStore, type Purged, type WaitOptions } from "./store/upkeep.ts";
export type { FitEvent } from "./train/trainer.ts";
export { type BackedUp, backupFolder } from "./workspace/backup.ts";
export { checkFolder, type FolderCheck, type Problem } from "./workspace/check.ts";
export { type Repaired, type RepairOptions, repairFolder } from "./workspace/repair.ts";
