/** One version of a store in memory. It never changes: whoever predicts with it sees that version. */
import type { LearnedTask } from "../../continual/adaptedBackbone.ts";
import type { RoutedTask } from "../../continual/routing/routedPrediction.ts";
import { ClassStatistics, checkSameConstants } from "../../continual/routing/statistics.ts";
import type { FeatureConstants } from "../../continual/routing/types.ts";
import { CheckpointError } from "../../core/errors.ts";
import { readStore, type StoreManifest } from "./storeFolder.ts";
import type { StoreModel } from "./storeModel.ts";
import { readTasks, type StoreTask } from "./tasks.ts";

export interface Snapshot {
  readonly manifest: StoreManifest;
  readonly tasks: readonly StoreTask[];
  /** Tasks with an adapter, in the order of learning. */
  readonly learned: readonly LearnedTask[];
  /** All tasks, as texts are routed among them. */
  readonly routed: readonly RoutedTask[];
  readonly statistics: ClassStatistics;
}

/** @throws StoreError if tasks have statistics of features that were made otherwise */
export function gather(constants: FeatureConstants, tasks: readonly StoreTask[]): ClassStatistics {
  for (const { statistics } of tasks)
    if (statistics !== undefined) checkSameConstants(constants, statistics.constants);
  return ClassStatistics.empty(constants).with(
    tasks.flatMap(({ statistics }) => statistics?.contributions ?? []),
  );
}

function routedTask(task: StoreTask, model: StoreModel): RoutedTask {
  const learned = model.restore(task);
  const { name, labels } = task.entry;
  return { name, labels, ...(learned && { learned }) };
}

export function takeSnapshot(
  manifest: StoreManifest,
  tasks: readonly StoreTask[],
  model: StoreModel,
  statistics: ClassStatistics,
): Snapshot {
  const routed = tasks.map((task) => routedTask(task, model));
  const learned = routed.flatMap((task) => task.learned ?? []);
  return { manifest, tasks, learned, routed, statistics };
}

/**
 * Reads the present version. A purge may take files away between the manifest and them: then there is a newer manifest.
 * @throws CheckpointError where a file is missing or damaged
 */
export async function readSnapshot(folder: string, model: StoreModel): Promise<Snapshot> {
  for (let manifest = await readStore(folder); ; ) {
    try {
      const tasks = await readTasks(folder, manifest);
      return takeSnapshot(manifest, tasks, model, gather(model.constants(tasks), tasks));
    } catch (error) {
      const now = await readStore(folder);
      if (!(error instanceof CheckpointError) || now.store.version === manifest.store.version) throw error;
      manifest = now;
    }
  }
}
