// Dimensions: n texts, F routing features, M numbers of an expansion, C classes.
/** Fitting scores that tell texts of no known class. */

import type { Algebra, Matrix } from "../../linalg/algebra.ts";
import { type CholeskyOptions, factorize, solveFactored } from "../../linalg/cholesky.ts";
import type { FitContext } from "../routers/fitContext.ts";
import { detectorMembers, detectorSoftmax, expansionOf } from "../routers/members.ts";
import {
  centredGram,
  classMeans,
  linearDiscriminant,
  overallMean,
  type Readout,
  shrink,
  withinCovariance,
} from "../routers/readouts/closedForm.ts";
import { chooseSoftmax } from "../routers/softmaxFit.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import { accumulate, type Totals } from "../statistics/totals.ts";
import type { FeatureRows } from "../types.ts";
import {
  addScores,
  type DetectorModel,
  type DistanceEvidence,
  distancesOf,
  type Evidence,
  type LogitEvidence,
  negativeLargest,
  type RelativeDistance,
  type Standard,
  standardize,
} from "./detectorModel.ts";
import { rejectionThreshold } from "./rejection.ts";

/** Larger scores are less like the known classes. */
export interface OutOfScopeDetector {
  /** Scores above it are "unknown". */
  readonly threshold: number;
  /** The share of held-out rows of known classes that the threshold was set to reject. */
  readonly falseRejectRate: number;
  readonly model: DetectorModel;
  /** @param features (n, F) @returns (n), each text's independent of the others' */
  score(features: FeatureRows, signal?: AbortSignal): Promise<Float64Array>;
}

export interface OutOfScopeOptions {
  /** Share of held-out texts of known classes that may be called unknown; default 0.05. */
  readonly falseRejectRate?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Shrinkage of both covariances: the best of three on CLINC150's out-of-scope validation texts. */
const SHRINKAGE = 0.3;
const FALSE_REJECT_RATE = 0.05;
/** Held-out rows from which on a mean and a deviation of theirs are to be trusted with scores of two kinds. */
const ENOUGH_JUDGES = 100;

function identityMatrix(n: number): Matrix {
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = 1;
  return { rows: n, columns: n, values };
}

/**
 * @param totals of the features themselves
 * @param shrinkage of both covariances towards their traces
 */
export async function fitRelativeDistance(
  algebra: Algebra,
  totals: Totals,
  labels: readonly string[],
  shrinkage: number,
  signal?: AbortSignal,
): Promise<RelativeDistance> {
  const { size, rows } = totals;
  const options: CholeskyOptions = { what: "out-of-scope distances", signal };
  const within = await withinCovariance(algebra, totals, labels);
  const factor = await factorize(algebra, shrink(within, size, shrinkage), size, options);
  const discriminant = await linearDiscriminant(algebra, factor, classMeans(totals, labels));
  const quadratic = await solveFactored(algebra, factor, identityMatrix(size));
  const overall = new Float64Array(size * size);
  centredGram(totals, labels, overall);
  for (let i = 0; i < overall.length; i++) overall[i]! /= rows;
  const background = await factorize(algebra, shrink(overall, size, shrinkage), size, options);
  const inverse = await solveFactored(algebra, background, identityMatrix(size));
  const mean = overallMean(totals, labels);
  const linear = new Float64Array(size);
  let constant = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      linear[i]! += 2 * inverse.values[i * size + j]! * mean[j]!;
      quadratic.values[i * size + j]! -= inverse.values[i * size + j]!;
    }
    constant -= (linear[i]! * mean[i]!) / 2;
  }
  return { quadratic, linear, constant, discriminant };
}

/** A symmetric form of the same values, as float32 keeps it. */
function roundedForm({ rows, columns, values }: Matrix): Matrix {
  const form = new Float64Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j <= i; j++) {
      const value = Math.fround((values[i * columns + j]! + values[j * columns + i]!) / 2);
      form[i * columns + j] = value;
      form[j * columns + i] = value;
    }
  return { rows, columns, values: form };
}

