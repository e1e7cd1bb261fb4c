// Dimensions: h rows that calibrate, C classes.
/**
 * Fitting kinds that rest on a kernel density of every class: the density alone, or with networks beside it, which count for
 * as much as rows that calibrate say beyond chance.
 */
import type { Matrix } from "../../linalg/algebra.ts";
import { nextTick } from "../../portable/nextTick.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import { joinRows } from "../statistics/totals.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type CalibrationSplit, calibrationSplit, withoutCalibrating } from "./heldOut.ts";
import { type FittedDensity, fitDensity } from "./kernelFit.ts";
import { type DensitySpec, expansionOf, type NetworkMember } from "./members.ts";
import { fitNetwork, networkOf } from "./networkFit.ts";
import { askKernel } from "./readouts/kernelModel.ts";
import { askNetwork } from "./readouts/networkModel.ts";
import { type DensityMember, type FittedNetwork, networkLogs } from "./routerModel.ts";
import { fitInverseTemperature, fitInverseTemperatureByBrier, logSoftmax } from "./scores/calibration.ts";
import { conformalScores } from "./scores/conformal.ts";
import { canJudgeNetworks, mixLogs, networkShare, ROWS_FOR_NETWORKS } from "./scores/mixture.ts";
import { densityEvidence, networkEvidence, scoreUnknown, type UnknownScores } from "./scores/unknown.ts";

/** As many rows as would say so weigh what a density says of itself: that its temperature is 1. */
const PRIOR_ROWS = 20;

interface Trained {
  readonly network: FittedNetwork;
  /** Of the rows that calibrate, (h, C). */
  readonly logits: Matrix;
}

/** 1/temperature by rows held out, drawn to 1 where they are few. */
function calibrate(logits: Matrix, targets: Int32Array): number {
  const sure = targets.length / (targets.length + PRIOR_ROWS);
  return fitInverseTemperatureByBrier(logits, targets) ** sure;
}

async function trainNetworks(
  context: FitContext,
  { fit, calibrating }: CalibrationSplit,
  members: readonly NetworkMember[],
): Promise<Trained[]> {
  const { algebra } = context;
  const { targets } = calibrating;
  const trained: Trained[] = [];
  for (const member of members) {
    const { expansion, rng } = networkOf(context, member);
    const expander = context.expander(expansion);
    const readout = await fitNetwork(context, expander, fit, rng);
    const expanded = await expander.expand(algebra, calibrating.take(0, targets.length));
    const logits = await askNetwork(algebra, readout, expanded);
    const beta = fitInverseTemperature(logits, targets);
    trained.push({ network: { type: "network", expansion, readout, beta, weight: member.weight }, logits });
  }
  return trained;
}

/** What the rows that calibrate say of a density that is measured without them, and of networks beside it. */
interface Calibrated {
  /** 1/temperature of the density. */
  readonly beta: number;
  readonly networks: readonly FittedNetwork[];
  readonly mixture: DensityMember["mixture"];
  /** Log-posteriors before the last temperature, (h, C). */
  readonly logits: Matrix;
  readonly unknown: UnknownScores;
}

/** @param counts of the rows that networks are trained on, by class */
function weigh(
  density: FittedDensity,
  trained: readonly Trained[],
  known: readonly number[],
  counts: Float64Array,
  targets: Int32Array,
  outside: readonly Float64Array[],
): Calibrated {
  const { columns } = density.logits;
  const beta = targets.length === 0 ? 1 : calibrate(density.logits, targets);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const prior = counts.map((count) => Math.log(count / all));
  const logs = {
    density: logSoftmax(density.logits, beta).values,
    networks: trained.map(({ network, logits }) => networkLogs(logits, network.beta, prior)),
  };
  const share = networkShare(logs, targets, columns, known);
  const counted = share === 0 ? [] : trained;
  return {
    beta,
    networks: counted.map(({ network }) => network),
    mixture: { share, known, prior },
    logits: { ...density.logits, values: mixLogs(logs, columns, known, share) },
    unknown: unknownOf(density, counted, targets, outside),
  };
}

/** Evidence on the rows that calibrate, as they are and with their own classes left out. */
function unknownOf(
  density: FittedDensity,
  trained: readonly Trained[],
  targets: Int32Array,
  outside: readonly Float64Array[],
): UnknownScores {
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
  return scoreUnknown(by, targets, density.logits.columns, outside);
}

/** Evidence on texts of no class, where some were given: of the density, then of networks. */
async function outsideEvidence(
  context: FitContext,
  expander: FeatureMapper,
  { readout }: FittedDensity,
  trained: readonly Trained[],
): Promise<Float64Array[]> {
  const { algebra, statistics } = context;
  if (statistics.outside.length === 0) return [];
  const rows = joinRows(
    statistics.outside.map((own) => own.rows),
    statistics.constants.width,
  );
  const { fitLogits, background } = await askKernel(algebra, readout, await expander.expand(algebra, rows));
  const evidence = [densityEvidence({ logits: fitLogits, background })];
  const said: Matrix[] = [];
  for (const { network } of trained) {
    const expanded = await context.expander(network.expansion).expand(algebra, rows);
    said.push(await askNetwork(algebra, network.readout, expanded));
  }
  return said.length === 0 ? evidence : [...evidence, networkEvidence(said)];
}

/**
 * Of fewer rows than so many a feature, directions follow from chance in part, and those that calibrate are needed: then a density of
 * all rows answers.
 */
const ROWS_A_FEATURE = 2;

/** Fits the density and networks without the rows that calibrate, and on small data another density with them, which answers. */
export async function chooseDensity(
  context: FitContext,
  { kernel, networks }: DensitySpec,
): Promise<ChosenMember<DensityMember>> {
  const { statistics } = context;
  // Between long steps whoever asks something is answered.
  await nextTick();
  const split = calibrationSplit(statistics);
  await nextTick();
  const { targets } = split.calibrating;
  const expansion = expansionOf(kernel, statistics.constants);
  const expander = context.expander(expansion);
  const density = await fitDensity(context, expander, split);
  const small = split.fit.targets.length < ROWS_A_FEATURE * expander.size && targets.length > 0;
  const whole = small
    ? await fitDensity(context, expander, withoutCalibrating(split, statistics))
    : undefined;
  // Networks learn nothing from classes that they hardly see, and count for nothing without evidence.
  const counts = new Float64Array(statistics.labels.length);
  for (const target of split.fit.targets) counts[target]! += 1;
  const known = [...counts.keys()].filter((c) => counts[c]! >= ROWS_FOR_NETWORKS);
  const trained = canJudgeNetworks(targets.length, known)
    ? await trainNetworks(context, split, networks)
    : [];
  const outside = await outsideEvidence(context, expander, density, trained);
  await nextTick();
  const { beta, mixture, logits, ...found } = weigh(density, trained, known, counts, targets, outside);
  await nextTick();
  const overall = mixture.share === 0 ? 1 : calibrate(logits, targets);
  const member: DensityMember = {
    type: "density",
    kernel: { expansion, readout: (whole ?? density).readout, beta },
    networks: found.networks,
    mixture,
    calibration: {
      ...(whole && { kernel: { expansion, readout: density.readout, beta } }),
      sets: conformalScores(logSoftmax(density.logits, beta), targets),
    },
    beta: overall,
    weight: 1,
  };
  return {
    settings: { temperature: 1 / beta, ...(networks.length > 0 && { networks: mixture.share }) },
    logits,
    beta: overall,
    weight: 1,
    calibrating: { rows: split.calibrating.take(0, targets.length), targets },
    unknown: found.unknown,
    finish: () => Promise.resolve(member),
  };
}
