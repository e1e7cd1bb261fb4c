/** The public API of `accrete-lm`. */
export { type LoadedBackbone, loadBackbone } from "./model/backbone.ts";
export { type LoadedConfig, loadConfig, type ResolvedConfig, resolveConfig } from "./config/load.ts";
export {
  createLearner,
  type LearnedSummary,
  Learner,
  type LearnerConfig,
  type LearnTaskOptions,
  type NewTask,
  type NewWordTask,
} from "./app/createLearner.ts";
export {
  type Completion,
  type GenerateOptions,
  type OpenGeneratorOptions,
  openGenerator,
  type TextGenerator,
} from "./app/generator.ts";
export { loadAdapter, openRun } from "./app/predictor.ts";
export { runExperiment } from "./experiment/runExperiment.ts";
export { describeStore } from "./app/store/info.ts";
export type { StoreConfig } from "./app/store/settings.ts";
export { mergeStores, openStore, type Store } from "./app/store/store.ts";
export type {
  ChangeOptions,
  ForgetOptions,
  ForgetTarget,
  Forgotten,
  LearnClassOptions,
  LearnedInStore,
  LearnOptions,
  Merged,
  Purged,
  StoreChange,
  StoreClassInfo,
  StoreEvent,
  StoreInfo,
  StoreOptions,
  StoreTaskInfo,
  StoreText,
  StoreVersionInfo,
  TaskForStore,
} from "./app/store/types.ts";
export type {
  EntityOptions,
  FoundEntity,
  LoadAdapterOptions,
  LoadedAdapter,
  OpenRunOptions,
  Prediction,
  PredictOptions,
  Predictor,
  RunOptions,
  ScoredLabel,
  TaggedText,
} from "./app/types.ts";
export {
  AccreteError,
  CheckpointError,
  ConfigError,
  DataError,
  EngineError,
  GraphError,
  StoreError,
} from "./core/errors.ts";
export type {
  AccuracyMatrix,
  AnswerMetrics,
  OutOfScopeMetrics,
  ProbeKind,
  ProbingMetrics,
  ProtocolMetrics,
  RoutedMetrics,
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
export type { TaggedSentence } from "./data/conll.ts";
export type { Example, LabelledExample, Task, TaskStream } from "./data/types.ts";
export type { FitEvent } from "./train/trainer.ts";
