// Dimensions: n rows, C classes.
/** Turning logits into probabilities, and judging them, on held-out rows. */
import type { Matrix } from "../../../linalg/algebra.ts";
import type { Posterior } from "../../types.ts";

const NEWTON_STEPS = 40;
const TOLERANCE = 1e-3;
/** Rows that set a temperature, or weigh one setting against another: a number needs no more. */
const MOST_ROWS = 512;
/** What lies further below a row's largest exponent adds less to its sum than float64 rounds away. */
const NEGLIGIBLE = -40;
/** Where the search for β begins, in units of the logits' scale. */
const FIRST_RATIO = 4;

interface Numbers {
  readonly length: number;
  subarray(start: number, end: number): this;
  slice(start: number, end: number): this;
  set(values: this, place: number): void;
}

/** Every so many-th row, so that at most {@link MOST_ROWS} remain. @param matrix (n, …) */
export function thinOut<T extends Numbers>(
  matrix: { readonly rows: number; readonly columns: number; readonly values: T },
  targets: Int32Array,
) {
  const { rows, columns, values } = matrix;
  if (rows <= MOST_ROWS) return { matrix, targets };
  const every = Math.ceil(rows / MOST_ROWS);
  const kept = Math.ceil(rows / every);
  const thin = values.slice(0, kept * columns);
  for (let row = 0; row < kept; row++)
    thin.set(values.subarray(row * every * columns, (row * every + 1) * columns), row * columns);
  return {
    matrix: { rows: kept, columns, values: thin },
    targets: targets.filter((_, row) => row % every === 0),
  };
}

/** Log-softmax of β·z, row by row. @param logits (n, C) */
export function logSoftmax({ rows, columns, values }: Matrix, beta: number): Posterior {
  const result = new Float64Array(values.length);
  for (let start = 0; start < values.length; start += columns) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < columns; c++) largest = Math.max(largest, beta * values[start + c]!);
    let sum = 0;
    for (let c = 0; c < columns; c++) {
      const below = beta * values[start + c]! - largest;
      if (below > NEGLIGIBLE) sum += Math.exp(below);
    }
    const log = largest + Math.log(sum);
    for (let c = 0; c < columns; c++) result[start + c] = beta * values[start + c]! - log;
  }
  return { rows, classes: columns, values: result };
}

/** The share of rows whose largest logit, the first of equals, is their own class's; null where there are no rows. */
export function accuracyOf({ rows, columns, values }: Matrix, targets: Int32Array): number | null {
  let right = 0;
  for (let row = 0; row < rows; row++) {
    let best = 0;
    for (let c = 1; c < columns; c++)
      if (values[row * columns + c]! > values[row * columns + best]!) best = c;
    if (best === targets[row]) right += 1;
  }
  return rows === 0 ? null : right / rows;
}

/** Mean −log softmax(β·z) of the rows' own classes; 0 where there are no rows. @param logits (n, C) */
export function logLoss({ rows, columns, values }: Matrix, beta: number, targets: Int32Array): number {
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = start; c < start + columns; c++) largest = Math.max(largest, values[c]!);
    let sum = 0;
    for (let c = start; c < start + columns; c++) {
      const below = beta * (values[c]! - largest);
      if (below > NEGLIGIBLE) sum += Math.exp(below);
    }
    loss += Math.log(sum) - beta * (values[start + targets[row]!]! - largest);
  }
  return rows === 0 ? 0 : loss / rows;
}

/** Slope and curvature of the mean cross-entropy of softmax(β·z) against smoothed targets, by β. */
function slopeAt(logits: Matrix, targets: Int32Array, beta: number, smoothing: number): [number, number] {
  const { rows, columns, values } = logits;
  let slope = 0;
  let curvature = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = start; c < start + columns; c++) largest = Math.max(largest, values[c]!);
    let [sum, first, second, plain] = [0, 0, 0, 0];
    for (let c = start; c < start + columns; c++) {
      const centred = values[c]! - largest;
      plain += centred;
      if (beta * centred <= NEGLIGIBLE) continue;
      const weight = Math.exp(beta * centred);
      sum += weight;
      first += weight * centred;
      second += weight * centred * centred;
    }
    const own = values[start + targets[row]!]! - largest;
    slope += first / sum - (1 - smoothing) * own - (smoothing * plain) / columns;
    curvature += second / sum - (first / sum) ** 2;
  }
  return [slope / rows, curvature / rows];
}

