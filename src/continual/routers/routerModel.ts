// Dimensions: n texts, F routing features, M numbers of an expansion, C classes.
/** A fitted router as plain data, and how it answers. */
import { DataError } from "../../core/errors.ts";
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import { nextTick } from "../../portable/nextTick.ts";
import type { FeatureMap, FeatureMapper } from "../statistics/featureMaps.ts";
import { dequantize, quantize } from "../statistics/fixedRows.ts";
import type { FeatureConstants, FeatureRows, FixedRows, Posterior, RouterKind } from "../types.ts";
import type { Readout } from "./readouts/closedForm.ts";
import { askKernel, type KernelAnswer, type KernelReadout } from "./readouts/kernelModel.ts";
import { askNetwork, type NetworkReadout } from "./readouts/networkModel.ts";
import { logSoftmax } from "./scores/calibration.ts";
import { type ConformalScores, type PredictionSet, predictionSet } from "./scores/conformal.ts";
import { mixLogs } from "./scores/mixture.ts";
import {
  densityEvidence,
  networkEvidence,
  posteriorEvidence,
  type UnknownScores,
  unknownProbabilities,
} from "./scores/unknown.ts";

/** A member that is affine in its expansion. */
export interface AffineMember {
  readonly type: "affine";
  readonly expansion: FeatureMap;
  readonly readout: Readout;
  /** 1/temperature of its logits. */
  readonly beta: number;
  readonly weight: number;
}

/** A kernel density of every class. */
export interface FittedKernel {
  readonly expansion: FeatureMap;
  readonly readout: KernelReadout;
  /** 1/temperature of its logits. */
  readonly beta: number;
}

/** A member that is a kernel density, with networks beside it or none. */
export interface DensityMember {
  readonly type: "density";
  readonly kernel: FittedKernel;
  readonly networks: readonly FittedNetwork[];
  readonly mixture: {
    /** How much the networks count, 0 to 1. */
    readonly share: number;
    /** Columns of the classes that the networks know. */
    readonly known: readonly number[];
    /** (C): the log of the classes' shares among the rows that the networks were trained on. */
    readonly prior: Float64Array;
  };
  /** What rows that none of this was fitted to say. */
  readonly calibration: {
    /** The density that those rows were asked of, where it is another than the one that answers. */
    readonly kernel?: FittedKernel;
    /** Of sets of labels, by the density without those rows. */
    readonly sets: ConformalScores;
  };
  /** 1/temperature of the mixture. */
  readonly beta: number;
  readonly weight: number;
}

/** A member that is a network. */
export interface FittedNetwork {
  readonly type: "network";
  readonly expansion: FeatureMap;
  readonly readout: NetworkReadout;
  /** 1/temperature of its logits. */
  readonly beta: number;
  readonly weight: number;
}

/** A router from outside, after its own fit. */
export interface RegisteredRouter {
  /**
   * @param features (n, F), each layer's part of length 1
   * @returns log-posteriors (n, C), row-major, in the order of the labels fitted to; each row's independent of the others
   */
  posterior(features: FeatureRows): ArrayLike<number> | Promise<ArrayLike<number>>;
  /** What `decode` of its kind makes the same router of; without both it is fitted anew when it is needed. */
  encode?(): Uint8Array;
}

/** A member from outside. */
export interface FittedRegistered {
  readonly type: "registered";
  /** The name that it is registered under. */
  readonly kind: string;
  readonly router: RegisteredRouter;
  /** 1/temperature of its logits. */
  readonly beta: number;
  readonly weight: number;
}

export type Member = AffineMember | DensityMember | FittedNetwork | FittedRegistered;

export interface RouterModel {
  readonly kind: RouterKind;
  readonly labels: readonly string[];
  readonly constants: FeatureConstants;
  readonly members: readonly Member[];
  /** 1/temperature of the members' weighted sum of log-posteriors. */
  readonly beta: number;
  /** (C), the log of the classes' shares that the members learned, taken out of what they say; absent: nothing is. */
  readonly prior?: Float64Array;
  readonly unknown: UnknownScores;
}

