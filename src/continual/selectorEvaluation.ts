/** Routed class-incremental accuracy, the selection network choosing the task. */
import type { RoutedRow } from "../core/record.ts";
import type { Encoding } from "../data/tokenizer.ts";
import type { LabelledExample } from "../data/types.ts";
import { type FeatureRows, type LearnedTask, type Logits, rowOf } from "./adaptedBackbone.ts";
import { chooseRouted, type SelectorInference, selectorKinds, type TaskSelector } from "./selector.ts";

/** A task's test texts as every adapter sees them. */
export interface RoutedTest {
  readonly examples: readonly LabelledExample[];
  readonly encodings: readonly Encoding[];
  /** By the number of the task whose adapter made them. */
  readonly logits: readonly Logits[];
  readonly features: readonly FeatureRows[];
}

/** What a selection network is asked after each task. */
export class SelectorEvaluator {
  readonly selector: TaskSelector;
  private readonly inference: SelectorInference;
  /** Of each test set, in the order of learning: the backbone never changes. */
  private readonly frozen: FeatureRows[] = [];

  constructor(selector: TaskSelector, inference: SelectorInference) {
    this.selector = selector;
    this.inference = inference;
  }

  /** Whether it reads features that adapters made. */
  get readsAdapters(): boolean {
    return !selectorKinds[this.selector.kind].frozen;
  }

  /** Evaluates every test set by the network as it is now. */
  async evaluate(
    tests: readonly RoutedTest[],
    learned: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<RoutedRow> {
    const correct: number[] = [];
    const taskCorrect: number[] = [];
    for (const [own, test] of tests.entries()) {
      const featuresOf = await this.featuresOf(own, test, signal);
      const weights = await this.selector.weigh(learned.length, featuresOf);
      const choices = test.examples.map((_, row) =>
        chooseRouted(
          test.logits.map((logits) => rowOf(logits, row)),
          weights.values.subarray(row * weights.width, (row + 1) * weights.width),
          this.inference,
        ),
      );
      const right = test.examples.filter(({ label }, row) => labelOf(learned, choices[row]) === label);
      correct.push(right.length);
      taskCorrect.push(choices.filter(({ selected }) => selected === own).length);
    }
    const accuracy = correct.map((count, j) => count / Math.max(1, tests[j]?.examples.length ?? 1));
    const passesPerExample = selectorKinds[this.selector.kind].passes[this.inference](learned.length);
    return { accuracy, correct, taskCorrect, passesPerExample };
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

function labelOf(
  learned: readonly LearnedTask[],
  choice: { readonly task: number; readonly slot: number } | undefined,
): string | undefined {
  return choice === undefined ? undefined : learned[choice.task]?.labels[choice.slot];
}
