import { ConfigError } from "../core/errors.ts";
import { defaultHeads, type HeadSpec } from "../nn/heads.ts";
import { loraSites, siteRank } from "../peft/lora.ts";
import { defaultTargetModules } from "../peft/targets.ts";
import type { LoraSpec } from "../peft/types.ts";
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
  if (feature.pooling === "pooler" && !loaded.backbone.hasPooler)
    throw new ConfigError(`feature.pooling: pooler, but ${loaded.folder.path} has no pooler weights`, {
      hint: "use cls, mean or last",
    });
  const lora = loraSpec(config, loaded);
  const structure = { backbone: loaded.backbone, lora, feature, head: headSpec(config) };
  loraSites(lora, adapterHost(structure));
  return structure;
}

export function resolveTraining(config: Pick<ResolvedConfig, "training">): TrainingOptions {
  const { gradientClipping, maxLength: _, ...training } = config.training;
  return { ...training, ...(gradientClipping === 0 ? {} : { gradientClipping }) };
}

/** Parameters that a task of that many classes trains. */
export function trainableParameters(structure: ModelStructure, classes: number): number {
  const { lora, backbone } = structure;
  if (lora === undefined) return 0;
  const host = adapterHost(structure);
  const sites = loraSites(lora, host);
  const pairs = sites.reduce((sum, site) => {
    const [inFeatures, outFeatures] = host.sites.get(site) ?? [0, 0];
    return sum + siteRank(lora, site) * (inFeatures + outFeatures);
  }, 0);
  const biases = [...host.biases].reduce((sum, [name, size]) => {
    const own = sites.some((site) => name === `${site}.bias`);
    return lora.bias === "all" || (lora.bias === "lora_only" && own) ? sum + size : sum;
  }, 0);
  return pairs + biases + classes * (backbone.width + 1);
}
