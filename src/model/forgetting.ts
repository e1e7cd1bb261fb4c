/**
 * What is forgotten. Statistics are sums over contributions that are kept apart, so that what is left when a class is
 * taken away is what would be there had it never been seen. An adapter that saw the class in training cannot be
 * undone like that: its head loses the slot, and it is named.
 */

import { withoutTags } from "../continual/routing/tagCounts.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { float32, type HostTensor } from "../core/tensor.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { ContinualModel } from "./continualModel.ts";
import { classesOf, countRows, type ModelState, type TaskState } from "./state.ts";

/** What is to be forgotten: a class (or entity type) wherever it was learned, or a task with its adapter. */
export type ForgetTarget = { readonly class: string } | { readonly task: string };

export interface Forgotten {
  readonly state: ModelState;
  /** Classes that are known no more. */
  readonly classes: readonly string[];
  /** Feature rows that left the statistics. */
  readonly rows: number;
  readonly deletedTasks: readonly string[];
  /** Of these those that had an adapter. */
  readonly deletedAdapters: readonly string[];
  /** Tasks whose adapters stay and saw the class in training; their heads have no slot for it any more. */
  readonly adaptersThatSaw: readonly string[];
}

function unknown(what: "class" | "task", name: string, known: readonly string[]): StoreError {
  const near = nearest(name, known);
  return new StoreError(
    `no ${what} called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    {
      code: "NO_SUCH_CLASS",
      hint: `${known.length === 0 ? "It knows nothing." : "accrete ls shows what it knows."} What earlier versions alone still hold goes with accrete forget <store> --purge.`,
    },
  );
}

function takeSlots(tensor: HostTensor<"float32">, slots: readonly number[]): HostTensor<"float32"> {
  const [classes = 1, ...rest] = tensor.dims;
  const width = tensor.data.length / classes;
  const kept = new Float32Array(slots.length * width);
  slots.forEach((slot, row) => {
    kept.set(tensor.data.subarray(slot * width, (slot + 1) * width), row * width);
  });
  return float32(kept, [slots.length, ...rest]);
}

/** The same adapter with a head that has no slots for some labels. @throws CheckpointError if it should have a head */
export function withoutSlots(saved: SavedAdapter, gone: ReadonlySet<string>, where: string): SavedAdapter {
  const { head, labels } = saved;
  const slots = labels.flatMap((label, slot) => (gone.has(label) ? [] : slot));
  const left = slots.map((slot) => labels[slot] ?? "");
  if (saved.causal !== undefined) return { ...saved, labels: left };
  if (head === undefined) throw new CheckpointError(`${where}: the adapter has no head`);
  const perSlot = ["weight", "bias"];
  const tensors = new Map(
    [...head.tensors].map(
      ([name, tensor]) => [name, perSlot.includes(name) ? takeSlots(tensor, slots) : tensor] as const,
    ),
  );
  return { ...saved, head: { ...head, tensors }, labels: left };
}

/** A task as it is without some labels, undefined where nothing is left of it. */
function taskWithout(
  model: ContinualModel,
  task: TaskState,
  gone: ReadonlySet<string>,
): TaskState | undefined {
  const labels = task.labels.filter((label) => !gone.has(label));
  if (model.type.classNames(labels).length === 0) return undefined;
  const { saved, rows, name } = task;
  const kept = saved && withoutSlots(saved, gone, name);
  return {
    ...task,
    labels,
    ...(kept && {
      saved: kept,
      learned: model.restore(name, kept, name),
      forgotten: (task.forgotten ?? 0) + 1,
    }),
    ...(rows && {
      rows: {
        ...rows,
        contributions: rows.contributions.filter(({ label }) => !gone.has(label)),
        ...(rows.tags && { tags: withoutTags(rows.tags, gone) }),
      },
    }),
  };
}

/**
 * Forgets a class wherever it was learned, or a task with its adapter.
 * @throws StoreError naming the nearest where there is no such class or task, and where what was learned is entangled
 */
export function forget(model: ContinualModel, state: ModelState, target: ForgetTarget): Forgotten {
  if (model.entangled !== undefined)
    throw new StoreError(`nothing can be forgotten: ${model.entangled}`, {
      hint: "Take the last change back with accrete rollback, or learn anew what is to stay.",
    });
  const left =
    "class" in target ? leftWithoutClass(model, state, target.class) : leftWithoutTask(state, target.task);
  const tasks = left.flatMap(({ after }) => after ?? []);
  const known = new Set(classesOf({ tasks }, model.type));
  const deleted = left.filter(({ after }) => after === undefined).map(({ before }) => before);
  const total = (all: readonly TaskState[]) => all.reduce((sum, task) => sum + countRows(task), 0);
  return {
    state: { tasks },
    classes: classesOf(state, model.type).filter((label) => !known.has(label)),
    rows: total(state.tasks) - total(tasks),
    deletedTasks: deleted.map(({ name }) => name),
    deletedAdapters: deleted.filter(({ saved }) => saved !== undefined).map(({ name }) => name),
    adaptersThatSaw: left.flatMap(({ before, after }) =>
      after !== undefined && after !== before && after.saved !== undefined ? before.name : [],
    ),
  };
}

interface Left {
  readonly before: TaskState;
  readonly after: TaskState | undefined;
}

function leftWithoutClass(model: ContinualModel, { tasks }: ModelState, name: string): readonly Left[] {
  const gone = new Set(model.type.labelsOfClass(name));
  const has = ({ labels }: TaskState) => labels.some((label) => gone.has(label));
  if (!tasks.some(has)) throw unknown("class", name, classesOf({ tasks }, model.type));
  return tasks.map((before) => ({ before, after: has(before) ? taskWithout(model, before, gone) : before }));
}

function leftWithoutTask({ tasks }: ModelState, name: string): readonly Left[] {
  const names = tasks.map((task) => task.name);
  if (!names.includes(name)) throw unknown("task", name, names);
  return tasks.map((before) => ({ before, after: before.name === name ? undefined : before }));
}
