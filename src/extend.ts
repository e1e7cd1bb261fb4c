/** The extension points of `accrete-lm`: what an own module registers, a configuration names as if it were built in. */
import "./runtime/telemetry.ts";

export {
  type RegisteredFitOptions,
  type RouterDefinition,
  type RowsToFit,
  registerRouter,
} from "./continual/routers/registered.ts";
export type { RegisteredRouter } from "./continual/routers/routerModel.ts";
export type { FeatureRows } from "./continual/types.ts";
export type { AccuracyMatrix, RunLevel, TaskHeader } from "./core/record.ts";
export { type ExampleReader, registerReader } from "./data/files/rows.ts";
export { type Metric, type MetricInput, registerMetric } from "./experiment/extraMetrics.ts";
export type { RecordedPrediction } from "./model/evaluator.ts";
