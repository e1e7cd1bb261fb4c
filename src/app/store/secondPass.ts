/** Whether a second pass, through adapters, gains anything, by what was counted when tasks were learned. */
import type { Fusion } from "../../continual/routing/fusion.ts";
import { addFusionCounts, chooseFusion } from "../../continual/routing/fusionFit.ts";
import type { StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";

/** What all tasks' counts say together. */
export function fusionOf({ routing }: StoreModel, tasks: readonly StoreTask[]): Fusion {
  const counts = addFusionCounts(tasks.flatMap((task) => task.counts ?? []));
  return chooseFusion(counts, routing.topTasks, routing.secondPass);
}
