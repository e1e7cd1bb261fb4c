import { combinationError, encoderWritesNothing } from "../../config/combinations.ts";
import { adapterBackbone } from "../../continual/taskTypes/foreignAdapter.ts";
import { noFeature } from "../../continual/taskTypes/savedTask.ts";
import type { LoadedBackbone } from "../../continual/types.ts";
import { ConfigError } from "../../core/errors.ts";
import { sizeOf } from "../../core/tensor.ts";
import { buildCausalGraph, type CausalStructure } from "../../generate/graphs.ts";
import { ownHead } from "../../nn/families.ts";
import { type FeatureSpec, featureWidth, missingPart, readsVirtualTokens } from "../../nn/features.ts";
import { defaultHeads, type HeadSpec } from "../../nn/heads.ts";
import { noDropout } from "../../nn/layers/layers.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import { innerHeadOf } from "../../peft/checkpointKeys.ts";
import { autoPromptText, type PromptTask } from "../../peft/promptTuning.ts";
import { defaultTargetModules } from "../../peft/targets.ts";
import type { AdapterKind, AdapterSpec } from "../../peft/types.ts";
import { adapterHost, type ModelStructure } from "../../train/graphs.ts";
import type { FedModel, TrainingOptions } from "../../train/trainer.ts";
import { resolveFeature } from "./backbone.ts";
import type { ModelSettings } from "./settings.ts";

type Method = ModelSettings["method"];
type Methods = { readonly [M in Method as M["adapter"]]: M };

interface SpecContext {
  readonly loaded: LoadedBackbone;
  readonly promptTask: PromptTask;
}

/** The numbers of the uppermost layers. @throws ConfigError if there are not as many */
function topLayers(count: number, { backbone, folder }: LoadedBackbone): number[] {
  const { layers } = backbone.config;
  if (count > layers)
    throw new ConfigError(`method.layers: ${count}, but ${folder.path} has ${layers} layers`, {
      issues: [{ path: "method.layers", expected: `at most ${layers}`, received: String(count) }],
    });
  return Array.from({ length: count }, (_, i) => layers - count + i);
}

