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
import type { FitEvent } from "../train/trainer.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { Course } from "./experimentKind.ts";

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

/** Lets a network that learns after a task, and not with its adapter, learn it. */
export async function digestSelecting(
  selector: TaskSelector,
  index: number,
  task: TaskToLearn,
  signal?: AbortSignal,
): Promise<void> {
  if (!selectorKinds[selector.kind].joint) await selector.finish(selector.begin(index), task, signal);
}

/** The network as it was after a task, in a file of our own beside the task's adapter. */
export function selectionFiles(selector: TaskSelector): Required<Pick<Course, "companions" | "recall">> {
  return {
    companions: () => new Map([[selectorFile, selector.encode()]]),
    recall: async (folder) => {
      const path = join(folder, selectorFile);
      const bytes = await readFile(path).catch((cause: unknown) => {
        throw new CheckpointError(`${path}: the selection network of the task is missing`, { cause });
      });
      selector.restore(bytes, path);
    },
  };
}
