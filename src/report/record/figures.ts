/** Figures that terminal and page share: a finished run's metrics, or what can be said of one under way. */
import type {
  AccuracyMatrix,
  BaselineMetrics,
  CalibrationMetrics,
  EventOf,
  OutOfScopeMetrics,
  RouterSummary,
  RunMetrics,
  TypeMatrix,
} from "../../core/record.ts";
import { typeMatrix } from "../../core/typeMatrix.ts";
import { namesOf, type RunRecord, squareMatrix, type TaskRecord } from "./record.ts";

/** In `routed`, a router or a network chooses the task. */
export type Protocol = "cil" | "routed" | "til";

/** What is known of one protocol so far, in names that fit both levels. */
export interface ProtocolFigures {
  readonly matrix: AccuracyMatrix;
  /** The headline after each learned task. */
  readonly averages: readonly number[];
  /** Forward passes an example after each learned task. */
  readonly passes: readonly number[];
  /** Average accuracy, or micro F1. */
  readonly headline?: number | undefined;
  /** Accuracy over samples, or macro F1. */
  readonly second?: number | undefined;
  /** The mean of `averages`. */
  readonly incremental?: number | undefined;
  readonly forgetting?: number | undefined;
  readonly backwardTransfer?: number | undefined;
  readonly forwardTransfer?: number | undefined;
  readonly passesPerExample?: number | undefined;
  /** Where a model answers in words: the mean over tasks of its free answers; the rest is label scoring. */
  readonly exactMatch?: number | undefined;
  /** At word level, once a task is evaluated. */
  readonly typeMatrix?: TypeMatrix | undefined;
  /** The share of all test texts whose task a router finds; absent at word level, where a sentence has no one task. */
  readonly taskAccuracy?: number | undefined;
  /** What a router's first pass alone reaches, the mean over tasks, at word level micro F1. */
  readonly firstPass?: number | undefined;
  /** What the immediate router reaches in its place. */
  readonly immediate?: number | undefined;
  /** Absent where a network chooses. */
  readonly router?: RouterSummary | undefined;
}

type Figures = Omit<ProtocolFigures, "matrix" | "averages" | "passes">;

/** One protocol's part of an evaluation. */
interface Scores extends Figures {
  /** Of its matrix. */
  readonly row: readonly number[];
  readonly headline: number;
  readonly passesPerExample: number;
}

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
  /** Undefined where every evaluation was exact. */
  readonly routed: ProtocolFigures | undefined;
  /** After the latest evaluation; undefined where nothing tells texts out of scope, or there are none. */
  readonly outOfScope: OutOfScopeMetrics | undefined;
  /** Of routed answers, after the latest evaluation. */
  readonly calibration: CalibrationMetrics | undefined;
  /** Undefined while the run goes on, and where there is none. */
  readonly baseline: BaselineMetrics | undefined;
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
  const evaluated = tasks.slice(0, record.cil.length);
  const cil = summarizeProtocol(record, evaluated, "cil");
  const til = summarizeProtocol(record, evaluated, "til");
  const routed = summarizeProtocol(record, evaluated, "routed");
  const isRouted = metrics?.routed !== undefined || routed.averages.length === evaluated.length;
  const baseline = metrics?.baseline;
  const reached = [
    ["CIL", cil.headline, baseline?.cil],
    ["Routed", routed.headline, baseline?.cil],
    ["TIL", til.headline, baseline?.til],
  ] as const;
  return {
    finished: metrics !== undefined,
    totalTasks: tasks.length,
    evaluatedTasks: evaluated.length,
    totalLabels: countNames(tasks),
    seenLabels: countNames(evaluated),
    cil,
    til,
    routed: isRouted && evaluated.length > 0 ? routed : undefined,
    outOfScope: evaluated.at(-1)?.evaluated?.outOfScope,
    calibration: evaluated.at(-1)?.evaluated?.routed?.calibration,
    baseline,
    belowBaseline: reached.flatMap(([name, value, least]) =>
      value !== undefined && least !== undefined && value < least ? [name] : [],
    ),
    tilChanged: findChangedColumns(record.til),
    trainSeconds: metrics?.cost.trainSeconds ?? total(tasks.map(({ learned }) => learned?.seconds)),
    evalSeconds: metrics?.cost.evalSeconds ?? total(tasks.map(evaluationSeconds)),
    peakRssBytes: metrics?.cost.peakRssBytes,
  };
}

export const protocolNames = { cil: "CIL", routed: "routed", til: "TIL" } as const;

export function shownProtocols({ cil, routed, til }: Pick<RunFigures, Protocol>) {
  return [
    { protocol: "cil", figures: cil } as const,
    ...(routed === undefined ? [] : [{ protocol: "routed", figures: routed } as const]),
    { protocol: "til", figures: til } as const,
  ];
}

