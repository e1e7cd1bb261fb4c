import { DataError } from "../core/errors.ts";
import { type Rng, shuffled } from "../core/random.ts";
import type { Example, LabelledExample, PublishedSplits } from "./files/types.ts";
import { checkOrder, countOf, firstRepeated, hintNearest, labelKind, quoted } from "./names.ts";
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
  return checkOrder(labelKind, order, labels);
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
 *
 * @param known labels of the training data
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
  const owners = new Map<string, number[]>();
  for (const [task, { labels }] of plans.entries())
    for (const label of labels) owners.set(label, [...(owners.get(label) ?? []), task]);
  const taskOf = new Map<LabelledExample, number>();
  for (const [label, group] of byLabel(examples)) {
    const tasks = owners.get(label) ?? [];
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

/** What two texts have in common when they count as the same: NFC, trimmed, lower case. */
export function textKey({ text, textPair }: Example): string {
  const key = (part: string) => part.normalize("NFC").trim().toLowerCase();
  return textPair === undefined ? key(text) : `${key(text)}\u0000${key(textPair)}`;
}

/** What train and test must not share: what makes two items the same, and how a message shows them. */
export interface Items<T> {
  readonly several: string;
  /** One of them in a file. */
  readonly one: string;
  readonly keyOf: (item: T) => string;
  readonly show: (item: T) => string;
}

/** Train without the items that test has too, or with them, as the policy says; `notes` says how many. */
export function withoutOverlap<T>(
  { train, test }: PublishedSplits<T>,
  policy: "drop" | "refuse" | "allow",
  { several, one, keyOf, show }: Items<T>,
  notes: string[],
): readonly T[] {
  const keys = new Set(test.map(keyOf));
  const shared = new Set(train.filter((item) => keys.has(keyOf(item))));
  const [first] = shared;
  if (first === undefined) return train;
  const example = show(first);
  if (policy === "refuse")
    throw new DataError(`train shares ${several} with test: ${countOf(shared.size, one)}, e.g. ${example}`, {
      hint: "Remove them from train, or set stream.allowOverlap: true.",
    });
  if (policy === "drop") {
    notes.push(`Dropped ${countOf(shared.size, `train ${one}`)} whose text is in test, e.g. ${example}.`);
    return train.filter((item) => !shared.has(item));
  }
  notes.push(`Train keeps ${countOf(shared.size, one)} whose text is in test, as allowOverlap says.`);
  return train;
}
