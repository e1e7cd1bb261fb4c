/** Answers in words where a router chooses the adapter: its task's labels are scored, in two passes a text. */
import type { RoutedRow } from "../../core/record.ts";
import type { LabelledExample } from "../../data/types.ts";
import type { AdaptedBackbone, FeatureRows, LearnedTask } from "../adaptedBackbone.ts";
import { countRouted } from "../evaluation.ts";
import { bestLabel, type GenerativeBackbone } from "../generativeBackbone.ts";
import { firstPassOnly } from "./fusion.ts";
import { summarizeRouter } from "./routedEvaluation.ts";
import type { RoutedLearner } from "./routedLearner.ts";
import { decide } from "./routedPrediction.ts";

/** The router's pass, and the chosen adapter's. */
export const PASSES_OF_AN_ANSWER = 2;

/**
 * Scores of each prompt's labels by the adapter of its own task.
 * @param taskOf the number of each prompt's task
 * @returns for each prompt the natural logarithms of the probabilities of its task's labels
 */
export async function scoreByTask(
  model: GenerativeBackbone,
  tasks: readonly LearnedTask[],
  taskOf: readonly number[],
  prompts: readonly (readonly number[])[],
  signal?: AbortSignal,
): Promise<readonly Float64Array[]> {
  const scores: Float64Array[] = prompts.map(() => new Float64Array());
  for (const [index, task] of tasks.entries()) {
    const own = [...prompts.keys()].filter((i) => taskOf[i] === index);
    if (own.length === 0) continue;
    const texts = own.map((i) => prompts[i]!);
    const scored = await model.scores(task, texts, task.labels, signal);
    own.forEach((i, row) => {
      scores[i] = scored[row]!;
    });
  }
  return scores;
}

interface TestSet {
  readonly examples: readonly LabelledExample[];
  readonly prompts: readonly (readonly number[])[];
  features?: FeatureRows;
}

/** Routed class-incremental accuracy of answers in words. */
export class RoutedAnswerEvaluator {
  private readonly model: GenerativeBackbone;
  private readonly reader: AdaptedBackbone;
  private readonly learner: RoutedLearner;
  private readonly tests: TestSet[] = [];
  private readonly learned: LearnedTask[] = [];

  /** @param reader the same decoder, as features are read from it */
  constructor(model: GenerativeBackbone, reader: AdaptedBackbone, learner: RoutedLearner) {
    this.model = model;
    this.reader = reader;
    this.learner = learner;
  }

  /** Takes a learned task and its test set in, without evaluating. */
  add(test: readonly LabelledExample[], learned: LearnedTask): void {
    this.learned.push(learned);
    this.tests.push({ examples: test, prompts: this.model.encode(test, `test of ${learned.name}`).prompts });
  }

  async evaluate(signal?: AbortSignal): Promise<RoutedRow> {
    const routing = await this.learner.current(signal);
    const tasks = this.learned;
    const answers: { label: string | undefined; task: number | undefined }[][] = [];
    const firstPassCorrect: number[] = [];
    for (const test of this.tests) {
      const { encodings } = this.reader.encode(test.examples);
      test.features ??= await this.reader.routingFeatures(encodings, routing.features, signal);
      const posterior = await routing.router.posterior(test.features, signal);
      const alone = { router: routing.router, fusion: firstPassOnly };
      const chosen = await decide(posterior, tasks, alone, () => Promise.resolve([]), 1);
      firstPassCorrect.push(chosen.filter(({ label }, i) => label === test.examples[i]?.label).length);
      // Every class of the router is a task's.
      const taskOf = chosen.map(({ task }) => task ?? 0);
      const scores = await scoreByTask(this.model, tasks, taskOf, test.prompts, signal);
      answers.push(
        taskOf.map((task, i) => ({ task, label: bestLabel(scores[i]!, tasks[task]?.labels ?? []) })),
      );
    }
    return {
      ...countRouted(this.tests, answers),
      passesPerExample: PASSES_OF_AN_ANSWER,
      firstPassCorrect,
      router: summarizeRouter(routing),
    };
  }
}
