// Dimensions: n rows, h rows that calibrate, F routing features, C classes.
/**
 * Fitting kinds that rest on a kernel density of every class: the density alone, or with networks beside it, which count for
 * as much as rows that calibrate say beyond chance.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Matrix } from "../../linalg/algebra.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import { takeRows } from "../statistics/fixedRows.ts";
import type { Totals } from "../statistics/totals.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type CalibrationSplit, calibrationSplit, type RowList, type TargetedRows } from "./heldOut.ts";
import { fitDensity } from "./kernelFit.ts";
import { type DensitySpec, expansionOf, type NetworkMember } from "./members.ts";
import { fitNetwork, networkOf } from "./networkFit.ts";
import { askKernel, type KernelAnswer, type KernelReadout } from "./readouts/kernelModel.ts";
import { askNetwork } from "./readouts/networkModel.ts";
import { type DensityMember, type FittedKernel, type FittedNetwork, networkLogs } from "./routerModel.ts";
import { roundedTotals, scatterOf } from "./scatter.ts";
import { fitInverseTemperature, fitInverseTemperatureByBrier, logSoftmax } from "./scores/calibration.ts";
import { conformalScores } from "./scores/conformal.ts";
import { canJudgeNetworks, mixLogs, networkShare, ROWS_FOR_NETWORKS } from "./scores/mixture.ts";
import {
  densityEvidence,
  fitUnknown,
  networkEvidence,
  noEvidence,
  type UnknownModel,
  unknownProbabilities,
} from "./scores/unknown.ts";

/** As many rows as would say so weigh what a density says of itself: that its temperature is 1. */
const PRIOR_ROWS = 20;

interface Trained {
  readonly network: FittedNetwork;
  /** Of the rows that weigh networks, (m, C). */
  readonly logits: Matrix;
}

/** 1/temperature by rows held out, drawn to 1 where they are few. */
function calibrate(logits: Matrix, targets: Int32Array): number {
  const sure = targets.length / (targets.length + PRIOR_ROWS);
  return fitInverseTemperatureByBrier(logits, targets) ** sure;
}

async function trainNetworks(
  context: FitContext,
  { trainable, calibrating, weighing }: CalibrationSplit,
  members: readonly NetworkMember[],
): Promise<Trained[]> {
  const { algebra } = context;
  const trained: Trained[] = [];
  for (const member of members) {
    const { expansion, rng } = networkOf(context, member);
    const expander = context.expander(expansion);
    const readout = await fitNetwork(context, expander, trainable, rng);
    const rows = takeRows(calibrating.take(0, calibrating.targets.length), weighing);
    const targets = Int32Array.from(weighing, (place) => calibrating.targets[place]!);
    const logits = await askNetwork(algebra, readout, await expander.expand(algebra, rows));
    const beta = fitInverseTemperature(logits, targets);
    trained.push({ network: { type: "network", expansion, readout, beta, weight: member.weight }, logits });
  }
  return trained;
}

/** What the rows that calibrate say of a density fitted without them, and of networks beside it. */
interface Calibrated {
  /** 1/temperature of the density. */
  readonly beta: number;
  readonly networks: readonly FittedNetwork[];
  readonly mixture: DensityMember["mixture"];
  /** Of the rows that judge, log-posteriors before the last temperature, (m, C). */
  readonly logits: Matrix;
  /** Rows that nothing was fitted to: all that calibrate, with networks those that weigh them. */
  readonly judges: TargetedRows;
  readonly unknown: UnknownModel;
  /** (h), rising: the probability of rows that calibrate that they are of no class. */
  readonly unknownOfKnown: Float64Array;
}

/** Some rows of what a density says. */
function pickRows({ logits, background }: KernelAnswer, places: readonly number[]): KernelAnswer {
  const { columns, values } = logits;
  const picked = new Float64Array(places.length * columns);
  places.forEach((place, row) => {
    picked.set(values.subarray(place * columns, (place + 1) * columns), row * columns);
  });
  return {
    logits: { rows: places.length, columns, values: picked },
    background: Float64Array.from(places, (place) => background[place]!),
  };
}

/**
 * @param whole of all rows that calibrate
 * @param counts of the rows that networks are trained on, by class
 */
