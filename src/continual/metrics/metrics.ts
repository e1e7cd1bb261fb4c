/**
 * What a run is judged by. Notation: T tasks in learning order, a[k][j] the accuracy on task j's test data after
 * learning task k (j ≤ k), all fractions; k and j count from 0, so the last row is T − 1.
 */
import { parse } from "csv-parse/sync";
import { DataError, messageOf, StoreError } from "../../core/errors.ts";
import type {
  AccuracyMatrix,
  AnswerMetrics,
  ProtocolMetrics,
  RoutedMetrics,
  RunEventBody,
} from "../../core/record.ts";

/** One evaluation: row k of both matrices, with the counts behind it. */
export type EvaluatedRow = Extract<RunEventBody, { readonly type: "evaluated" }>;

/** One protocol's share of an evaluation after learning task k; every array has k + 1 entries. */
export interface ProtocolRow {
  readonly task: number;
  readonly accuracy: readonly number[];
  readonly correct: readonly number[];
  readonly counted: readonly number[];
  readonly passesPerExample: number;
}

/** The evaluation of what was generated freely, in the place of label scoring's. */
function asExactMatch(row: EvaluatedRow): EvaluatedRow {
  if (row.exactMatch === undefined)
    throw new StoreError(`metrics: the evaluation after task ${row.task} says nothing of exact match`);
  return { ...row, ...row.exactMatch };
}

/**
 * As {@link computeMetrics} of label scoring, with both ways of reading answers beside it.
 *
 * @throws StoreError as {@link computeMetrics}, or if a row does not say what was generated.
 */
export function computeAnswerMetrics(rows: readonly EvaluatedRow[]): {
  readonly cil: AnswerMetrics;
  readonly til: AnswerMetrics;
} {
  const labelScored = computeMetrics(rows);
  const exactMatch = computeMetrics(rows.map(asExactMatch));
  const both = (protocol: "cil" | "til"): AnswerMetrics => {
    const scored = { ...labelScored[protocol], ...computeForwardTransfer(rows, protocol) };
    return { ...scored, exactMatch: exactMatch[protocol], labelScored: scored };
  };
  return { cil: both("cil"), til: both("til") };
}

/**
 * The figures of both protocols from a run's evaluations.
 *
 * TIL is given the task, so one adapter runs: one pass. CIL's passes are those the last evaluation reports.
 *
 * @param rows one per learned task, in any order; each of the row's arrays has an entry for every task so far.
 * @throws StoreError if there is no row, a task is missing or repeated, or a row has the wrong length.
 */
export function computeMetrics(rows: readonly EvaluatedRow[]): {
  readonly cil: ProtocolMetrics;
  readonly til: ProtocolMetrics;
} {
  return {
    cil: computeProtocolMetrics(
      rows.map((row) => ({
        task: row.task,
        accuracy: row.cil,
        correct: row.cilCorrect,
        counted: row.counted,
        passesPerExample: row.passesPerExample,
      })),
    ),
    til: computeProtocolMetrics(
      rows.map((row) => ({
        task: row.task,
        accuracy: row.til,
        correct: row.tilCorrect,
        counted: row.counted,
        passesPerExample: 1,
      })),
    ),
  };
}

/**
 * The figures of routed prediction, `taskAccuracy` = Σ_j found_j / Σ_j counted_j after the last task.
 *
 * @returns undefined unless every row was routed.
 * @throws StoreError as {@link computeMetrics}, or if a row does not say for every task how often it was found.
 */
export function computeRoutedMetrics(rows: readonly EvaluatedRow[]): RoutedMetrics | undefined {
  const routed = rows.flatMap(({ task, counted, routed: own }) => (own ? [{ task, counted, ...own }] : []));
  if (routed.length === 0 || routed.length < rows.length) return undefined;
  const metrics = computeProtocolMetrics(routed);
  const inWords = routed.flatMap(({ exactMatch, ...row }) => (exactMatch ? [{ ...row, ...exactMatch }] : []));
  const last = routed.reduce((latest, row) => (row.task > latest.task ? row : latest));
  if (last.taskCorrect.length !== last.counted.length)
    throw new StoreError(
      `metrics: evaluation after task ${last.task}: taskCorrect needs ${last.counted.length} entries, got ${last.taskCorrect.length}`,
    );
  return {
    ...metrics,
    taskAccuracy: sum(last.taskCorrect) / sum(last.counted),
    ...(last.firstPassCorrect !== undefined && {
      firstPassAccuracy: mean(last.firstPassCorrect.map((count, j) => count / (last.counted[j] ?? 1))),
    }),
    ...(last.immediateCorrect !== undefined && {
      immediateAccuracy: mean(last.immediateCorrect.map((count, j) => count / (last.counted[j] ?? 1))),
    }),
    ...(inWords.length === routed.length && {
      exactMatch: computeProtocolMetrics(inWords),
      labelScored: metrics,
    }),
    ...(last.router !== undefined && { router: last.router }),
  };
}

