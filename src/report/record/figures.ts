/** Figures that terminal and page share: a finished run's metrics, or what can be said of one under way. */
import type {
  AccuracyMatrix,
  AnswerMetrics,
  BaselineMetrics,
  OutOfScopeMetrics,
  ProtocolMetrics,
  RouterSummary,
  RunLevel,
  TypeMatrix,
} from "../../core/record.ts";
import { typeMatrix } from "../../core/typeMatrix.ts";
import { evaluationOf, namesOf, type RunRecord, type TaskRecord } from "./record.ts";

export interface ProtocolFigures {
  /** The headline after each learned task: the mean accuracy over tasks, or the micro F1. */
  readonly averages: readonly number[];
  /** Average accuracy, or micro F1. */
  readonly headline: number | undefined;
  /** Accuracy over samples, or macro F1. */
  readonly second: number | undefined;
  /** The mean of `averages`. */
  readonly incremental: number | undefined;
  readonly forgetting: number | undefined;
  readonly backwardTransfer: number | undefined;
  readonly forwardTransfer: number | undefined;
  readonly passesPerExample: number | undefined;
  /** Where a model answers in words: the mean over tasks of its free answers; the rest is label scoring. */
  readonly exactMatch?: number;
  /** At word level, once a task is evaluated. */
  readonly typeMatrix?: TypeMatrix;
}

/** Prediction in which a router or a network chooses the task. */
export interface RoutedFigures extends ProtocolFigures {
  readonly matrix: AccuracyMatrix;
  readonly headline: number;
  /** Forward passes an example after each learned task. */
  readonly passes: readonly number[];
  /** The share of all test texts whose task is found; absent at word level, where a sentence has no one task. */
  readonly taskAccuracy?: number;
  readonly passesPerExample: number;
  /** What the router's first pass alone reaches, the mean over tasks, at word level micro F1. */
  readonly firstPass?: number | undefined;
  /** Absent where a network chooses. */
  readonly router?: RouterSummary | undefined;
}

type Protocol = "cil" | "til";

export interface RunFigures {
  readonly finished: boolean;
  readonly totalTasks: number;
  readonly evaluatedTasks: number;
  /** Labels, at word level entity types. */
  readonly totalLabels: number;
  /** Of the tasks evaluated so far: what a class-incremental prediction chooses among. */
  readonly seenLabels: number;
  readonly cil: ProtocolFigures;
  readonly til: ProtocolFigures;
  /** Absent where every evaluation was exact. */
  readonly routed?: RoutedFigures;
  /** After the latest evaluation; absent where nothing tells texts out of scope, or there are none. */
  readonly outOfScope?: OutOfScopeMetrics;
  /** Absent while the run goes on, and where there is none. */
  readonly baseline?: BaselineMetrics;
  /** The protocols that a classifier of spellings does better in. */
  readonly belowBaseline: readonly string[];
  /** Tasks whose TIL figure is not what it was when they were learned: there must be none. */
  readonly tilChanged: readonly number[];
  readonly trainSeconds: number | undefined;
  readonly evalSeconds: number | undefined;
  readonly peakRssBytes: number | undefined;
}

export function summarize(record: RunRecord): RunFigures {
  const { metrics, tasks } = record;
  const evaluatedTasks = record.cil.length;
  const routed = routedSummarizers[record.level](record, tasks.slice(0, evaluatedTasks));
  const outOfScope = tasks[evaluatedTasks - 1]?.evaluated?.outOfScope;
  const [cil, til] = [summarizers[record.level](record, "cil"), summarizers[record.level](record, "til")];
  const baseline = metrics?.baseline;
  return {
    finished: metrics !== undefined,
    totalTasks: tasks.length,
    evaluatedTasks,
    totalLabels: countNames(tasks),
    seenLabels: countNames(tasks.slice(0, evaluatedTasks)),
    cil,
    til,
    ...(routed !== undefined && { routed }),
    ...(outOfScope !== undefined && { outOfScope }),
    ...(baseline !== undefined && { baseline }),
    belowBaseline: baseline === undefined ? [] : findBelowBaseline(baseline, { cil, til, routed }),
    tilChanged: findChangedColumns(record.til),
    trainSeconds: metrics?.cost.trainSeconds ?? total(tasks.map((task) => task.learned?.seconds)),
    evalSeconds: metrics?.cost.evalSeconds ?? total(tasks.map((task) => evaluationOf(task)?.seconds)),
    peakRssBytes: metrics?.cost.peakRssBytes,
  };
}

function findBelowBaseline(
  baseline: BaselineMetrics,
  reached: { readonly [P in "cil" | "til"]: ProtocolFigures } & {
    readonly routed: RoutedFigures | undefined;
  },
): string[] {
  const pairs = [
    ["CIL", reached.cil.headline, baseline.cil],
    ["Routed", reached.routed?.headline, baseline.cil],
    ["TIL", reached.til.headline, baseline.til],
  ] as const;
  return pairs.flatMap(([name, value, least]) => (value !== undefined && value < least ? [name] : []));
}

