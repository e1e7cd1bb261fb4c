/** Whether scores are the probabilities that they are called. */
import { DataError } from "../../core/errors.ts";
import { createRng, type Rng } from "../../core/random.ts";
import type { CalibrationMetrics } from "../../core/record.ts";

/** Bins of equal width, as Guo et al. have them. */
const BINS = 15;
/** Simulated test sets of a router whose scores are right. */
const DRAWS = 1000;

/** @throws DataError unless there is a score between 0 and 1 for every answer, and at least one */
function checkScores(scores: ArrayLike<number>, answers: number, bins: number): void {
  if (scores.length === 0 || scores.length !== answers)
    throw new DataError(
      `calibration error: ${scores.length} scores and ${answers} answers; expected as many, and at least one`,
    );
  if (!Number.isInteger(bins) || bins < 1)
    throw new DataError(`calibration error: ${bins} bins; expected a whole number from 1 on`);
  for (let i = 0; i < scores.length; i++)
    if (!(scores[i]! >= 0 && scores[i]! <= 1))
      throw new DataError(`calibration error: score ${i} is ${scores[i]}; expected 0 to 1`);
}

/** The bin of each score: bin b holds scores in (b/bins, (b + 1)/bins], the first one 0 too. */
function binsOf(scores: ArrayLike<number>, bins: number): Int32Array {
  return Int32Array.from(scores, (score) => Math.min(bins - 1, Math.max(0, Math.ceil(score * bins) - 1)));
}

/** Σ_b |Σ_{i in b} (correct_i − score_i)| / n. */
function errorOf(
  scores: ArrayLike<number>,
  places: Int32Array,
  bins: number,
  isCorrect: (index: number) => boolean,
): number {
  const gaps = new Float64Array(bins);
  for (let i = 0; i < places.length; i++) gaps[places[i]!]! += (isCorrect(i) ? 1 : 0) - scores[i]!;
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / places.length;
}

/**
 * Expected calibration error (Guo et al. 2017, eq. 3): Σ_b n_b/n · |accuracy of bin b − mean score of bin b| over bins of
 * equal width. 0 is perfect; it is positive by chance for few answers, see {@link calibrationErrorByChance}.
 * @param scores the probability that each answer was given, in [0, 1]
 * @param correct whether each answer was right
 * @throws DataError without answers, or where a score is no probability
 */
export function expectedCalibrationError(
  scores: ArrayLike<number>,
  correct: readonly boolean[],
  bins = BINS,
): number {
  checkScores(scores, correct.length, bins);
  return errorOf(scores, binsOf(scores, bins), bins, (i) => correct[i] === true);
}

/**
 * The 95th percentile of the calibration error that answers with these scores would have were each right with exactly the
 * probability of its score: what chance alone explains.
 * @param rng of the simulation: the same generator gives the same number
 * @throws DataError without scores, or where one is no probability
 */
export function calibrationErrorByChance(scores: ArrayLike<number>, rng: Rng, bins = BINS): number {
  checkScores(scores, scores.length, bins);
  const places = binsOf(scores, bins);
  const errors = Float64Array.from({ length: DRAWS }, () =>
    errorOf(scores, places, bins, (i) => rng.uniform() < scores[i]!),
  ).sort();
  return errors[Math.ceil(0.95 * DRAWS) - 1]!;
}

/** An answer, as far as calibration goes. */
export interface ScoredAnswer {
  readonly label: string | null;
  readonly score: number;
}

/**
 * Whether scores are probabilities. Texts that were rejected are left out: no answer goes with their score.
 * @param gold the right label of each
 * @returns undefined where no answer names a label
 */
export function measureCalibration(
  answers: readonly ScoredAnswer[],
  gold: readonly (string | undefined)[],
): CalibrationMetrics | undefined {
  const named = [...answers.keys()].filter((i) => answers[i]!.label !== null);
  if (named.length === 0) return undefined;
  // A probability that float rounding took past 1 is 1.
  const scores = Float64Array.from(named, (i) => Math.min(1, answers[i]!.score));
  const correct = named.map((i) => answers[i]!.label === gold[i]);
  return {
    expectedCalibrationError: expectedCalibrationError(scores, correct),
    byChance: calibrationErrorByChance(scores, createRng(0).fork("calibration")),
    counted: named.length,
  };
}
