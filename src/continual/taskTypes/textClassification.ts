// Dimensions: n texts, D width, C classes.
/** One label a text, from a head over the text's vector. */

import { DataError, StoreError } from "../../core/errors.ts";
import { softmax } from "../../core/softmax.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { Example, LabelledExample } from "../../data/files/types.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import { sentenceTargets } from "../../train/trainer.ts";
import { type Answer, checkTop, DEFAULT_TOP, rankLabels } from "../answers.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import { windowsOf } from "../passes/windows.ts";
import {
  argmax,
  type FeatureRows,
  type LearnedTask,
  type LoadedBackbone,
  type Logits,
  rowOf,
} from "../types.ts";
import { describeHeaded, fromSavedAdapter, promptOf, toSavedAdapter } from "./savedTask.ts";
import { isTaggedSentence, labelledItems } from "./taskChecks.ts";
import type { TaskData } from "./taskTrainer.ts";
import type {
  AnsweredTests,
  AnswerOptions,
  EncodedItems,
  EncodeOptions,
  EvaluationFigures,
  Item,
  TaskToLearn,
  TaskType,
} from "./taskType.ts";
import { TextLabelling } from "./textLabelling.ts";
import { answerRow, routedRow } from "./textScores.ts";

/** What passes over a test set gave. */
export interface KeptOutputs {
  readonly logits: Map<LearnedTask, Logits>;
  /** What heads read; kept where something else reads it again. */
  readonly features: Map<LearnedTask, FeatureRows>;
  /** Routing features, or the frozen backbone's, of the same texts. */
  frozen?: FeatureRows;
}

export interface EncodedTexts extends EncodedItems {
  readonly kept?: KeptOutputs;
}

/** @throws DataError for tagged words */
export function asExamples(items: readonly Item[]): readonly Example[] {
  return items.map((item) => {
    if (!isTaggedSentence(item)) return item;
    throw new DataError("tagged words where a text is expected", {
      hint: "Give examples of { text, label }.",
    });
  });
}

/** The tasks in play, in order. @throws StoreError where nothing was learned */
export function tasksInPlay(known: readonly LearnedTask[], only: number | undefined): readonly LearnedTask[] {
  const inPlay = only === undefined ? known : known.slice(only, only + 1);
  if (inPlay.length === 0) throw new StoreError("no task has been learned yet", { hint: "Learn one first." });
  return inPlay;
}

/** A class-incremental answer: which head, and which of its slots. */
export interface ExactChoice {
  readonly task: number;
  readonly slot: number;
}

/**
 * Exact class-incremental mode: the logits of all heads side by side in class order, the largest wins.
 * @param perTask one text's logits by each task's adapter and head, in the order of learning
 */
export function chooseExactly(perTask: readonly Float32Array[]): ExactChoice {
  let best: ExactChoice & { logit: number } = { task: 0, slot: 0, logit: Number.NEGATIVE_INFINITY };
  perTask.forEach((row, task) => {
    const slot = argmax(row);
    const logit = row[slot] ?? Number.NEGATIVE_INFINITY;
    if (logit > best.logit) best = { task, slot, logit };
  });
  return best;
}

/** The head slot of every example. @throws DataError if a label is none of the task's. */
function slotsOf(examples: readonly LabelledExample[], labels: readonly string[]): number[] {
  const slots = new Map(labels.map((label, slot) => [label, slot]));
  return examples.map(({ label }) => {
    const slot = slots.get(label);
    if (slot === undefined)
      throw new DataError(`label "${label}" is none of the task's: ${labels.join(", ")}`);
    return slot;
  });
}

export class TextClassification extends TextLabelling implements TaskType<EncodedTexts> {
  readonly name = "text-classification";
  readonly trained: AdaptedBackbone;
  private readonly loaded: LoadedBackbone;
  private readonly keepsFeatures: boolean;

  /** @param keepFeatures whether what heads read of a kept test set is read again */
  constructor(model: AdaptedBackbone, loaded: LoadedBackbone, { keepFeatures = false } = {}) {
    super();
    this.trained = model;
    this.loaded = loaded;
    this.keepsFeatures = keepFeatures;
  }

  expectLabels(): void {}

  encode(items: readonly Item[], { what, keep = false }: EncodeOptions = {}): EncodedTexts {
    const { encodings, truncated } = this.trained.encode(asExamples(items), what);
    const kept = keep && { kept: { logits: new Map(), features: new Map() } };
    return { items, encodings, truncated, ...kept };
  }

  trainingData(task: TaskToLearn, train: EncodedTexts, validation: EncodedTexts): Promise<TaskData> {
    const { name, labels } = task;
    const examples = labelledItems(task.train, `train of ${name}`);
    const judged = labelledItems(task.validation, `validation of ${name}`);
    const slots = slotsOf(examples, labels);
    // A window is trained on by itself, so that a batch takes no more memory than any other.
    const windows = windowsOf(train.encodings);
    const owner = (index: number) => windows?.owners[index] ?? index;
    return Promise.resolve({
      name,
      labels,
      encodings: windows?.encodings ?? train.encodings,
      targets:
        windows === undefined
          ? sentenceTargets(slots)
          : sentenceTargets(
              windows.owners.map((text) => slots[text]!),
              windows.shares,
            ),
      describe: (index: number) => examples[owner(index)]?.text ?? "",
      ...(judged.length > 0 && {
        validate: (learned: LearnedTask) => this.accuracy(learned, judged, validation.encodings),
      }),
    });
  }