function summarizeRouted(
  { metrics }: RunRecord,
  evaluated: readonly TaskRecord[],
): RoutedFigures | undefined {
  const rows = evaluated.flatMap(({ evaluated: row }) => row?.routed ?? []);
  const last = rows.at(-1);
  const found = total(last?.taskCorrect ?? []);
  const each = evaluated.at(-1)?.evaluated?.counted ?? [];
  const counted = total(each);
  const averages = rows.flatMap(({ accuracy }) => mean(accuracy) ?? []);
  const headline = averages.at(-1);
  if (last === undefined || rows.length < evaluated.length || headline === undefined) return undefined;
  const final = metrics?.level === undefined ? metrics?.routed : undefined;
  return {
    matrix: rows.map(({ accuracy }) => rows.map((_, j) => accuracy[j] ?? null)),
    averages,
    headline,
    second: final?.sampleAccuracy,
    incremental: final?.averageIncrementalAccuracy ?? mean(averages),
    forgetting: final?.forgetting,
    backwardTransfer: final?.backwardTransfer,
    forwardTransfer: undefined,
    taskAccuracy: (found ?? 0) / Math.max(1, counted ?? 0),
    passes: rows.map(({ passesPerExample }) => passesPerExample),
    passesPerExample: last.passesPerExample,
    ...(last.firstPassCorrect !== undefined && {
      firstPass: mean(last.firstPassCorrect.map((count, j) => count / Math.max(1, each[j] ?? 0))),
    }),
    ...(last.router !== undefined && { router: last.router }),
  };
}

function summarizeRoutedWords(
  { metrics }: RunRecord,
  evaluated: readonly TaskRecord[],
): RoutedFigures | undefined {
  const rows = evaluated.flatMap(({ wordsEvaluated: row }) => row?.routed ?? []);
  const last = rows.at(-1);
  if (last === undefined || rows.length < evaluated.length) return undefined;
  const final = metrics?.level === "word" ? metrics.routed : undefined;
  const averages = rows.map(({ microF1 }) => microF1);
  return {
    matrix: rows.map(({ perTask }) => rows.map((_, j) => perTask[j] ?? null)),
    averages,
    headline: last.microF1,
    second: final?.macroF1 ?? last.macroF1,
    incremental: final?.averageIncrementalF1 ?? mean(averages),
    forgetting: final?.forgetting,
    backwardTransfer: final?.backwardTransfer,
    forwardTransfer: undefined,
    passes: rows.map(({ passesPerExample }) => passesPerExample),
    passesPerExample: last.passesPerExample,
    firstPass: last.firstPassMicroF1,
    router: last.router,
  };
}

const routedSummarizers: {
  readonly [L in RunLevel]: (
    record: RunRecord,
    evaluated: readonly TaskRecord[],
  ) => RoutedFigures | undefined;
} = { sentence: summarizeRouted, word: summarizeRoutedWords };

/** Distinct labels: a label may come again in a later task. */
function countNames(tasks: readonly TaskRecord[]): number {
  return new Set(tasks.flatMap(namesOf)).size;
}

function averageExactMatch(figures: ProtocolMetrics | AnswerMetrics): number | undefined {
  return "exactMatch" in figures ? figures.exactMatch.averageAccuracy : undefined;
}

/** Undefined where nothing is answered in words. */
function exactMatchOf({ tasks, cil, metrics }: RunRecord, protocol: Protocol): number | undefined {
  if (metrics !== undefined && metrics.level === undefined) return averageExactMatch(metrics[protocol]);
  return mean(tasks[cil.length - 1]?.evaluated?.exactMatch?.[protocol] ?? []);
}

function passesOf({ tasks, cil }: RunRecord, protocol: Protocol): number | undefined {
  const last = tasks[cil.length - 1];
  return last === undefined ? undefined : evaluationOf(last)?.[protocol].passesPerExample;
}

const summarizers: {
  readonly [L in RunLevel]: (record: RunRecord, protocol: Protocol) => ProtocolFigures;
} = {
  sentence: (record, protocol) => {
    const metrics = record.metrics?.level === undefined ? record.metrics?.[protocol] : undefined;
    const averages = averageRows(record[protocol]);
    const exactMatch = exactMatchOf(record, protocol);
    return {
      averages,
      headline: metrics?.averageAccuracy ?? averages.at(-1),
      second: metrics?.sampleAccuracy,
      incremental: metrics?.averageIncrementalAccuracy ?? mean(averages),
      forgetting: metrics?.forgetting,
      backwardTransfer: metrics?.backwardTransfer,
      forwardTransfer: metrics?.forwardTransfer,
      passesPerExample: metrics?.passesPerExample ?? passesOf(record, protocol),
      ...(exactMatch !== undefined && { exactMatch }),
    };
  },
  word: (record, protocol) => {
    const metrics = record.metrics?.level === "word" ? record.metrics[protocol] : undefined;
    const evaluated = record.tasks.slice(0, record[protocol].length);
    const scores = evaluated.flatMap(({ wordsEvaluated }) => wordsEvaluated?.[protocol] ?? []);
    const averages = scores.map(({ microF1 }) => microF1);
    const types =
      metrics?.typeMatrix ?? (scores.length > 0 ? typeMatrix(evaluated.map(namesOf), scores) : undefined);
    return {
      averages,
      headline: metrics?.microF1 ?? averages.at(-1),
      second: metrics?.macroF1 ?? scores.at(-1)?.macroF1,
      incremental: metrics?.averageIncrementalF1 ?? mean(averages),
      forgetting: metrics?.forgetting,
      backwardTransfer: metrics?.backwardTransfer,
      forwardTransfer: undefined,
      passesPerExample: metrics?.passesPerExample ?? passesOf(record, protocol),
      ...(types !== undefined && { typeMatrix: types }),
    };
  },
};

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
