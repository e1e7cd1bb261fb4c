/** Every level's evaluations and figures, in one table. */
import type { RunEventBody, RunLevel, RunMetrics, TaskHeader } from "../../core/record.ts";
import { computeAnswerMetrics, computeMetrics, computeRoutedMetrics, type EvaluatedRow } from "./metrics.ts";
import { computeWordMetrics, type WordsEvaluatedRow } from "./wordMetrics.ts";

/** What was measured after learning a task. */
export type Evaluation = EvaluatedRow | WordsEvaluatedRow;

export function isEvaluation(event: RunEventBody): event is Evaluation {
  return event.type === "evaluated" || event.type === "words-evaluated";
}

type WithoutCost<M> = M extends RunMetrics ? Omit<M, "cost"> : never;

/** A run's metrics but for what they cost. */
export type Figures = WithoutCost<RunMetrics>;

const computers: {
  readonly [L in RunLevel]: (rows: readonly Evaluation[], tasks: readonly TaskHeader[]) => Figures;
} = {
  sentence: (rows) => {
    const evaluated = rows.filter((row): row is EvaluatedRow => row.type === "evaluated");
    const inWords = evaluated.some(({ exactMatch }) => exactMatch !== undefined);
    const routed = computeRoutedMetrics(evaluated);
    const last = evaluated.toSorted((a, b) => a.task - b.task).at(-1);
    const { outOfScope, routed: lastRouted } = last ?? {};
    return {
      schemaVersion: 1,
      ...(inWords ? computeAnswerMetrics : computeMetrics)(evaluated),
      ...(routed !== undefined && { routed }),
      ...(outOfScope !== undefined && { outOfScope }),
      ...(lastRouted?.calibration !== undefined && { calibration: lastRouted.calibration }),
    };
  },
  word: (rows, tasks) => ({
    schemaVersion: 1,
    level: "word",
    ...computeWordMetrics(
      rows.filter((row): row is WordsEvaluatedRow => row.type === "words-evaluated"),
      tasks,
    ),
  }),
};

/**
 * The figures of both protocols from a run's evaluations.
 *
 * @param rows one per learned task, in any order
 * @param tasks of the stream
 * @throws StoreError if there is no row, a task is missing or repeated, or a row has the wrong length
 */
export function computeFigures(
  level: RunLevel,
  rows: readonly Evaluation[],
  tasks: readonly TaskHeader[],
): Figures {
  return computers[level](rows, tasks);
}
