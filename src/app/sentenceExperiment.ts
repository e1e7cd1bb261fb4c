import { Evaluator } from "../continual/evaluation.ts";
import { ContinualLearner } from "../continual/learner.ts";
import { loadStream } from "../data/stream.ts";
import { checkTexts } from "../data/tokenizer.ts";
import type { Task, TaskStream } from "../data/types.ts";
import type { Course, Curriculum, ExperimentKind } from "./experimentKind.ts";
import { promptTaskOf } from "./structure.ts";

function openCourse(
  { tasks }: TaskStream,
  ...[model, training, seed]: Parameters<Curriculum["open"]>
): Course {
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

/** One label a text. */
export const sentenceExperiment: ExperimentKind = {
  load: async (config) => {
    const stream = await loadStream(config.stream, config.seed);
    const { tasks, dataHash, notes } = stream;
    return {
      tasks: tasks.map(({ name, labels, train, validation, test }) => ({
        name,
        labels,
        trainExamples: train.length,
        validationExamples: validation.length,
        testExamples: test.length,
      })),
      dataHash,
      notes,
      largestHead: Math.max(...tasks.map(({ labels }) => labels.length)),
      promptTask: promptTaskOf(config.stream),
      check: (tokenizer, maxLength) => checkTexts(tokenizer, tasks, maxLength),
      open: (...given) => openCourse(stream, ...given),
    };
  },
};
