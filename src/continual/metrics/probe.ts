// Dimensions: n rows, B batch, D width of the feature, C classes.
/** Probes: how well simple classifiers can tell classes apart by features that stay as they are. */

import { DataError } from "../../core/errors.ts";
import { createRng, type Rng, shuffled } from "../../core/random.ts";
import { type ProbeKind, probeKinds } from "../../core/record.ts";
import { float32 } from "../../core/tensor.ts";
import type { Graph } from "../../graph/types.ts";
import { defaultHeads, HEAD_PREFIX, initHead } from "../../nn/heads.ts";
import type { Executable } from "../../runtime/types.ts";
import { buildHeadTrainingGraph, type FeatureStep, fitOnFeatures } from "../../train/featureFit.ts";
import { sentenceTargets } from "../../train/trainer.ts";
import type { FeatureRows } from "../types.ts";

/** Features (n, D), and the class of each. */
export interface ProbeRows {
  readonly features: FeatureRows;
  readonly slots: readonly number[];
}

export interface ProbeOptions {
  readonly seed: number;
  /** Default: every kind. */
  readonly kinds?: readonly ProbeKind[];
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly signal?: AbortSignal;
}

/** The answer to f is argmax_c weight_c · f + bias_c. */
interface Probe {
  /** (C, D) */
  readonly weight: Float64Array;
  /** (C) */
  readonly bias: Float64Array;
}

interface ProbeContext {
  readonly compile: (graph: Graph) => Promise<Executable>;
  readonly train: ProbeRows;
  readonly classes: number;
  readonly options: ProbeOptions;
}

/** Every kind of probe. */
const fits: { readonly [K in ProbeKind]: (context: ProbeContext) => Promise<Probe> } = {
  linear: async (context) => {
    const head = await fitHead(context, "linear");
    const values = (name: string) => Float64Array.from(head.get(name)?.data ?? []);
    return { weight: values("weight"), bias: values("bias") };
  },
  cosine: async (context) => {
    const weight = (await fitHead(context, "cosine")).get("weight")?.data ?? [];
    return angular(Float64Array.from(weight), context);
  },
  // argmin ‖f − m_c‖² = argmax m_c·f − ‖m_c‖²/2
  prototype: async (context) => {
    const { means, counts } = classMeans(context);
    const width = context.train.features.width;
    const bias = counts.map((count, c) =>
      count === 0 ? Number.NEGATIVE_INFINITY : -squaredNorm(means, c, width) / 2,
    );
    return { weight: means, bias: Float64Array.from(bias) };
  },
  "cosine-prototype": async (context) => {
    const { means, counts } = classMeans(context);
    const { weight, bias } = angular(means, context);
    return { weight, bias: bias.map((value, c) => (counts[c] === 0 ? Number.NEGATIVE_INFINITY : value)) };
  },
};

function squaredNorm(rows: Float64Array, row: number, width: number): number {
  let sum = 0;
  for (let d = 0; d < width; d++) sum += rows[row * width + d]! ** 2;
  return sum;
}

/** Rows of length 1, by which the largest product is the smallest angle. */
function angular(rows: Float64Array, { train, classes }: ProbeContext): Probe {
  const width = train.features.width;
  const norms = Array.from({ length: classes }, (_, c) => Math.sqrt(squaredNorm(rows, c, width)) || 1);
  return {
    weight: rows.map((value, i) => value / norms[Math.floor(i / width)]!),
    bias: new Float64Array(classes),
  };
}

function classMeans({ train, classes }: ProbeContext): {
  readonly means: Float64Array;
  readonly counts: readonly number[];
} {
  const { width, values } = train.features;
  const counts = new Array<number>(classes).fill(0);
  for (const slot of train.slots) counts[slot]! += 1;
  const means = new Float64Array(classes * width);
  for (const [row, slot] of train.slots.entries())
    for (let d = 0; d < width; d++) means[slot * width + d]! += values[row * width + d]! / counts[slot]!;
  return { means, counts };
}

function gather({ width, values }: FeatureRows, rows: readonly number[]) {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    picked.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return float32(picked, [rows.length, width]);
}

function* batches(rows: number, size: number, rng: Rng): Generator<readonly number[]> {
  const order = shuffled([...Array(rows).keys()], rng);
  for (let start = 0; start < rows; start += size) yield order.slice(start, start + size);
}

