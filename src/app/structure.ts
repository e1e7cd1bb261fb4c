import { ConfigError } from "../core/errors.ts";
import { sizeOf } from "../core/tensor.ts";
import type { RecipeName, StreamSpec } from "../data/streamSpec.ts";
import { type FeatureSpec, readsPooler, readsVirtualTokens } from "../nn/features.ts";
import { defaultHeads, type HeadSpec } from "../nn/heads.ts";
import { noDropout } from "../nn/layers.ts";
import { adapterMethod } from "../peft/adapters.ts";
import { autoPromptText, type PromptTask } from "../peft/promptTuning.ts";
import { defaultTargetModules } from "../peft/targets.ts";
import type { AdapterKind, AdapterSpec } from "../peft/types.ts";
import { adapterHost, type ModelStructure } from "../train/graphs.ts";
import type { TrainingOptions } from "../train/trainer.ts";
import { type LoadedBackbone, resolveFeature } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";

/** The part of a configuration that says what is learned, not from which data. */
export type ModelSettings = Pick<ResolvedConfig, "method" | "head" | "feature"> &
  Partial<Pick<ResolvedConfig, "level">>;

type Method = ResolvedConfig["method"];
type Methods = { readonly [M in Method as M["adapter"]]: M };

interface SpecContext {
  readonly loaded: LoadedBackbone;
  readonly promptTask: PromptTask;
}

/** The method's settings as an adapter's, what the backbone and the task decide filled in. */
const adapterSpecs: {
  readonly [K in AdapterKind]: (method: Methods[K], context: SpecContext) => AdapterSpec;
} = {
  lora: ({ adapter: kind, targetModules, ...settings }, { loaded }) => ({
    kind,
    spec: {
      ...settings,
      targetModules: targetModules ?? defaultTargetModules(loaded.backbone.config.architecture),
    },
  }),
  "prompt-tuning": ({ adapter: kind, virtualTokens, init }, { promptTask }) => {
    if (init === "random" || init === "vocab") return { kind, spec: { virtualTokens, init } };
    const text = init === "auto" ? autoPromptText(promptTask) : init.text;
    return { kind, spec: { virtualTokens, init: "text", text } };
  },
};

function adapterSpec<K extends AdapterKind>(
  method: Methods[K] & { readonly adapter: K },
  context: SpecContext,
): AdapterSpec {
  return adapterSpecs[method.adapter](method, context);
}

/** What the recipes' labels are, as far as it decides with which words a prompt begins. */
const promptTasks: { readonly [R in RecipeName]: PromptTask } = {
  clinc150: "intent",
  banking77: "intent",
  fewrel: "relation",
};

/** What a stream asks of its texts. */
export function promptTaskOf({ recipe }: Pick<StreamSpec, "recipe">): PromptTask {
  return recipe === undefined ? "sentence" : promptTasks[recipe];
}

/** @throws ConfigError if virtual tokens leave no room for a text, or a feature reads some where there are none. */
function checkVirtualTokens(virtualTokens: number, feature: FeatureSpec, loaded: LoadedBackbone): void {
  const { maxTokens } = loaded.backbone;
  if (virtualTokens === 0 && readsVirtualTokens(feature))
    throw new ConfigError(
      `feature.pooling: ${feature.pooling} reads the first virtual token, but there is none`,
      {
        hint: "Set method.adapter to prompt-tuning, or use cls, mean or last.",
      },
    );
  // A text of one token has one special token on each side.
  if (virtualTokens + 3 > maxTokens)
    throw new ConfigError(
      `method.virtualTokens: ${virtualTokens} leave no room for a text: ${loaded.folder.path} takes ${maxTokens} tokens in all`,
      {
        issues: [
          {
            path: "method.virtualTokens",
            expected: `at most ${maxTokens - 3}`,
            received: String(virtualTokens),
          },
        ],
      },
    );
}

function headSpec(config: ModelSettings): HeadSpec {
  const base = defaultHeads[config.head.kind];
  if (config.head.kind === "linear" || config.head.scale === "learnable") return base;
  return { ...base, scale: config.head.scale, scaleLearnable: false };
}

/** A sentence's vector is nobody's business where words are classified. */
const noFeature: FeatureSpec = { pooling: "cls", normalize: false };

/**
 * The structure that every task of a run shares.
 * @param promptTask decides with which words a prompt of `init: auto` begins
 * @throws ConfigError if the backbone cannot be used that way.
 */
export function resolveStructure(
  config: ModelSettings,
  loaded: LoadedBackbone,
  promptTask: PromptTask = "sentence",
): ModelStructure {
  const { level = "sentence" } = config;
  const feature = level === "word" ? noFeature : resolveFeature(loaded, config.feature);
  if (readsPooler(feature) && !loaded.backbone.hasPooler)
    throw new ConfigError(`feature.pooling: pooler, but ${loaded.folder.path} has no pooler weights`, {
      hint: "use cls, mean or last",
    });
  const adapter = adapterSpec(config.method, { loaded, promptTask });
  const structure = { backbone: loaded.backbone, adapter, feature, head: headSpec(config), level };
  const method = adapterMethod(adapter);
  checkVirtualTokens(method.virtualTokens, feature, loaded);
  // Built once for its refusals, before anything is written.
  method.build(adapterHost(structure), noDropout);
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
