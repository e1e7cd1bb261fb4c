/**
 * What a word-level run is judged by. T tasks in learning order; f[k][j] is the micro F1 over task j's entity types on
 * the shared test set after learning task k (j ≤ k), F[k] the micro F1 over all types seen by then. Fractions; k and j
 * count from 0.
 */
import { StoreError } from "../../core/errors.ts";
import type {
  RoutedWordMetrics,
  RunEventBody,
  TaskHeader,
  WordProtocolMetrics,
  WordScores,
} from "../../core/record.ts";
import { typeMatrix } from "../../core/typeMatrix.ts";
import { computeBackwardTransfer, computeForgetting } from "./metrics.ts";

/** One evaluation: row k of both protocols. */
export type WordsEvaluatedRow = Extract<RunEventBody, { readonly type: "words-evaluated" }>;

/** The rows in task order. */
function checkRows(rows: readonly WordsEvaluatedRow[]): readonly WordsEvaluatedRow[] {
  if (rows.length === 0) throw new StoreError("metrics: no evaluated task");
  const ordered = rows.toSorted((a, b) => a.task - b.task);
  for (const [k, row] of ordered.entries()) {
    if (row.task !== k) throw new StoreError(`metrics: task ${k} was evaluated never or twice`);
    for (const protocol of ["cil", "til", "routed"] as const) {
      const entries = row[protocol]?.perTask.length ?? k + 1;
      if (entries !== k + 1)
        throw new StoreError(
          `metrics: evaluation after task ${k}: ${protocol}.perTask needs ${k + 1} entries, got ${entries}`,
        );
    }
  }
  return ordered;
}

/**
 * One protocol's figures: `microF1` and `macroF1` after the last task; `averageIncrementalF1` = (1/T) Σ_k F[k];
 * `forgetting` and `backwardTransfer` over f[k][j] as at sentence level, absent where T = 1; `typeMatrix` the F1 of each
 * type over time.
 */
function computeProtocol(
  rows: readonly WordScores[],
  division: readonly (readonly string[])[],
): WordProtocolMetrics {
  const last = rows[rows.length - 1]!;
  const perTask = rows.map((row) => row.perTask);
  const forgetting = computeForgetting(perTask);
  const backwardTransfer = computeBackwardTransfer(perTask);
  return {
    matrix: perTask.map((row) => perTask.map((_, j) => row[j] ?? null)),
    microF1: last.microF1,
    ...(last.macroF1 !== undefined && { macroF1: last.macroF1 }),
    averageIncrementalF1: rows.reduce((sum, { microF1 }) => sum + microF1, 0) / rows.length,
    ...(forgetting !== undefined && { forgetting }),
    ...(backwardTransfer !== undefined && { backwardTransfer }),
    perType: last.perType,
    typeMatrix: typeMatrix(division, rows),
    passesPerExample: last.passesPerExample,
  };
}

/**
 * The figures of both protocols, and of routed prediction where every evaluation has it, from a run's evaluations.
 *
 * TIL forgets nothing by construction: a task's own adapter and the first one's `O` stay as they were learned.
 *
 * @param rows one per learned task, in any order
 * @param tasks of the stream, with their types; those not yet learned are left out
 * @throws StoreError if there is no row, a task is missing or repeated, or a row has the wrong length
 */
export function computeWordMetrics(
  rows: readonly WordsEvaluatedRow[],
  tasks: readonly Pick<TaskHeader, "types">[],
): {
  readonly cil: WordProtocolMetrics;
  readonly til: WordProtocolMetrics;
  readonly routed?: RoutedWordMetrics;
} {
  const ordered = checkRows(rows);
  const division = tasks.slice(0, ordered.length).map(({ types = [] }) => types);
  const routed = ordered.flatMap((row) => row.routed ?? []);
  const last = routed.length === ordered.length ? routed.at(-1) : undefined;
  return {
    cil: computeProtocol(
      ordered.map(({ cil }) => cil),
      division,
    ),
    til: computeProtocol(
      ordered.map(({ til }) => til),
      division,
    ),
    ...(last !== undefined && {
      routed: {
        ...computeProtocol(routed, division),
        firstPassMicroF1: last.firstPassMicroF1,
        ...(last.router && { router: last.router }),
      },
    }),
  };
}
