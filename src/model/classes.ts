/** Classes that are learned from examples alone: which task they join, and what of them is kept. */

import type { TaskRows } from "../continual/routing/taskRouting.ts";
import { distinctContributions } from "../continual/statistics/statistics.ts";
import { isTaggedSentence } from "../continual/taskTypes/taskChecks.ts";
import type { Item, TaskToLearn } from "../continual/taskTypes/taskType.ts";
import { DataError, StoreError } from "../core/errors.ts";
import type { LabelledExample } from "../data/files/types.ts";
import type { Corrected } from "./changes.ts";
import type { ContinualModel, LearnEvent } from "./continualModel.ts";
import { type ModelState, OUTSIDE_TASK, type TaskState } from "./state.ts";

/** Classes that the history names. */
const MOST_NAMED = 5;

/** @throws DataError without an example, and where one is empty */
export function checkExamples(label: string, items: readonly Item[]): void {
  if (label.trim() === "") throw new DataError("a class needs a name");
  requireOwnName(label);
  checkTexts(
    `class "${label}"`,
    items,
    'Give a few texts: accrete learn <store> --class name "first" "second".',
  );
}

/** @throws DataError where a class or task has the name of the texts of no class */
export function requireOwnName(name: string): void {
  if (name === OUTSIDE_TASK)
    throw new DataError(`"${name}" is where texts of no class are kept`, { hint: "Choose another name." });
}

/** @param what names the texts @throws DataError without an example, and where one is empty */
export function checkTexts(what: string, items: readonly Item[], hint = "Give a few texts."): void {
  if (items.length === 0) throw new DataError(`${what}: no example to learn it from`, { hint });
  const empty = items.findIndex(
    (item) => isTaggedSentence(item) || `${item.text}${item.textPair ?? ""}`.trim() === "",
  );
  if (empty >= 0) throw new DataError(`${what}: example ${empty + 1} of ${items.length} is empty`, { hint });
}

/**
 * The task that a class joins; undefined where one is to be made, whose name is given.
 * @param asked the task's name, where one was asked for
 * @throws StoreError if the class does not go into the task
 */
export function homeOf(
  { tasks }: ModelState,
  label: string,
  asked: string | undefined,
): { readonly name: string; readonly task: TaskState | undefined } {
  const holds = ({ labels }: TaskState) => labels.includes(label);
  const named = (name: string) => tasks.find((task) => task.name === name);
  const task = asked === undefined ? (tasks.findLast(holds) ?? named(label)) : named(asked);
  const name = task?.name ?? asked ?? label;
  if (task === undefined) return { name, task };
  if (!holds(task) && task.learned !== undefined)
    throw new StoreError(`task "${name}" has an adapter that was not trained on the class "${label}"`, {
      hint: "Put the class into a task of its own: --task with another name.",
    });
  if (task.rows === undefined)
    throw new StoreError(`task "${name}" has no statistics to add to`, {
      hint: "Learn them first: accrete learn <store> --task <its name> <its data> --statistics-only.",
    });
  return { name, task };
}

/** @throws DataError if a task that was learned gets statistics of other classes */
export function requireSameClasses({ name, labels }: TaskToLearn, learned: readonly string[]): void {
  const missing = learned.find((label) => !labels.includes(label));
  const surplus = labels.find((label) => !learned.includes(label));
  if (missing === undefined && surplus === undefined) return;
  throw new DataError(
    missing === undefined
      ? `task "${name}": "${surplus}" is none of its classes: ${learned.join(", ")}`
      : `task "${name}": no example of its class "${missing}"`,
    { hint: "The statistics of a task that was learned need examples of all its classes, and of no other." },
  );
}

/** What corrections make of a state: each class learns its texts, without training. */
export async function* learnCorrections(
  model: Pick<ContinualModel, "learnClass">,
  before: ModelState,
  corrections: readonly LabelledExample[],
  signal?: AbortSignal,
): AsyncGenerator<LearnEvent, { readonly state: ModelState; readonly classes: Corrected["classes"] }> {
  let state = before;
  const classes: Corrected["classes"][number][] = [];
  for (const label of new Set(corrections.map((each) => each.label))) {
    const texts = corrections.filter((each) => each.label === label);
    const learned = yield* model.learnClass(state, label, texts, { signal });
    state = learned.state;
    classes.push({ label, task: learned.task.name, texts: texts.length });
  }
  return { state, classes };
}

/** Corrections in words, for the history. */
export function describeCorrections(
  known: readonly string[],
  corrections: readonly LabelledExample[],
): string {
  const count = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;
  const fresh = corrections.filter(({ label }) => !known.includes(label));
  const names = [...new Set(fresh.map(({ label }) => label))];
  const rest = corrections.length - fresh.length;
  const listed = names.length > MOST_NAMED ? "" : ` ${names.join(", ")}`;
  return [
    ...(names.length === 0
      ? []
      : [
          `learned ${names.length === 1 ? "class" : `${names.length} classes`}${listed} from ${count(fresh.length, "example", "examples")}`,
        ]),
    ...(rest === 0 ? [] : [`corrected ${count(rest, "text", "texts")}`]),
  ].join(", ");
}

/** What a task leaves once it has learned more. What it has learned before it does not learn twice. */
export function joinRows(before: TaskRows, added: TaskRows): TaskRows {
  return {
    ...before,
    contributions: distinctContributions([...before.contributions, ...added.contributions]),
  };
}
