/** Probing as a part of a run over sentences. */
import type { AdaptedBackbone } from "../continual/adaptedBackbone.ts";
import { probeTasks } from "../continual/probeTasks.ts";
import type { Task } from "../data/types.ts";
import type { ResolvedConfig } from "./configSchema.ts";
import type { Course } from "./experimentKind.ts";

/** @returns what probes after each task; nothing where the configuration asks for no probe */
export function probingOf(
  { probing: kinds = [] }: Pick<ResolvedConfig, "probing">,
  model: AdaptedBackbone,
  tasks: readonly Task[],
  seed: number,
): Pick<Course, "probe"> {
  if (kinds.length === 0) return {};
  return {
    probe: async (learned, newest, time, signal) => {
      const options = { seed, kinds, ...(signal !== undefined && { signal }) };
      const { value, seconds } = await time.probing(() => probeTasks(model, newest, tasks, options));
      return { type: "probed", learned, accuracies: value, seconds };
    },
  };
}
