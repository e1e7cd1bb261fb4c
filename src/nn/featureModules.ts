// Dimensions: B batch, D width of what comes in, F width of what goes out.
/** The layers that sentence-transformers puts over a pooled vector. */
import { CheckpointError } from "../core/errors.ts";
import * as op from "../graph/ops.ts";
import type { Value } from "../graph/types.ts";
import { type LayerContext, layerNorm, noDropout, noTransform } from "./layers/layers.ts";
import type { Parameters } from "./layers/parameters.ts";

const denseActivations = {
  gelu: op.gelu,
  identity: (x: Value) => x,
  relu: op.relu,
  sigmoid: op.sigmoid,
  silu: (x: Value) => op.mul(x, op.sigmoid(x)),
  tanh: op.tanh,
};

/** What a Dense module may apply. */
export type DenseActivation = keyof typeof denseActivations;

/** Weights lie at `<site>.linear.weight`, `<site>.residual.weight`, `<site>.norm.weight` and so on. */
interface StepFields {
  readonly dense: {
    readonly site: string;
    readonly inFeatures: number;
    readonly outFeatures: number;
    readonly bias: boolean;
    readonly activation: DenseActivation;
    /** What comes in is added to what goes out, through a matrix of its own where their widths differ. */
    readonly residual: boolean;
  };
  readonly "layer-norm": { readonly site: string; readonly width: number };
  readonly normalize: Readonly<Record<never, never>>;
}

type StepKind = keyof StepFields;
type StepOfKind<K extends StepKind> = { readonly kind: K } & StepFields[K];
/** One of the layers. */
export type FeatureStep = { readonly [K in StepKind]: StepOfKind<K> }[StepKind];

/** torch's of a LayerNorm. */
const EPSILON = 1e-5;

/** x / max(‖x‖, 1e-12) over the last axis, as torch's `normalize`. */
export function normalize(x: Value): Value {
  const norm = op.sqrt(op.reduceSum(op.mul(x, x), [-1], true));
  return op.div(x, op.maximum(norm, 1e-12));
}

interface OpenStep {
  /** Where it takes one width only. */
  readonly inWidth?: number;
  readonly outWidth?: number;
  /** (B, D) → (B, F) */
  build(x: Value, parameters: Parameters): Value;
}

const openers: { readonly [K in StepKind]: (step: StepFields[K]) => OpenStep } = {
  // y = φ(W x + b), with a residual y = φ(W x + b) + W′ x
  dense: ({ site, inFeatures, outFeatures, bias, activation, residual }) => ({
    inWidth: inFeatures,
    outWidth: outFeatures,
    build(x, parameters) {
      const w = (name: string) => parameters.get(`${site}.${name}.weight`, [outFeatures, inFeatures]);
      const c = bias ? { c: parameters.get(`${site}.linear.bias`, [outFeatures]) } : {};
      const y = denseActivations[activation](op.gemm(x, w("linear"), { transposeB: true, ...c })); // (B, F)
      if (!residual) return y;
      return op.add(y, inFeatures === outFeatures ? x : op.gemm(x, w("residual"), { transposeB: true }));
    },
  }),
  "layer-norm": ({ site, width }) => ({
    inWidth: width,
    outWidth: width,
    build(x, parameters) {
      const context: LayerContext = { parameters, transform: noTransform, dropout: noDropout };
      return layerNorm(context, `${site}.norm`, x, width, EPSILON);
    },
  }),
  normalize: () => ({ build: normalize }),
};

function openStep<K extends StepKind>(step: StepOfKind<K>): OpenStep {
  return openers[step.kind](step);
}

/** The width of what the steps make of a vector. */
export function widthAfter(steps: readonly FeatureStep[], width: number): number {
  return steps.reduce((before, step) => openStep(step).outWidth ?? before, width);
}

/** @throws CheckpointError where a step does not take what comes before it; of a step without place in a folder never */
export function checkSteps(steps: readonly FeatureStep[], width: number, where: string): void {
  let before = width;
  for (const step of steps) {
    const { inWidth = before, outWidth = before } = openStep(step);
    if (inWidth !== before)
      throw new CheckpointError(
        `${where}: ${"site" in step ? step.site : step.kind} takes vectors of width ${inWidth}, and what comes before it is ${before} wide`,
        {
          hint: "modules.json and the folders it names do not belong together: take them from one download.",
        },
      );
    before = outWidth;
  }
}

/** Applies the steps in order. (B, D) → (B, F) */
export function applySteps(steps: readonly FeatureStep[], x: Value, parameters: Parameters): Value {
  return steps.reduce((vector, step) => openStep(step).build(vector, parameters), x);
}
