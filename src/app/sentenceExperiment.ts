import { Evaluator } from "../continual/evaluation.ts";
import { ContinualLearner } from "../continual/learner.ts";
import { loadStream } from "../data/stream.ts";
import { checkTexts } from "../data/tokenizer.ts";
import type { Task, TaskStream } from "../data/types.ts";
import type { ExperimentKind, TaskOutline } from "./experimentKind.ts";
import { type HeadedCourse, type HeadedStream, headedPlan } from "./headedPlan.ts";
import { promptTaskOf } from "./structure.ts";

function openCourse(
  { tasks }: TaskStream,
  ...[model, training, seed]: Parameters<HeadedStream["open"]>
): HeadedCourse {
  const learner = new ContinualLearner(model, training, seed);
  const evaluator = new Evaluator(model);
  const taskAt = (index: number): Task => tasks[index]!;
  return {
    notes: [],
    plannedSteps: (task) => learner.plannedSteps(taskAt(task).train.length),
    learn: (task, signal) => learner.learn(taskAt(task), signal),
    add: (task, learned) => evaluator.add(taskAt(task), learned),
    evaluate: async (task, time, signal) => {
      const { value, seconds } = await time.evaluation(() => evaluator.evaluate(signal));
      return { type: "evaluated", task, ...value, seconds };
    },
    [Symbol.asyncDispose]: () => learner[Symbol.asyncDispose](),
  };
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
        checkTexts(loaded.tokenizer, tasks, config.training.maxLength);
        return headedPlan(config, loaded, {
          largestHead: Math.max(...tasks.map(({ labels }) => labels.length)),
          promptTask: promptTaskOf(config.stream),
          open: (...given) => openCourse(stream, ...given),
        });
      },
    };
  },
};