/** 1 / the mean distance from a row's largest logit to its mean: the scale on which β lies. */
export function naturalScale({ rows, columns, values }: Matrix): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let [largest, total] = [Number.NEGATIVE_INFINITY, 0];
    for (let c = row * columns; c < (row + 1) * columns; c++) {
      largest = Math.max(largest, values[c]!);
      total += values[c]!;
    }
    sum += largest - total / columns;
  }
  return sum > 0 ? rows / sum : 1;
}

/**
 * The β = 1/temperature that makes softmax(β·z) most likely (Guo et al. 2017). Targets are smoothed by 1/(n + 2) (Platt
 * 1999): rows that are all told apart would otherwise ask for infinite β. Of many rows every so many-th is looked at.
 * @param all (n, C)
 * @param classes the class of each row
 * @param ratio β in units of the logits' scale to begin at, e.g. what a similar fit ended with
 */
export function fitInverseTemperature(all: Matrix, classes: Int32Array, ratio = FIRST_RATIO): number {
  if (all.rows === 0 || all.columns < 2) return 1;
  const { matrix: logits, targets } = thinOut(all, classes);
  const smoothing = 1 / (logits.rows + 2);
  const scale = naturalScale(logits);
  // The loss is convex in β: Newton within a bracket that halves where a step would leave it.
  let [low, high, beta] = [0, Number.POSITIVE_INFINITY, ratio * scale];
  for (let step = 0; step < NEWTON_STEPS; step++) {
    const [slope, curvature] = slopeAt(logits, targets, beta, smoothing);
    if (slope > 0) high = beta;
    else low = beta;
    const newton = beta - slope / curvature;
    const inside = Number.isFinite(newton) && newton > low && newton < high;
    const next = inside ? newton : high === Number.POSITIVE_INFINITY ? 2 * beta : (low + high) / 2;
    if (Math.abs(next - beta) <= TOLERANCE * beta) return next;
    beta = next;
  }
  // A slope that never turns, as of logits that are all alike: any β will do.
  return Math.max(beta, TOLERANCE * scale);
}

/** β is looked for within these factors of the likeliest one, first in so many steps, then halving the span so often. */
const BRIER_SPAN = 8;
const BRIER_STEPS = 8;
const BRIER_HALVINGS = 7;

/** What lies further below the likeliest class changes a score by less than 10⁻⁸. */
const BRIER_NEGLIGIBLE = -20;

/** The mean of Σ_c (p_c − y_c)² of softmax(β·z), targets smoothed (Brier 1950). @param logits (n, C) */
export function brierScore(logits: Matrix, beta: number, targets: Int32Array, smoothing = 0): number {
  const { rows, columns, values } = logits;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = start; c < start + columns; c++) if (values[c]! > largest) largest = values[c]!;
    let [total, squares] = [0, 0];
    for (let c = start; c < start + columns; c++) {
      const below = beta * (values[c]! - largest);
      if (below <= BRIER_NEGLIGIBLE) continue;
      const weight = Math.exp(below);
      total += weight;
      squares += weight * weight;
    }
    const own = Math.exp(beta * (values[start + targets[row]!]! - largest)) / total;
    const others = smoothing / columns;
    // Σ p² − 2·Σ p·y + Σ y², y = 1 − s + s/C of the own class and s/C of the others.
    sum += squares / total ** 2 - 2 * ((1 - smoothing) * own + others) + (1 - smoothing + others) ** 2;
    sum += (columns - 1) * others ** 2;
  }
  return rows === 0 ? 0 : sum / rows;
}

/**
 * The β of the least Brier score. A density that is wrong with much confidence now and then makes the likeliest β too small for all
 * other rows; the Brier score of a row is bounded, so a few rows do not decide.
 * @param all (n, C)
 */
