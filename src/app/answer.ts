import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import type { GenerativeBackbone } from "../continual/generativeBackbone.ts";
import { seenLabels } from "../continual/generativeEvaluation.ts";
import { StoreError } from "../core/errors.ts";
import { softmax } from "../core/softmax.ts";
import type { Example } from "../data/types.ts";
import { checkTop, DEFAULT_TOP, findTask, rank } from "./classify.ts";
import type { Prediction, PredictOptions } from "./types.ts";

/**
 * Labels texts by label scoring: with `task`, by that task's own adapter among its own labels (task-incremental);
 * without, by the newest adapter among all labels (class-incremental). Either way one forward pass a text.
 *
 * A score is the label's share of the probability that the labels in play have together as answers.
 * @throws ConfigError if there is no such task
 */
export async function answer(
  model: GenerativeBackbone,
  tasks: readonly LearnedTask[],
  examples: readonly Example[],
  options: PredictOptions = {},
): Promise<Prediction[]> {
  const { top = DEFAULT_TOP, signal } = options;
  checkTop(top);
  const inPlay = options.task === undefined ? tasks : [findTask(tasks, options.task)];
  const newest = inPlay.at(-1);
  if (newest === undefined) throw new StoreError("no task has been learned yet", { hint: "learn one first" });
  const labels = seenLabels(inPlay);
  const { prompts } = model.encode(examples);
  const scores = await model.scores(newest, prompts, labels, signal);
  return examples.map(({ text }, i) => {
    const ranked = rank(labels, softmax(scores[i] ?? []), top);
    const [best = { label: "", score: 0 }] = ranked;
    const owner = inPlay.findLast((task) => task.labels.includes(best.label)) ?? newest;
    return { text, ...best, task: owner.name, top: ranked, passes: 1 };
  });
}
