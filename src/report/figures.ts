/** Figures that terminal and page share: a finished run's metrics, or what can be said of one under way. */
import type { AccuracyMatrix, RunMetrics } from "../core/record.ts";
import type { RunRecord } from "./record.ts";

export interface ProtocolFigures {
  /** The mean over tasks after each learned task. */
  readonly averages: readonly number[];
  readonly averageAccuracy: number | undefined;
  readonly sampleAccuracy: number | undefined;
  readonly averageIncrementalAccuracy: number | undefined;
  readonly forgetting: number | undefined;
  readonly backwardTransfer: number | undefined;
  readonly forwardTransfer: number | undefined;
  readonly passesPerExample: number | undefined;
}

export interface RunFigures {
  readonly finished: boolean;
  readonly totalTasks: number;
  readonly evaluatedTasks: number;
  readonly totalLabels: number;
  /** Labels of the tasks evaluated so far: what a class-incremental prediction chooses among. */
  readonly seenLabels: number;
  readonly cil: ProtocolFigures;
  readonly til: ProtocolFigures;
  /** Tasks whose TIL accuracy is not what it was when they were learned: there must be none. */
  readonly tilChanged: readonly number[];
  readonly trainSeconds: number | undefined;
  readonly evalSeconds: number | undefined;
  readonly peakRssBytes: number | undefined;
}

export function summarize(record: RunRecord): RunFigures {
  const { metrics, tasks } = record;
  const evaluatedTasks = record.cil.length;
  const evaluated = tasks.slice(0, evaluatedTasks);
  const passes = evaluated.at(-1)?.evaluated?.passesPerExample;
  return {
    finished: metrics !== undefined,
    totalTasks: tasks.length,
    evaluatedTasks,
    totalLabels: countLabels(tasks),
    seenLabels: countLabels(evaluated),
    cil: summarizeProtocol(record.cil, metrics?.cil, passes),
    til: summarizeProtocol(record.til, metrics?.til, evaluatedTasks === 0 ? undefined : 1),
    tilChanged: findChangedColumns(record.til),
    trainSeconds: metrics?.cost.trainSeconds ?? total(tasks.map((task) => task.learned?.seconds)),
    evalSeconds: metrics?.cost.evalSeconds ?? total(tasks.map((task) => task.evaluated?.seconds)),
    peakRssBytes: metrics?.cost.peakRssBytes,
  };
}

/** Distinct labels: a label may come again in a later task. */
function countLabels(tasks: readonly { readonly labels: readonly string[] }[]): number {
  return new Set(tasks.flatMap((task) => task.labels)).size;
}

function summarizeProtocol(
  matrix: AccuracyMatrix,
  metrics: RunMetrics["cil"] | undefined,
  passes: number | undefined,
): ProtocolFigures {
  const averages = averageRows(matrix);
  return {
    averages,
    averageAccuracy: metrics?.averageAccuracy ?? averages.at(-1),
    sampleAccuracy: metrics?.sampleAccuracy,
    averageIncrementalAccuracy: metrics?.averageIncrementalAccuracy ?? mean(averages),
    forgetting: metrics?.forgetting,
    backwardTransfer: metrics?.backwardTransfer,
    forwardTransfer: metrics?.forwardTransfer,
    passesPerExample: metrics?.passesPerExample ?? passes,
  };
}

function averageRows(matrix: AccuracyMatrix): number[] {
  return matrix.map((row) => mean(row.filter((value) => value !== null)) ?? 0);
}

function mean(values: readonly number[]): number | undefined {
  const sum = total(values);
  return sum === undefined ? undefined : sum / values.length;
}

/** Undefined where there is nothing to add up. */
function total(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
}

/** Columns that do not keep their diagonal's value. */
function findChangedColumns(matrix: AccuracyMatrix): number[] {
  return [...matrix.keys()].filter((j) => matrix.some((row, k) => k > j && row[j] !== matrix[j]?.[j]));
}
