// Dimensions: B texts, F routing features, K directions, C classes, L rows of a class.
/** An immediate router as part of a graph: from the features of texts to the logarithm of each class's probability. */
import type { Readout } from "../continual/routers/readouts/closedForm.ts";
import { type KernelReadout, SQUARED_WIDTH } from "../continual/routers/readouts/kernelModel.ts";
import type { AffineMember, DensityMember, Member, RouterModel } from "../continual/routers/routerModel.ts";
import type { FeatureMap } from "../continual/statistics/featureMaps.ts";
import { FIXED_LARGEST, FIXED_SCALE } from "../continual/statistics/fixedRows.ts";
import { ConfigError } from "../core/errors.ts";
import { float32, float64, int64 } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";

/** In place of rows that a class does not have: e to the minus of it is 0. */
const FAR = 1e30;

const constant32 = (values: ArrayLike<number>, dims: readonly number[]) =>
  op.constant(float32(Float32Array.from(values), dims));

/** As `quantize` rounds: x·2^15 to whole numbers, within ±(2^15 − 1). */
function roundedFeatures(features: Value): Value {
  const whole = op.round(op.mul(features, FIXED_SCALE));
  const fromBelow = op.maximum(whole, -FIXED_LARGEST);
  return op.neg(op.maximum(op.neg(fromBelow), -FIXED_LARGEST)); // (B, F)
}

/** Classes whose rows stand side by side, each padded to the same number. */
interface ClassGroup {
  readonly classes: readonly number[];
  readonly rows: number;
}

/** Classes by the power of two that holds their rows, so that padding at most doubles them. */
function groupClasses(starts: Int32Array): readonly ClassGroup[] {
  const groups = new Map<number, { classes: number[]; rows: number }>();
  for (let c = 0; c + 1 < starts.length; c++) {
    const rows = starts[c + 1]! - starts[c]!;
    const bits = Math.ceil(Math.log2(rows));
    const group = groups.get(bits) ?? { classes: [], rows: 0 };
    group.classes.push(c);
    group.rows = Math.max(group.rows, rows);
    groups.set(bits, group);
  }
  return [...groups.values()];
}

/** The rows of a group's classes as columns (K, C·L), and |r|²/2h² of each; what pads is far from everything. */
function padGroup(
  { columns: { rows: directions, columns, values }, lengths, starts }: KernelReadout["kept"],
  group: ClassGroup,
) {
  const width = group.classes.length * group.rows;
  const padded = new Float32Array(directions * width);
  const halves = new Float32Array(width).fill(FAR);
  group.classes.forEach((c, place) => {
    for (let i = starts[c]!; i < starts[c + 1]!; i++) {
      const at = place * group.rows + i - starts[c]!;
      halves[at] = lengths[i]!;
      for (let k = 0; k < directions; k++) padded[k * width + at] = values[k * columns + i]!;
    }
  });
  return { padded, halves, width };
}

/** log Σ_i exp(t·r_i/h² − |r_i|²/2h²) of each class of a group: (B, classes). */
function groupSums(projected: Value, kept: KernelReadout["kept"], group: ClassGroup): Value {
  const { padded, halves, width } = padGroup(kept, group);
  const c = op.neg(constant32(halves, [1, width]));
  const columns = constant32(padded, [kept.columns.rows, width]);
  const exponents = op.reshape(op.gemm(projected, columns, { alpha: 1 / SQUARED_WIDTH, c }), [
    "B",
    group.classes.length,
    group.rows,
  ]);
  const most = op.reduceMax(exponents, [2], true);
  const sums = op.log(op.reduceSum(op.exp(op.sub(exponents, most)), [2], true));
  return op.reshape(op.add(sums, most), ["B", group.classes.length]);
}

/** Columns in another order. @param order of the classes as they stand */
function inOrder(logits: Value, order: readonly number[]): Value {
  if (order.every((c, place) => c === place)) return logits;
  const places = order.map((_, c) => order.indexOf(c));
  const rows = op.gather(op.transpose(logits, [1, 0]), op.constant(int64(places, [places.length])));
  return op.transpose(rows, [1, 0]);
}

