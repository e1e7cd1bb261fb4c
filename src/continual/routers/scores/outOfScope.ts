/** How well a score tells texts of the known classes from others: larger means less like them. */
import { DataError } from "../../../core/errors.ts";

/** @throws DataError if either side has no score */
function checkBoth(inScope: ArrayLike<number>, outOfScope: ArrayLike<number>): void {
  if (inScope.length === 0 || outOfScope.length === 0)
    throw new DataError(
      `out-of-scope figures need scores of both kinds, got ${inScope.length} in scope and ${outOfScope.length} out`,
    );
}

/**
 * Area under the receiver operating characteristic: the chance that a text out of scope scores above one in scope, ties
 * counting one half (Mann–Whitney).
 * @throws DataError if either side has no score
 */
export function auroc(inScope: ArrayLike<number>, outOfScope: ArrayLike<number>): number {
  checkBoth(inScope, outOfScope);
  const inside = Float64Array.from(inScope).sort();
  const outside = Float64Array.from(outOfScope).sort();
  let below = 0;
  let notAbove = 0;
  let wins = 0;
  for (const score of outside) {
    while (below < inside.length && inside[below]! < score) below++;
    while (notAbove < inside.length && inside[notAbove]! <= score) notAbove++;
    wins += (below + notAbove) / 2;
  }
  return wins / (inside.length * outside.length);
}

/**
 * The share of in-scope texts that are rejected at the highest threshold that rejects at least 95 % of those out of
 * scope (out of scope is the positive kind).
 * @throws DataError if either side has no score
 */
export function falsePositiveRateAt95(inScope: ArrayLike<number>, outOfScope: ArrayLike<number>): number {
  checkBoth(inScope, outOfScope);
  const outside = Float64Array.from(outOfScope).sort();
  const caught = Math.ceil(0.95 * outside.length);
  const threshold = outside[outside.length - caught]!;
  let rejected = 0;
  for (let i = 0; i < inScope.length; i++) if (inScope[i]! >= threshold) rejected++;
  return rejected / inScope.length;
}
