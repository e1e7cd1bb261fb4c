/** The backbone of a store, as far as it is needed: read from at once, taught when something is to be learned. */
import { AdaptedBackbone, type LearnedTask } from "../../continual/adaptedBackbone.ts";
import { ContinualLearner, type TaskToLearn } from "../../continual/learner.ts";
import { type ClassRows, contributionsOf } from "../../continual/routing/classRows.ts";
import type { RoutingSettings } from "../../continual/routing/routedLearner.ts";
import type { FeatureConstants } from "../../continual/routing/types.ts";
import type { LearnResult } from "../../continual/taskTrainer.ts";
import { TrunkMemory } from "../../continual/trunkCache.ts";
import { CheckpointError } from "../../core/errors.ts";
import { promptTemplate } from "../../data/prompts.ts";
import type { LabelledExample } from "../../data/types.ts";
import type { PromptTask } from "../../peft/promptTuning.ts";
import { nodeRuntime } from "../../runtime/node.ts";
import type { ModelStructure } from "../../train/graphs.ts";
import type { FitEvent } from "../../train/trainer.ts";
import { type LoadedBackbone, loadBackbone } from "../backbone.ts";
import { checkRouter, defaultRoutingLayers, featureConstants, secondPassOf } from "../routing.ts";
import { fromSavedAdapter, promptOf, toSavedAdapter } from "../savedTask.ts";
import { resolveStructure, resolveTraining } from "../structure.ts";
import { StoreRouters } from "./routers.ts";
import type { StoreSettings } from "./settings.ts";
import type { StoreManifest } from "./storeFolder.ts";
import type { StoreTask } from "./tasks.ts";
import type { ChangeOptions } from "./types.ts";

export interface BackboneOptions {
  /** Where the backbone lies now; its hash must be the one that the store names. */
  readonly backbone?: string;
  readonly signal?: AbortSignal;
}

/**
 * Loads the backbone that a store names.
 * @throws CheckpointError if it is another one by now
 */
export async function loadStoreBackbone(
  { backbone, store: _ }: StoreManifest,
  { backbone: elsewhere, signal }: BackboneOptions,
): Promise<LoadedBackbone> {
  const place = elsewhere ?? backbone.source;
  const loaded = await loadBackbone(place, elsewhere === undefined ? backbone.revision : undefined, signal);
  const checks = [
    ["backbone", backbone.hash, loaded.folder.hash],
    ["tokenizer", backbone.tokenizerHash, loaded.tokenizer.hash],
  ] as const;
  for (const [what, then, now] of checks)
    if (then !== now)
      throw new CheckpointError(
        `${place}: is not the ${what} of this store: hash ${now}, the store names ${then}`,
        {
          hint: "Give the folder of the backbone it was begun with.",
        },
      );
  return loaded;
}

/** Of a store whose settings name no router: which one there is to be follows from what it knows. */
const defaultRouter = { kind: "auto", topTasks: 1 } as const;

/** @returns undefined where none on statistics is named */
function namedRouter({ router }: StoreSettings) {
  if (router === undefined) return undefined;
  const { kind, ...rest } = router;
  return kind === "newlora" || kind === "newlora-frozen" ? undefined : { ...rest, kind };
}

/** @throws ConfigError if the backbone has no such layer */
function routingOf(settings: StoreSettings, loaded: LoadedBackbone): RoutingSettings {
  checkRouter(settings, loaded);
  const { kind, topTasks, layers, ...router } = { ...defaultRouter, ...namedRouter(settings) };
  const chosen = layers ?? defaultRoutingLayers(loaded.backbone.config.layers);
  return { kind, topTasks, secondPass: secondPassOf(router), features: { layers: chosen } };
}

/** Holds native memory: dispose of it. */
export class StoreModel implements AsyncDisposable {
  readonly loaded: LoadedBackbone;
  readonly structure: ModelStructure;
  readonly settings: StoreSettings;
  readonly routing: RoutingSettings;
  readonly routers: StoreRouters;
  /** What predictions and features are made with. */
  readonly reader: AdaptedBackbone;
  private teacher: { readonly model: AdaptedBackbone; readonly learner: ContinualLearner } | undefined;

  /** @param promptTask decides with which words a prompt of `init: auto` begins */
  constructor(loaded: LoadedBackbone, settings: StoreSettings, promptTask: PromptTask = "sentence") {
    this.loaded = loaded;
    this.settings = settings;
    this.structure = resolveStructure(settings, loaded, promptTask);
    this.reader = this.open();
    this.routing = routingOf(settings, loaded);
    this.routers = new StoreRouters(
      (graph) => this.reader.compile(graph),
      namedRouter(settings)?.kind,
      settings.seed,
    );
  }

  private open(how: { readonly trunkCache?: TrunkMemory } = {}): AdaptedBackbone {
    const { training, prompt, threads } = this.settings;
    return new AdaptedBackbone({
      structure: this.structure,
      tokenizer: this.loaded.tokenizer,
      runtime: nodeRuntime,
      maxLength: training.maxLength,
      ...(prompt !== undefined && { template: promptTemplate(prompt) }),
      ...(threads === undefined ? {} : { threads }),
      ...how,
    });
  }

  /** Its sessions are its own, so that predictions go on while it learns. */
  private get learner(): ContinualLearner {
    if (this.teacher === undefined) {
      // In memory: what a store forgets leaves no states of its texts behind.
      const model = this.open({ trunkCache: new TrunkMemory() });
      const learner = new ContinualLearner(model, resolveTraining(this.settings), this.settings.seed);
      this.teacher = { model, learner };
    }
    return this.teacher.learner;
  }

  plannedSteps(examples: number): number {
    return this.learner.plannedSteps(examples);
  }

  /** @throws EngineError if the loss leaves the finite numbers */
  learn(task: TaskToLearn, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult> {
    return this.learner.learn(task, signal);
  }

  toSaved(learned: LearnedTask) {
    return toSavedAdapter(learned, this.structure, this.loaded, promptOf(this.reader));
  }

  /** @throws CheckpointError if the adapter does not fit the backbone */
  restore({ entry, saved, where }: StoreTask): LearnedTask | undefined {
    return saved && fromSavedAdapter(entry.name, saved, this.loaded, where).task;
  }

  /** What shapes the features: what the tasks' statistics say, and where there are none the store's settings. */
  constants(tasks: readonly StoreTask[]): FeatureConstants {
    const { layers } = this.routing.features;
    const learned = tasks.find(({ statistics }) => statistics !== undefined)?.statistics?.constants;
    return learned ?? featureConstants(this.reader, this.loaded, layers, this.settings.seed);
  }

  /** As {@link contributionsOf}. */
  contributions(
    examples: readonly LabelledExample[],
    labels: readonly string[],
    constants: FeatureConstants,
    { onEvent, signal }: ChangeOptions,
  ): Promise<ClassRows> {
    const totalTexts = examples.length;
    const onTexts = (texts: number) => onEvent?.({ type: "features", texts, totalTexts });
    return contributionsOf(this.reader, constants, examples, labels, "examples", { signal, onTexts });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.teacher?.learner[Symbol.asyncDispose]();
    await this.teacher?.model[Symbol.asyncDispose]();
    this.teacher = undefined;
    await this.routers[Symbol.asyncDispose]();
    await this.reader[Symbol.asyncDispose]();
  }
}
