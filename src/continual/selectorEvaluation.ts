/** Routed class-incremental accuracy, the selection network choosing the task. */
import type { RoutedRow } from "../core/record.ts";
import { type FeatureRows, type LearnedTask, rowOf } from "./adaptedBackbone.ts";
import { countRouted, type GivenAnswer, type RoutedProtocol, type RoutedTest } from "./evaluation.ts";
import { chooseRouted, type SelectorInference, selectorKinds, type TaskSelector } from "./selector.ts";

/** What a selection network is asked after each task. */
export class SelectorEvaluator implements RoutedProtocol {
  readonly readsLogits = true;
  readonly selector: TaskSelector;
  private readonly inference: SelectorInference;
  /** Of each test set, in the order of learning: the backbone never changes. */
  private readonly frozen: FeatureRows[] = [];

  constructor(selector: TaskSelector, inference: SelectorInference) {
    this.selector = selector;
    this.inference = inference;
  }

  get readsAdapters(): boolean {
    return !selectorKinds[this.selector.kind].frozen;
  }

  async evaluate(
    tests: readonly RoutedTest[],
    learned: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<{ readonly routed: RoutedRow }> {
    const answers: GivenAnswer[][] = [];
    for (const [own, test] of tests.entries()) {
      const featuresOf = await this.featuresOf(own, test, signal);
      const weights = await this.selector.weigh(learned.length, featuresOf);
      answers.push(
        test.examples.map((_, row) => {
          const choice = chooseRouted(
            test.logits.map((logits) => rowOf(logits, row)),
            weights.values.subarray(row * weights.width, (row + 1) * weights.width),
            this.inference,
          );
          return { label: learned[choice.task]?.labels[choice.slot], task: choice.selected };
        }),
      );
    }
    const passesPerExample = selectorKinds[this.selector.kind].passes[this.inference](learned.length);
    return { routed: { ...countRouted(tests, answers), passesPerExample } };
  }

  private async featuresOf(
    own: number,
    test: RoutedTest,
    signal?: AbortSignal,
  ): Promise<(task: number) => FeatureRows> {
    if (this.readsAdapters) return (task) => test.features[task]!;
    const frozen = this.frozen[own] ?? (await this.selector.frozenFeatures(test.encodings, signal));
    this.frozen[own] = frozen;
    return () => frozen;
  }
}
