/** A router in front of a decoder that answers in words: whose adapter answers which text. */
import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../continual/generativeBackbone.ts";
import { PASSES_OF_AN_ANSWER, scoreByTask } from "../continual/routing/routedAnswers.ts";
import { promptTemplate } from "../data/prompts.ts";
import type { Example } from "../data/types.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { defaultHeads } from "../nn/heads.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { LoadedBackbone } from "./backbone.ts";
import { checkTop, DEFAULT_TOP, rank, softmax } from "./classify.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { TextRouter } from "./routingPredictor.ts";
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
    const ranked = rank(labels, softmax([...scores[i]!]), top);
    const [best = { label: "", score: 0 }] = ranked;
    return { text, ...best, task: name, top: ranked, passes: PASSES_OF_AN_ANSWER };
  });
}
