/** How well the classes are told apart, from the kept rows alone: every row is answered by a fit that did not see it. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { RouterFitter } from "../routers/fit.ts";
import { dequantize, hashRow, takeRows } from "../statistics/fixedRows.ts";
import { ClassStatistics, type Contribution, type KeptContribution } from "../statistics/statistics.ts";
import type { RouterKind } from "../types.ts";

/** What a row was answered with by a fit without it. */
export interface CheckedRow {
  readonly label: string;
  /** The row's own: with its label it says which row it is, in any state that holds it. */
  readonly hash: number;
  readonly answer: string;
  /** Of the answer. */
  readonly score: number;
}

export interface CrossCheck {
  readonly rows: readonly CheckedRow[];
  /** Classes of one row: a fit without it does not know them. */
  readonly tooFew: readonly string[];
}

/** `Map.groupBy`, which Node 20 lacks. */
export function groupBy<K, T>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const own = groups.get(key);
    if (own === undefined) groups.set(key, [item]);
    else own.push(item);
  }
  return groups;
}

/** Parts that a class's rows are divided into; each is left out once. */
const PARTS = 5;
/** Of more rows than so many one part alone is left out, of so many rows at most. */
const MANY_ROWS = 1500;

/** How many parts so many rows have: doubled until one is small enough, so that the part of more rows lies within the part of fewer. */
export function partsOf(rows: number): number {
  let parts = PARTS;
  while (rows > MANY_ROWS && rows > parts * MANY_ROWS) parts *= 2;
  return parts;
}

interface PlacedRow {
  readonly contribution: number;
  readonly row: number;
  readonly label: string;
  readonly hash: number;
}

/** Rows by class, in the order of their hashes: where a row stands hangs on nothing but its class's rows. */
function placedRows(contributions: readonly KeptContribution[]): Map<string, PlacedRow[]> {
  const byClass = new Map<string, PlacedRow[]>();
  for (const [contribution, { label, rows }] of contributions.entries()) {
    const own = byClass.get(label) ?? [];
    for (let row = 0; row < rows.rows; row++) {
      const values = rows.values.subarray(row * rows.width, (row + 1) * rows.width);
      own.push({ contribution, row, label, hash: hashRow(values) });
    }
    byClass.set(label, own);
  }
  for (const own of byClass.values())
    own.sort((a, b) => a.hash - b.hash || a.contribution - b.contribution || a.row - b.row);
  return byClass;
}

/** What is left without some rows; none is held out as such, since the fit is not to see those that are left out. */
function without({ constants, contributions }: ClassStatistics, left: readonly PlacedRow[]): ClassStatistics {
  const gone = new Map<number, Set<number>>();
  for (const { contribution, row } of left)
    gone.set(contribution, (gone.get(contribution) ?? new Set()).add(row));
  const kept = contributions.map(({ label, rows }, i): Contribution => {
    const out = gone.get(i);
    if (out === undefined) return { label, rows };
    const stay = Array.from({ length: rows.rows }, (_, row) => row).filter((row) => !out.has(row));
    return { label, rows: takeRows(rows, stay) };
  });
  return ClassStatistics.empty(constants).with(kept);
}

/**
 * Answers every row by a fit without it, a part of each class's rows at a time; of many rows some.
 * @returns undefined where no class has a second row
 */
export async function crossCheck(
  fitter: RouterFitter,
  statistics: ClassStatistics,
  how: {
    readonly kind: RouterKind | "auto";
    readonly seed: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<CrossCheck | undefined> {
  const byClass = placedRows(statistics.contributions);
  const tooFew = [...byClass].flatMap(([label, own]) => (own.length < 2 ? label : []));
  const total = [...byClass.values()].reduce((sum, own) => sum + own.length, 0);
  const parts = partsOf(total);
  const rounds = total <= MANY_ROWS ? PARTS : 1;
  const rows: CheckedRow[] = [];
  for (let part = 0; part < rounds; part++) {
    const left = [...byClass.values()].flatMap((own) =>
      own.length < 2 ? [] : own.filter((_, place) => place % parts === part),
    );
    if (left.length === 0) continue;
    how.signal?.throwIfAborted();
    await nextTick();
    const router = await fitter.fit(without(statistics, left), how);
    for (const [i, own] of groupBy(left, ({ contribution }) => contribution)) {
      const asked = takeRows(
        statistics.contributions[i]!.rows,
        own.map(({ row }) => row),
      );
      const { values, classes } = await router.posterior(dequantize(asked), how.signal);
      for (const [at, { label, hash }] of own.entries()) {
        const logs = values.subarray(at * classes, (at + 1) * classes);
        const best = logs.indexOf(Math.max(...logs));
        rows.push({ label, hash, answer: router.labels[best] ?? "", score: Math.exp(logs[best] ?? 0) });
      }
    }
  }
  return rows.length === 0 ? undefined : { rows, tooFew };
}
