/** What is known and refused of a run before its first task. */
import { selectorParameters } from "../continual/newlora/selection.ts";
import type { ContinualModel } from "../model/continualModel.ts";
import { selectorOf } from "../model/settings/settings.ts";
import { trainableParameters } from "../model/settings/structure.ts";
import { featureWidth } from "../nn/features.ts";
import type { LoadedStream, StreamTask } from "./stream.ts";

/** Slots of the largest head. */
export function largestHead({ type }: ContinualModel, tasks: readonly StreamTask[]): number {
  if (type.name === "text-generation") return 0;
  return Math.max(...tasks.map((task, index) => type.headLabels(task, tasks.slice(0, index)).length));
}

/** Parameters that a task of so many classes trains. */
export function parametersPerTask({ type }: ContinualModel, classes: number): number {
  return trainableParameters(type.trained.structure, classes);
}

/** Of the network that NewLoRA shares among all tasks; undefined without one. */
export function selectorParametersOf(
  { settings, loaded, feature }: ContinualModel,
  tasks: number,
): number | undefined {
  return selectorOf(settings) && selectorParameters(featureWidth(loaded.backbone, feature), tasks);
}

/**
 * Puts every item before the model while nothing is learned yet, where some may not fit: a prompt may be too long, and a
 * tokenizer without special tokens may find nothing in a text.
 * @throws DataError naming task, split and item (counted from 1)
 */
export function checkReadable({ type, settings, loaded }: ContinualModel, { tasks }: LoadedStream): void {
  const { prompt, head } = settings;
  type.expectLabels(tasks.flatMap(({ labels }) => labels));
  type.encode([]);
  const framed = loaded.tokenizer.frame([]).ids.length > 0;
  if (framed && prompt === undefined && head.kind !== "none") return;
  for (const task of tasks)
    for (const split of ["train", "validation", "test"] as const)
      type.encode(task[split], { what: `task ${task.name}, ${split}` });
}
