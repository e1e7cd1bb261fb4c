// Dimensions: B batch, T tokens, D width, C classes.

import { gradients } from "../autodiff/gradients.ts";
import { GraphError } from "../core/errors.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";
import type { Backbone } from "../nn/backbone.ts";
import { type FeatureSpec, featureSites, featureWidth, sentenceFeature } from "../nn/features.ts";
import { declareHead, HEAD_PREFIX, type HeadSpec } from "../nn/heads.ts";
import { type Dropout, type LayerContext, noDropout } from "../nn/layers/layers.ts";
import { overrideParameters, type ParameterShape } from "../nn/layers/parameters.ts";
import type { AdapterGraph, AdapterHost } from "../peft/adapterMethod.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { AdapterSpec } from "../peft/types.ts";
import { type DropoutMask, maskedDropout } from "./dropout.ts";
import { declareSelector, preferenceLoss } from "./selector.ts";

/** What a graph is compiled for; equal structures share a compiled graph, whatever their task. */
export interface ModelStructure {
  readonly backbone: Backbone;
  /** Absent: the frozen backbone alone. */
  readonly adapter?: AdapterSpec;
  readonly feature: FeatureSpec;
  readonly head: HeadSpec;
  /** What gets a label; default: the sentence. */
  readonly level?: Level;
}

/** Whether a sentence's vector or each token's last hidden state is classified. */
export type Level = "sentence" | "word";

/** What an adapter finds in a backbone with a feature on top: pooling `pooler` adds a layer to the encoder's. */
export function adapterHost({
  backbone,
  feature,
}: Pick<ModelStructure, "backbone" | "feature">): AdapterHost {
  const added = featureSites(backbone.config, feature);
  const biases = Array.from(added, ([site, [, outFeatures]]) => [`${site}.bias`, outFeatures] as const);
  return {
    width: backbone.width,
    sites: new Map([...backbone.sites, ...added]),
    biases: new Map([...backbone.biases, ...biases]),
    sentenceSites: new Set(added.keys()),
    parameters: backbone.parameters,
    fanInFanOut: backbone.fanInFanOut,
    embeddingWidth: backbone.embeddingWidth,
    sharesRows: backbone.sharesRows,
  };
}

/** The prefix of the outputs that hold gradients. */
export const GRADIENT_PREFIX = "gradient/";

export interface TrainingGraph {
  readonly graph: Graph;
  readonly adapterShapes: readonly ParameterShape[];
  readonly masks: readonly DropoutMask[];
}

/**
 * −Σ_b weight_b · log softmax(logits_b)[label_b]; with weights 1/B, the mean cross-entropy of a batch. A row may also
 * be a token: the labels' one dimension says which.
 */
export function crossEntropy(logits: Value, labels: Value, rowWeights: Value): Value {
  const picked = op.gatherElements(op.logSoftmax(logits), op.reshape(labels, [...labels.shape, 1])); // (B, 1)
  const weighted = op.mul(op.reshape(picked, labels.shape), rowWeights); // (B)
  return op.neg(op.reduceSum(weighted, [0]));
}

export interface AdaptedModel {
  readonly adapter: AdapterGraph;
  readonly feature: Value;
  readonly hidden: readonly Value[];
  readonly last: Value;
}

/** The rows that a head classifies: a sentence's feature (B, D), or every token (B·T, D). */
const rowsToClassify: { readonly [L in Level]: (model: AdaptedModel) => Value } = {
  sentence: ({ feature }) => feature,
  word: ({ last }) => last,
};

/** @returns (rows, D) */
export function classifiedRows(structure: Pick<ModelStructure, "level">, model: AdaptedModel): Value {
  return rowsToClassify[structure.level ?? "sentence"](model);
}

/** The input of what a trunk gave, (B·T, D). */
export const TRUNK_STATE = "trunk_state";

/**
 * The layers at the bottom of a backbone that compute the same for every task. One layer at least is left above: a
 * decoder's last state is normalised, and nothing can go on from it.
 */
export function countTrunkLayers(structure: Omit<ModelStructure, "head" | "level">): number {
  const shared = adapterMethod(structure.adapter).sharedLayers(adapterHost(structure));
  return Math.min(shared, structure.backbone.config.layers - 1);
}

/**
 * The backbone with its adapter, and the feature on top.
 * @param trunkLayers as many layers are left out, and what they gave is the input {@link TRUNK_STATE}
 */
export function buildModel(
  structure: Omit<ModelStructure, "head" | "level">,
  onAdapter: Dropout,
  onBackbone: Dropout,
  trunkLayers = 0,
): AdaptedModel {
  const adapter = adapterMethod(structure.adapter).build(adapterHost(structure), onAdapter);
  return assembleModel(structure, adapter, onBackbone, trunkLayers);
}

