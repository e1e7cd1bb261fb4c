// Dimensions: B texts, T tokens, F features, C classes.
/** Graphs that leave this program: tokens and mask are all that is fed to them. */
import { routingPooling } from "../continual/passes/routingPass.ts";
import type { RouterModel } from "../continual/routers/routerModel.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";
import type { Backbone } from "../nn/backbone.ts";
import { type FeatureSpec, pooledRows, poolingsOf, sentenceFeature } from "../nn/features.ts";
import { frozenHead } from "../nn/heads.ts";
import { type LayerContext, noDropout, noTransform } from "../nn/layers/layers.ts";
import { declareMaskedInputs, type MaskedInputs, maskedPoolingWeights } from "../nn/maskedInputs.ts";
import type { Head } from "../peft/types.ts";
import type { Level } from "../train/graphs.ts";
import { routingFeatures } from "../train/routingGraph.ts";
import { routerLogits } from "./routerGraph.ts";

interface Built {
  readonly inputs: MaskedInputs;
  readonly context: LayerContext;
  readonly hidden: readonly Value[];
  readonly last: Value;
}

function buildFrozen(backbone: Backbone): Built {
  const inputs = declareMaskedInputs(backbone.config, backbone.maxTokens);
  const context = { parameters: backbone.parameters, transform: noTransform, dropout: noDropout };
  return { inputs, context, ...backbone.build(context, inputs) };
}

/**
 * A frozen encoder with a router: `logits` (B, C), and `features` (B, F), which the router reads.
 * @param router absent: features alone
 * @throws ConfigError of a router that cannot be written as a graph
 */
export function buildRoutedModel(
  backbone: Backbone,
  feature: FeatureSpec,
  layers: readonly number[],
  router?: RouterModel,
): Graph {
  const { inputs, hidden } = buildFrozen(backbone);
  const weights = maskedPoolingWeights([routingPooling({ backbone, feature })], inputs);
  const features = routingFeatures(hidden, layers, (state) => pooledRows(state, weights, backbone.width));
  return createGraph({ ...(router && { logits: routerLogits(router, features) }), features });
}

/** A model with one head: `logits`, (B, C) of texts, (B, T, C) of words. */
export function buildHeadedModel(
  backbone: Backbone,
  feature: FeatureSpec,
  head: Head,
  classes: number,
  level: Level = "sentence",
): Graph {
  const { inputs, context, last } = buildFrozen(backbone);
  if (level === "word")
    return createGraph({ logits: op.reshape(frozenHead(head, last), ["B", "T", classes]) });
  const weights = maskedPoolingWeights(poolingsOf(backbone, feature), inputs);
  return createGraph({
    logits: frozenHead(head, sentenceFeature(backbone, context, feature, last, weights)),
  });
}
