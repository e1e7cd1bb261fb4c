/** What experiments have in common in which every task trains a head. */
import { AdaptedBackbone } from "../continual/adaptedBackbone.ts";
import { TrunkCache } from "../continual/trunkCache.ts";
import { promptTemplate } from "../data/prompts.ts";
import type { PromptTask } from "../peft/promptTuning.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { TrainingOptions } from "../train/trainer.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { Course, Plan } from "./experimentKind.ts";
import { fromSavedAdapter, promptOf, toSavedAdapter } from "./savedTask.ts";
import { resolveStructure, resolveTraining, trainableParameters } from "./structure.ts";

/** A course but for what a head's place on the disk decides. */
export type HeadedCourse = Omit<Course, "save" | "restore">;

export interface HeadedStream {
  /** Slots of the largest head. */
  readonly largestHead: number;
  /** Decides with which words a prompt of `init: auto` begins. */
  readonly promptTask: PromptTask;
  open(model: AdaptedBackbone, training: TrainingOptions, seed: number): HeadedCourse;
}

/**
 * A stream before a backbone that gets a head a task.
 * @throws ConfigError if the backbone cannot be used that way
 */
export function headedPlan(config: ResolvedConfig, loaded: LoadedBackbone, stream: HeadedStream): Plan {
  const structure = resolveStructure(config, loaded, stream.promptTask);
  const { prompt } = config;
  return {
    feature: structure.feature,
    trainableParametersPerTask: trainableParameters(structure, stream.largestHead),
    open: () => {
      const model = new AdaptedBackbone({
        structure,
        tokenizer: loaded.tokenizer,
        runtime: nodeRuntime,
        maxLength: config.training.maxLength,
        trunkCache: new TrunkCache({ backboneHash: loaded.folder.hash }),
        ...(prompt !== undefined && { template: promptTemplate(prompt) }),
        ...(config.threads === undefined ? {} : { threads: config.threads }),
      });
      const course = stream.open(model, resolveTraining(config), config.seed);
      return {
        ...course,
        save: (learned) => toSavedAdapter(learned, structure, loaded, promptOf(model)),
        restore: (name, saved, where) => fromSavedAdapter(name, saved, loaded, where).task,
        [Symbol.asyncDispose]: async () => {
          await course[Symbol.asyncDispose]();
          await model[Symbol.asyncDispose]();
        },
      };
    },
  };
}