/** Rows that go through the products at once. */
const BLOCK = 64;

/** What a member needs to answer. */
export interface Machinery {
  readonly algebra: Algebra;
  readonly expander: (expansion: FeatureMap, constants: FeatureConstants) => FeatureMapper;
}

/** h·weight + bias. @param expanded (n, M) @returns (n, C) */
export async function readOut(
  algebra: Algebra,
  expanded: Matrix,
  { weight, bias }: Readout,
): Promise<Matrix> {
  return shift(await algebra.product(expanded, weight), bias);
}

/** As {@link readOut} in float32, which will do for choosing. */
export async function readOut32(
  algebra: Algebra,
  expanded: Matrix32,
  { weight, bias }: Readout,
): Promise<Matrix> {
  const product = await algebra.product32(expanded, { ...weight, values: new Float32Array(weight.values) });
  return shift({ ...product, values: new Float64Array(product.values) }, bias);
}

function shift(logits: Matrix, bias: Float64Array): Matrix {
  const { columns, values } = logits;
  for (let start = 0; start < values.length; start += columns)
    for (let c = 0; c < columns; c++) values[start + c]! += bias[c]!;
  return logits;
}

/**
 * Log-posteriors of logits: softmax(β·z), with the shares of classes that it was learned with taken out (logit
 * adjustment, Menon et al. 2021).
 * @param logits (n, C)
 */
export function posteriorOf(logits: Matrix, beta: number, prior: Float64Array | undefined): Posterior {
  if (prior === undefined) return logSoftmax(logits, beta);
  const { rows, columns, values } = logits;
  const adjusted = values.map((value, place) => beta * value - prior[place % columns]!);
  return logSoftmax({ rows, columns, values: adjusted }, 1);
}

/** Adds a member's share: weight · log softmax(β·logits). */
export function addShare(sum: Float64Array, logits: Matrix, beta: number, weight: number): void {
  const { values } = logSoftmax(logits, beta);
  for (let i = 0; i < sum.length; i++) sum[i]! += weight * values[i]!;
}

/** What a router from outside says of rows. @throws DataError unless it is a number for every row and class */
export async function askRegistered(
  { kind, router }: Pick<FittedRegistered, "kind" | "router">,
  rows: FixedRows,
  columns: number,
): Promise<Matrix> {
  const values = Float64Array.from(await router.posterior(dequantize(rows)));
  if (values.length !== rows.rows * columns || values.some(Number.isNaN))
    throw new DataError(
      `router ${kind}: posterior gave ${values.length} values${values.some(Number.isNaN) ? ", some not numbers" : ""}; expected ${rows.rows} × ${columns}, a row a text`,
    );
  return { rows: rows.rows, columns, values };
}

/** Log-softmax of a network's calibrated logits less the log of the classes' shares: (n, C). */
export function networkLogs(logits: Matrix, beta: number, prior: Float64Array): Float64Array {
  return logSoftmax(logits, beta).values.map((log, place) => log - prior[place % prior.length]!);
}

/** What the parts of a density member say of rows. */
interface DensityAnswer {
  readonly kernel: KernelAnswer;
  readonly networks: readonly Matrix[];
}

async function askDensity(
  { algebra, expander }: Machinery,
  { constants }: RouterModel,
  { kernel, networks }: Pick<DensityMember, "kernel" | "networks">,
  block: FixedRows,
): Promise<DensityAnswer> {
  const expandedBy = (expansion: FeatureMap) => expander(expansion, constants).expand(algebra, block);
  const answered: Matrix[] = [];
  for (const network of networks)
    answered.push(await askNetwork(algebra, network.readout, await expandedBy(network.expansion)));
  const density = await askKernel(algebra, kernel.readout, await expandedBy(kernel.expansion));
  return { kernel: density, networks: answered };
}

