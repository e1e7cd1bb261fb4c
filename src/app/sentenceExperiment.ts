import { Evaluator } from "../continual/evaluation.ts";
import { ContinualLearner } from "../continual/learner.ts";
import { encodePrompted, promptTemplate } from "../data/prompts.ts";
import { loadStream } from "../data/stream.ts";
import { checkTexts, encodeEach } from "../data/tokenizer.ts";
import type { Example, Task, TaskStream } from "../data/types.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { ExperimentKind, TaskOutline } from "./experimentKind.ts";
import { type HeadedCourse, type HeadedStream, headedPlan } from "./headedPlan.ts";
import { probingOf } from "./probing.ts";
import { digestSelecting, learnSelecting, openSelection, selectionFiles } from "./selection.ts";
import { promptTaskOf } from "./structure.ts";

function openCourse(
  { tasks }: TaskStream,
  config: Pick<ResolvedConfig, "method" | "probing">,
  ...[model, training, seed]: Parameters<HeadedStream["open"]>
): HeadedCourse {
  const { method } = config;
  const learner = new ContinualLearner(model, training, seed);
  const taskAt = (index: number): Task => tasks[index]!;
  const selection =
    method.adapter === "lora" && method.selector !== undefined
      ? openSelection(method.selector, model, { training, seed, tasks: tasks.length })
      : undefined;
  const evaluator = new Evaluator(model, selection?.routing);
  return {
    notes: [],
    plannedSteps: (task) => learner.plannedSteps(taskAt(task).train.length),
    learn: (task, signal) =>
      selection === undefined
        ? learner.learn(taskAt(task), signal)
        : learnSelecting(learner, selection.selector, task, taskAt(task), signal),
    ...(selection && {
      digest: (task, _, signal) => digestSelecting(selection.selector, task, taskAt(task), signal),
    }),
    add: (task, learned) => evaluator.add(taskAt(task), learned),
    evaluate: async (task, time, signal) => {
      const { value, seconds } = await time.evaluation(() => evaluator.evaluate(signal));
      return { type: "evaluated", task, ...value, seconds };
    },
    ...(selection && selectionFiles(selection.selector)),
    ...probingOf(config, model, tasks, seed),
    [Symbol.asyncDispose]: async () => {
      await selection?.selector[Symbol.asyncDispose]();
      await learner[Symbol.asyncDispose]();
    },
  };
}

/** Tells what cannot be put before the model while nothing is learned yet. */
function checkReadable(config: ResolvedConfig, { tokenizer }: LoadedBackbone, tasks: readonly Task[]): void {
  const { maxLength } = config.training;
  if (config.prompt === undefined) {
    checkTexts(tokenizer, tasks, maxLength);
    return;
  }
  const template = promptTemplate(config.prompt);
  const encode = (example: Example) => encodePrompted(tokenizer, template, example, maxLength);
  for (const task of tasks)
    for (const split of ["train", "validation", "test"] as const)
      encodeEach(task[split], encode, `task ${task.name}, ${split}`);
}

/** What is told of a task before it is learned. */
export function outlineOf({ name, labels, train, validation, test }: Task): TaskOutline {
  return {
    name,
    labels,
    trainExamples: train.length,
    validationExamples: validation.length,
    testExamples: test.length,
  };
}

/** One label a text. */
export const sentenceExperiment: ExperimentKind = {
  load: async (config) => {
    const stream = await loadStream(config.stream, config.seed);
    const { tasks, dataHash, notes } = stream;
    return {
      tasks: tasks.map(outlineOf),
      dataHash,
      notes,
      plan: async (loaded) => {
        checkReadable(config, loaded, tasks);
        return headedPlan(config, loaded, {
          largestHead: Math.max(...tasks.map(({ labels }) => labels.length)),
          promptTask: promptTaskOf(config.stream),
          open: (...given) => openCourse(stream, config, ...given),
        });
      },
    };
  },
};
