import { ConfigError } from "../core/errors.ts";
import { sizeOf } from "../core/tensor.ts";
import { readsPooler } from "../nn/features.ts";
import { defaultHeads, type HeadSpec } from "../nn/heads.ts";
import { noDropout } from "../nn/layers.ts";
import { adapterMethod } from "../peft/adapters.ts";
import { defaultTargetModules } from "../peft/targets.ts";
import type { AdapterSpec, LoraSpec } from "../peft/types.ts";
import { adapterHost, type ModelStructure } from "../train/graphs.ts";
import type { TrainingOptions } from "../train/trainer.ts";
import { type LoadedBackbone, resolveFeature } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";

/** The part of a configuration that says what is learned, not from which data. */
export type ModelSettings = Pick<ResolvedConfig, "method" | "head" | "feature">;

function loraSpec(config: ModelSettings, loaded: LoadedBackbone): LoraSpec {
  const { rank, alpha, dropout, bias, rslora, targetModules } = config.method;
  const targets = targetModules ?? defaultTargetModules(loaded.backbone.config.architecture);
  return { rank, alpha, dropout, bias, rslora, targetModules: targets };
}

function headSpec(config: ModelSettings): HeadSpec {
  const base = defaultHeads[config.head.kind];
  if (config.head.kind === "linear" || config.head.scale === "learnable") return base;
  return { ...base, scale: config.head.scale, scaleLearnable: false };
}

/** The structure that every task of a run shares. @throws ConfigError if the backbone cannot be used that way. */
export function resolveStructure(config: ModelSettings, loaded: LoadedBackbone): ModelStructure {
  const feature = resolveFeature(loaded, config.feature);
  if (readsPooler(feature) && !loaded.backbone.hasPooler)
    throw new ConfigError(`feature.pooling: pooler, but ${loaded.folder.path} has no pooler weights`, {
      hint: "use cls, mean or last",
    });
  const adapter: AdapterSpec = { kind: "lora", spec: loraSpec(config, loaded) };
  const structure = { backbone: loaded.backbone, adapter, feature, head: headSpec(config) };
  // Built once for its refusals, before anything is written.
  adapterMethod(adapter).build(adapterHost(structure), noDropout);
  return structure;
}

export function resolveTraining(config: Pick<ResolvedConfig, "training">): TrainingOptions {
  const { gradientClipping, maxLength: _, ...training } = config.training;
  return { ...training, ...(gradientClipping === 0 ? {} : { gradientClipping }) };
}

/** Parameters that a task of that many classes trains. */
export function trainableParameters(structure: ModelStructure, classes: number): number {
  const { shapes } = adapterMethod(structure.adapter).build(adapterHost(structure), noDropout);
  const adapter = shapes.reduce((sum, { dims }) => sum + sizeOf(dims), 0);
  return adapter + classes * (structure.backbone.width + 1);
}
