import type { AnswerRow, UnseenRow } from "../core/record.ts";
import { labelText, normaliseAnswer } from "../data/prompts.ts";
import type { LabelledExample, Task } from "../data/types.ts";
import type { LearnedTask } from "./adaptedBackbone.ts";
import { bestLabel, type GenerativeBackbone } from "./generativeBackbone.ts";

/** What an evaluation after a task finds. */
export interface GenerativeRow {
  /** The answer generated freely is the label's words, stripped and in lower case. */
  readonly exactMatch: AnswerRow;
  /** The likeliest of the labels in play is the label. */
  readonly labelScored: AnswerRow;
  readonly counted: readonly number[];
  /** Adapters that an answer costs: the newest alone. */
  readonly passesPerExample: number;
}

/** Whether a generated text is the label's words, stripped and in lower case. */
export function isExactMatch(said: string, label: string): boolean {
  return normaliseAnswer(said) === normaliseAnswer(labelText(label));
}

/** Labels of several tasks, each once, in the order in which they were first seen. */
export function seenLabels(tasks: readonly { readonly labels: readonly string[] }[]): readonly string[] {
  return [...new Set(tasks.flatMap(({ labels }) => labels))];
}

/** Correct answers of one test set. */
interface Counts {
  readonly exactMatch: number;
  readonly labelScored: number;
}

/** Examples whose label is the likeliest of some. @param scores a row an example, a column each of `labels` */
function countBest(
  examples: readonly LabelledExample[],
  scores: readonly Float64Array[],
  labels: readonly string[],
  some: readonly string[],
): number {
  const columns = some.map((label) => labels.indexOf(label));
  return examples.filter(({ label }, i) => {
    const row = Float64Array.from(columns, (column) => scores[i]?.[column] ?? Number.NaN);
    return bestLabel(row, some) === label;
  }).length;
}

interface TestSet {
  readonly examples: readonly LabelledExample[];
  readonly prompts: readonly (readonly number[])[];
  /** By the task's own adapter, among the task's own labels: it never changes once the task is learned. */
  own?: Counts;
}

/**
 * Evaluates all seen tasks after each task. Task-incremental: the task's own adapter, among its own labels.
 * Class-incremental: the newest adapter, among all labels seen so far.
 */
export class GenerativeEvaluator {
  private readonly model: GenerativeBackbone;
  private readonly tests: TestSet[] = [];
  private readonly learned: LearnedTask[] = [];

  constructor(model: GenerativeBackbone) {
    this.model = model;
  }

  /** Takes a learned task and its test set in, without evaluating. */
  add(task: Task, learned: LearnedTask): void {
    this.learned.push(learned);
    const { prompts } = this.model.encode(task.test, `test of ${task.name}`);
    this.tests.push({ examples: task.test, prompts });
  }

  /** Evaluates every task that was added. Those whose own adapter was not evaluated yet cost a pass more. */
  async evaluate(signal?: AbortSignal): Promise<GenerativeRow> {
    const newest = this.learned.length - 1;
    const labels = seenLabels(this.learned);
    const til: Counts[] = [];
    const cil: Counts[] = [];
    for (const [own, test] of this.tests.entries()) {
      const ownLabels = this.learned[own]?.labels ?? [];
      // The newest adapter is its own task's: what it says there serves both protocols.
      const both = own === newest && ownLabels.length < labels.length;
      const [all, mine = all] = await this.count(test, newest, both ? [labels, ownLabels] : [labels], signal);
      cil.push(all!);
      if (own === newest) test.own = mine!;
      test.own ??= (await this.count(test, own, [ownLabels], signal))[0]!;
      til.push(test.own);
    }
    const counted = this.tests.map(({ examples }) => examples.length);
    const rowOf = (way: keyof Counts): AnswerRow => {
      const correct = (counts: readonly Counts[]) => counts.map((each) => each[way]);
      const accuracy = (counts: readonly number[]) =>
        counts.map((count, j) => count / Math.max(1, counted[j] ?? 1));
      const [tilCorrect, cilCorrect] = [correct(til), correct(cil)];
      return { til: accuracy(tilCorrect), cil: accuracy(cilCorrect), tilCorrect, cilCorrect };
    };
    return {
      exactMatch: rowOf("exactMatch"),
      labelScored: rowOf("labelScored"),
      counted,
      passesPerExample: 1,
    };
  }

  /**
   * How well the next task's test set is answered before the task is learned, by label scoring: with the newest adapter,
   * and with the one that the task begins with.
   */
  async evaluateUnseen(next: Task, untrained: LearnedTask, signal?: AbortSignal): Promise<UnseenRow> {
    const newest = this.learned.at(-1) ?? untrained;
    const { prompts } = this.model.encode(next.test, `test of ${next.name}`);
    const labels = seenLabels([...this.learned, next]);
    const counts = async (adapter: LearnedTask) => {
      const scores = await this.model.scores(adapter, prompts, labels, signal);
      return {
        til: countBest(next.test, scores, labels, next.labels),
        cil: countBest(next.test, scores, labels, labels),
      };
    };
    const [after, before] = [await counts(newest), await counts(untrained)];
    return {
      counted: next.test.length,
      til: { newest: after.til, untrained: before.til },
      cil: { newest: after.cil, untrained: before.cil },
    };
  }

  /** A test set by one adapter, among each of some sets of labels. */
  private async count(
    { examples, prompts }: TestSet,
    adapter: number,
    subsets: readonly (readonly string[])[],
    signal?: AbortSignal,
  ): Promise<readonly Counts[]> {
    const learned = this.learned[adapter]!;
    const said = await this.model.speak(learned, prompts, signal);
    const texts = said.map(({ ids }) => this.model.tokenizer.decode(ids));
    const exactMatch = examples.filter(({ label }, i) => isExactMatch(texts[i] ?? "", label)).length;
    const counts: Counts[] = [];
    for (const labels of subsets) {
      const best = await this.model.likeliest(learned, prompts, said, labels, signal);
      counts.push({ exactMatch, labelScored: examples.filter(({ label }, i) => best[i] === label).length });
    }
    return counts;
  }
}
