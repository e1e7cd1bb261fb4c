/** B: sentences in a batch. T: tokens of the batch, virtual ones and padding included. */
import { StoreError } from "../core/errors.ts";
import { float32, type HostTensor, int64 } from "../core/tensor.ts";
import { OUTSIDE } from "../data/conll.ts";
import type { WordTask } from "../data/wordStream.ts";
import { OUTSIDE_LOGITS } from "../train/graphs.ts";
import type { BatchView, FitEvent, TrainingData, TrainingOptions } from "../train/trainer.ts";
import type { AdaptedBackbone, LearnedTask } from "./adaptedBackbone.ts";
import { scoreEntities } from "./entityMetrics.ts";
import { type LearnResult, TaskTrainer } from "./taskTrainer.ts";
import { OutsideLogits, predictTags, type SentenceLogits, taskIncremental } from "./wordPrediction.ts";
import { collateTargets, IGNORED, tokenTargets, wordSlots } from "./wordTargets.ts";

/** What of a task is learned from; the test set is nobody's business here. */
export type WordTaskToLearn = Omit<WordTask, "test">;

/**
 * The slots of a task's own head: the first one's carries `O`.
 * @param index of the task in the order of learning, from 0
 */
export function headLabels(task: Pick<WordTask, "labels">, index: number): readonly string[] {
  return index === 0 ? [OUTSIDE, ...task.labels] : task.labels;
}

/**
 * What batches of sentences feed beside the model's inputs: `labels` (B·T) slots, `example_weights` (B·T), 1/n on the n
 * first tokens of words and 0 elsewhere, and where given `outside_logits` (B·T, 1).
 *
 * @param targets of each sentence's tokens, as `tokenTargets` gives them
 * @param virtualTokens that stand before every sentence and have no target
 */
export function wordTargets(
  targets: readonly (readonly number[])[],
  virtualTokens: number,
  outside?: SentenceLogits,
): TrainingData["targets"] {
  const front: readonly number[] = new Array<number>(virtualTokens).fill(IGNORED);
  return (batch) => {
    const { labels, weights } = collateTargets(
      batch.indices.map((index) => [...front, ...(targets[index] ?? [])]),
    );
    const rows = labels.data.length;
    return {
      labels: int64(labels.data, [rows]),
      example_weights: float32(weights.data, [rows]),
      ...(outside !== undefined && { [OUTSIDE_LOGITS]: collateOutside(batch, outside, virtualTokens) }),
    };
  };
}

/** (B·T, 1); 0 on virtual tokens and padding, which weigh nothing. */
function collateOutside(
  { indices, length }: BatchView,
  outside: SentenceLogits,
  virtualTokens: number,
): HostTensor<"float32"> {
  const values = new Float32Array(indices.length * length);
  for (const [row, index] of indices.entries())
    values.set(outside[index]?.values ?? [], row * length + virtualTokens);
  return float32(values, [values.length, 1]);
}

/**
 * Learns entity types task by task on a frozen backbone. From the second task on, `O` is not learned anew: the first
 * task's adapter and head say how much a word is none of the task's types.
 */
export class WordLearner implements AsyncDisposable {
  private readonly model: AdaptedBackbone;
  private readonly trainer: TaskTrainer;
  private outside: OutsideLogits | undefined;
  private learnedTasks = 0;

  /** @param seed every random choice is a function of it, the task's name, the step and the place. */
  constructor(model: AdaptedBackbone, training: TrainingOptions, seed: number) {
    this.model = model;
    this.trainer = new TaskTrainer(model, training, seed);
  }

  /** Optimisation steps a task of that many training sentences takes at most. */
  plannedSteps(trainSentences: number): number {
    return this.trainer.plannedSteps(trainSentences);
  }

  /** Takes in the next task as it was learned, here or by an earlier run; the first one's `O` serves all later ones. */
  add(learned: LearnedTask): void {
    if (this.learnedTasks === 0) {
      if (learned.labels[0] !== OUTSIDE)
        throw new StoreError(`task "${learned.name}": the first task's head has no ${OUTSIDE}`);
      this.outside = new OutsideLogits(this.model, learned);
    }
    this.learnedTasks += 1;
  }

  /**
   * Trains an adapter and a head for the next task; `add` takes it in.
   * @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then.
   */
  async *learn(task: WordTaskToLearn, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult> {
    const { name, train, validation } = task;
    const { encodings, truncated } = this.model.encodeWords(train, `train of ${name}`);
    const slots = wordSlots([task]);
    const targets = encodings.map((encoding, i) => tokenTargets(encoding, train[i]?.tags ?? [], slots));
    const outside = await this.outside?.of(train, encodings, signal);
    const data = {
      name,
      labels: headLabels(task, this.learnedTasks),
      encodings,
      targets: wordTargets(targets, this.model.virtualTokens, outside),
      describe: (index: number) => train[index]?.words.join(" ") ?? "",
      outsideLogits: outside !== undefined,
      ...(validation.length > 0 && { validate: this.validator(task, signal) }),
    };
    const result = yield* this.trainer.fit(data, signal);
    return { ...result, truncatedTexts: truncated };
  }

  /** Micro F1 of the task's own types on its validation sentences. */
  private validator(task: WordTaskToLearn, signal?: AbortSignal): (learned: LearnedTask) => Promise<number> {
    const { name, validation } = task;
    const { encodings } = this.model.encodeWords(validation, `validation of ${name}`);
    const gold = validation.map(({ tags }) => tags);
    return async (learned) => {
      const own = await this.model.tokenLogits(learned, encodings, signal);
      const outside = await this.outside?.of(validation, encodings, signal);
      const columns = outside === undefined ? taskIncremental([own], 0) : taskIncremental([outside, own], 1);
      return scoreEntities(gold, predictTags(encodings, columns, wordSlots([task]))).micro.f1;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.trainer[Symbol.asyncDispose]();
  }
}
