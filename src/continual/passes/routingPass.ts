// Dimensions: n texts, D width.
/** The pass that routers read: the states of several layers, adapters off. */
import { asFloat32 } from "../../core/tensor.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import { poolingsOf, type TokenPooling } from "../../nn/features.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import type { ModelStructure } from "../../train/graphs.ts";
import { buildRoutingGraph } from "../../train/routingGraph.ts";
import { type BatchView, parameterFeeds } from "../../train/trainer.ts";
import type { FeatureRows, LearnedTask, RoutingFeatureSpec } from "../types.ts";
import { type Pass, type Passes, scatterRows } from "./passes.ts";
import type { TrunkRows } from "./trunkRows.ts";

export interface RoutingRead {
  readonly spec: RoutingFeatureSpec;
  /** Reads through this task's adapter in place of the frozen backbone. */
  readonly featureAdapter?: LearnedTask | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Takes in what the trunk gives for the texts, whether an adapter above it is on or off. */
  readonly trunk?: TrunkRows | undefined;
}

/** The backbone with its adapters off. */
export function frozenModel({
  backbone,
  feature,
}: ModelStructure): Pick<ModelStructure, "backbone" | "feature"> {
  return { backbone, feature };
}

/**
 * How routers pool a backbone's layers. Of several poolings the first: it is applied to many layers, and layers over a pooled
 * vector were trained on the last one alone.
 */
export function routingPooling({
  backbone,
  feature,
}: Pick<ModelStructure, "backbone" | "feature">): TokenPooling {
  return poolingsOf(backbone, feature)[0] ?? "mean";
}

function readFrozen(structure: ModelStructure): Pick<ModelStructure, "backbone" | "feature"> {
  return {
    backbone: structure.backbone,
    feature: { pooling: routingPooling(structure), normalize: false },
  };
}

function routingPass(
  structure: ModelStructure,
  per: "sentence" | "word",
  { spec, featureAdapter, trunk }: RoutingRead,
): Pass {
  const { layers } = spec;
  const shared = trunk?.layers ?? 0;
  const fed = featureAdapter === undefined ? readFrozen(structure) : structure;
  return {
    key: ["routing", per, featureAdapter === undefined ? "frozen" : "adapted", layers.join(), shared].join(
      " ",
    ),
    graph: () => buildRoutingGraph(fed, layers, per, shared),
    fed,
    ...(featureAdapter !== undefined && { parameters: parameterFeeds(featureAdapter) }),
  };
}

/** Runs the pass over all texts; what its trunk gave goes where it was asked for. */
async function* runRouting(
  passes: Passes,
  structure: ModelStructure,
  per: "sentence" | "word",
  encodings: readonly Encoding[],
  read: RoutingRead,
): AsyncGenerator<BatchView & { readonly features: Float32Array }> {
  const pass = routingPass(structure, per, read);
  for await (const { outputs, ...batch } of passes.run(pass, encodings, read.signal)) {
    read.trunk?.put(batch, asFloat32(outputs.state, "state").data);
    yield { ...batch, features: asFloat32(outputs.features, "features").data };
  }
}

/** Every text's vector, (n, D · layers). @throws ConfigError if the backbone has no such layer */
export async function readRoutingFeatures(
  passes: Passes,
  structure: ModelStructure,
  encodings: readonly Encoding[],
  read: Omit<RoutingRead, "featureAdapter">,
): Promise<FeatureRows> {
  const width = structure.backbone.width * read.spec.layers.length;
  const values = new Float32Array(encodings.length * width);
  for await (const { indices, features } of runRouting(passes, structure, "sentence", encodings, read))
    scatterRows(values, features, indices, width);
  return { rows: encodings.length, width, values };
}

/** Each text's own tokens' vectors, (ids, D · layers). @throws ConfigError if the backbone has no such layer */
export async function readRoutingTokenFeatures(
  passes: Passes,
  structure: ModelStructure,
  encodings: readonly Encoding[],
  read: RoutingRead,
): Promise<readonly FeatureRows[]> {
  const width = structure.backbone.width * read.spec.layers.length;
  const texts = encodings.map(
    ({ ids }): FeatureRows => ({ rows: ids.length, width, values: new Float32Array(ids.length * width) }),
  );
  const virtualTokens =
    read.featureAdapter === undefined ? 0 : adapterMethod(structure.adapter).virtualTokens;
  for await (const { indices, length, features } of runRouting(passes, structure, "word", encodings, read))
    indices.forEach((index, row) => {
      const { rows, values } = texts[index]!;
      const start = row * length + virtualTokens;
      values.set(features.subarray(start * width, (start + rows) * width));
    });
  return texts;
}
