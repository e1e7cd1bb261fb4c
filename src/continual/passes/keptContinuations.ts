/** What adapters said of prompts that are asked again: an adapter never changes, so each pair is computed once. */
import type { Continuation } from "../../generate/greedy.ts";
import type { LearnedTask } from "../types.ts";
import type { GenerativeBackbone } from "./generativeBackbone.ts";

export class KeptContinuations {
  private readonly byTask = new WeakMap<LearnedTask, (Continuation | undefined)[]>();

  private of(task: LearnedTask): (Continuation | undefined)[] {
    const known = this.byTask.get(task) ?? [];
    this.byTask.set(task, known);
    return known;
  }

  /**
   * What each prompt's own adapter says, all that is not known in common batches.
   * @param prompts the same in every call
   * @param tasks one a prompt; undefined where nobody is asked
   */
  async speak(
    model: GenerativeBackbone,
    prompts: readonly (readonly number[])[],
    tasks: readonly (LearnedTask | undefined)[],
    signal?: AbortSignal,
  ): Promise<readonly (Continuation | undefined)[]> {
    const open = tasks.flatMap((task, i) =>
      task === undefined || this.of(task)[i] !== undefined ? [] : { task, i },
    );
    const said = await model.speakEach(
      open.map(({ task }) => task),
      open.map(({ i }) => prompts[i]!),
      signal,
    );
    open.forEach(({ task, i }, row) => {
      this.of(task)[i] = said[row];
    });
    return tasks.map((task, i) => (task === undefined ? undefined : this.of(task)[i]));
  }
}
