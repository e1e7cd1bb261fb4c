// Dimensions: n rows, C classes.
/** The probability that a text is of no class learned, from what routes it: at no further pass. */
import type { Matrix } from "../../../linalg/algebra.ts";
import type { Posterior } from "../../types.ts";
import { type KernelAnswer, SQUARED_WIDTH } from "../readouts/kernelModel.ts";
import { logisticFit } from "./calibration.ts";

/** How many texts are taken to be of no class learned: the stated prior. */
export const UNKNOWN_PRIOR = 0.1;

/** Where there are few rows to say so, what one standard deviation of evidence is expected to say. */
const EXPECTED_SLOPE = 1;

/** As many texts from outside as would say so weigh what rows without their own classes say. */
const PRIOR_ROWS = 20;

/** How scores become probabilities. */
export interface UnknownModel {
  /** Of each kind of evidence, its mean and deviation over texts of known classes. */
  readonly standards: readonly { readonly mean: number; readonly deviation: number }[];
  /** log p(score | unknown) − log p(score | known) = slope · score + intercept. */
  readonly slope: number;
  readonly intercept: number;
}

/**
 * The background's share beside the densities, which a kernel of width h flattens by as much: 2/h². Chosen on classes of CLINC150
 * that were left out, at several widths, never on texts from outside.
 */
const BACKGROUND_SHARE = 2 / SQUARED_WIDTH;

/** The largest of each row, its own class left out where one is named. @returns (n) */
function largestOf({ rows, columns, values }: Matrix, without?: Int32Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < columns; c++)
      if (c !== without?.[row]) largest = Math.max(largest, values[row * columns + c]!);
    return largest;
  });
}

/**
 * 2/h² · log N(t; 0, 1 + ψ) − max_c log p_c(t): how much likelier a text of any class is than one of the likeliest class
 * learned.
 * @param without the class of each row, which is then taken for unknown
 * @returns (n)
 */
export function densityEvidence(
  { logits, background }: Pick<KernelAnswer, "logits" | "background">,
  without?: Int32Array,
): Float64Array {
  return largestOf(logits, without).map((largest, row) => BACKGROUND_SHARE * background[row]! - largest);
}

/** The largest logit of each network, less, on average. @param all each (n, C) @returns (n) */
export function networkEvidence(all: readonly Matrix[], without?: Int32Array): Float64Array {
  const sums = new Float64Array(all[0]?.rows ?? 0);
  for (const logits of all)
    largestOf(logits, without).forEach((largest, row) => {
      sums[row]! -= largest / all.length;
    });
  return sums;
}

/** −max_c log p(c); with its own class left out, of the posterior over the others. @param posterior (n, C) @returns (n) */
export function posteriorEvidence({ rows, classes, values }: Posterior, without?: Int32Array): Float64Array {
  const largest = largestOf({ rows, columns: classes, values }, without);
  return largest.map((log, row) => {
    const own = without?.[row];
    return own === undefined
      ? -log
      : Math.log1p(-Math.exp(Math.min(0, values[row * classes + own]!)) + 1e-12) - log;
  });
}

/** Where nothing says what is unknown: the prior stands. */
export const noEvidence: UnknownModel = { standards: [], slope: 0, intercept: 0 };

/** How a router tells texts of no class, and what it says of texts of known ones. */
export interface UnknownScores {
  readonly model: UnknownModel;
  /** (h), rising: the probability of rows that nothing was fitted to that they are of no class. */
  readonly ofKnown: Float64Array;
}

export const noScores: UnknownScores = { model: noEvidence, ofKnown: new Float64Array() };

/**
 * What evidence on rows that nothing was fitted to says.
 * @param evidence on these rows, of each kind (h), with their own classes left out where they are named
 * @param targets (h)
 * @param classes how many there are: one alone says nothing of what lies outside it
 * @param outside evidence on texts of no class that were given
 */
export function scoreUnknown(
  evidence: (without?: Int32Array) => readonly Float64Array[],
  targets: Int32Array,
  classes: number,
  outside: readonly Float64Array[],
): UnknownScores {
  if (classes < 2 || targets.length === 0) return noScores;
  const known = evidence();
  const model = fitUnknown(known, evidence(targets), outside.slice(0, known.length));
  return { model, ofKnown: unknownProbabilities(model, known).sort() };
}

function standardOf(scores: Float64Array): UnknownModel["standards"][number] {
  const mean = scores.reduce((sum, score) => sum + score, 0) / Math.max(1, scores.length);
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / Math.max(1, scores.length)) || 1 };
}

/** The sum of each row's evidence in standard deviations. @param evidence each (n) @returns (n) */
function sumOf(evidence: readonly Float64Array[], standards: UnknownModel["standards"]): Float64Array {
  const sums = new Float64Array(evidence[0]?.length ?? 0);
  for (const [part, scores] of evidence.entries()) {
    const { mean, deviation } = standards[part]!;
    for (let row = 0; row < sums.length; row++) sums[row]! += (scores[row]! - mean) / deviation;
  }
  return sums;
}

/**
 * Fits the two numbers by logistic regression (Platt 1999) to rows that no density was fitted to: as they are, known, and with
 * their own class left out, unknown. So no text from outside is needed, and unknown means: of a class like those learned. Texts
 * from outside that were given say it better; then all rows without their classes count as {@link PRIOR_ROWS} of these.
 * @param known evidence on the rows, each (n)
 * @param left evidence on the same rows with their own classes left out
 * @param outside evidence on texts of no class, each (o)
 */
export function fitUnknown(
  known: readonly Float64Array[],
  left: readonly Float64Array[],
  outside: readonly Float64Array[] = [],
): UnknownModel {
  const standards = known.map(standardOf);
  const [without, given] = [sumOf(left, standards), sumOf(outside, standards)];
  const weights = Float64Array.from({ length: without.length + given.length }, (_, i) =>
    i < without.length ? PRIOR_ROWS / without.length : 1,
  );
  const unknown = Float64Array.from([...without, ...given]);
  return { standards, ...logisticFit(sumOf(known, standards), unknown, EXPECTED_SLOPE, weights) };
}

/**
 * π·p(score | unknown)/(π·p(score | unknown) + (1 − π)·p(score | known)), π = {@link UNKNOWN_PRIOR}.
 * @param evidence each (n)
 * @returns (n)
 */
export function unknownProbabilities(
  { standards, slope, intercept }: UnknownModel,
  evidence: readonly Float64Array[],
  prior = UNKNOWN_PRIOR,
): Float64Array {
  const odds = Math.log(prior / (1 - prior));
  // Evidence without a standard is none.
  const judged = evidence.slice(0, standards.length);
  const scores = judged.length > 0 ? sumOf(judged, standards) : new Float64Array(evidence[0]?.length ?? 0);
  return scores.map((score) => 1 / (1 + Math.exp(-(slope * score + intercept + odds))));
}