/** A head by cross-entropy and AdamW without weight decay; a cosine head's scale stays what it begins with. */
async function fitHead({ compile, train, classes, options }: ProbeContext, kind: "linear" | "cosine") {
  const { epochs = 20, batchSize = 128, learningRate = 1e-3, signal } = options;
  const { width } = train.features;
  const rng = createRng(options.seed).fork("probe", kind);
  const head = initHead(defaultHeads[kind], width, classes, rng.fork("init"));
  const { scale } = Object.fromEntries(head);
  const fixed = scale === undefined ? {} : { [`${HEAD_PREFIX}scale`]: scale };
  const targets = sentenceTargets(train.slots);
  function* steps(): Generator<FeatureStep> {
    for (let epoch = 0; epoch < epochs; epoch++)
      for (const indices of batches(train.slots.length, batchSize, rng.fork("batches", epoch)))
        yield {
          feeds: { ...fixed, feature: gather(train.features, indices), ...targets({ indices, length: 1 }) },
        };
  }
  const trained = [...head].filter(([name]) => name !== "scale");
  await using executable = await compile(buildHeadTrainingGraph(kind, width));
  const fit = {
    executable,
    trained: new Map(trained.map(([name, tensor]) => [HEAD_PREFIX + name, tensor])),
    learningRate,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    what: `${kind} probe`,
  };
  await fitOnFeatures(fit, steps(), signal);
  return head;
}

function countRight({ weight, bias }: Probe, { features, slots }: ProbeRows): number {
  const { width, values } = features;
  return slots.filter((slot, row) => {
    let best = 0;
    let highest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < bias.length; c++) {
      let score = bias[c]!;
      for (let d = 0; d < width; d++) score += weight[c * width + d]! * values[row * width + d]!;
      if (score > highest) [best, highest] = [c, score];
    }
    return best === slot;
  }).length;
}

/** Accuracies of each kind of probe that was asked for, a fraction for each test set. */
export type ProbeResult = { readonly [K in ProbeKind]?: readonly number[] };

function check(rows: ProbeRows, width: number, classes: number, what: string): void {
  const wrong = rows.slots.find((slot) => !Number.isInteger(slot) || slot < 0 || slot >= classes);
  if (wrong !== undefined) throw new DataError(`probe: ${what} has class ${wrong}, but there are ${classes}`);
  if (rows.features.width !== width || rows.features.rows !== rows.slots.length)
    throw new DataError(
      `probe: ${what} needs ${rows.slots.length} rows of width ${width}, got ${rows.features.rows} of ${rows.features.width}`,
    );
  if (rows.slots.length === 0) throw new DataError(`probe: ${what} has no rows`);
}

/**
 * Fits linear, cosine, prototype and cosine-prototype probes, or those of `kinds`, on features that stay as they are,
 * and counts how often each is right on every test set. Trained probes take 20 epochs in batches of 128 at a rate of 1e-3 unless told
 * otherwise; the same seed and machine give the same values.
 *
 * After the benchmark's original code, where probes see all tasks' training data, too. There the linear probe has no
 * bias, the cosine's scale is 1, and `prototype` takes the largest product with a class mean, not the nearest mean.
 *
 * @param compile of a runtime
 * @param train features (n, D) and classes in [0, classes)
 * @param tests one a task
 * @throws DataError if rows and classes do not fit
 * @throws EngineError if a loss leaves the finite numbers
 */
export async function probeFeatures(
  compile: (graph: Graph) => Promise<Executable>,
  train: ProbeRows,
  tests: readonly ProbeRows[],
  classes: number,
  options: ProbeOptions,
): Promise<ProbeResult> {
  const { width } = train.features;
  check(train, width, classes, "train");
  for (const [i, test] of tests.entries()) check(test, width, classes, `test set ${i}`);
  const context = { compile, train, classes, options };
  const kinds = options.kinds ?? probeKinds;
  const result: { [K in ProbeKind]?: readonly number[] } = {};
  for (const kind of probeKinds.filter((each) => kinds.includes(each))) {
    const probe = await fits[kind](context);
    result[kind] = tests.map((test) => countRight(probe, test) / test.slots.length);
  }
  return result;
}
