/** What a run left in its folder, as typed data. */
import { join } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/schema.ts";
import { computeFigures, type Evaluation, type Figures } from "../continual/metrics/runMetrics.ts";
import type { RunHeader, RunLevel, RunMetrics, TaskHeader } from "../core/record.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";
import { configFile } from "../model/settings/settings.ts";
import { readRunRecord, type TaskRecord } from "../report/record/record.ts";
import { readPredictions } from "./predictions.ts";

/** A run, finished or not. */
export interface Run {
  /** As it was resolved; paths are absolute. */
  readonly config: ResolvedConfig;
  readonly header: RunHeader;
  /** Undefined as long as the run is not finished. */
  readonly metrics: RunMetrics | undefined;
  /** All tasks of the stream, in the order of learning, with what was recorded of each. */
  readonly tasks: readonly TaskRecord[];
  /** The answers of every evaluation, in the order in which they were given. */
  readonly predictions: readonly RecordedPrediction[];
}

/**
 * Reads the folder of a run; neither its backbone nor its data are needed.
 * @throws StoreError or ConfigError if it is no run, or a file is damaged
 */
export async function readRun(folder: string): Promise<Run> {
  checkArguments("readRun", { folder });
  const { header, metrics, tasks } = await readRunRecord(folder);
  const { config } = await loadConfig(join(folder, configFile));
  const predictions = await readPredictions(folder);
  return { config, header, metrics, tasks, predictions };
}

/**
 * The figures of every protocol from a run's evaluations: what `metrics.json` holds but for baseline, probes and cost.
 * @param rows one a learned task, in any order: `evaluated` or `wordsEvaluated` of a {@link TaskRecord}
 * @param tasks of the stream
 * @throws StoreError if there is no row, a task is missing or repeated, or a row has the wrong length
 */
export function computeMetrics(
  level: RunLevel,
  rows: readonly Evaluation[],
  tasks: readonly TaskHeader[],
): Figures {
  checkArguments("computeMetrics", { level, rows, tasks });
  return computeFigures(level, rows, tasks);
}
