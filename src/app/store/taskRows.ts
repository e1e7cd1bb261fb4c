/** What a task leaves in a store: its rows, or where the store keeps totals alone a list of what it counted into them. */
import { z } from "zod";
import { ClassTotals } from "../../continual/routing/classTotals.ts";
import { encodeContributions, parseJson } from "../../continual/routing/contributionFile.ts";
import type { RoutingStatistics } from "../../continual/routing/ground.ts";
import { statisticsFile } from "../../continual/routing/routedLearner.ts";
import { type Contribution, type KeptContribution, keep } from "../../continual/routing/statistics.ts";
import type { StoreTask } from "./tasks.ts";

/** The file beside a task's adapter that says what it counted into the store's totals. */
export const countedFile = "counted.json";

const countedSchema = z.strictObject({
  version: z.literal(1),
  contributions: z.array(
    z.strictObject({
      label: z.string(),
      rows: z.int().positive(),
      /** Hash of label and rows. */ id: z.string(),
    }),
  ),
});

export type CountedRows = z.infer<typeof countedSchema>["contributions"][number];

/** @throws StoreError naming `where` */
export function decodeCounted(bytes: Uint8Array, where: string): readonly CountedRows[] {
  return parseJson(countedSchema, new TextDecoder().decode(bytes), where).contributions;
}

export type TaskRows = Pick<StoreTask, "statistics" | "counted">;

/** Whether a router knows the task's classes. */
export function hasRows({ statistics, counted }: TaskRows): boolean {
  return statistics !== undefined || counted !== undefined;
}

export function countRows({ statistics, counted = [] }: TaskRows): number {
  const kept = statistics?.contributions ?? [];
  return (
    kept.reduce((sum, { rows }) => sum + rows.rows, 0) + counted.reduce((sum, { rows }) => sum + rows, 0)
  );
}

/** Those that statistics count: one that came before, number for number, is the same one, and an empty one is none. */
function distinct(contributions: readonly Contribution[]): readonly KeptContribution[] {
  const found = new Map<string, KeptContribution>();
  for (const contribution of contributions) {
    if (contribution.rows.rows === 0) continue;
    const kept = keep(contribution);
    if (!found.has(kept.id)) found.set(kept.id, kept);
  }
  return [...found.values()];
}

/**
 * What a task leaves once it has learned more. What it has learned before it does not learn twice.
 * @param statistics those of the store: they say whether rows are kept
 */
export function addRows(
  before: TaskRows,
  contributions: readonly Contribution[],
  statistics: RoutingStatistics,
): TaskRows {
  if (!(statistics instanceof ClassTotals)) {
    const all = distinct([...(before.statistics?.contributions ?? []), ...contributions]);
    return { statistics: { constants: statistics.constants, contributions: all } };
  }
  const counted = new Map((before.counted ?? []).map((each) => [each.id, each]));
  for (const { id, label, rows } of distinct(contributions)) counted.set(id, { label, rows: rows.rows, id });
  return { counted: [...counted.values()] };
}

/** Its bytes, by file name. */
export function rowsFiles({ statistics, counted }: TaskRows): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  if (statistics !== undefined) files.set(statisticsFile, encodeContributions(statistics));
  if (counted !== undefined) {
    const text = `${JSON.stringify({ version: 1, contributions: counted }, null, 1)}\n`;
    files.set(countedFile, new TextEncoder().encode(text));
  }
  return files;
}