function roundedReadout({ weight, bias }: Readout): Readout {
  return { weight: { ...weight, values: weight.values.map(Math.fround) }, bias };
}

/** What answers is rounded to what its file keeps, so that it says the same before and after. */
function roundedDistance({ quadratic, discriminant, ...rest }: RelativeDistance): RelativeDistance {
  return { ...rest, quadratic: roundedForm(quadratic), discriminant: roundedReadout(discriminant) };
}

/** One expansion's distances: by a fit without the held-out rows, and by one to all. */
interface FittedDistance {
  readonly expander: FeatureMapper;
  readonly withoutHeldOut: RelativeDistance;
  readonly final: RelativeDistance;
}

async function fitDistances(
  { algebra, statistics, split, signal, ...context }: FitContext,
  expander: FeatureMapper,
): Promise<FittedDistance> {
  const { labels } = statistics;
  const totals = await context.totals(expander, expander.size, true);
  await accumulate(algebra, expander, totals, split.promotedHeldOutRows, 1, signal);
  const withoutHeldOut = await fitRelativeDistance(algebra, totals, labels, SHRINKAGE, signal);
  await accumulate(algebra, expander, totals, split.heldOut, 1, signal);
  const final = await fitRelativeDistance(algebra, totals, labels, SHRINKAGE, signal);
  return { expander, withoutHeldOut, final: roundedDistance(final) };
}

function standardOf(scores: Float64Array): Standard {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / scores.length) || 1 };
}

/** Evidence by fits to all rows, and the standard scores of the rows that judge by fits without them. */
interface FittedEvidence<E extends Evidence = Evidence> {
  readonly evidence: E;
  readonly judged: Float64Array;
}

async function fitDistanceEvidence(context: FitContext): Promise<FittedEvidence<DistanceEvidence>> {
  const { algebra, statistics, split, signal } = context;
  const parts: DistanceEvidence["parts"][number][] = [];
  const judged: Float64Array[] = [];
  for (const member of detectorMembers) {
    const expansion = expansionOf(member, statistics.constants);
    const { expander, withoutHeldOut, final } = await fitDistances(context, context.expander(expansion));
    parts.push({ expansion, distance: final });
    judged.push(await distancesOf(algebra, expander, withoutHeldOut, split.judges, signal));
  }
  const scores = addScores(judged);
  const standard = standardOf(scores);
  return { evidence: { type: "distances", parts, standard }, judged: standardize(scores, standard) };
}

async function fitLogitEvidence(context: FitContext): Promise<FittedEvidence<LogitEvidence>> {
  const softmax = await chooseSoftmax(context, detectorSoftmax);
  const { expansion, readout } = await softmax.finish();
  const scores = negativeLargest(softmax.logits);
  const standard = standardOf(scores);
  const evidence: LogitEvidence = {
    type: "logits",
    expansion,
    readout: roundedReadout(readout),
    standard,
  };
  return { evidence, judged: standardize(scores, standard) };
}

/**
 * Fits relative Mahalanobis distances in several random expansions to the classes seen so far, and where enough rows are
 * held out to say how two kinds of score lie, beside them the largest logit of a softmax regression, each in standard
 * deviations. The held-out rows also set the threshold, by fits without them; the fits that answer have seen all rows.
 */
export async function fitDetector(context: FitContext, rate = FALSE_REJECT_RATE): Promise<DetectorModel> {
  const { statistics, split } = context;
  const fitted: FittedEvidence[] = [await fitDistanceEvidence(context)];
  if (split.heldOutRows >= ENOUGH_JUDGES) fitted.push(await fitLogitEvidence(context));
  return {
    constants: statistics.constants,
    threshold: rejectionThreshold(addScores(fitted.map(({ judged }) => judged)), rate),
    falseRejectRate: rate,
    evidence: fitted.map(({ evidence }) => evidence),
  };
}
