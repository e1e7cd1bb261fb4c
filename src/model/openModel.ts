/** Puts a model together: which task type the settings ask for, and what routes. */

import { Selection } from "../continual/newlora/selection.ts";
import { SelectionRouting } from "../continual/newlora/selectionRouting.ts";
import { AdaptedBackbone } from "../continual/passes/adaptedBackbone.ts";
import { GenerativeBackbone } from "../continual/passes/generativeBackbone.ts";
import { TrunkCache, TrunkMemory, type Trunks } from "../continual/passes/trunkCache.ts";
import type { TextRoutingSettings } from "../continual/routing/classRouting.ts";
import { secondPassFusions } from "../continual/routing/fusion.ts";
import { GenerationRouting } from "../continual/routing/generationRouting.ts";
import { TextRouting } from "../continual/routing/textRouting.ts";
import { WordRouting } from "../continual/routing/wordRouting.ts";
import type { RestoredTask } from "../continual/taskTypes/savedTask.ts";
import type { EncodedItems, TaskTypeName } from "../continual/taskTypes/taskType.ts";
import { TextClassification } from "../continual/taskTypes/textClassification.ts";
import { TextGeneration } from "../continual/taskTypes/textGeneration.ts";
import { TokenClassification } from "../continual/taskTypes/tokenClassification.ts";
import type { LoadedBackbone } from "../continual/types.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/encoding/prompts.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { sha256Json } from "../io/hash.ts";
import { defaultHeads } from "../nn/heads.ts";
import type { SavedAdapter } from "../peft/types.ts";
import { openDevice } from "../runtime/devices.ts";
import type { Runtime } from "../runtime/types.ts";
import type { ModelStructure } from "../train/graphs.ts";
import { defaultRoutingLayers } from "../train/routingGraph.ts";
import type { ContinualModel } from "./continualModel.ts";
import { Model } from "./model.ts";
import type { ModelParts } from "./modelParts.ts";
import { endTokens } from "./settings/endTokens.ts";
import {
  type ModelSettings,
  resolveModelSettings,
  routesBySelector,
  selectorOf,
} from "./settings/settings.ts";
import { resolveCausalStructure, resolveStructure, resolveTraining } from "./settings/structure.ts";

export interface OpenModelOptions {
  /**
   * Where the states of layers below all adapters are kept: on the disk, for a whole experiment, or in memory while a
   * task is learned, so that nothing of a text stays behind.
   */
  readonly trunks: "disk" | "memory";
  /** Labels that may become answers beside those learned so far. */
  readonly expectedLabels?: readonly string[] | undefined;
  /** Gives what runs the graphs, on the device of the settings; default: the engine. */
  readonly openDevice?: typeof openDevice | undefined;
  /** Whether nothing else computes in this process beside what this model does. */
  readonly alone?: boolean | undefined;
  /** As many tasks will come, for a network that wants to know. */
  readonly tasks?: number | undefined;
}

/** The task type that settings ask for. */
export function taskTypeOf({ level, head }: Pick<ModelSettings, "level" | "head">): TaskTypeName {
  if (head.kind === "none") return "text-generation";
  return level === "word" ? "token-classification" : "text-classification";
}

interface Opening {
  /** How an adapter that was saved is built, in the place of what the settings say. */
  readonly structure?: ModelStructure | CausalStructure;
  readonly settings: ModelSettings;
  readonly loaded: LoadedBackbone;
  readonly options: OpenModelOptions;
  readonly runtime: Runtime;
}

/** What every kind of forward pass is opened with. */
function reading({ settings, loaded, options, runtime }: Omit<Opening, "structure">) {
  const { threads, training } = settings;
  return {
    tokenizer: loaded.tokenizer,
    runtime,
    maxLength: training.maxLength,
    ...(threads === undefined ? {} : { threads }),
    ...(options.alone === true && { alone: true }),
  };
}

function asHeaded(structure: Opening["structure"]): ModelStructure | undefined {
  return structure !== undefined && "head" in structure ? structure : undefined;
}

/** Whether texts that are too long are read in parts. */
function readsWindows({ training }: ModelSettings): boolean {
  return training.longText === "window";
}

