import type { AnswerRow } from "../core/record.ts";
import { labelText, normaliseAnswer } from "../data/prompts.ts";
import type { LabelledExample, Task } from "../data/types.ts";
import type { LearnedTask } from "./adaptedBackbone.ts";
import type { GenerativeBackbone } from "./generativeBackbone.ts";

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

/** The likeliest label; the first of equals. @param row natural logarithms, one a label */
export function bestLabel(row: Float64Array, labels: readonly string[]): string | undefined {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return labels[best];
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
      const both = await this.count(test, newest, labels, own, signal);
      cil.push(both.all);
      // The newest adapter is its own task's: what it says there serves both protocols.
      test.own ??= own === newest ? both.own : (await this.count(test, own, labels, own, signal)).own;
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

  /** A test set by one adapter, among all labels and among the own ones of task `own`. */
  private async count(
    { examples, prompts }: TestSet,
    adapter: number,
    labels: readonly string[],
    own: number,
    signal?: AbortSignal,
  ): Promise<{ readonly all: Counts; readonly own: Counts }> {
    const learned = this.learned[adapter]!;
    const said = await this.model.generate(learned, prompts, signal);
    const scores = await this.model.scores(learned, prompts, labels, signal);
    const exactMatch = examples.filter(({ label }, i) => isExactMatch(said[i] ?? "", label)).length;
    const among = (subset: readonly string[]): Counts => {
      const places = subset.map((label) => labels.indexOf(label));
      const right = ({ label }: LabelledExample, i: number) =>
        bestLabel(
          Float64Array.from(places, (place) => scores[i]?.[place] ?? Number.NaN),
          subset,
        ) === label;
      return { exactMatch, labelScored: examples.filter(right).length };
    };
    return { all: among(labels), own: among(this.learned[own]?.labels ?? []) };
  }
}