/** Log-posteriors before the last temperature, (n, C). */
function mixtureOf({ kernel, networks, mixture }: DensityMember, answer: DensityAnswer): Matrix {
  const { rows, columns } = answer.kernel.logits;
  const logs = {
    density: logSoftmax(answer.kernel.logits, kernel.beta).values,
    networks: answer.networks.map((logits, j) => networkLogs(logits, networks[j]!.beta, mixture.prior)),
  };
  return { rows, columns, values: mixLogs(logs, columns, mixture.known, mixture.share) };
}

/** @param block (n, F) @returns (n, C) */
async function logitsOf(
  machinery: Machinery,
  model: RouterModel,
  member: Member,
  block: FixedRows,
): Promise<Matrix> {
  const { algebra, expander } = machinery;
  if (member.type === "registered") return await askRegistered(member, block, model.labels.length);
  if (member.type === "density") return mixtureOf(member, await askDensity(machinery, model, member, block));
  const expanded = await expander(member.expansion, model.constants).expand(algebra, block);
  if (member.type === "network") return await askNetwork(algebra, member.readout, expanded);
  return await readOut(algebra, { ...expanded, values: new Float64Array(expanded.values) }, member.readout);
}

/** What a router says of rows, and what its members gave for it. */
interface BlockAnswer {
  readonly posterior: Posterior;
  /** Of each member, (n, C). */
  readonly logits: readonly Matrix[];
}

/** @param block (n, F) */
export async function answerBlock(
  machinery: Machinery,
  model: RouterModel,
  block: FixedRows,
): Promise<BlockAnswer> {
  const columns = model.labels.length;
  const sum = new Float64Array(block.rows * columns);
  const all: Matrix[] = [];
  for (const member of model.members) {
    const logits = await logitsOf(machinery, model, member, block);
    addShare(sum, logits, member.beta, member.weight);
    all.push(logits);
  }
  const posterior = posteriorOf({ rows: block.rows, columns, values: sum }, model.beta, model.prior);
  return { posterior, logits: all };
}

/**
 * Evidence that rows are of no class, of kinds without a density: how unlikely the likeliest class is, and how small each member's
 * largest logit (maximum softmax probability, Hendrycks & Gimpel 2017; maximum logit, Hendrycks et al. 2022).
 * @param without the class of each row, which is then taken for unknown
 * @returns of each kind, (n)
 */
export function evidenceOf(
  { posterior, logits }: BlockAnswer,
  without?: Int32Array,
): readonly Float64Array[] {
  const members = logits.map((each) => networkEvidence([each], without));
  // Of two classes the one that is left is certain.
  return posterior.classes > 2 ? [posteriorEvidence(posterior, without), ...members] : members;
}

/** @throws DataError if features are not as wide as those fitted to */
export function checkWidth(what: string, features: FeatureRows, { width }: FeatureConstants): void {
  if (features.width === width) return;
  throw new DataError(`${what}: features are ${features.width} wide, it was fitted to ${width}`, {
    hint: "read the layers that the statistics' constants name",
  });
}

/** Features in blocks of at most {@link BLOCK} rows. */
async function inBlocks(
  features: FeatureRows,
  signal: AbortSignal | undefined,
  visit: (block: FixedRows, start: number) => Promise<void>,
): Promise<void> {
  const fixed = quantize(features);
  for (let start = 0; start < fixed.rows; start += BLOCK) {
    signal?.throwIfAborted();
    const rows = Math.min(fixed.rows - start, BLOCK);
    const values = fixed.values.subarray(start * fixed.width, (start + rows) * fixed.width);
    await visit({ rows, width: fixed.width, values }, start);
    await nextTick();
  }
}

/**
 * @param features (n, F)
 * @returns log-posteriors (n, C)
 * @throws DataError if the features are of another width
 */