/** The passes that answer, and those that learn: the same where what they compute may stay on the disk. */
function openPasses(opening: Opening) {
  const { settings, loaded, options } = opening;
  const structure = asHeaded(opening.structure) ?? resolveStructure(settings, loaded);
  const { prefix } = loaded.folder;
  const prompt = settings.prompt ?? (prefix === undefined ? undefined : `${prefix}{text}`);
  const open = (trunkCache?: Trunks) =>
    new AdaptedBackbone({
      ...reading(opening),
      structure,
      windows: readsWindows(settings),
      ...(trunkCache && { trunkCache }),
      ...(prompt !== undefined && { template: promptTemplate(prompt) }),
    });
  if (options.trunks === "memory") return { model: open(), openTeacher: () => open(new TrunkMemory()) };
  const model = open(new TrunkCache({ backboneHash: loaded.folder.hash }));
  return { model, openTeacher: () => model };
}

/** Settings of a router on statistics; undefined where a network routes, or nothing. */
function statisticsSettings({ settings, loaded }: Opening, reader: AdaptedBackbone, words = false) {
  const { router, seed } = settings;
  if (router === undefined || routesBySelector(settings) !== undefined) return undefined;
  const { layers = defaultRoutingLayers(loaded.backbone.config.layers), featureAdapter } = router;
  const { feature } = reader.structure;
  const identity = sha256Json([
    loaded.folder.hash,
    loaded.tokenizer.hash,
    feature.pooling,
    reader.prompt ?? null,
    ...(readsWindows(settings) ? ["windows"] : []),
  ]);
  return {
    kind: router.kind === "newlora" || router.kind === "newlora-frozen" ? undefined : router.kind,
    features: { layers },
    featureAdapter: words ? (featureAdapter ?? "first") : ("none" as const),
    // A word's features are no sentence's, whatever else is the same.
    identity: words ? sha256Json([identity, "word", "mean of its tokens"]) : identity,
    seed,
  };
}

/** @throws ConfigError if the backbone does not have a layer that the router names */
function checkRouter({ router }: ModelSettings, { backbone }: LoadedBackbone): void {
  const { layers } = backbone.config;
  const wrong = router?.layers?.find((layer) => layer > layers);
  if (wrong === undefined) return;
  const expected = `numbers from 0 (the embeddings) to ${layers} (the last layer)`;
  throw new ConfigError(`router.layers: the backbone has no hidden state ${wrong}`, {
    issues: [{ path: "router.layers", expected, received: String(wrong) }],
  });
}

const openers: {
  readonly [N in TaskTypeName]: (opening: Opening) => ContinualModel | Promise<ContinualModel>;
} = {
  "text-classification": (opening) => {
    const { settings, loaded, options } = opening;
    const { model, openTeacher } = openPasses(opening);
    const selector = selectorOf(settings);
    const keepFeatures = selector?.kind === "newlora";
    const asType = (passes: AdaptedBackbone) => new TextClassification(passes, loaded, { keepFeatures });
    const type = asType(model);
    const routing = statisticsSettings(opening, model);
    const training = resolveTraining(settings);
    const { seed } = settings;
    const network =
      selector && new Selection(model, { kind: selector.kind, training, seed, tasks: options.tasks });
    const asked = selector !== undefined && selector.inference !== "off" && routing === undefined;
    const inference = asked && selector.inference !== "off" ? selector.inference : undefined;
    return assemble(opening, {
      type,
      openTeacher: () => sameOrNew(model, openTeacher(), type, asType),
      ...(routing && { statistics: new TextRouting(model, textSettings(settings, routing)) }),
      ...(network && {
        selection: {
          network,
          ...(inference && { routing: new SelectionRouting(type, network, inference) }),
          asTexts: (encoded) => encoded,
        },
      }),
    });
  },
  "token-classification": (opening) => {
    const { settings, loaded } = opening;
    const { model, openTeacher } = openPasses(opening);
    const { outside } = settings;
    const asType = (passes: AdaptedBackbone) => new TokenClassification(passes, loaded, outside);
    const type = asType(model);
    const routing = statisticsSettings(opening, model, true);
    const secondPass = settings.router?.secondPass ?? "auto";
    const { topTasks = "auto", unlabelled = "outside" } = settings.router ?? {};
    return assemble(opening, {
      type,
      openTeacher: () => sameOrNew(model, openTeacher(), type, asType),
      ...(routing && {
        statistics: new WordRouting(type, {
          ...routing,
          topTasks,
          unlabelled,
          secondPass: secondPass === "unsure" ? "auto" : secondPass,
        }),
      }),
    });
  },
  "text-generation": async (opening) => {
    const { settings, loaded } = opening;
    const { prompt = DEFAULT_PROMPT } = settings;
    const { structure: given } = opening;
    const structure: CausalStructure =
      given === undefined || "head" in given ? resolveCausalStructure(settings, loaded) : given;
    const { answerEnd, stopIds } = await endTokens(loaded);
    if (answerEnd === undefined)
      throw new CheckpointError(`${loaded.folder.path}: no file says which token ends a text`, {
        hint: "Name it: eos_token in tokenizer_config.json, or eos_token_id in config.json.",
      });
    const template = promptTemplate(prompt);
    const open = () => {
      const model = new GenerativeBackbone({
        ...reading(opening),
        structure,
        template,
        labels: [],
        endId: answerEnd,
        stopIds,
      });
      // A prompt's vector is the mean of its tokens' states; the head is a formality that nothing reads.
      const readsAs: ModelStructure = {
        ...structure,
        feature: { pooling: "mean", normalize: false },
        head: defaultHeads.linear,
      };
      const reader = new AdaptedBackbone({ ...reading(opening), structure: readsAs, template });
      return new TextGeneration(model, reader, loaded, prompt);
    };
    const type = open();
    const routing = statisticsSettings(opening, type.reader);
    return assemble(opening, {
      type,
      openTeacher: opening.options.trunks === "disk" ? () => type : open,
      ...(routing && {
        statistics: new GenerationRouting(type.trained, type.reader, textSettings(settings, routing)),
      }),
    });
  },
};