/** As `askKernel`, but for what is the same of all classes: log mean_i exp(−|t − r_i|²/2h²) + bias. */
function kernelLogits(whole: Value, { projection, offset, kept, bias }: KernelReadout): Value {
  const { rows: features, columns: directions, values } = projection;
  const classes = bias.length;
  // Classes that nothing tells apart.
  if (directions === 0) {
    const zeros = constant32(new Float32Array(features * classes), [features, classes]);
    return op.gemm(whole, zeros, { c: constant32(bias, [1, classes]) });
  }
  const c = op.neg(constant32(offset, [1, directions]));
  const projected = op.gemm(whole, constant32(values, [features, directions]), { c }); // (B, K)
  const groups = groupClasses(kept.starts);
  const sums = groups.map((group) => groupSums(projected, kept, group));
  const logits = inOrder(
    op.concat(sums, 1),
    groups.flatMap(({ classes: own }) => own),
  );
  const given = bias.map((own, k) => own - Math.log(kept.starts[k + 1]! - kept.starts[k]!));
  return op.add(logits, constant32(given, [1, classes]));
}

/** h·W + bias, in double precision: W undoes a covariance. */
function affineLogits(whole: Value, { weight, bias }: Readout): Value {
  const matrix = op.constant(float64(weight.values, [weight.rows, weight.columns]));
  const c = op.constant(float64(bias, [1, bias.length]));
  return op.gemm(op.cast(whole, "float64"), matrix, { c });
}

function refuse({ kind }: RouterModel, why: string): never {
  throw new ConfigError(`router ${kind}: ${why}, so it has no ONNX form`, {
    hint: "Choose another kind for the store: accrete set <store> router.kind=kernel-discriminant, nearest-mean or lda.",
  });
}

function requireAllFeatures(model: RouterModel, { kind, layers }: FeatureMap): void {
  const all = layers === undefined || layers.length === model.constants.layers.length;
  if (kind !== "identity" || !all) refuse(model, "it reads other features than those of all its layers");
}

const memberLogits: {
  readonly [T in Member["type"]]: (
    model: RouterModel,
    member: Extract<Member, { type: T }>,
    whole: Value,
  ) => Value;
} = {
  affine: (model, { expansion, readout }: AffineMember, whole) => {
    requireAllFeatures(model, expansion);
    return affineLogits(whole, readout);
  },
  density: (model, { kernel, networks }: DensityMember, whole) => {
    if (networks.length > 0) refuse(model, "it counts networks beside a density");
    requireAllFeatures(model, kernel.expansion);
    return op.logSoftmax(op.mul(kernelLogits(whole, kernel.readout), kernel.beta));
  },
  network: (model) => refuse(model, "it is a network"),
  registered: (model) => refuse(model, "it comes from an extension"),
};

function logitsOf<T extends Member["type"]>(
  model: RouterModel,
  member: Extract<Member, { type: T }> & { readonly type: T },
  whole: Value,
): Value {
  return memberLogits[member.type](model, member, whole);
}

/**
 * As `answer` (routerModel.ts): members' calibrated log-posteriors, weighed and calibrated together.
 * @param features (B, F), each layer's part of length 1
 * @returns log-posteriors (B, C) in the order of the router's labels, float32: their softmax is themselves
 * @throws ConfigError of a kind that cannot be written as a graph
 */
export function routerLogits(model: RouterModel, features: Value): Value {
  const whole = roundedFeatures(features);
  const shares = model.members.map((member) => {
    const logs = op.logSoftmax(op.mul(logitsOf(model, member, whole), member.beta));
    return op.mul(op.cast(logs, "float32"), member.weight);
  });
  const sum = shares.reduce((all, share) => op.add(all, share));
  const calibrated = op.mul(sum, model.beta);
  const { prior } = model;
  const adjusted =
    prior === undefined ? calibrated : op.sub(calibrated, constant32(prior, [1, prior.length]));
  return op.logSoftmax(adjusted);
}