export function fitInverseTemperatureByBrier(all: Matrix, classes: Int32Array): number {
  const likeliest = fitInverseTemperature(all, classes);
  if (all.rows === 0 || all.columns < 2) return likeliest;
  const smoothing = 1 / (all.rows + 2);
  const scoreAt = (log: number) => brierScore(all, likeliest * Math.exp(log), classes, smoothing);
  let step = (2 * Math.log(BRIER_SPAN)) / BRIER_STEPS;
  let [best, least] = [0, scoreAt(0)];
  const consider = (log: number) => {
    const score = scoreAt(log);
    if (score < least) [best, least] = [log, score];
  };
  for (let k = -BRIER_STEPS / 2; k <= BRIER_STEPS / 2; k++) consider(k * step);
  for (let halving = 0; halving < BRIER_HALVINGS; halving++) {
    step /= 2;
    const middle = best;
    consider(middle - step);
    consider(middle + step);
  }
  return likeliest * Math.exp(best);
}

/** Steps of Newton's method for two numbers; each halves until the loss falls. */
const LOGISTIC_STEPS = 25;
/** As many rows as would say so weigh what is expected of a slope. */
const EXPECTED_ROWS = 20;

/**
 * Logistic regression on one score (Platt 1999): log p(score | high)/p(score | low) = slope · score + intercept, both sides taken for
 * equally frequent. The slope is drawn to what is expected of it, and the intercept to 0, as if some rows had said that.
 * @param low scores of rows on the one side
 * @param high scores of rows on the other side
 * @param expected a slope above 0
 * @param weights how much each row of the other side counts; default: all alike
 */
export function logisticFit(
  low: Float64Array,
  high: Float64Array,
  expected: number,
  weights: Float64Array = new Float64Array(high.length).fill(1),
) {
  const rows = Math.max(1, low.length, high.length);
  const draw = EXPECTED_ROWS / rows / 4;
  const shares = (all: Float64Array) => {
    const sum = all.reduce((total, weight) => total + weight, 0);
    return all.map((weight) => weight / sum);
  };
  const sides = [
    { scores: low, sign: 1, share: shares(new Float64Array(low.length).fill(1)) },
    { scores: high, sign: -1, share: shares(weights) },
  ];
  const loss = (slope: number, intercept: number) => {
    let sum = draw * ((slope / expected - 1) ** 2 + intercept ** 2);
    for (const { scores, sign, share } of sides)
      for (let i = 0; i < scores.length; i++) {
        const margin = sign * (slope * scores[i]! + intercept);
        sum += (Math.max(0, margin) + Math.log1p(Math.exp(-Math.abs(margin)))) * share[i]!;
      }
    return sum;
  };
  let [slope, intercept] = [expected, 0];
  for (let step = 0; step < LOGISTIC_STEPS; step++) {
    // The gradient (g, h) and the Hessian (a, b; b, c).
    let [g, h] = [(2 * draw * (slope / expected - 1)) / expected, 2 * draw * intercept];
    let [a, b, c] = [(2 * draw) / expected ** 2, 0, 2 * draw];
    for (const { scores, sign, share } of sides)
      for (let i = 0; i < scores.length; i++) {
        const score = scores[i]!;
        const wrong = 1 / (1 + Math.exp(-sign * (slope * score + intercept)));
        const curvature = wrong * (1 - wrong) * share[i]!;
        g += sign * wrong * score * share[i]!;
        h += sign * wrong * share[i]!;
        a += curvature * score * score;
        b += curvature * score;
        c += curvature;
      }
    const determinant = a * c - b * b;
    const [down, across] = [(c * g - b * h) / determinant, (a * h - b * g) / determinant];
    const before = loss(slope, intercept);
    let length = 1;
    while (length > 1e-6 && loss(slope - length * down, intercept - length * across) > before) length /= 2;
    slope -= length * down;
    intercept -= length * across;
    if (Math.abs(length * down) <= 1e-9 * Math.abs(slope) + 1e-12) break;
  }
  // Evidence for "unknown" never speaks against it.
  return slope > 0 ? { slope, intercept } : { slope: 0, intercept: 0 };
}
