// Dimensions: n texts, T tasks.
/** Answers where NewLoRA's network chooses the task. */
import { softmax } from "../../core/softmax.ts";
import { checkTop, DEFAULT_TOP, type Prediction, rankLabels } from "../answers.ts";
import { askingHeads } from "../routing/routedPrediction.ts";
import type { AnswerOptions, RoutedItem } from "../taskTypes/taskType.ts";
import { asExamples, type EncodedTexts, type TextClassification } from "../taskTypes/textClassification.ts";
import { argmax, type FeatureRows, type LearnedTask, rowOf } from "../types.ts";
import { type Selection, type SelectorInference, selectorKinds } from "./selection.ts";
import type { SelectorState } from "./selectorState.ts";

/** A text's slots in play: a label, the task whose head has it, and its score. */
interface Candidates {
  readonly labels: readonly string[];
  readonly tasks: readonly number[];
  readonly scores: readonly number[];
}

/** How each text's slots are scored. */
type Score = (row: number) => Candidates;

function headOf(task: number, labels: readonly string[], logits: Float32Array, weight: number): Candidates {
  return {
    labels,
    tasks: labels.map(() => task),
    scores: softmax(logits).map((probability) => weight * probability),
  };
}

export class SelectionRouting {
  private readonly type: TextClassification;
  private readonly selection: Selection;
  private readonly inference: SelectorInference;

  constructor(type: TextClassification, selection: Selection, inference: SelectorInference) {
    this.type = type;
    this.selection = selection;
    this.inference = inference;
  }

  /**
   * Labels texts with the weight of each task that the network gives. Other texts of the call change no answer.
   * @param state of the network after the newest task
   * @param tasks in the order of learning
   */
  async route(
    state: SelectorState,
    tasks: readonly LearnedTask[],
    given: EncodedTexts,
    { top = DEFAULT_TOP, signal }: AnswerOptions = {},
  ): Promise<readonly RoutedItem[]> {
    checkTop(top);
    if (given.items.length === 0) return [];
    const encoded =
      given.kept === undefined ? { ...given, kept: { logits: new Map(), features: new Map() } } : given;
    const { frozen, passes } = selectorKinds[this.selection.kind];
    const weights = frozen
      ? await this.weighFrozen(state, tasks, encoded, signal)
      : await this.weighAdapted(state, tasks, encoded, signal);
    const selected = (row: number) => argmax(rowOf({ ...weights, classes: weights.width }, row));
    const score = await this.scorers[this.inference](tasks, encoded, weights, selected, signal);
    return asExamples(encoded.items).map(({ text }, row) => ({
      answer: rank(text, score(row), tasks, top, passes[this.inference](tasks.length)),
      task: selected(row),
    }));
  }

  private async weighFrozen(
    state: SelectorState,
    tasks: readonly LearnedTask[],
    { encodings, kept }: EncodedTexts,
    signal?: AbortSignal,
  ): Promise<FeatureRows> {
    const features = kept?.frozen ?? (await this.type.trained.frozenFeatures(encodings, signal));
    if (kept !== undefined) kept.frozen = features;
    return await this.selection.weigh(state, tasks.length, () => features);
  }

  private async weighAdapted(
    state: SelectorState,
    tasks: readonly LearnedTask[],
    encoded: EncodedTexts,
    signal?: AbortSignal,
  ): Promise<FeatureRows> {
    const features = await this.type.features(tasks, encoded, signal);
    return await this.selection.weigh(state, tasks.length, (task) => features[task]!);
  }

  private readonly scorers: {
    readonly [I in SelectorInference]: (
      tasks: readonly LearnedTask[],
      encoded: EncodedTexts,
      weights: FeatureRows,
      selected: (row: number) => number,
      signal?: AbortSignal,
    ) => Promise<Score>;
  } = {
    // w_t · softmax(z_t)_c
    soft: async (tasks, encoded, weights, _, signal) => {
      const logits = await this.type.logits(tasks, encoded, signal);
      return (row) => {
        const heads = tasks.map(({ labels }, task) =>
          headOf(task, labels, rowOf(logits[task]!, row), weights.values[row * weights.width + task]!),
        );
        return {
          labels: heads.flatMap((head) => head.labels),
          tasks: heads.flatMap((head) => head.tasks),
          scores: heads.flatMap((head) => head.scores),
        };
      };
    },
    // softmax(z_t)_c, t = argmax w
    hard: async (tasks, encoded, _weights, selected, signal) => {
      const { encodings, kept } = encoded;
      const all = tasks.every((task) => kept?.logits.has(task) === true);
      if (all || !selectorKinds[this.selection.kind].frozen) {
        const logits = await this.type.logits(tasks, encoded, signal);
        return (row) =>
          headOf(selected(row), tasks[selected(row)]!.labels, rowOf(logits[selected(row)]!, row), 1);
      }
      const among = tasks.map((learned) => ({ learned }));
      const rows = [...encodings.keys()];
      const heads = askingHeads(this.type.trained, among, encodings, signal);
      const own = await heads(rows.map(selected), rows);
      return (row) => headOf(selected(row), tasks[selected(row)]!.labels, own[row]!, 1);
    },
  };
}

/** The best slots, scores brought to a sum of 1; a label of several tasks counts with its best slot. */
function rank(
  text: string,
  { labels, tasks: owners, scores }: Candidates,
  tasks: readonly LearnedTask[],
  top: number,
  passes: number,
): Prediction {
  const total = scores.reduce((sum, score) => sum + score, 0) || 1;
  const ranked = rankLabels(labels, scores, top).map(({ label, score }) => ({ label, score: score / total }));
  let best = 0;
  // Of equals the first task's first slot.
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  const owner = tasks[owners[best] ?? 0];
  return {
    text,
    label: labels[best] ?? "",
    score: (scores[best] ?? 0) / total,
    task: owner?.name ?? "",
    top: ranked,
    passes,
  };
}
