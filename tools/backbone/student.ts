// Dimensions: B batch, T tokens, D the student's width, E the teacher's.
import { gradients } from "../../src/autodiff/gradients.ts";
import type { Rng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import type { Graph, Value } from "../../src/graph/types.ts";
import { buildEncoder, type EncoderNetwork } from "../../src/nn/encoders/encoderNetwork.ts";
import { normalize, sentenceFeature } from "../../src/nn/features.ts";
import { noDropout, noTransform } from "../../src/nn/layers/layers.ts";
import { inputParameters, type ParameterShape } from "../../src/nn/layers/parameters.ts";
import { declareTokenInputs } from "../../src/nn/layers/tokens.ts";
import { GRADIENT_PREFIX } from "../../src/train/graphs.ts";

/** The linear map to the teacher's space; used while distilling, not part of the model. */
export const PROJECTION = "projection.weight";

export interface StudentGraph {
  readonly graph: Graph;
  readonly shapes: readonly ParameterShape[];
}

/**
 * The loss by which a student learns a teacher's sentence vectors t (Reimers & Gurevych 2020 distil by the squared
 * error of vectors; unit vectors make that 2 − 2·cos): mean(1 − cos(P f, t)), plus `similarity` times the mean
 * squared difference of all pairs' cosines within the batch, taken on f itself so that the student's own space,
 * not only its projection, has the teacher's geometry.
 */
export function buildStudentGraph(
  network: EncoderNetwork,
  teacherWidth: number,
  similarity: number,
): StudentGraph {
  const parameters = inputParameters();
  const context = { parameters, transform: noTransform, dropout: noDropout };
  const { config } = network;
  const { last } = buildEncoder(network, context, declareTokenInputs());
  const spec = { pooling: "mean", normalize: false } as const;
  const feature = sentenceFeature(config, context, spec, last); // (B, D)
  const projection = parameters.get(PROJECTION, [teacherWidth, config.width]);
  const teacher = op.input("teacher", "float32", ["B", teacherWidth]); // (B, E), unit rows
  const exampleWeights = op.input("example_weights", "float32", ["B"]); // 1/B each

  const projected = normalize(op.gemm(feature, projection, { transposeB: true })); // (B, E)
  const cosines = op.reduceSum(op.mul(projected, teacher), [1]); // (B)
  const distance = op.sub(op.scalar(1, cosines), cosines);
  const own = normalize(feature);
  const gap = op.sub(
    op.gemm(own, own, { transposeB: true }),
    op.gemm(teacher, teacher, { transposeB: true }),
  ); // (B, B)
  const perRow = op.reduceSum(op.mul(op.mul(gap, gap), exampleWeights), [1]); // (B): mean over the other index
  const perExample = op.add(distance, op.mul(perRow, similarity));
  const loss = op.reduceSum(op.mul(perExample, exampleWeights), [0]);

  const trained = new Map<string, Value>(
    parameters.declared.map(({ name, dims }) => [name, parameters.get(name, dims)]),
  );
  const grads = gradients(loss, [...trained.values()]);
  const outputs = Object.fromEntries(
    [...trained.keys()].map((name, i) => [GRADIENT_PREFIX + name, grads[i]!]),
  );
  const meanCosine = op.reduceSum(op.mul(cosines, exampleWeights), [0]);
  return { graph: createGraph({ loss, cosine: meanCosine, ...outputs }), shapes: parameters.declared };
}

/** BERT's initialisation: N(0, 0.02²) weights, unit scales, zero biases; the projection N(0, 1/D). */
export function initStudent(shapes: readonly ParameterShape[], rng: Rng): Map<string, HostTensor<"float32">> {
  return new Map(
    shapes.map(({ name, dims }) => {
      const draw = rng.fork(name);
      const deviation = name === PROJECTION ? 1 / Math.sqrt(dims[1] ?? 1) : 0.02;
      const fill = name.endsWith("LayerNorm.weight")
        ? () => 1
        : name.endsWith(".bias")
          ? () => 0
          : () => deviation * draw.normal();
      return [name, float32(Float32Array.from({ length: sizeOf(dims) }, fill), dims)];
    }),
  );
}
