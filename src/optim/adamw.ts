import { EngineError } from "../core/errors.ts";

export type FloatArray = Float32Array | Float64Array;

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled: θ ← θ·(1 − lr·λ) before the step, for every parameter, biases too, as torch does. */
  readonly weightDecay: number;
}

/** torch.optim.AdamW's defaults. */
export const defaultAdamW: AdamWOptions = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };

/** Values that are trained in place, at a rate of their own. */
export interface Trainable {
  readonly name: string;
  readonly values: FloatArray;
  /** The group's peak learning rate; a schedule's factor multiplies it. */
  readonly learningRate: number;
}

interface Moments {
  readonly first: FloatArray;
  readonly second: FloatArray;
}

function zerosLike(values: FloatArray): FloatArray {
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2) exactly as torch computes it:
 * m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ(1 − lr·λ) − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
 * Values and moments keep the precision of their arrays. A few hundred thousand parameters cost less here than
 * as nodes of the graph.
 */
export class AdamW {
  private readonly trainables: readonly Trainable[];
  private readonly moments: readonly Moments[];
  private readonly options: AdamWOptions;
  private steps = 0;

  constructor(trainables: readonly Trainable[], options: AdamWOptions = defaultAdamW) {
    this.trainables = trainables;
    this.options = options;
    this.moments = trainables.map(({ values }) => ({ first: zerosLike(values), second: zerosLike(values) }));
  }

  /**
   * One update of every trainable, in place.
   * @param gradients by the trainables' names, each of their length
   * @param factor of the schedule, multiplies every learning rate
   */
  step(gradients: ReadonlyMap<string, FloatArray>, factor = 1): void {
    this.steps += 1;
    const { beta1, beta2 } = this.options;
    const correction1 = 1 - beta1 ** this.steps;
    const correction2 = Math.sqrt(1 - beta2 ** this.steps);
    this.trainables.forEach((trainable, i) => {
      const gradient = gradients.get(trainable.name);
      const moments = this.moments[i];
      if (gradient === undefined || gradient.length !== trainable.values.length || moments === undefined)
        throw new EngineError(
          `optimiser: no gradient of length ${trainable.values.length} for "${trainable.name}"`,
        );
      this.update(
        trainable.values,
        gradient,
        moments,
        trainable.learningRate * factor,
        correction1,
        correction2,
      );
    });
  }

  private update(
    values: FloatArray,
    gradient: FloatArray,
    { first, second }: Moments,
    rate: number,
    correction1: number,
    correction2: number,
  ): void {
    const { beta1, beta2, epsilon, weightDecay } = this.options;
    const keep = 1 - rate * weightDecay;
    const stride = rate / correction1;
    const [new1, new2, { length }] = [1 - beta1, 1 - beta2, values];
    for (let i = 0; i < length; i++) {
      const g = gradient[i]!;
      const m = beta1 * first[i]! + new1 * g;
      const v = beta2 * second[i]! + new2 * g * g;
      first[i] = m;
      second[i] = v;
      values[i] = values[i]! * keep - (stride * m) / (Math.sqrt(v) / correction2 + epsilon);
    }
  }
}

/** √Σg² over all gradients, in float64. */
function globalNorm(gradients: Iterable<FloatArray>): number {
  let sum = 0;
  for (const gradient of gradients)
    for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
  return Math.sqrt(sum);
}

/** Scales all gradients in place so that their global norm is at most `maxNorm` (torch's clip_grad_norm_). */
export function clipGradients(gradients: ReadonlyMap<string, FloatArray>, maxNorm: number): void {
  const factor = maxNorm / (globalNorm(gradients.values()) + 1e-6);
  if (factor >= 1) return;
  for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i]! *= factor;
}
