// Dimensions: n texts, F routing features, M numbers of an expansion, C classes.
/** A fitted router as plain data, and how it answers. */
import { setImmediate as nextTick } from "node:timers/promises";
import { DataError } from "../../core/errors.ts";
import type { Algebra, Matrix, Matrix32 } from "../../linalg/algebra.ts";
import type { FeatureMap, FeatureMapper } from "../statistics/featureMaps.ts";
import { blockOf, dequantize, quantize, takeRows } from "../statistics/fixedRows.ts";
import type { FeatureConstants, FeatureRows, FixedRows, Posterior, RouterKind } from "../types.ts";
import { logSoftmax } from "./calibration.ts";
import type { Readout } from "./readouts/closedForm.ts";
import { askKernel, type KernelReadout } from "./readouts/kernelModel.ts";
import { askNetwork, type NetworkReadout } from "./readouts/networkModel.ts";

/** A member that is affine in its expansion. */
export interface AffineMember {
  readonly type: "affine";
  readonly expansion: FeatureMap;
  readonly readout: Readout;
  /** 1/temperature of its logits. */
  readonly beta: number;
  readonly weight: number;
}

/** A member that is a kernel density. */
export interface FittedKernel {
  readonly type: "kernel";
  readonly expansion: FeatureMap;
  readonly readout: KernelReadout;
  /** 1/temperature of its logits. */
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

export type Member = AffineMember | FittedKernel | FittedNetwork | FittedRegistered;

export interface RouterModel {
  readonly kind: RouterKind;
  readonly labels: readonly string[];
  readonly constants: FeatureConstants;
  readonly members: readonly Member[];
  /** 1/temperature of the members' weighted sum of log-posteriors. */
  readonly beta: number;
  /** (C), the log of the classes' shares that the members learned, taken out of what they say; absent: nothing is. */
  readonly prior?: Float64Array;
}

/** Rows that go through the products at once. Always as many, so that a text's numbers hang on it alone. */
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

/** @param block (BLOCK, F) @returns (BLOCK, C) */
async function logitsOf(
  { algebra, expander }: Machinery,
  { constants, labels }: RouterModel,
  member: Member,
  block: FixedRows,
): Promise<Matrix> {
  if (member.type === "registered") return await askRegistered(member, block, labels.length);
  const expanded = await expander(member.expansion, constants).expand(algebra, block);
  if (member.type === "kernel") return await askKernel(algebra, member.readout, expanded);
  if (member.type === "network") return await askNetwork(algebra, member.readout, expanded);
  return await readOut(algebra, { ...expanded, values: new Float64Array(expanded.values) }, member.readout);
}

/** @param block (BLOCK, F) @returns (BLOCK, C) */
async function answerBlock(
  machinery: Machinery,
  model: RouterModel,
  block: FixedRows,
): Promise<Float64Array> {
  const columns = model.labels.length;
  const sum = new Float64Array(block.rows * columns);
  for (const member of model.members) {
    const logits = await logitsOf(machinery, model, member, block);
    addShare(sum, logits, member.beta, member.weight);
  }
  return posteriorOf({ rows: block.rows, columns, values: sum }, model.beta, model.prior).values;
}

/** @throws DataError if features are not as wide as those fitted to */
export function checkWidth(what: string, features: FeatureRows, { width }: FeatureConstants): void {
  if (features.width === width) return;
  throw new DataError(`${what}: features are ${features.width} wide, it was fitted to ${width}`, {
    hint: "read the layers that the statistics' constants name",
  });
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
  const fixed = quantize(features);
  const classes = model.labels.length;
  const values = new Float64Array(fixed.rows * classes);
  for (let start = 0; start < fixed.rows; start += BLOCK) {
    signal?.throwIfAborted();
    const end = Math.min(fixed.rows, start + BLOCK);
    const answered = await answerBlock(machinery, model, takeRows(fixed, blockOf(start, end, BLOCK)));
    values.set(answered.subarray(0, (end - start) * classes), start * classes);
    await nextTick();
  }
  return { rows: fixed.rows, classes, values };
}
