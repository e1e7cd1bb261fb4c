// Dimensions: n texts, S stacked tasks.

import { GraphError } from "../../core/errors.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { stackParameters } from "../../train/mixedGraph.ts";
import type { LearnedTask } from "../types.ts";

/** Tasks whose parameters lie stacked, and where. */
export interface TaskStack {
  readonly parameters: Readonly<Record<string, HostTensor<"float32">>>;
  readonly slots: ReadonlyMap<LearnedTask, number>;
}

/**
 * The tasks that texts belong to, one a text.
 * @param taskOf (n), indices into `tasks`
 * @throws GraphError unless it names a task for each of the texts
 */
export function tasksOfTexts(
  tasks: readonly LearnedTask[],
  taskOf: Int32Array,
  texts: number,
): readonly LearnedTask[] {
  if (taskOf.length !== texts)
    throw new GraphError(`mixed batch: ${texts} texts, but ${taskOf.length} say which task is theirs`);
  return Array.from(taskOf, (index, text) => {
    const task = tasks[index];
    if (task === undefined)
      throw new GraphError(`mixed batch: text ${text} wants task ${index}, but there are ${tasks.length}`);
    return task;
  });
}

/** Keeps the stack from call to call, so that parameters are copied when a task is first asked for and then no more. */
export class TaskStacks {
  private latest: TaskStack | undefined;

  /**
   * A stack with at least the tasks that are needed; only they are stacked, with those known of before.
   * @param tasks what may be needed later: whatever else was stacked is let go
   */
  holding(needed: readonly LearnedTask[], tasks: readonly LearnedTask[]): TaskStack {
    const { latest } = this;
    if (latest !== undefined && needed.every((task) => latest.slots.has(task))) return latest;
    const wanted = new Set(needed);
    const stacked = [...new Set(tasks)].filter(
      (task) => wanted.has(task) || latest?.slots.has(task) === true,
    );
    this.latest = {
      parameters: stackParameters(stacked),
      slots: new Map(stacked.map((task, slot) => [task, slot])),
    };
    return this.latest;
  }
}
