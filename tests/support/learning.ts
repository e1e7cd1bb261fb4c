/** Learning with a task type, without a model around it. */
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import { GenerativeBackbone } from "../../src/continual/passes/generativeBackbone.ts";
import { type LearnResult, TaskTrainer } from "../../src/continual/taskTypes/taskTrainer.ts";
import type { EncodedItems, TaskToLearn, TaskType } from "../../src/continual/taskTypes/taskType.ts";
import { TextGeneration } from "../../src/continual/taskTypes/textGeneration.ts";
import type { LearnedTask, LoadedBackbone } from "../../src/continual/types.ts";
import { promptTemplate } from "../../src/data/encoding/prompts.ts";
import type { CausalStructure } from "../../src/generate/graphs.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
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

/** @param labels every one that may be an answer @param end the token that ends an answer */
export function openGeneration(
  loaded: LoadedBackbone,
  structure: CausalStructure,
  {
    prompt,
    labels,
    end,
    maxLength,
  }: {
    readonly prompt: string;
    readonly labels: readonly string[];
    readonly end: number;
    readonly maxLength: number;
  },
): TextGeneration {
  const template = promptTemplate(prompt);
  const reading = { tokenizer: loaded.tokenizer, runtime: nodeRuntime, template, maxLength, threads: 1 };
  const model = new GenerativeBackbone({ ...reading, structure, labels, endId: end, stopIds: [end] });
  const reader = new AdaptedBackbone({
    ...reading,
    structure: { ...structure, feature: { pooling: "mean", normalize: false }, head: defaultHeads.linear },
  });
  return new TextGeneration(model, reader, loaded, prompt);
}
