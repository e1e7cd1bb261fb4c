import { printDot, printGraph } from "../../../graph/print.ts";
import type { Graph } from "../../../graph/types.ts";
import { loadBackbone, resolveFeature } from "../../../model/settings/backbone.ts";
import { defaultHeads } from "../../../nn/heads.ts";
import { defaultTargetModules } from "../../../peft/targets.ts";
import { buildFeatureGraph, buildTrainingGraph, type ModelStructure } from "../../../train/graphs.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface InspectGraphFlags {
  readonly phase: "train" | "features";
  readonly format: "text" | "dot";
}

const build: { readonly [P in InspectGraphFlags["phase"]]: (structure: ModelStructure) => Graph } = {
  train: (structure) => buildTrainingGraph(structure, false).graph,
  features: buildFeatureGraph,
};

const print = { text: printGraph, dot: printDot } as const;

/** Prints the graph of a model with the default adapter and a linear head. */
export async function inspectGraphCommand(
  source: string,
  flags: InspectGraphFlags,
  terminal: Terminal,
): Promise<void> {
  const loaded = await loadBackbone(source);
  const structure: ModelStructure = {
    backbone: loaded.backbone,
    adapter: {
      kind: "lora",
      spec: {
        rank: 4,
        alpha: 8,
        dropout: 0.1,
        bias: "none",
        targetModules: defaultTargetModules(loaded.backbone.config.architecture),
        rslora: false,
      },
    },
    feature: resolveFeature(loaded, {}),
    head: defaultHeads.linear,
  };
  terminal.out(print[flags.format](build[flags.phase](structure)));
}
