import { measureFloor } from "../continual/floor.ts";
import { GenerativeBackbone } from "../continual/generativeBackbone.ts";
import { GenerativeEvaluator, seenLabels } from "../continual/generativeEvaluation.ts";
import { GenerativeLearner } from "../continual/generativeLearner.ts";
import { RoutedAnswerEvaluator } from "../continual/routing/routedAnswers.ts";
import { CheckpointError } from "../core/errors.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/prompts.ts";
import { loadStream } from "../data/stream.ts";
import type { Task } from "../data/types.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { LoadedBackbone } from "./backbone.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import { endTokens } from "./endTokens.ts";
import type { Course, ExperimentKind, Plan } from "./experimentKind.ts";
import { openReader } from "./generativeRouting.ts";
import { checkRouter, openRouting, routingSide } from "./routing.ts";
import { fromSavedAnswers, noFeature, toSavedAdapter } from "./savedTask.ts";
import { outlineOf } from "./sentenceExperiment.ts";
import { joinSides } from "./sideLearning.ts";
import { adapterParameters, promptTaskOf, resolveCausalStructure, resolveTraining } from "./structure.ts";

/**
 * A decoder that answers with the words of labels.
 * @param labels every label that may be an answer
 * @throws DataError if a label cannot be an answer
 * @throws CheckpointError if nothing says which token ends a text
 */
export async function openGenerative(
  config: Pick<ResolvedConfig, "threads"> & { readonly training: { readonly maxLength: number } },
  loaded: LoadedBackbone,
  structure: CausalStructure,
  prompt: string,
  labels: readonly string[],
): Promise<GenerativeBackbone> {
  const { answerEnd, stopIds } = await endTokens(loaded);
  if (answerEnd === undefined)
    throw new CheckpointError(`${loaded.folder.path}: no file says which token ends a text`, {
      hint: "Name it: eos_token in tokenizer_config.json, or eos_token_id in config.json.",
    });
  return new GenerativeBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    template: promptTemplate(prompt),
    labels,
    endId: answerEnd,
    stopIds,
    maxLength: config.training.maxLength,
    ...(config.threads === undefined ? {} : { threads: config.threads }),
  });
}

/** Every text of the stream as a prompt, so that what cannot be one is told before the first task is learned. */
function checkPrompts(model: GenerativeBackbone, tasks: readonly Task[]): void {
  for (const task of tasks)
    for (const split of ["train", "validation", "test"] as const)
      model.encode(task[split], `task ${task.name}, ${split}`);
}

/** What routes among adapters, where the configuration asks for it. */
function openAnswerRouting(
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  model: GenerativeBackbone,
  tasks: readonly Task[],
) {
  if (config.router === undefined) return undefined;
  const reader = openReader(config, loaded, model.structure, config.prompt ?? DEFAULT_PROMPT);
  const opened = openRouting(config, loaded, reader, { tasks });
  if (opened === undefined) return undefined;
  const side = routingSide(opened, (index) => tasks[index]!);
  const evaluator = new RoutedAnswerEvaluator(model, reader, opened.learner);
  return {
    evaluator,
    side: {
      ...side,
      [Symbol.asyncDispose]: async () => {
        await side[Symbol.asyncDispose]();
        await reader[Symbol.asyncDispose]();
      },
    },
  };
}

function openCourse(
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  model: GenerativeBackbone,
  tasks: readonly Task[],
): Course {
  const learner = new GenerativeLearner(model, resolveTraining(config), config.seed);
  const evaluator = new GenerativeEvaluator(model);
  const taskAt = (index: number): Task => tasks[index]!;
  const routing = openAnswerRouting(config, loaded, model, tasks);
  const sides = joinSides(routing === undefined ? [] : [routing.side]);
  const prompt = config.prompt ?? DEFAULT_PROMPT;
  return {
    notes: [],
    plannedSteps: (task) => learner.plannedSteps(taskAt(task).train.length),
    learn: (task, signal) => learner.learn(taskAt(task), signal),
    ...sides,
    add: (task, learned) => {
      evaluator.add(taskAt(task), learned);
      routing?.evaluator.add(taskAt(task).test, learned);
      sides.add(learned);
    },
    evaluate: async (task, time, signal) => {
      const { value, seconds } = await time.evaluation(async () => {
        const exact = await evaluator.evaluate(signal);
        const routed = await routing?.evaluator.evaluate(signal);
        const row = { ...exact, ...(routed !== undefined && { routed }) };
        const next = tasks[task + 1];
        if (next === undefined) return row;
        const unseen = await evaluator.evaluateUnseen(next, await learner.untrained(next), signal);
        return { ...row, unseen };
      });
      const { labelScored, ...rest } = value;
      return { type: "evaluated", task, ...labelScored, ...rest, seconds };
    },
    floor: (signal) => measureFloor(tasks, (graph) => model.compile(graph), signal),
    save: (learned) => toSavedAdapter(learned, model.structure, loaded, { causal: true, prompt }),
    restore: (name, saved, where) => fromSavedAnswers(name, saved, loaded, where).task,
    [Symbol.asyncDispose]: async () => {
      await sides[Symbol.asyncDispose]();
      await learner[Symbol.asyncDispose]();
      await model[Symbol.asyncDispose]();
    },
  };
}

async function planOf(config: ResolvedConfig, loaded: LoadedBackbone, tasks: readonly Task[]): Promise<Plan> {
  checkRouter(config, loaded);
  const structure = resolveCausalStructure(config, loaded, promptTaskOf(config.stream));
  const prompt = config.prompt ?? DEFAULT_PROMPT;
  const model = await openGenerative(config, loaded, structure, prompt, seenLabels(tasks));
  checkPrompts(model, tasks);
  const { backbone, adapter } = structure;
  return {
    feature: noFeature,
    trainableParametersPerTask: adapterParameters(adapter, backbone),
    open: () => openCourse(config, loaded, model, tasks),
  };
}

/** A label in words a text: no head, the model's own language-modelling head answers. */
export const generativeExperiment: ExperimentKind = {
  load: async (config) => {
    const { tasks, dataHash, notes } = await loadStream(config.stream, config.seed);
    return {
      tasks: tasks.map(outlineOf),
      dataHash,
      notes,
      plan: (loaded) => planOf(config, loaded, tasks),
    };
  },
};
