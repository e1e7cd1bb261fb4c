/** A sentence run's selection network: how it is opened, learns with the tasks, and lies beside their adapters. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdaptedBackbone } from "../continual/adaptedBackbone.ts";
import type { ContinualLearner, TaskToLearn } from "../continual/learner.ts";
import { type SelectorOptions, selectorKinds, TaskSelector } from "../continual/selector.ts";
import { SelectorEvaluator } from "../continual/selectorEvaluation.ts";
import { selectorFile } from "../continual/selectorState.ts";
import type { LearnResult } from "../continual/taskTrainer.ts";
import { CheckpointError } from "../core/errors.ts";
import { selectorHidden } from "../train/selector.ts";
import type { FitEvent } from "../train/trainer.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { SideLearning } from "./sideLearning.ts";

type LoraMethod = Extract<ResolvedConfig["method"], { readonly adapter: "lora" }>;

export interface Selection {
  readonly selector: TaskSelector;
  /** Absent where nothing asks the network. */
  readonly routing?: SelectorEvaluator;
}

export function openSelection(
  { kind, inference }: NonNullable<LoraMethod["selector"]>,
  model: AdaptedBackbone,
  options: Omit<SelectorOptions, "kind">,
): Selection {
  const selector = new TaskSelector(model, { kind, ...options });
  return inference === "off"
    ? { selector }
    : { selector, routing: new SelectorEvaluator(selector, inference) };
}

/** Learns a task, and with it a network that learns jointly. */
export async function* learnSelecting(
  learner: ContinualLearner,
  selector: TaskSelector,
  index: number,
  task: TaskToLearn,
  signal?: AbortSignal,
): AsyncGenerator<FitEvent, LearnResult> {
  const pending = selector.begin(index);
  const joint = selector.joint(pending);
  const result = yield* learner.learn(task, signal, joint);
  if (joint !== undefined) await selector.finish(pending, task, signal);
  return result;
}

/** What a course does for the network, which lies in a file of our own beside each task's adapter as it was then. */
export function selectionSide({ selector }: Selection, taskAt: (index: number) => TaskToLearn): SideLearning {
  return {
    digest: async (index, _, { signal }) => {
      // One that learns jointly has learned the task with its adapter.
      if (selectorKinds[selector.kind].joint) return;
      await selector.finish(selector.begin(index), taskAt(index), signal);
    },
    companions: () => new Map([[selectorFile, selector.encode()]]),
    recall: async (folder) => {
      const { bytes, where } = await readSelector(folder);
      selector.restore(bytes, where);
    },
    [Symbol.asyncDispose]: () => selector[Symbol.asyncDispose](),
  };
}

/** @throws CheckpointError if a task's network is missing */
export async function readSelector(
  folder: string,
): Promise<{ readonly bytes: Uint8Array; readonly where: string }> {
  const where = join(folder, selectorFile);
  const bytes = await readFile(where).catch((cause: unknown) => {
    throw new CheckpointError(`${where}: the selection network of the task is missing`, { cause });
  });
  return { bytes, where };
}

/** Linear(D, D/2), Linear(D/2, N) and their biases. @param outputs N */
export function selectorParameters(width: number, outputs: number): number {
  const hidden = selectorHidden(width);
  return hidden * width + hidden + outputs * hidden + outputs;
}
