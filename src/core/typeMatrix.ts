/** How well each entity type is found, over the tasks learned: what forgetting means where one test set serves all. */
import { StoreError } from "./errors.ts";
import type { TypeMatrix, WordScores } from "./record.ts";

function forgettingOf(row: readonly (number | null)[]): number | null {
  const values = row.filter((value) => value !== null);
  const last = values[values.length - 1];
  if (last === undefined || values.length < 2) return null;
  return Math.max(...values) - last;
}

/**
 * The per-type F1 matrix of a run.
 *
 * A learned type that neither test nor predictions hold has no entry in its scores; its F1 is 0 here, as for any
 * type that is not found.
 * @param division types of each task, in learning order
 * @param rows scores on the shared test set after learning task 0, 1, …, one for each task
 * @throws StoreError if there is not one row for each task
 */
export function typeMatrix(
  division: readonly (readonly string[])[],
  rows: readonly Pick<WordScores, "perType">[],
): TypeMatrix {
  if (rows.length !== division.length || rows.length === 0)
    throw new StoreError(
      `type matrix: ${division.length} tasks need as many evaluations, got ${rows.length}`,
    );
  const types = division.flat();
  const learned = division.flatMap((members, task) => members.map(() => task));
  const f1 = types.map((type, i) =>
    rows.map(({ perType }, k) => (k < learned[i]! ? null : (perType[type]?.f1 ?? 0))),
  );
  const forgetting = f1.map(forgettingOf);
  const known = forgetting.filter((value) => value !== null);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return { types, f1, forgetting, ...(known.length === 0 ? {} : { meanForgetting: mean }) };
}
