/** Whether the classes of a state can be compared with each other, and by what. */
import { StoreError } from "../core/errors.ts";
import { type TaskState, tasksWithClasses } from "./state.ts";

/** What nothing compares, and what would. */
export interface Incomparable {
  readonly message: string;
  readonly hint: string;
}

/** What tells all classes apart: statistics where every task has them, else adapters where every task has one. */
export function comparisonOf(all: readonly TaskState[]): "statistics" | "adapters" | Incomparable {
  const tasks = tasksWithClasses(all);
  const bare = tasks.find(({ rows }) => rows === undefined)?.name;
  if (bare === undefined) return "statistics";
  const alone = tasks.find(({ learned }) => learned === undefined)?.name;
  if (alone === undefined) return "adapters";
  return {
    message: `task "${bare}" has an adapter and no statistics, "${alone}" statistics and no adapter: nothing compares their classes`,
    hint: `Add statistics to the first: accrete learn <store> --task "${bare}" <its data> --statistics-only.`,
  };
}

/** @throws StoreError naming a task that has no adapter */
export function requireAdapters(tasks: readonly TaskState[]): void {
  const without = tasksWithClasses(tasks).find(({ learned }) => learned === undefined);
  if (without === undefined) return;
  throw new StoreError(`exact answers ask every task's adapter, and "${without.name}" has none`, {
    hint: "Leave exact out: its classes are told apart by their statistics.",
  });
}