/**
 * One protocol's figures. Forgetting and backward transfer need an earlier task and are absent where T = 1.
 *
 * @throws StoreError as {@link computeMetrics}.
 */
export function computeProtocolMetrics(rows: readonly ProtocolRow[]): ProtocolMetrics {
  const ordered = checkRows(rows);
  const last = ordered[ordered.length - 1]!;
  const learned = ordered.map((row) => row.accuracy);
  const forgetting = computeForgetting(learned);
  const backwardTransfer = computeBackwardTransfer(learned);
  return {
    matrix: learned.map((row) => learned.map((_, j) => row[j] ?? null)),
    averageAccuracy: mean(last.accuracy),
    sampleAccuracy: sum(last.correct) / sum(last.counted),
    averageIncrementalAccuracy: computeAverageIncrementalAccuracy(learned),
    ...(forgetting === undefined ? {} : { forgetting }),
    ...(backwardTransfer === undefined ? {} : { backwardTransfer }),
    passesPerExample: last.passesPerExample,
  };
}

/**
 * Average incremental accuracy: (1/T) Σ_k (1/(k+1)) Σ_{j≤k} a[k][j], the mean of the averages after each task.
 * Higher is better. iCaRL (Rebuffi et al. 2017, section 4) averages the accuracies over all samples seen so far;
 * here each average is over tasks, which is the same where test sets are equally large.
 */
function computeAverageIncrementalAccuracy(rows: readonly (readonly number[])[]): number {
  return mean(rows.map((row) => mean(row)));
}

/**
 * Forgetting: (1/(T−1)) Σ_{j<T−1} (max_k a[k][j] − a[T−1][j]), how far each earlier task has fallen from its best.
 * Lower is better; never negative, and at least −{@link computeBackwardTransfer}.
 *
 * After Chaudhry et al. 2018 (Riemannian Walk), whose maximum leaves the last row out, so that a task which
 * ends at its best counts negative there and 0 here. Avalanche subtracts from the first value, not the highest:
 * its figure is −backwardTransfer.
 *
 * @returns undefined for fewer than two tasks.
 */
export function computeForgetting(rows: readonly (readonly number[])[]): number | undefined {
  const last = rows[rows.length - 1];
  if (last === undefined || rows.length < 2) return undefined;
  const drops = last.slice(0, -1).map((now, j) => {
    let best = now;
    for (const row of rows.slice(j)) best = Math.max(best, row[j]!);
    return best - now;
  });
  return mean(drops);
}

/**
 * Backward transfer: (1/(T−1)) Σ_{j<T−1} (a[T−1][j] − a[j][j]), what learning later tasks did to earlier ones.
 * Higher is better; negative where they suffered. GEM (Lopez-Paz & Ranzato 2017, section 2). Avalanche reports the
 * same figure as `BWT`.
 *
 * @returns undefined for fewer than two tasks.
 */
export function computeBackwardTransfer(rows: readonly (readonly number[])[]): number | undefined {
  const last = rows[rows.length - 1];
  if (last === undefined || rows.length < 2) return undefined;
  return mean(last.slice(0, -1).map((now, j) => now - rows[j]![j]!));
}

/**
 * Forward transfer: (1/(T−1)) Σ_{j≥1} (a[j−1][j] − b[j]), what learning earlier tasks did to one that is not learned yet.
 * Higher is better. b[j] is the accuracy on task j of an adapter that has learned nothing. GEM (Lopez-Paz & Ranzato
 * 2017, section 2), whose b is the accuracy at random initialisation.
 *
 * @returns nothing for fewer than two tasks, or where some task was not answered before it was learned.
 */
