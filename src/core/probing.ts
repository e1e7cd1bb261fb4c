import { type ProbeKind, type ProbingMetrics, probeKinds, type RunEventBody } from "./record.ts";

/** What probes found in the features after learning so many tasks. */
export type ProbedRow = Extract<RunEventBody, { readonly type: "probed" }>;

/**
 * The matrix of each kind of probe, as far as its rows follow each other from the first.
 * @param rows in any order; of two for one number of tasks the later counts
 * @returns undefined where there is no first row
 */
export function computeProbing(rows: readonly ProbedRow[]): ProbingMetrics | undefined {
  const byLearned = new Map(rows.map((row) => [row.learned, row.accuracies]));
  const following: ProbedRow["accuracies"][] = [];
  for (let next = byLearned.get(0); next !== undefined; next = byLearned.get(following.length))
    following.push(next);
  const metrics: { [K in ProbeKind]?: readonly (readonly number[])[] } = {};
  for (const kind of probeKinds) {
    const matrix = following.flatMap(({ [kind]: row }) => (row === undefined ? [] : [row]));
    if (matrix.length > 0) metrics[kind] = matrix;
  }
  return Object.keys(metrics).length === 0 ? undefined : metrics;
}