  private async accuracy(
    learned: LearnedTask,
    examples: readonly LabelledExample[],
    encodings: readonly Encoding[],
  ): Promise<number> {
    const logits = await this.trained.logits(learned, encodings);
    const slots = slotsOf(examples, learned.labels);
    return slots.filter((slot, row) => argmax(rowOf(logits, row)) === slot).length / examples.length;
  }

  /** Logits by each of the tasks, (n, C). */
  async logits(
    tasks: readonly LearnedTask[],
    { encodings, kept }: EncodedTexts,
    signal?: AbortSignal,
  ): Promise<readonly Logits[]> {
    const missing = tasks.filter((task) => kept?.logits.has(task) !== true);
    const outputs = await this.trained.outputsOfTasks(missing, encodings, signal);
    if (kept === undefined) return outputs.map(({ logits }) => logits);
    for (const [i, task] of missing.entries()) {
      kept.logits.set(task, outputs[i]!.logits);
      if (this.keepsFeatures) kept.features.set(task, outputs[i]!.features);
    }
    return tasks.map((task) => kept.logits.get(task)!);
  }

  async outputs(task: LearnedTask, encoded: EncodedTexts, signal?: AbortSignal): Promise<Float32Array> {
    const [logits] = await this.logits([task], encoded, signal);
    return logits!.values;
  }

  takeOutputs(task: LearnedTask, { encodings, kept }: EncodedTexts, values: Float32Array): void {
    const classes = task.labels.length;
    // Where something reads features too, it is the pass that has to give them.
    if (this.keepsFeatures || values.length !== encodings.length * classes) return;
    kept?.logits.set(task, { rows: encodings.length, classes, values });
  }

  /** What the heads of the tasks read of kept texts, (n, D); of a type that keeps features. */
  async features(
    tasks: readonly LearnedTask[],
    encoded: EncodedTexts,
    signal?: AbortSignal,
  ): Promise<readonly FeatureRows[]> {
    await this.logits(tasks, encoded, signal);
    return tasks.flatMap((task) => encoded.kept?.features.get(task) ?? []);
  }

  /**
   * With `only`, the task's own head answers; without, the logits of all heads stand side by side and the largest wins,
   * at one forward pass a task, of which layers below all adapters run once.
   */
  async answer(
    known: readonly LearnedTask[],
    encoded: EncodedTexts,
    { only, top = DEFAULT_TOP, signal }: AnswerOptions = {},
  ): Promise<readonly Answer[]> {
    checkTop(top);
    const inPlay = tasksInPlay(known, only);
    const logits = await this.logits(inPlay, encoded, signal);
    const labels = inPlay.flatMap((task) => task.labels);
    const passes = this.trained.passesOf(inPlay.length);
    const sideBySide = new Float32Array(labels.length);
    return asExamples(encoded.items).map(({ text }, i) => {
      const rows = logits.map((each) => rowOf(each, i));
      const { task, slot } = chooseExactly(rows);
      let from = 0;
      for (const row of rows) {
        sideBySide.set(row, from);
        from += row.length;
      }
      const ranked = rankLabels(labels, softmax(sideBySide), top);
      return {
        text,
        label: inPlay[task]?.labels[slot] ?? "",
        score: ranked[0]?.score ?? 0,
        task: inPlay[task]?.name ?? "",
        top: ranked,
        passes,
      };
    });
  }

  score(answered: AnsweredTests): EvaluationFigures {
    const { tasks, cil, routed } = answered;
    return {
      type: "evaluated",
      ...answerRow(answered),
      counted: tasks.map(({ test }) => test.length),
      passesPerExample: cil.flat()[0]?.passes ?? this.trained.passesOf(tasks.length),
      ...(routed && {
        routed: routedRow(answered, routed, (asked) => this.trained.routedPassesOf(asked)),
      }),
    };
  }

  embed(items: readonly Item[], signal?: AbortSignal): Promise<FeatureRows> {
    return this.trained.frozenFeatures(this.encode(items).encodings, signal);
  }

  save(learned: LearnedTask): SavedAdapter {
    return toSavedAdapter(learned, this.trained.structure, this.loaded, promptOf(this.trained));
  }

  restore(name: string, saved: SavedAdapter, where: string): LearnedTask {
    return fromSavedAdapter(name, saved, this.loaded, where, "sentence").task;
  }

  describe(): Readonly<Record<string, unknown>> {
    return describeHeaded(this.trained.structure, this.trained.prompt);
  }

  describeSaved(saved: SavedAdapter): Readonly<Record<string, unknown>> {
    const { structure, prompt } = fromSavedAdapter("", saved, this.loaded, "the adapter", "sentence");
    return describeHeaded(structure, prompt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.trained[Symbol.asyncDispose]();
  }
}
