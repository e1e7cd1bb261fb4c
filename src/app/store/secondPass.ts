/** Whether a second pass, through adapters, gains anything: counted on held-out texts of a task when it is learned. */

import type { Fusion } from "../../continual/routing/fusion.ts";
import { layOut } from "../../continual/routing/fusion.ts";
import {
  addFusionCounts,
  chooseFusion,
  countFusion,
  type FusionCounts,
  gatheringFusion,
} from "../../continual/routing/fusionFit.ts";
import { askingHeads, gatherEvidence, type RoutedTask } from "../../continual/routing/routedPrediction.ts";
import type { FeatureConstants, Router } from "../../continual/routing/types.ts";
import type { LabelledExample } from "../../data/types.ts";
import type { StoreModel } from "./storeModel.ts";
import type { StoreTask } from "./tasks.ts";

/**
 * Counts what a second pass does to texts that neither the router nor the adapter of their task was fitted to.
 * @param tasks everything learned by then, the texts' own task among it
 */
export async function countSecondPass(
  model: StoreModel,
  tasks: readonly RoutedTask[],
  router: Router,
  constants: FeatureConstants,
  texts: readonly LabelledExample[],
  signal?: AbortSignal,
): Promise<FusionCounts> {
  const { reader, routing } = model;
  const { encodings } = reader.encode(texts, "validation");
  const features = await reader.routingFeatures(encodings, constants, signal);
  const posterior = await router.posterior(features, signal);
  const layout = layOut(router.labels, tasks);
  const ask = askingHeads(reader, tasks, encodings, signal);
  const evidence = await gatherEvidence(posterior, layout, gatheringFusion(routing.topTasks), tasks, ask);
  return countFusion(texts, router.labels, posterior, evidence, layout);
}

/** What all tasks' counts say together. */
export function fusionOf({ routing }: StoreModel, tasks: readonly StoreTask[]): Fusion {
  const counts = addFusionCounts(tasks.flatMap((task) => task.counts ?? []));
  return chooseFusion(counts, routing.topTasks, routing.secondPass);
}
