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

/** Points of the curve between its ends: enough to draw it. */
const ROC_POINTS = 50;

/**
 * The receiver operating characteristic: shares of in-scope texts rejected and of texts out of scope found, at thresholds that find
 * evenly more of the latter, from [0, 0] to [1, 1].
 * @throws DataError if either side has no score
 */
export function rocPoints(inScope: ArrayLike<number>, outOfScope: ArrayLike<number>): [number, number][] {
  checkBoth(inScope, outOfScope);
  const outside = Float64Array.from(outOfScope).sort().reverse();
  const share = (scores: ArrayLike<number>, threshold: number) =>
    Array.from(scores).filter((score) => score >= threshold).length / scores.length;
  const between = Array.from({ length: ROC_POINTS }, (_, i): [number, number] => {
    const threshold = outside[Math.floor((i * outside.length) / ROC_POINTS)]!;
    return [share(inScope, threshold), share(outside, threshold)];
  });
  return [[0, 0], ...between, [1, 1]];
}
