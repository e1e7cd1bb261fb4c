/** What a store holds, told without its backbone. */
import { resolve } from "node:path";
import { type Contribution, compareCodeUnits, retainedOf } from "../../continual/routing/statistics.ts";
import { keptVersions, readStore, readVersion } from "./storeFolder.ts";
import { readTasks, type StoreTask } from "./tasks.ts";
import type { StoreClassInfo, StoreInfo, StoreTaskInfo, StoreVersionInfo } from "./types.ts";

function countRows(contributions: readonly Contribution[]): number {
  return contributions.reduce((sum, { rows }) => sum + rows.rows, 0);
}

function describeTask({ entry, statistics }: StoreTask): StoreTaskInfo {
  const kept = statistics?.contributions ?? [];
  const { name, labels, adapter, statisticsOnly, forgotten = 0 } = entry;
  return {
    name,
    labels,
    kind: statisticsOnly === undefined ? "adapter" : "statistics",
    rows: countRows(kept),
    statisticsBytes: retainedOf(kept).bytes,
    folder: adapter.folder,
    id: adapter.id,
    forgotten,
  };
}

/** What is kept of each class, wherever it was learned. */
function describeClasses(tasks: readonly StoreTask[]): StoreClassInfo[] {
  const kept = tasks.flatMap(({ statistics }) => statistics?.contributions ?? []);
  const { bytesPerClass } = retainedOf(kept);
  const labels = new Set(tasks.flatMap(({ entry }) => entry.labels));
  return [...labels].sort(compareCodeUnits).map((label) => ({
    label,
    tasks: tasks.flatMap(({ entry: { name, labels } }) => (labels.includes(label) ? name : [])),
    rows: countRows(kept.filter((each) => each.label === label)),
    statisticsBytes: bytesPerClass.get(label) ?? 0,
  }));
}

async function history(folder: string, present: number): Promise<StoreVersionInfo[]> {
  const earlier = (await keptVersions(folder)).filter((version) => version !== present);
  const versions: StoreVersionInfo[] = [];
  for (const version of [...earlier, present].reverse()) {
    const { change, time } = (await readVersion(folder, version)).store;
    versions.push({ version, change, ...(time !== "" && { time }) });
  }
  return versions;
}

/**
 * Looks into a store, or into a run as the store that it may become; checks every file against its hash.
 * @throws StoreError if there is none; CheckpointError where a file is missing or damaged
 */
export async function describeStore(folder: string): Promise<StoreInfo> {
  const path = resolve(folder);
  const manifest = await readStore(path);
  const tasks = await readTasks(path, manifest);
  const { version } = manifest.store;
  const perClass = describeClasses(tasks);
  return {
    folder: path,
    version,
    backbone: { source: manifest.backbone.source, hash: manifest.backbone.hash },
    classes: perClass.length,
    tasks: tasks.map(describeTask),
    perClass,
    statisticsBytes: perClass.reduce((sum, each) => sum + each.statisticsBytes, 0),
    versions: await history(path, version),
  };
}