function summarizeProtocol(
  record: RunRecord,
  evaluated: readonly TaskRecord[],
  protocol: Protocol,
): ProtocolFigures {
  const scores = evaluated.flatMap((task) => scoresOf(task, protocol) ?? []);
  const averages = scores.map(({ headline }) => headline);
  const { row: _, ...latest } = scores.at(-1) ?? { row: [] };
  return {
    ...latest,
    incremental: mean(averages),
    typeMatrix: typesOf(evaluated, protocol),
    ...finalFigures(record.metrics, protocol),
    matrix:
      protocol === "routed"
        ? (record.metrics?.routed?.matrix ?? squareMatrix(scores.map(({ row }) => row)))
        : record[protocol],
    averages,
    passes: scores.map(({ passesPerExample }) => passesPerExample),
  };
}

/** Undefined where the run is not finished, or has no such prediction. */
function finalFigures(metrics: RunMetrics | undefined, protocol: Protocol): Figures | undefined {
  const found = metrics?.[protocol];
  if (found === undefined) return undefined;
  const { forgetting, backwardTransfer, passesPerExample } = found;
  const common = { forgetting, backwardTransfer, passesPerExample };
  if ("microF1" in found) {
    const { microF1, macroF1, averageIncrementalF1, typeMatrix: types } = found;
    return {
      ...common,
      headline: microF1,
      second: macroF1,
      incremental: averageIncrementalF1,
      typeMatrix: types,
    };
  }
  return {
    ...common,
    headline: found.averageAccuracy,
    second: found.sampleAccuracy,
    incremental: found.averageIncrementalAccuracy,
    forwardTransfer: found.forwardTransfer,
    ...("exactMatch" in found && found.exactMatch && { exactMatch: found.exactMatch.averageAccuracy }),
  };
}

export function scoresOf(
  { evaluated, wordsEvaluated }: Partial<Pick<TaskRecord, "evaluated" | "wordsEvaluated">>,
  protocol: Protocol,
): Scores | undefined {
  const words = wordsEvaluated?.[protocol];
  if (words !== undefined) {
    const { perTask: row, microF1: headline, macroF1: second, passesPerExample } = words;
    const routing = "firstPassMicroF1" in words && {
      firstPass: words.firstPassMicroF1,
      router: words.router,
    };
    return { row, headline, second, passesPerExample, ...routing };
  }
  if (evaluated === undefined) return undefined;
  if (protocol === "routed") return routedScores(evaluated);
  const row = evaluated[protocol];
  return {
    row,
    headline: mean(row) ?? 0,
    passesPerExample: protocol === "til" ? 1 : evaluated.passesPerExample,
    exactMatch: mean(evaluated.exactMatch?.[protocol] ?? []),
  };
}

function routedScores({ routed, counted }: EventOf<"evaluated">): Scores | undefined {
  if (routed === undefined) return undefined;
  const { accuracy: row, taskCorrect, firstPassCorrect = [], immediateCorrect = [], ...rest } = routed;
  const { passesPerExample, router, exactMatch } = rest;
  return {
    ...(exactMatch && { exactMatch: mean(exactMatch.accuracy) }),
    row,
    headline: mean(row) ?? 0,
    passesPerExample,
    taskAccuracy: (total(taskCorrect) ?? 0) / Math.max(1, total(counted) ?? 0),
    firstPass: mean(firstPassCorrect.map((correct, j) => correct / Math.max(1, counted[j] ?? 0))),
    immediate: mean(immediateCorrect.map((correct, j) => correct / Math.max(1, counted[j] ?? 0))),
    router,
  };
}

function typesOf(evaluated: readonly TaskRecord[], protocol: Protocol): TypeMatrix | undefined {
  const scores = evaluated.flatMap(({ wordsEvaluated }) => wordsEvaluated?.[protocol] ?? []);
  if (scores.length === 0 || scores.length < evaluated.length) return undefined;
  return typeMatrix(evaluated.map(namesOf), scores);
}

export function evaluationSeconds({ evaluated, wordsEvaluated }: TaskRecord): number | undefined {
  return evaluated?.seconds ?? wordsEvaluated?.seconds;
}

/** Distinct labels: a label may come again in a later task. */
function countNames(tasks: readonly TaskRecord[]): number {
  return new Set(tasks.flatMap(namesOf)).size;
}

export function mean(values: readonly number[]): number | undefined {
  const sum = total(values);
  return sum === undefined ? undefined : sum / values.length;
}

function total(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
}

/** Columns that do not keep their diagonal's value. */
function findChangedColumns(matrix: AccuracyMatrix): number[] {
  return [...matrix.keys()].filter((j) => matrix.some((row, k) => k > j && row[j] !== matrix[j]?.[j]));
}
