import { answeredEncoding, answerTargets } from "../generate/targets.ts";
import type { FitEvent, TrainingOptions } from "../train/trainer.ts";
import type { LearnedTask } from "./adaptedBackbone.ts";
import { bestLabel, type GenerativeBackbone } from "./generativeBackbone.ts";
import type { TaskToLearn } from "./learner.ts";
import { type LearnResult, TaskTrainer } from "./taskTrainer.ts";

/** Learns tasks one after another as answers in words: each gets an adapter of its own, and no head. */
export class GenerativeLearner implements AsyncDisposable {
  private readonly model: GenerativeBackbone;
  private readonly trainer: TaskTrainer;

  /** @param seed every random choice is a function of it, the task's name, the step and the place. */
  constructor(model: GenerativeBackbone, training: TrainingOptions, seed: number) {
    this.model = model;
    this.trainer = new TaskTrainer(model, training, seed);
  }

  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number {
    return this.trainer.plannedSteps(trainExamples);
  }

  /**
   * Trains an adapter for a task, by the causal language-modelling loss on the answers' tokens alone.
   * @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then.
   */
  async *learn(task: TaskToLearn, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult> {
    const { name, labels, train, validation } = task;
    const { prompts, truncated } = this.model.encode(train, `train of ${name}`);
    const asked = this.model.encode(validation, `validation of ${name}`).prompts;
    const examples = prompts.map((prompt, i) => ({
      prompt,
      answer: this.model.answer(train[i]?.label ?? ""),
    }));
    const accuracy = async (learned: LearnedTask): Promise<number> => {
      const scores = await this.model.scores(learned, asked, labels, signal);
      const correct = scores.filter((row, i) => bestLabel(row, labels) === validation[i]?.label);
      return correct.length / asked.length;
    };
    const data = {
      name,
      labels,
      encodings: examples.map(answeredEncoding),
      targets: answerTargets(examples, this.model.virtualTokens),
      describe: (index: number) => train[index]?.text ?? "",
      ...(asked.length > 0 && { validate: accuracy }),
    };
    const result = yield* this.trainer.fit(data, signal);
    return { ...result, truncatedTexts: truncated };
  }

  /** A task before it is learned: the adapter that it begins with. */
  untrained({ name, labels }: Pick<TaskToLearn, "name" | "labels">): Promise<LearnedTask> {
    return this.trainer.untrained(name, labels);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.trainer[Symbol.asyncDispose]();
  }
}