export async function answer(
  machinery: Machinery,
  model: RouterModel,
  features: FeatureRows,
  signal?: AbortSignal,
): Promise<Posterior> {
  checkWidth(`router ${model.kind}`, features, model.constants);
  const classes = model.labels.length;
  const values = new Float64Array(features.rows * classes);
  await inBlocks(features, signal, async (block, start) => {
    values.set((await answerBlock(machinery, model, block)).posterior.values, start * classes);
  });
  return { rows: features.rows, classes, values };
}

/** What can be asked beside the posterior. */
export interface AssessOptions {
  /** Asks for a set that contains the right label with this probability, 0 to 1. */
  readonly coverage?: number | undefined;
  /** π, how many texts are taken to be of no class learned; default {@link UNKNOWN_PRIOR}. */
  readonly unknownPrior?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** All that a router says of texts. */
export interface Assessment {
  readonly posterior: Posterior;
  /** (n): the probability that a text is of no class learned. */
  readonly unknown: Float64Array;
  /** Of each text, where a coverage is asked for; absent of kinds that keep no rows to calibrate. */
  readonly sets?: readonly PredictionSet[];
}

/**
 * Posterior, and what it says of texts of no class and of sets, at no further pass.
 * @param features (n, F)
 * @throws DataError if the features are of another width, or coverage is not between 0 and 1
 */
export async function assess(
  machinery: Machinery,
  model: RouterModel,
  features: FeatureRows,
  { coverage, unknownPrior, signal }: AssessOptions = {},
): Promise<Assessment> {
  const [member] = model.members;
  checkWidth(`router ${model.kind}`, features, model.constants);
  const classes = model.labels.length;
  const values = new Float64Array(features.rows * classes);
  const unknown = new Float64Array(features.rows);
  const sets: PredictionSet[] = [];
  const say = (start: number, posterior: Posterior, evidence: readonly Float64Array[]) => {
    values.set(posterior.values, start * classes);
    unknown.set(unknownProbabilities(model.unknown.model, evidence, unknownPrior), start);
  };
  await inBlocks(features, signal, async (block, start) => {
    if (member?.type !== "density") {
      const answered = await answerBlock(machinery, model, block);
      say(start, answered.posterior, evidenceOf(answered));
      return;
    }
    const answered = await askDensity(machinery, model, member, block);
    say(start, posteriorOfDensity(model, member, mixtureOf(member, answered)), [
      densityEvidence(answered.kernel),
      ...(answered.networks.length > 0 ? [networkEvidence(answered.networks)] : []),
    ]);
    if (coverage === undefined) return;
    const { kernel = member.kernel } = member.calibration;
    const held =
      kernel === member.kernel
        ? answered
        : await askDensity(machinery, model, { kernel, networks: [] }, block);
    const logs = logSoftmax(held.kernel.fitLogits, kernel.beta);
    for (let row = 0; row < block.rows; row++) {
      const own = logs.values.subarray(row * classes, (row + 1) * classes);
      sets.push(predictionSet(own, coverage, member.calibration.sets));
    }
  });
  const posterior = { rows: features.rows, classes, values };
  return { posterior, unknown, ...(coverage !== undefined && member?.type === "density" && { sets }) };
}

/** Where no row calibrates, texts are rejected that are likelier of no class than of any. */
const UNCALIBRATED_THRESHOLD = 0.5;

/**
 * The probability of being of no class above which texts are rejected, so that at most a share of texts of known classes is.
 * @param rate the share, 0 to 1
 */
export function unknownThreshold({ unknown: { ofKnown } }: RouterModel, rate: number): number {
  const rejected = Math.min(Math.floor(rate * ofKnown.length), ofKnown.length - 1);
  return ofKnown[ofKnown.length - 1 - rejected] ?? UNCALIBRATED_THRESHOLD;
}

/** As the sum of one member's share. */
function posteriorOfDensity(model: RouterModel, member: DensityMember, mixed: Matrix): Posterior {
  const sum = new Float64Array(mixed.values.length);
  addShare(sum, mixed, member.beta, member.weight);
  return posteriorOf({ ...mixed, values: sum }, model.beta, model.prior);
}
