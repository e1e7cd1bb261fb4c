import { WordEvaluator } from "../continual/wordEvaluation.ts";
import { measureWordFloor } from "../continual/wordFloor.ts";
import { headLabels, WordLearner } from "../continual/wordLearner.ts";
import { ConfigError } from "../core/errors.ts";
import { loadContinualWords } from "../data/continualWords.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { encodeAllWords, encodeWords } from "../data/wordEncoding.ts";
import {
  loadWordStream,
  type WordFiles,
  type WordStream,
  type WordStreamSpec,
  type WordTask,
} from "../data/wordStream.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { ExperimentKind } from "./experimentKind.ts";
import { type HeadedCourse, type HeadedStream, headedPlan } from "./headedPlan.ts";
import { checkRouter } from "./routing.ts";
import { joinSides } from "./sideLearning.ts";
import { openWordRouting, wordRoutingSide } from "./wordRouting.ts";

function required<T>(value: T | undefined, key: string): T {
  if (value !== undefined) return value;
  const issue = { path: `stream.${key}`, expected: "a value, at level: word", received: "nothing" };
  throw new ConfigError(`stream.${key} is missing`, { issues: [issue] });
}

function filesOf({ stream }: ResolvedConfig): WordFiles {
  const { validation } = stream;
  return {
    train: required(stream.train, "train"),
    ...(validation !== undefined && { validation }),
    test: required(stream.test, "test"),
  };
}

function overlapOf({ stream }: ResolvedConfig): WordStreamSpec["overlap"] {
  return stream.allowOverlap ? "allow" : "refuse";
}

function specOf(config: ResolvedConfig): WordStreamSpec {
  const { stream } = config;
  const base = required(stream.base, "base");
  return {
    base,
    increment: stream.increment ?? base,
    typeOrder: stream.typeOrder ?? "alphabetical",
    sampling: stream.sampling ?? "greedy",
    validationFraction: stream.validationFraction,
    overlap: overlapOf(config),
  };
}

/** CoNLL files that are divided here, or a folder of the two-file layout with its own division. */
function loadWords(config: ResolvedConfig): Promise<WordStream> {
  const { path, seed = config.seed } = config.stream;
  if (path !== undefined) return loadContinualWords(path, overlapOf(config));
  return loadWordStream(filesOf(config), specOf(config), seed);
}

/** A tokenizer that adds special tokens finds something in every sentence. */
function checkSentences(tokenizer: Tokenizer, tasks: readonly WordTask[], maxLength: number): void {
  if (tokenizer.frame([]).ids.length > 0) {
    encodeWords(tokenizer, [], maxLength);
    return;
  }
  for (const task of tasks)
    for (const split of ["train", "validation", "test"] as const)
      encodeAllWords(tokenizer, task[split], maxLength, `task ${task.name}, ${split}`);
}

function openCourse(
  tasks: readonly WordTask[],
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  ...[model, training, seed]: Parameters<HeadedStream["open"]>
): HeadedCourse {
  const taskAt = (index: number): WordTask => tasks[index]!;
  const learner = new WordLearner(model, training, seed);
  const routing = openWordRouting(config, loaded, model);
  const sides = joinSides(routing === undefined ? [] : [wordRoutingSide(routing, taskAt)]);
  const evaluator = new WordEvaluator(model, taskAt(0).test, routing?.evaluator);
  const { cutWords } = evaluator;
  return {
    notes:
      cutWords === 0
        ? []
        : [`Words of test beyond training.maxLength: ${cutWords}; entities in them count as missed.`],
    plannedSteps: (task) => learner.plannedSteps(taskAt(task).train.length),
    learn: (task, signal) => learner.learn(taskAt(task), signal),
    ...sides,
    add: (task, learned) => {
      learner.add(learned);
      evaluator.add(taskAt(task), learned);
      sides.add(learned);
    },
    evaluate: async (task, time, signal, known) => {
      const exact = known?.type === "words-evaluated" ? known : undefined;
      const { value, seconds } = await time.evaluation(() => evaluator.evaluate(signal, exact));
      return { type: "words-evaluated", task, ...value, seconds };
    },
    floor: (signal) => measureWordFloor(tasks, (graph) => model.compile(graph), signal),
    [Symbol.asyncDispose]: async () => {
      await sides[Symbol.asyncDispose]();
      await learner[Symbol.asyncDispose]();
    },
  };
}

/** A tag a word: entities, task by task of their types. */
export const wordExperiment: ExperimentKind = {
  load: async (config) => {
    const { tasks, dataHash, notes } = await loadWords(config);
    return {
      tasks: tasks.map(({ name, labels, types, train, validation, test }) => ({
        name,
        labels,
        types,
        trainExamples: train.length,
        validationExamples: validation.length,
        testExamples: test.length,
      })),
      dataHash,
      notes,
      plan: async (loaded) => {
        checkSentences(loaded.tokenizer, tasks, config.training.maxLength);
        checkRouter(config, loaded);
        return headedPlan(config, loaded, {
          largestHead: Math.max(...tasks.map((task, index) => headLabels(task, index).length)),
          promptTask: "word",
          open: (...given) => openCourse(tasks, config, loaded, ...given),
        });
      },
    };
  },
};
