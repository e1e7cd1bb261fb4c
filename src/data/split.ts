import { DataError } from "../core/errors.ts";
import { type Rng, shuffled } from "../core/random.ts";
import { checkOrder, firstRepeated, hintNearest, quoted, texts } from "./checks.ts";
import type { LabelledExample } from "./files/types.ts";
import type { TaskPlan } from "./source.ts";
import type { StreamSpec } from "./streamSpec.ts";

/** Examples of each label, by first appearance. */
export function countLabels(examples: readonly LabelledExample[]): ReadonlyMap<string, number> {
  return new Map([...byLabel(examples)].map(([label, { length }]) => [label, length]));
}

function byLabel(examples: readonly LabelledExample[]): Map<string, LabelledExample[]> {
  const groups = new Map<string, LabelledExample[]>();
  for (const example of examples) {
    const group = groups.get(example.label);
    if (group === undefined) groups.set(example.label, [example]);
    else group.push(example);
  }
  return groups;
}

/** @param labels in the order of their first appearance */
export function orderLabels(
  labels: readonly string[],
  order: NonNullable<StreamSpec["classOrder"]>,
  rng: Rng,
): readonly string[] {
  if (order === "file") return labels;
  // By code units, so that the order depends on no locale.
  if (order === "alphabetical") return [...labels].sort();
  // Shuffled from the sorted list: the order then depends on the labels and the seed, not on how rows lie.
  if (order === "shuffled") return shuffled([...labels].sort(), rng);
  return checkOrder(texts, order, labels);
}

/** Tasks `task-0`, `task-1`, … of equal class counts; the first ones take the remainder. */
export function divideEqually(labels: readonly string[], count: number): TaskPlan[] {
  const base = Math.floor(labels.length / count);
  const remainder = labels.length % count;
  let start = 0;
  return Array.from({ length: count }, (_, task) => {
    const size = base + (task < remainder ? 1 : 0);
    const plan = { name: `task-${task}`, labels: labels.slice(start, start + size) };
    start += size;
    return plan;
  });
}

function checkPlan({ name, labels }: TaskPlan, known: readonly string[]): void {
  const repeated = firstRepeated(labels);
  if (repeated !== undefined) throw new DataError(`task ${name} lists ${JSON.stringify(repeated)} twice`);
  if (!labels.some((label) => known.includes(label)))
    throw new DataError(`task ${name} is empty: no training example has one of its labels`, {
      hint: labels[0] === undefined ? "Ask for fewer tasks." : hintNearest(labels[0], known).hint,
    });
  for (const label of labels)
    if (!known.includes(label))
      throw new DataError(
        `task ${name} lists ${JSON.stringify(label)}, which has no training examples`,
        hintNearest(label, known),
      );
  if (labels.length === 1)
    throw new DataError(
      `task ${name} has a single class, ${quoted(labels)}: there is nothing to tell it apart from`,
      { hint: "Every task needs two classes or more: ask for fewer tasks, or join it to another." },
    );
}

/**
 * Checks that a division into tasks can be learned.
 * @throws DataError naming the task that is empty, has one class or a label without data, and labels in no task
 */
export function checkPlans(plans: readonly TaskPlan[], known: readonly string[]): void {
  const repeated = firstRepeated(plans.map(({ name }) => name));
  if (repeated !== undefined) throw new DataError(`two tasks are called ${JSON.stringify(repeated)}`);
  for (const plan of plans) checkPlan(plan, known);
  const planned = new Set(plans.flatMap(({ labels }) => labels));
  const left = known.filter((label) => !planned.has(label));
  if (left.length > 0)
    throw new DataError(`labels of the data that are in no task: ${quoted(left)}`, {
      hint: "Add them to a task, or remove their rows.",
    });
}

/**
 * Gives each example to the task of its label. A label of several tasks has its examples shared out evenly by
 * chance, the first tasks taking the remainder: train, validation and test alike, so that every task is
 * measured on all its labels and no example counts twice. Order within a task stays the file's.
 */
export function assignExamples(
  examples: readonly LabelledExample[],
  plans: readonly TaskPlan[],
  rng: Rng,
): LabelledExample[][] {
  const taskOf = new Map<LabelledExample, number>();
  for (const [label, group] of byLabel(examples)) {
    const tasks = plans.flatMap(({ labels }, task) => (labels.includes(label) ? [task] : []));
    const order = tasks.length > 1 ? shuffled(group, rng.fork(label)) : group;
    order.forEach((example, i) => {
      taskOf.set(example, tasks[i % tasks.length] ?? -1);
    });
  }
  const result: LabelledExample[][] = plans.map(() => []);
  for (const example of examples) result[taskOf.get(example) ?? -1]?.push(example);
  return result;
}

/**
 * Splits a validation part off, the same fraction of every class (rounded), at least one example of which stays.
 * Both parts keep the file's order.
 */
export function splitValidation(
  examples: readonly LabelledExample[],
  fraction: number,
  rng: Rng,
): { train: LabelledExample[]; validation: LabelledExample[] } {
  const chosen = new Set<LabelledExample>();
  for (const [label, group] of byLabel(examples)) {
    const count = Math.min(Math.round(group.length * fraction), group.length - 1);
    for (const example of shuffled(group, rng.fork(label)).slice(0, count)) chosen.add(example);
  }
  return {
    train: examples.filter((example) => !chosen.has(example)),
    validation: examples.filter((example) => chosen.has(example)),
  };
}
