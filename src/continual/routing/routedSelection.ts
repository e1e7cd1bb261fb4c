// Dimensions: n texts, T tasks.
/** Answers where NewLoRA's network chooses the task. */

import { softmax } from "../../core/softmax.ts";
import type { Encoding } from "../../data/tokenizer.ts";
import {
  type AdaptedBackbone,
  argmax,
  type FeatureRows,
  type LearnedTask,
  rowOf,
  type TaskOutputs,
} from "../adaptedBackbone.ts";
import { type SelectorInference, selectorKinds, type TaskSelector } from "../selector.ts";
import { askingHeads, type RoutedAnswer, type RouteOptions } from "./routedPrediction.ts";

/** A slot of a task's head, and what speaks for it. */
interface Candidate {
  readonly label: string;
  readonly task: number;
  readonly score: number;
}

/** The best slots, scores brought to a sum of 1; a label of several tasks counts with its best slot. */
function rank(candidates: readonly Candidate[], top: number, passes: number): RoutedAnswer {
  const total = candidates.reduce((sum, { score }) => sum + score, 0) || 1;
  const best = new Map<string, Candidate>();
  // A stable order: of equals the first task's first slot, as in evaluation.
  for (const candidate of candidates.toSorted((a, b) => b.score - a.score)) {
    if (!best.has(candidate.label)) best.set(candidate.label, candidate);
    if (best.size === top) break;
  }
  const ranked = [...best.values()].map(({ label, score }) => ({ label, score: score / total }));
  const [first] = best.values();
  return { label: first?.label ?? "", score: ranked[0]?.score ?? 0, task: first?.task, top: ranked, passes };
}

function candidatesOf(task: number, labels: readonly string[], logits: Float32Array, weight: number) {
  const probabilities = softmax(logits);
  return labels.map((label, slot) => ({ label, task, score: weight * probabilities[slot]! }));
}

/** Each head's probabilities count by its task's weight: w_t · softmax(z_t)_c. */
async function selectSoftly(
  given: SelectedGiven,
  weights: FeatureRows,
  outputs: readonly TaskOutputs[],
): Promise<readonly RoutedAnswer[]> {
  const { tasks, encodings, top, passes } = given;
  return encodings.map((_, row) => {
    const candidates = tasks.flatMap(({ labels }, task) => {
      const logits = rowOf(outputs[task]!.logits, row);
      return candidatesOf(task, labels, logits, weights.values[row * weights.width + task]!);
    });
    return rank(candidates, top, passes);
  });
}

/** The heaviest task answers alone. */
async function selectHardly(
  given: SelectedGiven,
  weights: FeatureRows,
  ask: (tasks: readonly number[]) => Promise<readonly Float32Array[]>,
): Promise<readonly RoutedAnswer[]> {
  const { tasks, encodings, top, passes } = given;
  const chosen = encodings.map((_, row) =>
    argmax(weights.values.subarray(row * weights.width, (row + 1) * weights.width)),
  );
  const logits = await ask(chosen);
  return chosen.map((task, row) =>
    rank(candidatesOf(task, tasks[task]!.labels, logits[row]!, 1), top, passes),
  );
}

interface SelectedGiven {
  readonly tasks: readonly LearnedTask[];
  readonly encodings: readonly Encoding[];
  readonly top: number;
  readonly passes: number;
}

/**
 * Labels texts with the task's weight that a selection network gives. Other texts of the call change no answer.
 * @param tasks in the order of learning
 * @returns one answer a text
 */
export async function routeSelected(
  model: AdaptedBackbone,
  tasks: readonly LearnedTask[],
  selector: TaskSelector,
  inference: SelectorInference,
  encodings: readonly Encoding[],
  { top = 5, signal }: RouteOptions = {},
): Promise<readonly RoutedAnswer[]> {
  if (encodings.length === 0) return [];
  const { frozen, passes: passesOf } = selectorKinds[selector.kind];
  const given = { tasks, encodings, top, passes: passesOf[inference](tasks.length) };
  const everyHead = async () => {
    const outputs: TaskOutputs[] = [];
    for (const task of tasks) outputs.push(await model.outputs(task, encodings, signal));
    return outputs;
  };
  if (!frozen) {
    const outputs = await everyHead();
    const weights = await selector.weigh(tasks.length, (task) => outputs[task]!.features);
    if (inference === "soft") return selectSoftly(given, weights, outputs);
    return selectHardly(given, weights, async (chosen) =>
      chosen.map((task, row) => rowOf(outputs[task]!.logits, row)),
    );
  }
  const features = await selector.frozenFeatures(encodings, signal);
  const weights = await selector.weigh(tasks.length, () => features);
  if (inference === "soft") return selectSoftly(given, weights, await everyHead());
  const heads = askingHeads(
    model,
    tasks.map((learned) => ({ learned })),
    encodings,
    signal,
  );
  return selectHardly(given, weights, (chosen) => heads(chosen, [...encodings.keys()]));
}
