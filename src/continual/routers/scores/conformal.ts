// Dimensions: n rows that calibrate, C classes.
/**
 * Sets of labels that contain the right one with a probability asked for: split conformal prediction (Angelopoulos & Bates
 * 2021, §1) with the score −log p(class), which is their 1 − p(class) in another unit and gives the smallest sets (least
 * ambiguous classifiers, Sadinle, Lei & Wasserman 2019).
 */
import { DataError } from "../../../core/errors.ts";
import type { Posterior } from "../../types.ts";

/** What rows that nothing was fitted to say of their own classes. */
export interface ConformalScores {
  /** (n), rising: −log p(own class). */
  readonly scores: Float64Array;
  /** (n): how much each row counts, 1 on average. */
  readonly weights: Float64Array;
}

/** Classes that are likely enough. */
export interface PredictionSet {
  /** Columns of the posterior, the likeliest first. Empty where no class is as likely as texts of known classes find theirs. */
  readonly columns: readonly number[];
  /** Whether there were rows enough to calibrate the level asked; else the set holds every class. */
  readonly calibrated: boolean;
}

/** Rows that a level needs: from 1/(1 − coverage) − 1 on a quantile of theirs exists. @throws DataError unless 0 < coverage < 1 */
export function rowsNeeded(coverage: number): number {
  if (!(coverage > 0 && coverage < 1))
    throw new DataError(`coverage is ${coverage}; expected a number between 0 and 1, such as 0.95`);
  return Math.ceil(1 / (1 - coverage) - 1 - 1e-9);
}

/**
 * Scores of rows under a fit without them. Classes are taken for equally frequent, as the router does: a row of a class with
 * few of them counts for more (weights for label shift, Podkopaev & Ramdas 2021).
 * @param posterior (n, C)
 * @param targets (n)
 */
export function conformalScores({ rows, classes, values }: Posterior, targets: Int32Array): ConformalScores {
  const counts = new Float64Array(classes);
  for (const target of targets) counts[target]! += 1;
  const present = counts.filter((count) => count > 0).length;
  const order = Array.from({ length: rows }, (_, row) => row);
  const scoreOf = (row: number) => -values[row * classes + targets[row]!]!;
  order.sort((a, b) => scoreOf(a) - scoreOf(b) || targets[a]! - targets[b]!);
  return {
    scores: Float64Array.from(order, scoreOf),
    weights: Float64Array.from(order, (row) => rows / (present * counts[targets[row]!]!)),
  };
}

/**
 * The least score that rows of the total weight `coverage` · (n + 1) do not exceed; infinite where there are too few rows.
 * The 1 is the weight of the text that is asked about.
 */
export function scoreThreshold({ scores, weights }: ConformalScores, coverage: number): number {
  if (scores.length < rowsNeeded(coverage)) return Number.POSITIVE_INFINITY;
  const wanted = coverage * (scores.length + 1) - 1e-9;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    sum += weights[i]!;
    if (sum >= wanted) return scores[i]!;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * The classes whose score is at most the threshold of a level.
 * @param logProbabilities (C), by the fit that calibrated: without the rows that did
 * @param coverage the probability with which the set contains the right class, where texts are like those that calibrated
 * @throws DataError unless 0 < coverage < 1
 */
export function predictionSet(
  logProbabilities: Float64Array,
  coverage: number,
  calibration: ConformalScores,
): PredictionSet {
  const threshold = scoreThreshold(calibration, coverage);
  const likely = [...logProbabilities.keys()].filter((c) => -logProbabilities[c]! <= threshold);
  likely.sort((a, b) => logProbabilities[b]! - logProbabilities[a]! || a - b);
  return { columns: likely, calibrated: Number.isFinite(threshold) };
}