function sameOrNew<T>(
  own: AdaptedBackbone,
  passes: AdaptedBackbone,
  type: T,
  asType: (passes: AdaptedBackbone) => T,
): T {
  return passes === own ? type : asType(passes);
}

function assemble<E extends EncodedItems, R>(
  { settings, loaded, options }: Opening,
  parts: Omit<ModelParts<E, R>, "settings" | "loaded" | "expectedLabels">,
): ContinualModel {
  return new Model<E, R>({ settings, loaded, expectedLabels: options.expectedLabels, ...parts });
}

function textSettings(
  { router, head }: ModelSettings,
  statistics: NonNullable<ReturnType<typeof statisticsSettings>>,
): TextRoutingSettings {
  const { topTasks = 1, secondPass = "off", rejectRate } = router ?? {};
  const asked = topTasks === "auto" ? 1 : topTasks;
  // Without heads there is no evidence to weigh: the adapter that the router chooses answers.
  const passes = head.kind === "none" || secondPass === "auto" ? "off" : secondPass;
  return {
    ...statistics,
    secondPass: secondPassFusions[passes](asked),
    ...(rejectRate !== undefined && { rejectRate }),
  };
}

/**
 * Opens a model on a backbone that was loaded.
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used that way
 */
export async function openModel(
  settings: ModelSettings,
  loaded: LoadedBackbone,
  options: OpenModelOptions,
): Promise<ContinualModel> {
  checkRouter(settings, loaded);
  const runtime = await (options.openDevice ?? openDevice)(settings.device);
  return await openers[taskTypeOf(settings)]({ settings, loaded, options, runtime });
}

/**
 * Opens a model as an adapter that was saved needs it.
 * @param restored the adapter as the backbone takes it
 */
export async function openSavedModel(
  saved: SavedAdapter,
  { structure, prompt }: Pick<RestoredTask<ModelStructure | CausalStructure>, "structure" | "prompt">,
  loaded: LoadedBackbone,
  { maxLength, threads }: { readonly maxLength: number; readonly threads?: number | undefined },
): Promise<ContinualModel> {
  const config = {
    backbone: loaded.folder.path,
    level: saved.level ?? ("sentence" as const),
    head: saved.causal === undefined ? ("linear" as const) : ("none" as const),
    training: { maxLength },
    prompt,
    threads,
  };
  const settings = resolveModelSettings(config, "the adapter");
  const opening = { settings, loaded, structure, options: { trunks: "memory" as const } };
  return await openers[taskTypeOf(settings)]({ ...opening, runtime: await openDevice(settings.device) });
}
