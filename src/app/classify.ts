import type { AdaptedBackbone, LearnedTask } from "../continual/adaptedBackbone.ts";
import { rowOf } from "../continual/adaptedBackbone.ts";
import { chooseExactly } from "../continual/evaluation.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { softmax } from "../core/softmax.ts";
import type { Example } from "../data/types.ts";
import type { Prediction, PredictOptions, ScoredLabel } from "./types.ts";

export const DEFAULT_TOP = 5;

/** The best labels, each once: a label that several tasks have counts with its best slot. */
export function rank(labels: readonly string[], scores: readonly number[], top: number): ScoredLabel[] {
  const order = labels.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const ranked = new Map<string, number>();
  for (const i of order) {
    const label = labels[i] ?? "";
    if (!ranked.has(label)) ranked.set(label, scores[i] ?? 0);
    if (ranked.size === top) break;
  }
  return [...ranked].map(([label, score]) => ({ label, score }));
}

/** @throws ConfigError if that is no number of classes to show. */
export function checkTop(top: number): void {
  if (!Number.isInteger(top) || top < 1)
    throw new ConfigError(`top: expected a whole number from 1, got ${top}`);
}

/** @throws ConfigError naming the nearest task. */
export function findTask<T extends { readonly name: string }>(tasks: readonly T[], name: string): T {
  const found = tasks.find((task) => task.name === name);
  if (found !== undefined) return found;
  const names = tasks.map((task) => task.name);
  const near = nearest(name, names);
  throw new ConfigError(
    `no task is called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    {
      hint: `tasks: ${names.join(", ")}`,
    },
  );
}

/**
 * Classifies texts: with `task`, by that task's own adapter and head (task-incremental); without, by every adapter,
 * the heads' logits side by side (class-incremental, exact mode), at one forward pass a task, of which layers below all
 * adapters are run once.
 * @throws ConfigError if there is no such task
 */
export async function classify(
  model: AdaptedBackbone,
  tasks: readonly LearnedTask[],
  examples: readonly Example[],
  options: PredictOptions = {},
): Promise<Prediction[]> {
  const { task, top = DEFAULT_TOP, signal } = options;
  checkTop(top);
  const inPlay = task === undefined ? tasks : [findTask(tasks, task)];
  if (inPlay.length === 0) throw new StoreError("no task has been learned yet", { hint: "learn one first" });
  const { encodings } = model.encode(examples);
  const outputs = await model.outputsOfTasks(inPlay, encodings, signal);
  const labels = inPlay.flatMap((one) => one.labels);
  return examples.map(({ text }, i) => {
    const rows = outputs.map(({ logits }) => rowOf(logits, i));
    const choice = chooseExactly(rows);
    const chosen = inPlay[choice.task];
    const label = chosen?.labels[choice.slot];
    if (chosen === undefined || label === undefined) throw new StoreError("the chosen head has no such slot");
    const ranked = rank(labels, softmax(rows.flatMap((row) => [...row])), top);
    return {
      text,
      label,
      score: ranked[0]?.score ?? 0,
      task: chosen.name,
      top: ranked,
      passes: model.passesOf(inPlay.length),
    };
  });
}
