/** Metrics that programs outside the package register. */
import type { Figures } from "../continual/metrics/runMetrics.ts";
import { ConfigError } from "../core/errors.ts";
import type { AccuracyMatrix, ExtraMetrics, RunLevel, TaskHeader } from "../core/record.ts";
import { Registry } from "../core/registry.ts";
import type { RecordedPrediction } from "../model/evaluator.ts";

/** What a metric is computed from: a finished run, as one protocol answered it. */
export interface MetricInput {
  readonly protocol: "cil" | "til" | "routed";
  readonly level: RunLevel;
  /** In the order of learning. */
  readonly tasks: readonly TaskHeader[];
  /** `matrix[k][j]`: after learning task k, on task j; null for j > k. Fractions. */
  readonly matrix: AccuracyMatrix;
  /** The answers after the last task: the protocol's lines of `predictions.jsonl`. */
  readonly predictions: readonly RecordedPrediction[];
}

/** @returns undefined where the metric is not defined */
/** A figure of a run, from its matrices and answers; undefined where it is not defined. */
export type Metric = (run: MetricInput) => number | undefined;

const metrics = new Registry<never, Metric>("metric", {});

/**
 * Adds a metric to every run: `metrics.json` has it as `extra.<name>.<protocol>`.
 * @throws ConfigError if there is no function
 */
export function registerMetric(name: string, compute: Metric): void {
  if (typeof compute !== "function")
    throw new ConfigError(`registerMetric: ${name} has no function that computes it`, { code: "ARGUMENT" });
  metrics.register(name, compute);
}

function compute(name: string, run: MetricInput): number | undefined {
  const value = metrics.get(name)(run);
  if (value === undefined || Number.isFinite(value)) return value;
  throw new ConfigError(`metric ${name}: gave ${String(value)} for ${run.protocol}, expected a number`, {
    hint: "Mend the extension, then go on with --resume: the tasks are not learned again.",
  });
}

/**
 * Every registered metric, by protocol.
 * @param predictions gives the lines of `predictions.jsonl`, where a metric is registered
 * @returns undefined where none is
 */
export async function computeExtra(
  figures: Figures,
  tasks: readonly TaskHeader[],
  predictions: () => Promise<readonly RecordedPrediction[]>,
): Promise<ExtraMetrics | undefined> {
  const names = metrics.names();
  if (names.length === 0) return undefined;
  const last = (await predictions()).filter(({ learned }) => learned === tasks.length);
  const { level = "sentence", cil, til, routed } = figures;
  const protocols = { cil, til, ...(routed && { routed }) };
  const extra: Record<string, Record<string, number>> = {};
  for (const name of names) {
    const own: Record<string, number> = {};
    for (const protocol of ["cil", "til", "routed"] as const) {
      const matrix = protocols[protocol]?.matrix;
      if (matrix === undefined) continue;
      const lines = last.filter((line) => line.protocol === protocol);
      const value = compute(name, { protocol, level, tasks, matrix, predictions: lines });
      if (value !== undefined) own[protocol] = value;
    }
    extra[name] = own;
  }
  return extra;
}
