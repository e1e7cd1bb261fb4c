import type { OutOfScopeMetrics, RoutedRow } from "../core/record.ts";
import type { Encoding } from "../data/tokenizer.ts";
import type { LabelledExample, Task } from "../data/types.ts";
import {
  type AdaptedBackbone,
  argmax,
  type FeatureRows,
  type LearnedTask,
  type Logits,
  rowOf,
} from "./adaptedBackbone.ts";

/** One row of both accuracy matrices, with the counts behind it. */
export interface EvaluationRow {
  readonly til: readonly number[];
  readonly cil: readonly number[];
  readonly tilCorrect: readonly number[];
  readonly cilCorrect: readonly number[];
  readonly counted: readonly number[];
  /** Forward passes one class-incremental prediction costs without caches. */
  readonly passesPerExample: number;
  /** Where a router or a selection network chooses the task. */
  readonly routed?: RoutedRow;
  /** Where texts out of scope can be told. */
  readonly outOfScope?: OutOfScopeMetrics;
}

/** A task's test texts as every adapter sees them. */
export interface RoutedTest {
  readonly examples: readonly LabelledExample[];
  readonly encodings: readonly Encoding[];
  /** By the number of the task whose adapter made them; empty where no adapter ran, unless the protocol reads them. */
  readonly logits: readonly Logits[];
  /** The features they were made of; empty unless the protocol reads them. */
  readonly features: readonly FeatureRows[];
}

/** What exact mode gives after a task. */
export type ExactRow = Omit<EvaluationRow, "routed" | "outOfScope">;

/** A protocol of its own beside the exact one: something chooses the task. */
export interface RoutedProtocol {
  /** Whether it reads features that adapters made. */
  readonly readsAdapters: boolean;
  /** Whether it reads every adapter's logits on every text; else it asks for what it needs. */
  readonly readsLogits: boolean;
  /** Evaluates every test set as it would answer now. */
  evaluate(
    tests: readonly RoutedTest[],
    learned: readonly LearnedTask[],
    signal?: AbortSignal,
  ): Promise<Required<Pick<EvaluationRow, "routed">> & Pick<EvaluationRow, "outOfScope">>;
}

/** An answer to a test text: its label, and the task that it was given to. */
export interface GivenAnswer {
  readonly label: string | undefined;
  readonly task: number | undefined;
}

/** What a routed protocol's row counts. @param answers by test set, in the order of the tests */
export function countRouted(
  tests: readonly Pick<RoutedTest, "examples">[],
  answers: readonly (readonly GivenAnswer[])[],
): Pick<RoutedRow, "accuracy" | "correct" | "taskCorrect"> {
  const correct = tests.map(
    ({ examples }, own) => examples.filter(({ label }, row) => answers[own]?.[row]?.label === label).length,
  );
  const taskCorrect = answers.map((given, own) => given.filter(({ task }) => task === own).length);
  const accuracy = correct.map((count, j) => count / Math.max(1, tests[j]?.examples.length ?? 1));
  return { accuracy, correct, taskCorrect };
}

/** A class-incremental answer: which head, and which of its slots. */
export interface ExactChoice {
  readonly task: number;
  readonly slot: number;
}

/**
 * Exact class-incremental mode: the logits of all heads side by side in class order, the largest wins.
 * @param perTask one text's logits by each task's adapter and head, in the order of learning
 */
export function chooseExactly(perTask: readonly Float32Array[]): ExactChoice {
  let best: ExactChoice & { logit: number } = { task: 0, slot: 0, logit: Number.NEGATIVE_INFINITY };
  perTask.forEach((row, task) => {
    const slot = argmax(row);
    const logit = row[slot] ?? Number.NEGATIVE_INFINITY;
    if (logit > best.logit) best = { task, slot, logit };
  });
  return best;
}

interface TestSet {
  readonly examples: readonly LabelledExample[];
  readonly encodings: readonly Encoding[];
  /** Logits by the number of the task whose adapter made them. */
  readonly logits: Logits[];
  /** The features they were made of; empty where nobody reads them again. */
  readonly features: FeatureRows[];
}

/**
 * Evaluates all seen tasks after each task. An adapter never changes once its task is learned, so each pair of
 * adapter and test set is computed once and kept; the reported cost is that of a prediction without this.
 */
export class Evaluator {
  private readonly model: AdaptedBackbone;
  private readonly tests: TestSet[] = [];
  private readonly learned: LearnedTask[] = [];
  private readonly routing: RoutedProtocol | undefined;

  /** @param routing a protocol that is evaluated too */
  constructor(model: AdaptedBackbone, routing?: RoutedProtocol) {
    this.model = model;
    this.routing = routing;
  }

  /** Takes a learned task and its test set in, without evaluating. */
  add(task: Task, learned: LearnedTask): void {
    this.learned.push(learned);
    this.tests.push({
      examples: task.test,
      encodings: this.model.encode(task.test, `test of ${task.name}`).encodings,
      logits: [],
      features: [],
    });
  }

  /**
   * Evaluates every task that was added, by every adapter that was added.
   * @param known what exact mode gave for these very adapters and tests: they run again only if something reads their logits
   */
  async evaluate(signal?: AbortSignal, known?: ExactRow): Promise<EvaluationRow> {
    const row = known === undefined || this.routing?.readsLogits === true ? undefined : known;
    const { til, cil, tilCorrect, cilCorrect, counted, passesPerExample } =
      row ?? (await this.evaluateExactly(signal));
    const routed = await this.routing?.evaluate(this.tests, this.learned, signal);
    return { til, cil, tilCorrect, cilCorrect, counted, passesPerExample, ...routed };
  }

  private async evaluateExactly(signal?: AbortSignal): Promise<ExactRow> {
    const til: number[] = [];
    const cil: number[] = [];
    for (const [own, test] of this.tests.entries()) {
      const missing = this.learned.slice(test.logits.length);
      for (const { logits, features } of await this.model.outputsOfTasks(missing, test.encodings, signal)) {
        test.logits.push(logits);
        if (this.routing?.readsAdapters === true) test.features.push(features);
      }
      til.push(this.countTaskIncremental(own, test));
      cil.push(this.countClassIncremental(test));
    }
    const counted = this.tests.map(({ examples }) => examples.length);
    const accuracy = (correct: readonly number[]) =>
      correct.map((count, j) => count / Math.max(1, counted[j] ?? 1));
    return {
      til: accuracy(til),
      cil: accuracy(cil),
      tilCorrect: til,
      cilCorrect: cil,
      counted,
      passesPerExample: this.model.passesOf(this.learned.length),
    };
  }

  /** Task-incremental: the task is told, its own adapter and head answer. */
  private countTaskIncremental(own: number, test: TestSet): number {
    const logits = test.logits[own];
    const labels = this.learned[own]?.labels ?? [];
    if (logits === undefined) return 0;
    return test.examples.filter(({ label }, row) => labels[argmax(rowOf(logits, row))] === label).length;
  }

  private countClassIncremental(test: TestSet): number {
    return test.examples.filter(({ label }, row) => {
      const { task, slot } = chooseExactly(test.logits.map((logits) => rowOf(logits, row)));
      return this.learned[task]?.labels[slot] === label;
    }).length;
  }
}
