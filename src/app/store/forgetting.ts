/**
 * What a store forgets. Statistics are sums over contributions that are kept apart, so that what is left when a class is
 * taken away is what would be there had it never been seen. An adapter that saw the class in training cannot be
 * undone like that: its head loses the slot, and it is named.
 */
import { StoreError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { encodePeftFolder } from "../../peft/checkpoint.ts";
import type { Workplace } from "./learning.ts";
import { rowsFiles } from "./taskRows.ts";
import { type StoreTask, withoutClass, withoutSlot } from "./tasks.ts";
import type { ForgetTarget } from "./types.ts";

export interface Forgetting {
  /** What is left, in the order of learning. */
  readonly tasks: readonly StoreTask[];
  readonly deletedTasks: readonly string[];
  /** Of these those that had an adapter. */
  readonly deletedAdapters: readonly string[];
  readonly adaptersThatSaw: readonly string[];
  /** In words, for the history; no name of what is forgotten. */
  readonly change: string;
}

function unknown(
  what: "class" | "task",
  name: string,
  known: Iterable<string>,
  { folder }: Workplace,
): StoreError {
  const names = [...known];
  const { parent } = folder.manifest.store;
  const earlier =
    parent === undefined
      ? ""
      : " What earlier versions alone still hold goes with accrete forget <store> --purge.";
  const near = nearest(name, names);
  return new StoreError(
    `${folder.path}: no ${what} called "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    { hint: `${names.length === 0 ? "It knows nothing." : "accrete ls shows what it knows."}${earlier}` },
  );
}

/** A task as it is without a class, undefined where nothing is left of it. */
async function taskWithout(
  { folder }: Workplace,
  task: StoreTask,
  label: string,
): Promise<StoreTask | undefined> {
  const { entry, saved, where } = task;
  const labels = entry.labels.filter((each) => each !== label);
  if (labels.length === 0) return undefined;
  const statistics = task.statistics && withoutClass(task.statistics, label);
  const kept = saved && withoutSlot(saved, label, where);
  const { adapter: _old, ...named } = entry;
  const written = await folder.writeTask(
    { ...named, labels, ...(saved && { forgotten: (entry.forgotten ?? 0) + 1 }) },
    new Map([...(kept === undefined ? [] : encodePeftFolder(kept)), ...rowsFiles(statistics)]),
  );
  return {
    entry: written,
    where: folder.placeOf(written),
    ...(kept && { saved: kept }),
    ...(statistics && { statistics }),
  };
}

function namesOf(deleted: readonly StoreTask[]): Pick<Forgetting, "deletedTasks" | "deletedAdapters"> {
  const names = (tasks: readonly StoreTask[]) => tasks.map(({ entry }) => entry.name);
  return {
    deletedTasks: names(deleted),
    deletedAdapters: names(deleted.filter(({ saved }) => saved !== undefined)),
  };
}

async function forgetClass(place: Workplace, label: string): Promise<Forgetting> {
  const { before } = place;
  if (!before.tasks.some(({ entry }) => entry.labels.includes(label)))
    throw unknown("class", label, new Set(before.tasks.flatMap(({ entry }) => entry.labels)), place);
  const tasks: StoreTask[] = [];
  const deleted: StoreTask[] = [];
  const adaptersThatSaw: string[] = [];
  for (const task of before.tasks) {
    if (!task.entry.labels.includes(label)) {
      tasks.push(task);
      continue;
    }
    const left = await taskWithout(place, task, label);
    if (left === undefined) deleted.push(task);
    else tasks.push(left);
    if (left?.saved !== undefined) adaptersThatSaw.push(task.entry.name);
  }
  return { tasks, ...namesOf(deleted), adaptersThatSaw, change: "forgot a class" };
}

function forgetTask(place: Workplace, name: string): Forgetting {
  const { before } = place;
  const names = before.tasks.map(({ entry }) => entry.name);
  if (!names.includes(name)) throw unknown("task", name, names, place);
  const tasks = before.tasks.filter(({ entry }) => entry.name !== name);
  const deleted = before.tasks.filter(({ entry }) => entry.name === name);
  return { tasks, ...namesOf(deleted), adaptersThatSaw: [], change: "forgot a task" };
}

/** @throws StoreError naming the nearest class or task where there is no such one */
export async function forget(place: Workplace, target: ForgetTarget): Promise<Forgetting> {
  return "class" in target ? await forgetClass(place, target.class) : forgetTask(place, target.task);
}
