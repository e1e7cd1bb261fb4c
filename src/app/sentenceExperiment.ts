import { Evaluator } from "../continual/evaluation.ts";
import { measureFloor } from "../continual/floor.ts";
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
import { checkRouter, openRouting, routingSide } from "./routing.ts";
import { learnSelecting, openSelection, selectionSide, selectorParameters } from "./selection.ts";
import { joinSides } from "./sideLearning.ts";
import { promptTaskOf } from "./structure.ts";

function selectionOf({ method }: Pick<ResolvedConfig, "method">) {
  return method.adapter === "lora" ? method.selector : undefined;
}

function openCourse(
  stream: TaskStream,
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  ...[model, training, seed]: Parameters<HeadedStream["open"]>
): HeadedCourse {
  const { tasks } = stream;
  const learner = new ContinualLearner(model, training, seed);
  const taskAt = (index: number): Task => tasks[index]!;
  const asked = selectionOf(config);
  const selection = asked && openSelection(asked, model, { training, seed, tasks: tasks.length });
  const routing = openRouting(config, loaded, model, stream);
  const sides = joinSides([
    ...(selection === undefined ? [] : [selectionSide(selection, taskAt)]),
    ...(routing === undefined ? [] : [routingSide(routing, taskAt)]),
  ]);
  const evaluator = new Evaluator(model, routing?.evaluator ?? selection?.routing);
  return {
    notes: [],
    plannedSteps: (task) => learner.plannedSteps(taskAt(task).train.length),
    learn: (task, signal) =>
      selection === undefined
        ? learner.learn(taskAt(task), signal)
        : learnSelecting(learner, selection.selector, task, taskAt(task), signal),
    ...sides,
    add: (task, learned) => {
      evaluator.add(taskAt(task), learned);
      sides.add(learned);
    },
    evaluate: async (task, time, signal, known) => {
      const exact = known?.type === "evaluated" ? known : undefined;
      const { value, seconds } = await time.evaluation(() => evaluator.evaluate(signal, exact));
      return { type: "evaluated", task, ...value, seconds };
    },
    floor: (signal) => measureFloor(tasks, (graph) => model.compile(graph), signal),
    ...probingOf(config, model, tasks, seed),
    [Symbol.asyncDispose]: async () => {
      await sides[Symbol.asyncDispose]();
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
        checkRouter(config, loaded);
        const plan = headedPlan(config, loaded, {
          largestHead: Math.max(...tasks.map(({ labels }) => labels.length)),
          promptTask: promptTaskOf(config.stream),
          open: (...given) => openCourse(stream, config, loaded, ...given),
        });
        if (selectionOf(config) === undefined) return plan;
        return { ...plan, selectorParameters: selectorParameters(loaded.backbone.width, tasks.length) };
      },
    };
  },
};
