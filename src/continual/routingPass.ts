// Dimensions: n texts, D width.
/** The pass that routers read: the states of several layers, adapters off. */
import { asFloat32 } from "../core/tensor.ts";
import type { Encoding } from "../data/tokenizer.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { ModelStructure } from "../train/graphs.ts";
import { buildRoutingGraph } from "../train/routingGraph.ts";
import { parameterFeeds } from "../train/trainer.ts";
import type { FeatureRows, LearnedTask } from "./adaptedBackbone.ts";
import { type Pass, type Passes, scatterRows } from "./passes.ts";
import type { RoutingFeatureSpec } from "./routing/types.ts";

export interface RoutingRead {
  readonly spec: RoutingFeatureSpec;
  /** Reads through this task's adapter in place of the frozen backbone. */
  readonly session?: LearnedTask | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The backbone with its adapters off. */
export function frozenModel({
  backbone,
  feature,
}: ModelStructure): Pick<ModelStructure, "backbone" | "feature"> {
  return { backbone, feature };
}

function routingPass(
  structure: ModelStructure,
  per: "sentence" | "word",
  { spec, session }: RoutingRead,
): Pass {
  const { layers } = spec;
  const fed = session === undefined ? frozenModel(structure) : structure;
  return {
    key: ["routing", per, session === undefined ? "frozen" : "adapted", layers.join()].join(" "),
    graph: () => buildRoutingGraph(fed, layers, per),
    fed,
    ...(session !== undefined && { parameters: parameterFeeds(session) }),
  };
}

/** Every text's vector, (n, D · layers). @throws ConfigError if the backbone has no such layer */
export async function readRoutingFeatures(
  passes: Passes,
  structure: ModelStructure,
  encodings: readonly Encoding[],
  read: RoutingRead,
): Promise<FeatureRows> {
  const width = structure.backbone.width * read.spec.layers.length;
  const values = new Float32Array(encodings.length * width);
  const pass = routingPass(structure, "sentence", read);
  for await (const { indices, outputs } of passes.run(pass, encodings, read.signal))
    scatterRows(values, asFloat32(outputs.features, "features").data, indices, width);
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
  const virtualTokens = read.session === undefined ? 0 : adapterMethod(structure.adapter).virtualTokens;
  const pass = routingPass(structure, "word", read);
  for await (const { indices, length, outputs } of passes.run(pass, encodings, read.signal)) {
    const { data } = asFloat32(outputs.features, "features");
    indices.forEach((index, row) => {
      const { rows, values } = texts[index]!;
      const start = row * length + virtualTokens;
      values.set(data.subarray(start * width, (start + rows) * width));
    });
  }
  return texts;
}