export function computeForwardTransfer(
  rows: readonly EvaluatedRow[],
  protocol: "cil" | "til",
): Pick<ProtocolMetrics, "forwardTransfer" | "unseen"> {
  const before = rows.toSorted((a, b) => a.task - b.task).slice(0, -1);
  const found = before.flatMap(({ unseen }) => (unseen && unseen.counted > 0 ? [unseen] : []));
  if (found.length === 0 || found.length < before.length) return {};
  const newest = found.map((row) => row[protocol].newest / row.counted);
  const untrained = found.map((row) => row[protocol].untrained / row.counted);
  return {
    forwardTransfer: mean(newest.map((accuracy, i) => accuracy - untrained[i]!)),
    unseen: { newest, untrained },
  };
}

/** The rows in task order. */
function checkRows(rows: readonly ProtocolRow[]): readonly ProtocolRow[] {
  if (rows.length === 0) throw new StoreError("metrics: no evaluated task");
  const ordered = rows.toSorted((a, b) => a.task - b.task);
  for (const [k, row] of ordered.entries()) {
    if (row.task !== k)
      throw new StoreError(
        row.task < k
          ? `metrics: task ${row.task} is evaluated twice`
          : `metrics: task ${k} was never evaluated, but task ${row.task} was`,
        { hint: "Give one evaluation for each task learned so far, the latest where there are several." },
      );
    for (const field of ["accuracy", "correct", "counted"] as const) {
      if (row[field].length !== k + 1)
        throw new StoreError(
          `metrics: evaluation after task ${k}: ${field} needs ${k + 1} entries, one for each task so far, ` +
            `got ${row[field].length}`,
        );
    }
  }
  const last = ordered[ordered.length - 1]!;
  if (sum(last.counted) === 0)
    throw new StoreError(`metrics: evaluation after task ${last.task} counted no example`);
  return ordered;
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Of at least one value. */
function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

/**
 * An accuracy matrix as CSV: a header `after,<task>,…`, then a row for each learned task. Fractions at full precision;
 * an undefined cell is empty.
 *
 * @throws DataError if the matrix does not have a row and a column for each name.
 */
export function matrixToCsv(matrix: AccuracyMatrix, taskNames: readonly string[]): string {
  if (matrix.length !== taskNames.length || matrix.some((row) => row.length !== taskNames.length))
    throw new DataError(
      `accuracy matrix: ${taskNames.length} task names need as many rows and columns, ` +
        `got rows of ${matrix.map((row) => row.length).join(", ") || "nothing"}`,
    );
  const lines = matrix.map((row, k) => [
    quoteCsv(taskNames[k]!),
    ...row.map((value) => (value === null ? "" : String(value))),
  ]);
  return `${[["after", ...taskNames.map(quoteCsv)], ...lines].map((cells) => cells.join(",")).join("\n")}\n`;
}

function quoteCsv(text: string): string {
  return /[",\r\n]/.test(text) || text.trim() !== text || text === ""
    ? `"${text.replaceAll('"', '""')}"`
    : text;
}

/**
 * Reads what {@link matrixToCsv} wrote.
 *
 * @throws DataError if the text is no such table; the row is named.
 */
export function matrixFromCsv(text: string): {
  readonly matrix: AccuracyMatrix;
  readonly taskNames: readonly string[];
} {
  const [header, ...lines] = parseTable(text);
  const taskNames = header?.slice(1) ?? [];
  if (header?.[0] !== "after" || lines.length !== taskNames.length)
    throw new DataError(
      `accuracy matrix: expected a header "after" with task names, then a row for each task; ` +
        `got ${taskNames.length} names and ${lines.length} rows`,
    );
  const matrix = lines.map((cells, k) => {
    if (cells.length !== taskNames.length + 1 || cells[0] !== taskNames[k])
      throw new DataError(
        `accuracy matrix: row ${k + 2}: expected "${taskNames[k]}" and ${taskNames.length} values, ` +
          `got "${cells[0]}" and ${cells.length - 1}`,
      );
    return cells.slice(1).map((cell, j) => parseCell(cell, k, j));
  });
  return { matrix, taskNames };
}

function parseTable(text: string): string[][] {
  try {
    return parse(text, { relaxColumnCount: true });
  } catch (cause) {
    throw new DataError(`accuracy matrix: not CSV: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function parseCell(cell: string, k: number, j: number): number | null {
  if (cell === "") return null;
  const value = Number(cell);
  if (!Number.isFinite(value))
    throw new DataError(`accuracy matrix: row ${k + 2}, column ${j + 2}: expected a number, got "${cell}"`);
  return value;
}
