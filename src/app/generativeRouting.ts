/** A router in front of a decoder that answers in words: whose adapter answers which text. */

import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../continual/generativeBackbone.ts";
import { PASSES_OF_AN_ANSWER, scoreByTask } from "../continual/routing/routedAnswers.ts";
import { OpenedOnce } from "../core/openedOnce.ts";
import { softmax } from "../core/softmax.ts";
import { DEFAULT_PROMPT, promptTemplate } from "../data/prompts.ts";
import { encodeAll } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { defaultHeads } from "../nn/heads.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { LoadedBackbone } from "./backbone.ts";
import { checkTop, DEFAULT_TOP, rank } from "./classify.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { OpenedRun } from "./openedRun.ts";
import { type TextRouter, textRouterOf } from "./routingPredictor.ts";
import { fromSavedAnswers } from "./savedTask.ts";
import type { Prediction, PredictOptions } from "./types.ts";

/** The same decoder as features are read from it: a prompt's vector is the mean of its tokens' states. */
export function openReader(
  config: Pick<ResolvedConfig, "threads"> & { readonly training: { readonly maxLength: number } },
  loaded: LoadedBackbone,
  structure: CausalStructure,
  prompt: string,
): AdaptedBackbone {
  return new AdaptedBackbone({
    structure: {
      ...structure,
      feature: { pooling: "mean", normalize: false },
      // A formality: nothing reads it.
      head: defaultHeads.linear,
    },
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    template: promptTemplate(prompt),
    ...(config.threads === undefined ? {} : { threads: config.threads }),
  });
}

/**
 * Labels texts by label scoring: the router chooses the task of each, and that task's adapter the label among its own.
 * A score is the label's share of the probability that the task's labels have together as answers.
 */
export async function answerRouted(
  model: GenerativeBackbone,
  router: Pick<TextRouter, "answer">,
  reader: AdaptedBackbone,
  tasks: readonly LearnedTask[],
  examples: readonly Example[],
  { top = DEFAULT_TOP, signal }: PredictOptions,
): Promise<Prediction[]> {
  checkTop(top);
  const { encodings } = reader.encode(examples);
  const chosen = await router.answer(encodings, { top: 1, ...(signal && { signal }) });
  const taskOf = chosen.map(({ task }) => task ?? 0);
  const { prompts } = model.encode(examples);
  const scores = await scoreByTask(model, tasks, taskOf, prompts, signal);
  return examples.map(({ text }, i) => {
    const { name, labels } = tasks[taskOf[i]!]!;
    const ranked = rank(labels, softmax(scores[i]!), top);
    const [best = { label: "", score: 0 }] = ranked;
    return { text, ...best, task: name, top: ranked, passes: PASSES_OF_AN_ANSWER };
  });
}

/** Chooses whose adapter continues a prompt. Holds native memory: dispose of it. */
export interface PromptRouter extends AsyncDisposable {
  /** @returns for each prompt the number of its task */
  choose(prompts: readonly string[], signal?: AbortSignal): Promise<readonly number[]>;
}

/**
 * What a run learned to choose adapters with, for prompts that are given whole. The router learned from texts inside the
 * run's prompt; a prompt that is given is what stands there already, so it is read as it is, and nothing is put around it.
 * @returns undefined where the run does not answer in words, or nothing routes
 * @throws CheckpointError if the statistics that the router needs are missing
 */
export async function openPromptRouter(run: OpenedRun): Promise<PromptRouter | undefined> {
  const { config, loaded } = run;
  if (config.head.kind !== "none" || config.router === undefined) return undefined;
  const restored = run.tasks.map(({ name, saved, where }) => fromSavedAnswers(name, saved, loaded, where));
  const [first] = restored;
  if (first === undefined) return undefined;
  const reader = openReader(config, loaded, first.structure, first.prompt ?? DEFAULT_PROMPT);
  const open = textRouterOf({ run, model: reader, tasks: restored.map(({ task }) => task) });
  if (open === undefined) return undefined;
  const opened = new OpenedOnce(open);
  return {
    choose: async (prompts, signal) => {
      const texts = prompts.map((text) => ({ text }));
      const { encodings } = encodeAll(loaded.tokenizer, texts, reader.maxTextTokens, "prompt");
      const router = await opened.get();
      const answers = await router.answer(encodings, { top: 1, ...(signal && { signal }) });
      return answers.map(({ task }) => task ?? 0);
    },
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]();
      await reader[Symbol.asyncDispose]();
    },
  };
}
