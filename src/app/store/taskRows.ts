/** The rows that a task leaves in a store. */
import { type ContributionFile, encodeContributions } from "../../continual/routing/contributionFile.ts";
import { statisticsFile } from "../../continual/routing/routedLearner.ts";
import { type Contribution, type KeptContribution, keep } from "../../continual/routing/statistics.ts";
import type { FeatureConstants } from "../../continual/routing/types.ts";

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

/** What a task leaves once it has learned more. What it has learned before it does not learn twice. */
export function addRows(
  before: ContributionFile | undefined,
  contributions: readonly Contribution[],
  constants: FeatureConstants,
): ContributionFile {
  return { constants, contributions: distinct([...(before?.contributions ?? []), ...contributions]) };
}

/** Its bytes, by file name. */
export function rowsFiles(statistics: ContributionFile | undefined): ReadonlyMap<string, Uint8Array> {
  return new Map(statistics === undefined ? [] : [[statisticsFile, encodeContributions(statistics)]]);
}