/** The method's settings as an adapter's, what the backbone and the task decide filled in. */
const adapterSpecs: {
  readonly [K in AdapterKind]: (method: Methods[K], context: SpecContext) => AdapterSpec;
} = {
  lora: ({ adapter: kind, targetModules, selector: _, layers, ...settings }, { loaded }) => ({
    kind,
    spec: {
      ...settings,
      ...(layers !== undefined && { layers: topLayers(layers, loaded) }),
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

/**
 * What the head reads of a text: with `head: own` what transformers' does.
 * @throws ConfigError if it is to be another, or that head cannot be run
 */
function featureOf({ head, feature, method }: ModelSettings, loaded: LoadedBackbone): FeatureSpec {
  if (head.kind !== "own") return resolveFeature(loaded, feature);
  const { classifier, architecture, where } = adapterBackbone(loaded);
  if (classifier?.refused !== undefined)
    throw new ConfigError(
      `head: own: this head cannot be run: ${where}: config.json has ${classifier.refused}`,
      {
        hint: "Use head: linear or cosine.",
      },
    );
  const pooling =
    innerHeadOf(architecture, "sentence", classifier?.pooling)?.pooling[method.adapter] ?? "cls";
  if ((feature.pooling ?? pooling) !== pooling || feature.normalize === true)
    throw new ConfigError(`head: own reads ${pooling}, not normalised, of ${where}`, {
      hint: "Leave feature out, or use head: linear or cosine.",
    });
  return { pooling, normalize: false };
}

/** @throws ConfigError if the feature reads a virtual token where there is none. */
function checkFeature(feature: FeatureSpec, virtualTokens: number): void {
  if (virtualTokens > 0 || !readsVirtualTokens(feature)) return;
  throw new ConfigError(
    `feature.pooling: ${feature.pooling} reads the first virtual token, but there is none`,
    { hint: "Set method.adapter to prompt-tuning, or use cls, mean or last." },
  );
}

/** @throws ConfigError if virtual tokens leave no room for a text. */
function checkVirtualTokens(virtualTokens: number, loaded: LoadedBackbone): void {
  const { maxTokens } = loaded.backbone;
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

/** @throws ConfigError for `none`: whoever asks for a head must have one. */
function headSpec(
  { head, level }: Pick<ModelSettings, "head" | "level">,
  { backbone }: LoadedBackbone,
): HeadSpec {
  if (head.kind === "none")
    throw new ConfigError("head: none answers in words, and here a head is asked for", {
      hint: "Use linear, cosine or own; accrete run and createLearner learn to answer in words.",
    });
  // A family without a head of words has the usual one.
  if (head.kind === "own")
    return defaultHeads[ownHead(backbone.config.architecture, level)?.kind ?? "linear"];
  const base = defaultHeads[head.kind];
  if (head.kind === "linear" || head.scale === "learnable") return base;
  return { ...base, scale: head.scale, scaleLearnable: false };
}

/**
 * The structure that every task of a model shares.
 * @throws ConfigError if the backbone cannot be used that way
 */
export function resolveStructure(config: ModelSettings, loaded: LoadedBackbone): ModelStructure {
  const { level, promptTask } = config;
  const feature = level === "word" ? noFeature : featureOf(config, loaded);
  const missing = missingPart(loaded.backbone, feature);
  if (missing !== undefined)
    throw new ConfigError(
      `feature.pooling: ${feature.pooling}, but ${loaded.folder.path} has no ${missing}`,
      {
        hint: "use cls, mean or last",
      },
    );
  const adapter = adapterSpec(config.method, { loaded, promptTask });
  const structure = { backbone: loaded.backbone, adapter, feature, head: headSpec(config, loaded), level };
  const method = adapterMethod(adapter);
  checkFeature(feature, method.virtualTokens);
  checkVirtualTokens(method.virtualTokens, loaded);
  // Built once for its refusals, before anything is written.
  method.build(adapterHost(structure), noDropout);
  return structure;
}

/**
 * The structure that every task of a model with `head: none` shares.
 * @throws ConfigError if the backbone is no decoder, or cannot be adapted that way
 * @throws CheckpointError if it was saved without its language-modelling head
 */
export function resolveCausalStructure(
  { method, promptTask }: Pick<ModelSettings, "method" | "promptTask">,
  loaded: LoadedBackbone,
): CausalStructure & Required<Pick<CausalStructure, "adapter">> {
  const { backbone } = loaded;
  if (backbone.kind !== "decoder")
    throw combinationError(encoderWritesNothing, backbone.config.architecture, loaded.folder.path);
  const structure = { backbone, adapter: adapterSpec(method, { loaded, promptTask }) };
  checkVirtualTokens(adapterMethod(structure.adapter).virtualTokens, loaded);
  // Built once for its refusals, before anything is written.
  buildCausalGraph(structure);
  return structure;
}

/** What is trained how. */
export function resolveTraining({ training: settings }: Pick<ModelSettings, "training">): TrainingOptions {
  const { gradientClipping, maxLength: _, longText: __, ...training } = settings;
  return { ...training, ...(gradientClipping === 0 ? {} : { gradientClipping }) };
}

/** Parameters that a task of that many classes trains. */
export function trainableParameters({ adapter, backbone, feature, head }: FedModel, classes: number): number {
  const host = feature === undefined ? backbone : adapterHost({ backbone, feature });
  const { shapes } = adapterMethod(adapter).build(host, noDropout);
  const own = shapes.reduce((sum, { dims }) => sum + sizeOf(dims), 0);
  const width = feature === undefined ? backbone.width : featureWidth(backbone, feature);
  return own + (head === undefined ? 0 : classes * (width + 1));
}
