/** The public API of `accrete-lm`. */
export { type LoadedConfig, loadConfig, resolveConfig } from "./config/load.ts";
export type { ModelConfig, ResolvedConfig } from "./config/schema.ts";
export type {
  FoundEntity,
  Prediction,
  PredictOptions,
  ScoredLabel,
  TaggedText,
} from "./continual/answers.ts";
export type { Evaluation, Figures } from "./continual/metrics/runMetrics.ts";
export type { Item, LabelledFigures, NewTask, TaskTypeName } from "./continual/taskTypes/taskType.ts";
export type { LoadedBackbone } from "./continual/types.ts";
export {
  AccreteError,
  CheckpointError,
  ConfigError,
  type ConfigIssue,
  DataError,
  EngineError,
  GraphError,
  StoreError,
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
  RunHeader,
  RunLevel,
  RunMetrics,
  SentenceMetrics,
  TypeMatrix,
  TypeScore,
  WordMetrics,
  WordProtocolMetrics,
  WordScores,
} from "./core/record.ts";
export { probeKinds } from "./core/record.ts";
export type { TaggedSentence } from "./data/files/conll.ts";
export type { Example, LabelledExample, Task, TaskStream } from "./data/files/types.ts";
export { computeMetrics, type Run, readRun } from "./experiment/readRun.ts";
export { type RunOptions, runExperiment } from "./experiment/runExperiment.ts";
export type { Completion, GenerateOptions, LearnEvent } from "./model/continualModel.ts";
export type { Protocol, RecordedPrediction } from "./model/evaluator.ts";
export type { ForgetTarget } from "./model/forgetting.ts";
export { createLearner, type Learner } from "./model/learner.ts";
export { loadBackbone } from "./model/settings/backbone.ts";
export type {
  AnswerOptions,
  Change,
  ChangeEvent,
  ChangeOptions,
  Evaluated,
  Forgotten,
  LearnClassOptions,
  LearnedSummary,
  LearnOptions,
  Merged,
  Text,
} from "./model/teachable.ts";
export { type OpenGeneratorOptions, openGenerator, type TextGenerator } from "./store/generator.ts";
export {
  describeStore,
  type StoreClassInfo,
  type StoreInfo,
  type StoreTaskInfo,
  type StoreVersionInfo,
} from "./store/info.ts";
export {
  type LoadAdapterOptions,
  type LoadedAdapter,
  loadAdapter,
  openRun,
  type Predictor,
} from "./store/openRun.ts";
export {
  type ForgetOptions,
  type ForgottenInStore,
  type MergeOptions,
  mergeStores,
  type OpenRunOptions,
  openStore,
  type Purged,
  type Store,
  type StoreOptions,
} from "./store/store.ts";
export type { FitEvent } from "./train/trainer.ts";
