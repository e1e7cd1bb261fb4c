/** What every task type asks of a new task. */
import { DataError, StoreError } from "../../core/errors.ts";
import type { TaggedSentence } from "../../data/files/tags.ts";
import type { LabelledExample } from "../../data/files/types.ts";
import type { Item, NewTask } from "./taskType.ts";

export function isTaggedSentence(item: Item): item is TaggedSentence {
  return "tags" in item;
}

export function isLabelled(item: Item): item is LabelledExample {
  return "label" in item;
}

/** @throws DataError if the task has no name or nothing to learn from; StoreError if a task of that name was learned */
export function checkNewTask({ name, train }: NewTask, known: readonly { readonly name: string }[]): void {
  if (name.trim() === "") throw new DataError("a task needs a name");
  if (known.some((task) => task.name === name))
    throw new StoreError(`a task called "${name}" was learned already`, {
      code: "NAME_TAKEN",
      hint: "Give the new task another name, or forget the old one first.",
    });
  if (train.length === 0) throw new DataError(`task "${name}": has no training examples`);
}

/** @throws DataError naming the first item (counted from 1) without a label */
export function labelledItems(items: readonly Item[], where: string): readonly LabelledExample[] {
  return items.map((item, i) => {
    if (isLabelled(item)) return item;
    if (isTaggedSentence(item))
      throw new DataError(`${where}, number ${i + 1}: has tagged words, but this model gives texts a label`, {
        hint: "Give examples of { text, label }, or learn with level: word.",
      });
    throw new DataError(`${where}, number ${i + 1}: has no label`);
  });
}

/**
 * The labels of a task of texts, in slot order.
 * @param least classes that the task must have
 * @throws DataError if a label has no example or an example another label, or there is nothing to tell apart
 */
export function checkLabels(
  { name, train, validation = [], labels: given }: NewTask,
  least: number,
): readonly string[] {
  const where = `task "${name}"`;
  const found = [...new Set(labelledItems(train, `${where}, train`).map(({ label }) => label))];
  const labels = given ?? found;
  const stray = found.find((label) => !labels.includes(label));
  if (labels.some((label) => label.trim() === ""))
    throw new DataError(`${where}: has a label without a name`);
  if (new Set(labels).size < labels.length)
    throw new DataError(`${where}: names a label twice: ${labels.join(", ")}`);
  if (stray !== undefined)
    throw new DataError(`${where}: label "${stray}" is none of the task's: ${labels.join(", ")}`);
  const empty = labels.find((label) => !found.includes(label));
  if (empty !== undefined) throw new DataError(`${where}: has no training example of "${empty}"`);
  const unseen = labelledItems(validation, `${where}, validation`).find(
    ({ label }) => !labels.includes(label),
  );
  if (unseen !== undefined)
    throw new DataError(`${where}: validation has the label "${unseen.label}", which train has not`);
  if (labels.length < least)
    throw new DataError(
      `${where}: has a single class, "${labels[0]}": there is nothing to tell it apart from`,
      {
        hint: "Give it two or more, or teach a single class from examples alone.",
      },
    );
  return labels;
}
