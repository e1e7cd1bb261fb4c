import { expect, test } from "vitest";
import { createBackbone } from "../../src/nn/backbone.ts";
import { architectures } from "../../src/nn/families.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { defaultTargetModules, matchTargetModules } from "../../src/peft/targets.ts";
import { buildInferenceGraph, buildTrainingGraph, GRADIENT_PREFIX } from "../../src/train/graphs.ts";
import { defaultConfig, shapesOf, weightsOf } from "../support/defaultConfigs.ts";

test.each(architectures)(
  "%s: a LoRA step and an evaluation are built of transformers' own defaults",
  (architecture) => {
    const config = defaultConfig(architecture);
    const backbone = createBackbone(config, weightsOf(shapesOf(architecture, config)), architecture);
    expect(backbone.config.layers).toBe(2);
    const targetModules = defaultTargetModules(architecture);
    const spec = { rank: 4, alpha: 8, dropout: 0.1, bias: "none", targetModules, rslora: false } as const;
    const structure = {
      backbone,
      adapter: { kind: "lora", spec } as const,
      feature: { pooling: backbone.kind === "encoder" ? "cls" : "last", normalize: false } as const,
      head: defaultHeads.linear,
    };
    const adapted = matchTargetModules(targetModules, [...backbone.sites.keys()]).length;
    const { graph } = buildTrainingGraph(structure, true);
    const gradients = [...graph.outputs.keys()].filter((name) => name.startsWith(GRADIENT_PREFIX));
    expect(gradients).toHaveLength(2 * adapted + 2);
    expect([...buildInferenceGraph(structure).outputs.keys()].sort()).toEqual(["feature", "logits"]);
  },
);
