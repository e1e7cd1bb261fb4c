/** What answers with one label a text are scored by. */
import type { AnswerRow, RoutedRow } from "../../core/record.ts";
import type { Answer } from "../answers.ts";
import { isTagged } from "../answers.ts";
import { isLabelled } from "./taskChecks.ts";
import type { AnsweredTests, Item, RoutedItem } from "./taskType.ts";

export function goldOf(item: Item): string | undefined {
  return isLabelled(item) ? item.label : undefined;
}

export function labelOf(answer: Answer | undefined): string | null {
  return answer === undefined || isTagged(answer) ? null : answer.label;
}

/** How many answers have the item's label. */
export function countRight(items: readonly Item[], answers: readonly Answer[]): number {
  return items.filter((item, i) => labelOf(answers[i]) === goldOf(item)).length;
}

export function shares(correct: readonly number[], counted: readonly number[]): number[] {
  return correct.map((count, j) => count / Math.max(1, counted[j] ?? 1));
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** The rows of both exact protocols, by what `count` finds right. */
export function answerRow(
  { tasks, til, cil }: AnsweredTests,
  count: (items: readonly Item[], answers: readonly Answer[]) => number = countRight,
): AnswerRow {
  const counted = tasks.map(({ test }) => test.length);
  const correct = (answers: AnsweredTests["til"]) =>
    tasks.map(({ test }, j) => count(test, answers[j] ?? []));
  const [tilCorrect, cilCorrect] = [correct(til), correct(cil)];
  return { til: shares(tilCorrect, counted), cil: shares(cilCorrect, counted), tilCorrect, cilCorrect };
}

/**
 * Of adapters that were asked, which are whole numbers, where an item says how many: a mean of passes would be rounded
 * differently.
 * @param passesOf forward passes of an item whose second pass asks so many adapters
 */
export function meanPasses(items: readonly RoutedItem[], passesOf: (asked: number) => number): number {
  const asked = items.flatMap((item) => item.asked ?? []);
  return asked.length > 0 ? passesOf(mean(asked)) : mean(items.map(({ answer }) => answer.passes));
}

/**
 * The row of routed prediction but for its router.
 * @param passesOf as {@link meanPasses} takes it
 */
export function routedRow(
  { tasks }: AnsweredTests,
  routed: readonly (readonly RoutedItem[])[],
  passesOf: (asked: number) => number = (asked) => 1 + asked,
): RoutedRow {
  const correct = tasks.map(({ test }, j) =>
    countRight(
      test,
      (routed[j] ?? []).map(({ answer }) => answer),
    ),
  );
  const counted = tasks.map(({ test }) => test.length);
  const all = routed.flat();
  const hasFirst = all.some(({ first }) => first !== undefined);
  return {
    accuracy: shares(correct, counted),
    correct,
    taskCorrect: routed.map((items, own) => items.filter(({ task }) => task === own).length),
    passesPerExample: meanPasses(all, passesOf),
    ...(hasFirst && {
      firstPassCorrect: tasks.map(
        ({ test }, j) => test.filter((item, i) => labelOf(routed[j]?.[i]?.first) === goldOf(item)).length,
      ),
    }),
  };
}
