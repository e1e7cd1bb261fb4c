import { DataError } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import type { Encoding } from "../data/tokenizer.ts";
import type { LabelledExample, Task } from "../data/types.ts";
import { preferenceFeeds } from "../train/selector.ts";
import { type FitEvent, sentenceTargets, type TrainingData, type TrainingOptions } from "../train/trainer.ts";
import { type AdaptedBackbone, argmax, type LearnedTask, rowOf } from "./adaptedBackbone.ts";
import { type LearnResult, TaskTrainer } from "./taskTrainer.ts";

/** What of a task is learned from; its test set is nobody's business here. */
export type TaskToLearn = Omit<Task, "test">;

/** A selection network that is trained along with a task, every example of which it should give to that task. */
export interface JointSelection {
  /** By graph input; changed in place. */
  readonly tensors: ReadonlyMap<string, HostTensor<"float32">>;
  /** The number of the task that is learned. */
  readonly task: number;
  /** Outputs of the network. */
  readonly tasks: number;
}

function withPreference(
  targets: TrainingData["targets"],
  selection: JointSelection | undefined,
): TrainingData["targets"] {
  if (selection === undefined) return targets;
  const { task, tasks } = selection;
  return (batch) => ({
    ...targets(batch),
    ...preferenceFeeds(
      batch.indices.map(() => task),
      tasks,
    ),
  });
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

/**
 * Learns tasks one after another on a frozen backbone: each gets an adapter and a head of its own, so nothing
 * that was learned before can change.
 */
export class ContinualLearner implements AsyncDisposable {
  private readonly model: AdaptedBackbone;
  private readonly trainer: TaskTrainer;

  /** @param seed every random choice is a function of it, the task's name, the step and the place. */
  constructor(model: AdaptedBackbone, training: TrainingOptions, seed: number) {
    this.model = model;
    this.trainer = new TaskTrainer(model, training, seed);
  }

  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number {
    return this.trainer.plannedSteps(trainExamples);
  }

  /**
   * Trains an adapter and a head for a task.
   * @param selector trained along with them
   * @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then.
   */
  async *learn(
    task: TaskToLearn,
    signal?: AbortSignal,
    selector?: JointSelection,
  ): AsyncGenerator<FitEvent, LearnResult> {
    const { name, labels, train } = task;
    const { encodings, truncated } = this.model.encode(train, `train of ${name}`);
    const validation = this.model.encode(task.validation, `validation of ${name}`).encodings;
    const data = {
      name,
      labels,
      encodings,
      targets: withPreference(sentenceTargets(slotsOf(train, labels)), selector),
      ...(selector && { selector: selector.tensors }),
      describe: (index: number) => train[index]?.text ?? "",
      ...(validation.length > 0 && {
        validate: (learned: LearnedTask) => this.accuracy(learned, task.validation, validation),
      }),
    };
    const result = yield* this.trainer.fit(data, signal);
    return { ...result, truncatedTexts: truncated };
  }

  private async accuracy(
    learned: LearnedTask,
    examples: readonly LabelledExample[],
    encodings: readonly Encoding[],
  ): Promise<number> {
    const logits = await this.model.logits(learned, encodings);
    const slots = slotsOf(examples, learned.labels);
    return slots.filter((slot, row) => argmax(rowOf(logits, row)) === slot).length / examples.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.trainer[Symbol.asyncDispose]();
  }
}
