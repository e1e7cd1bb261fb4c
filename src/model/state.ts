/** Everything learned so far, as an immutable value. Learning is a function from one to the next. */
import type { SelectorState } from "../continual/newlora/selectorState.ts";
import type { RoutedTask } from "../continual/routing/taskRouting.ts";
import type { TaskType } from "../continual/taskTypes/taskType.ts";
import type { SavedAdapter } from "../peft/types.ts";

/** A task as it was learned. A change makes a new one; what is not changed stays the same object. */
export interface TaskState extends RoutedTask {
  /** Its adapter with its head, as it is written; absent where statistics alone were learned. */
  readonly saved?: SavedAdapter;
  /** NewLoRA's network as it was after the task. */
  readonly selector?: SelectorState;
  /** Where its adapter was trained, if not on the processor. */
  readonly trainedOn?: "webgpu";
  /** Classes that the adapter saw in training and that are forgotten. */
  readonly forgotten?: number;
}

export interface ModelState {
  /** In the order of learning. */
  readonly tasks: readonly TaskState[];
}

export const emptyState: ModelState = { tasks: [] };

/** The task that holds texts of no class. */
export const OUTSIDE_TASK = "(outside)";

/** Tasks with classes: all but the one of texts of no class. */
export function tasksWithClasses<T extends { readonly labels: readonly string[] }>(
  tasks: readonly T[],
): readonly T[] {
  return tasks.filter(({ labels }) => labels.length > 0);
}

/** Every class, sorted by code unit; of words the entity types. */
export function classesOf({ tasks }: ModelState, type: Pick<TaskType, "classNames">): readonly string[] {
  return [...new Set(tasks.flatMap(({ labels }) => type.classNames(labels)))].sort();
}

/** The state with a task in the place of the one of its name, or behind all others. */
export function withTask({ tasks }: ModelState, task: TaskState): ModelState {
  const at = tasks.findIndex(({ name }) => name === task.name);
  return { tasks: at < 0 ? [...tasks, task] : tasks.toSpliced(at, 1, task) };
}

export function countRows({ rows }: Pick<TaskState, "rows">): number {
  return (rows?.contributions ?? []).reduce((sum, contribution) => sum + contribution.rows.rows, 0);
}
