/** The statistics of a store that keeps totals alone (`router.contributions: none`): one file for all tasks. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ClassTotals } from "../../continual/routing/classTotals.ts";
import type { RoutingStatistics } from "../../continual/routing/ground.ts";
import { decodeTotals } from "../../continual/routing/totalsFile.ts";
import { CheckpointError, StoreError } from "../../core/errors.ts";
import { sha256 } from "../../io/hash.ts";
import type { Sides } from "./likeness.ts";
import type { StoreManifest } from "./storeFolder.ts";
import { damageHintOf, type StoreTask } from "./tasks.ts";

/**
 * @returns undefined where a manifest names none
 * @throws CheckpointError where the file is missing or damaged
 */
export async function readTotals(store: string, manifest: StoreManifest): Promise<ClassTotals | undefined> {
  const { totals } = manifest;
  if (totals === undefined) return undefined;
  const hint = damageHintOf(manifest);
  const path = join(store, totals.file);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new CheckpointError(`${path}: the store's totals are missing`, { hint, cause });
  });
  const found = sha256(bytes);
  if (found === totals.hash) return decodeTotals(bytes, path);
  throw new CheckpointError(
    `${path}: the store's totals are damaged: SHA-256 ${found}, the manifest says ${totals.hash}`,
    { hint },
  );
}

/** @throws StoreError where a store keeps totals alone, of which nothing can be taken back */
export function refuseForgetting(statistics: RoutingStatistics, store: string): void {
  if (!(statistics instanceof ClassTotals)) return;
  throw new StoreError(
    `${store}: cannot forget: it keeps sums over the rows of all classes alone (router.contributions: none), and what went into a sum cannot be told apart any more`,
    {
      hint: "Take the last change back with accrete rollback; or begin a store that keeps contributions, and learn there what is to stay.",
    },
  );
}

/**
 * Whether what two stores keep of classes can be put together exactly: rows with rows, totals with totals.
 * @param totals the other's
 * @throws StoreError naming which keeps what
 */
export function checkSameKeeping(
  statistics: RoutingStatistics,
  totals: ClassTotals | undefined,
  tasks: readonly StoreTask[],
  { ours, theirs }: Sides,
): void {
  const alone = "totals alone (router.contributions: none)";
  const rows = "the rows of its classes";
  const hint =
    "Learn the tasks of one in the other from their data, or begin both with the same router.contributions.";
  const refuse = (other: string, own: string) => {
    throw new StoreError(`${theirs}: keeps ${other}, ${ours} ${own}: the two cannot be merged`, { hint });
  };
  const keepsTotals = statistics instanceof ClassTotals;
  if (keepsTotals && tasks.some((task) => task.statistics !== undefined)) refuse(rows, alone);
  if (!keepsTotals && totals !== undefined) refuse(alone, rows);
}