/** The same with an adapter that is built already. */
export function assembleModel(
  { backbone, feature: spec }: Pick<ModelStructure, "backbone" | "feature">,
  adapter: AdapterGraph,
  onBackbone: Dropout,
  trunkLayers = 0,
): AdaptedModel {
  const context: LayerContext = {
    parameters: overrideParameters(backbone.parameters, adapter.overrides),
    transform: adapter.transform,
    dropout: onBackbone,
    ...(adapter.embed && { embed: adapter.embed }),
  };
  const inputs = backbone.declareInputs();
  const { hidden, last } =
    trunkLayers === 0
      ? backbone.build(context, inputs)
      : backbone.buildAbove(context, inputs, {
          layers: trunkLayers,
          state: op.input(TRUNK_STATE, "float32", ["B*T", backbone.width]),
        });
  const feature = sentenceFeature(backbone, context, spec, last); // (B, F)
  return { adapter, feature, hidden, last };
}

/** The input of a logit from outside the head: (B, 1), at word level (B·T, 1). */
export const OUTSIDE_LOGITS = "outside_logits";

export interface TrainingGraphOptions {
  /**
   * Slot 0 is no slot of the head: its logit is the input {@link OUTSIDE_LOGITS}, without gradient, and stands before
   * the head's in the softmax.
   */
  readonly outsideLogits?: boolean;
  /** A selection network on the feature is trained along: its preference loss is added to the task's. */
  readonly selector?: boolean;
  /** As many of the lowest layers are left out, and what they gave is the input {@link TRUNK_STATE}. */
  readonly trunkLayers?: number;
}

/**
 * Loss and gradients of one batch. Outputs: `loss`, and `gradient/<input>` for every adapter parameter and
 * every trained head parameter (`gradient/head.weight`, …). Inputs beside the model's: `labels` int64 (B), or (B·T) at
 * word level, the slots, and `example_weights` of the same shape, which sum to 1. With a selection
 * network its parameters and the inputs of `preferenceLoss` too.
 */
export function buildTrainingGraph(
  structure: ModelStructure,
  backboneDropout: boolean,
  { outsideLogits = false, selector = false, trunkLayers = 0 }: TrainingGraphOptions = {},
): TrainingGraph {
  const { dropout, masks } = maskedDropout();
  const model = buildModel(structure, dropout, backboneDropout ? dropout : noDropout, trunkLayers);
  const { adapter } = model;
  const head = declareHead(structure.head.kind, featureWidth(structure.backbone, structure.feature));
  const rows = classifiedRows(structure, model);
  const each = rows.shape.slice(0, 1);
  const labels = op.input("labels", "int64", each);
  const own = head.logits(rows); // (rows, C)
  const logits = outsideLogits
    ? op.concat([op.input(OUTSIDE_LOGITS, "float32", [...each, 1]), own], 1) // (rows, 1 + C)
    : own;
  const taskLoss = crossEntropy(logits, labels, op.input("example_weights", "float32", each));
  const network = selector ? declareSelector(featureWidth(structure.backbone, structure.feature)) : undefined;
  const loss =
    network === undefined ? taskLoss : op.add(taskLoss, preferenceLoss(network.weights(model.feature)));

  const trained = new Map<string, Value>([...adapter.inputs, ...(network?.inputs ?? [])]);
  for (const [name, value] of head.inputs)
    if (name !== "scale" || structure.head.scaleLearnable) trained.set(HEAD_PREFIX + name, value);
  const grads = gradients(loss, [...trained.values()]);
  const outputs: Record<string, Value> = { loss };
  [...trained.keys()].forEach((name, i) => {
    const gradient = grads[i];
    if (gradient !== undefined) outputs[GRADIENT_PREFIX + name] = gradient;
  });
  return { graph: createGraph(outputs), adapterShapes: adapter.shapes, masks };
}

/**
 * Forward only. Outputs: `feature` (B, D) and `logits` (B, C), at word level (B·T, C).
 * @param trunkLayers as many layers are left out, and what they gave is the input {@link TRUNK_STATE}
 */
export function buildInferenceGraph(structure: ModelStructure, trunkLayers = 0): Graph {
  const model = buildModel(structure, noDropout, noDropout, trunkLayers);
  const head = declareHead(structure.head.kind, featureWidth(structure.backbone, structure.feature));
  return createGraph({ feature: model.feature, logits: head.logits(classifiedRows(structure, model)) });
}

/** The head alone: from the input `feature` (B, F) to the output `logits` (B, C). */
export function buildHeadGraph({ backbone, feature, head }: ModelStructure): Graph {
  const width = featureWidth(backbone, feature);
  const rows = op.input("feature", "float32", ["B", width]);
  return createGraph({ logits: declareHead(head.kind, width).logits(rows) });
}

/** What the lowest layers give, adapters off: the output `state`, (B·T, D). */
export function buildTrunkGraph(
  structure: Pick<ModelStructure, "backbone" | "feature">,
  layers: number,
): Graph {
  const { hidden } = buildModel(structure, noDropout, noDropout);
  const state = hidden[layers];
  if (state === undefined) throw new GraphError(`trunk: the backbone has no layer ${layers}`);
  return createGraph({ state });
}

/** Forward without a head. Outputs: `feature` (B, D), and where asked `hidden.0` … `hidden.L`, each (B·T, D). */
export function buildFeatureGraph(structure: Omit<ModelStructure, "head">, withHidden = false): Graph {
  const { feature, hidden } = buildModel(structure, noDropout, noDropout);
  const layers = withHidden ? Object.fromEntries(hidden.map((value, i) => [`hidden.${i}`, value])) : {};
  return createGraph({ feature, ...layers });
}
