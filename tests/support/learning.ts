/** Learning with a task type, without a model around it. */
import { type LearnResult, TaskTrainer } from "../../src/continual/taskTypes/taskTrainer.ts";
import type { EncodedItems, TaskToLearn, TaskType } from "../../src/continual/taskTypes/taskType.ts";
import type { LearnedTask } from "../../src/continual/types.ts";
import type { FitEvent, TrainingOptions } from "../../src/train/trainer.ts";

/** @param known tasks learned before @param onEvent hears every step */
export async function fitTask<E extends EncodedItems>(
  type: TaskType<E>,
  trainer: TaskTrainer,
  { name, labels, train, validation }: TaskToLearn,
  known: readonly LearnedTask[] = [],
  onEvent: (event: FitEvent) => void = () => {},
): Promise<Omit<LearnResult, "truncatedTexts">> {
  const task = { name, labels, train, validation };
  const data = await type.trainingData(task, type.encode(train), type.encode(validation), known);
  const fitting = trainer.fit(data);
  for (;;) {
    const next = await fitting.next();
    if (next.done) return next.value;
    onEvent(next.value);
  }
}

/** One task after another, each knowing those before it. */
export async function fitTasks<E extends EncodedItems>(
  type: TaskType<E>,
  training: TrainingOptions,
  tasks: readonly TaskToLearn[],
  seed = 1,
): Promise<LearnedTask[]> {
  await using trainer = new TaskTrainer(type.trained, training, seed);
  const learned: LearnedTask[] = [];
  for (const task of tasks) learned.push((await fitTask(type, trainer, task, learned)).learned);
  return learned;
}
