/** Ten AdamW steps of a training graph, held against the same steps in torch. */
import { expect } from "vitest";
import { float32, float64, type HostTensor } from "../../src/core/tensor.ts";
import { HEAD_PREFIX } from "../../src/nn/heads.ts";
import { AdamW, clipGradients, type FloatArray, type Trainable } from "../../src/optim/adamw.ts";
import type { Executable } from "../../src/runtime/types.ts";
import { GRADIENT_PREFIX } from "../../src/train/graphs.ts";
import { type AdamwInfo, inPrecision, need, type Precision } from "./goldens.ts";
import { relativeDifference } from "./tolerances.ts";

/** A golden file of steps, and what is fed beside the parameters at every one of them. */
export interface GoldenSteps {
  readonly executable: Executable;
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** The golden's tensors under a prefix, by our names. */
  readonly named: (prefix: string) => ReadonlyMap<string, HostTensor>;
  readonly adamw: AdamwInfo;
  /** The largest norm of the gradients; absent: not clipped. */
  readonly maxNorm?: number;
  readonly precision: Precision;
  readonly tolerance: number;
}

function copyOf(tensor: HostTensor, precision: Precision): HostTensor<"float32"> | HostTensor<"float64"> {
  return precision === "f32"
    ? float32(Float32Array.from(tensor.data, Number), tensor.dims)
    : float64(Float64Array.from(tensor.data, Number), tensor.dims);
}

/** Compares all losses, and every parameter after the first and the last step. */
export async function expectSteps(golden: GoldenSteps): Promise<void> {
  const { executable, tensors, adamw, precision, tolerance } = golden;
  const feeds = inPrecision(golden.feeds, precision);
  const values = new Map(
    [...golden.named("param.")].map(([name, tensor]) => [name, copyOf(tensor, precision)]),
  );
  const trainables: Trainable[] = [...values].map(([name, { data }]) => ({
    name,
    values: data,
    learningRate: name.startsWith(HEAD_PREFIX) ? adamw.headLearningRate : adamw.adapterLearningRate,
  }));
  const { beta1, beta2, epsilon, weightDecay, steps } = adamw;
  const optimizer = new AdamW(trainables, { beta1, beta2, epsilon, weightDecay });
  const factors = need(tensors, "factor");
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const outputs = await executable.run({ ...feeds, ...Object.fromEntries(values) });
    losses.push(Number(outputs.loss?.data[0]));
    const gradients = new Map<string, FloatArray>();
    for (const name of values.keys()) {
      const data = outputs[GRADIENT_PREFIX + name]?.data;
      if (data instanceof Float32Array || data instanceof Float64Array) gradients.set(name, data);
    }
    if (golden.maxNorm !== undefined) clipGradients(gradients, golden.maxNorm);
    optimizer.step(gradients, Number(factors.data[step]));
    if (step !== 0 && step !== steps - 1) continue;
    const after = golden.named(`step${step + 1}.`);
    expect([...after.keys()].sort()).toEqual([...values.keys()].sort());
    for (const [name, expected] of after) {
      const difference = relativeDifference(values.get(name) ?? float64([], [0]), expected);
      expect(difference, `${name} after step ${step + 1}`).toBeLessThanOrEqual(tolerance);
    }
  }
  const expected = need(tensors, "loss");
  expect(relativeDifference(float64(losses, [steps]), expected), "losses").toBeLessThanOrEqual(tolerance);
}