function weigh(
  whole: KernelAnswer,
  trained: readonly Trained[],
  known: readonly number[],
  counts: Float64Array,
  { calibrating, weighing }: CalibrationSplit,
): Calibrated {
  const beta = calibrating.targets.length === 0 ? 1 : calibrate(whole.logits, calibrating.targets);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const prior = counts.map((count) => Math.log(count / all));
  const few = pickRows(whole, weighing);
  const fewTargets = Int32Array.from(weighing, (place) => calibrating.targets[place]!);
  const logs = {
    density: logSoftmax(few.logits, beta).values,
    networks: trained.map(({ network, logits }) => networkLogs(logits, network.beta, prior)),
  };
  const share = networkShare(logs, fewTargets, few.logits.columns, known);
  const mixture = { share, known, prior };
  if (share === 0) {
    const { targets } = calibrating;
    const logits = { ...whole.logits, values: logSoftmax(whole.logits, beta).values };
    const rows = calibrating.take(0, targets.length);
    return {
      beta,
      networks: [],
      mixture,
      logits,
      judges: { rows, targets },
      ...unknownOf(whole, [], targets),
    };
  }
  const values = mixLogs(logs, few.logits.columns, known, share);
  const rows = takeRows(calibrating.take(0, calibrating.targets.length), weighing);
  return {
    beta,
    networks: trained.map(({ network }) => network),
    mixture,
    logits: { ...few.logits, values },
    judges: { rows, targets: fewTargets },
    ...unknownOf(few, trained, fewTargets),
  };
}

/** Evidence on the rows that calibrate, as they are and with their own classes left out. */
function unknownOf(
  density: KernelAnswer,
  trained: readonly Trained[],
  targets: Int32Array,
): Pick<Calibrated, "unknown" | "unknownOfKnown"> {
  // One class alone says nothing of what lies outside it.
  if (density.logits.columns < 2 || targets.length === 0)
    return { unknown: noEvidence, unknownOfKnown: new Float64Array() };
  const by = (without?: Int32Array) => [
    densityEvidence(density, without),
    ...(trained.length === 0
      ? []
      : [
          networkEvidence(
            trained.map(({ logits }) => logits),
            without,
          ),
        ]),
  ];
  const evidence = by();
  const unknown = fitUnknown(evidence, by(targets));
  return { unknown, unknownOfKnown: unknownProbabilities(unknown, evidence).sort() };
}

/**
 * Fits the density twice, without the rows that calibrate and with all, and networks once, without them.
 */
export async function chooseDensity(
  context: FitContext,
  { kernel, networks }: DensitySpec,
): Promise<ChosenMember<DensityMember>> {
  const { statistics } = context;
  const split = calibrationSplit(statistics);
  const { fit, calibrating } = split;
  const { targets } = calibrating;
  const expansion = expansionOf(kernel, statistics.constants);
  const expander = context.expander(expansion);
  const totals = await roundedTotals(context, expander, calibrating);
  const scatter = await scatterOf(context, expander, totals.fit, fit);
  // Networks learn nothing from classes that they hardly see, and count for nothing without evidence.
  const counts = new Float64Array(statistics.labels.length);
  for (const target of split.trainable.targets) counts[target]! += 1;
  const known = [...counts.keys()].filter((c) => counts[c]! >= ROWS_FOR_NETWORKS);
  const trained = canJudgeNetworks(split.weighing.length, known)
    ? await trainNetworks(context, split, networks)
    : [];
  const held = await fitDensity(context, expander, scatter, fit);
  const density = await askAll(context, expander, held, calibrating);
  const found = weigh(density, trained, known, counts, split);
  const { beta, mixture, logits, judges } = found;
  const overall = mixture.share === 0 ? 1 : calibrate(logits, judges.targets);
  const fitted = (readout: KernelReadout): FittedKernel => ({ expansion, readout, beta });
  return {
    settings: { temperature: 1 / beta, ...(networks.length > 0 && { networks: mixture.share }) },
    logits,
    beta: overall,
    weight: 1,
    calibrating: judges,
    finish: async () => ({
      type: "density",
      kernel: fitted(targets.length === 0 ? held : await fitAll(context, expander, totals.all, split.all)),
      networks: found.networks,
      mixture,
      unknown: found.unknown,
      calibration: {
        kernel: fitted(held),
        sets: conformalScores(logSoftmax(density.logits, beta), targets),
        unknown: found.unknownOfKnown,
      },
      beta: overall,
      weight: 1,
    }),
  };
}

/** Rows that are compared at once with all that a density keeps. */
const ASKED_AT_ONCE = 256;

/** What a density says of rows, a part at a time: products with all kept rows are large. */
async function askAll(
  { algebra, signal }: FitContext,
  expander: FeatureMapper,
  readout: KernelReadout,
  { targets, take }: RowList,
): Promise<KernelAnswer> {
  const columns = readout.bias.length;
  const values = new Float64Array(targets.length * columns);
  const background = new Float64Array(targets.length);
  for (let start = 0; start < targets.length; start += ASKED_AT_ONCE) {
    signal?.throwIfAborted();
    const rows = take(start, Math.min(targets.length, start + ASKED_AT_ONCE));
    const answered = await askKernel(algebra, readout, await expander.expand(algebra, rows));
    values.set(answered.logits.values, start * columns);
    background.set(answered.background, start);
    await nextTick();
  }
  return { logits: { rows: targets.length, columns, values }, background };
}

/** The density that answers. */
async function fitAll(
  context: FitContext,
  expander: FeatureMapper,
  totals: Totals,
  all: RowList,
): Promise<KernelReadout> {
  return await fitDensity(context, expander, await scatterOf(context, expander, totals, all), all);
}
