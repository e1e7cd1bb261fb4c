/** What a store holds, told without its backbone. */
import { resolve } from "node:path";
import { keptVersions, readStore, readVersion } from "./storeFolder.ts";
import { readTotals } from "./storeTotals.ts";
import { countRows } from "./taskRows.ts";
import { readTasks, type StoreTask } from "./tasks.ts";
import type { StoreInfo, StoreTaskInfo, StoreVersionInfo } from "./types.ts";

function describeTask(task: StoreTask): StoreTaskInfo {
  const { entry, statistics } = task;
  const { name, labels, adapter, statisticsOnly, forgotten = 0 } = entry;
  const contributions = statistics?.contributions ?? [];
  return {
    name,
    labels,
    kind: statisticsOnly === undefined ? "adapter" : "statistics",
    rows: countRows(task),
    statisticsBytes: contributions.reduce((sum, { rows }) => sum + rows.values.byteLength, 0),
    folder: adapter.folder,
    id: adapter.id,
    forgotten,
  };
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
  const tasks = (await readTasks(path, manifest)).map(describeTask);
  const { version } = manifest.store;
  const totals = await readTotals(path, manifest);
  return {
    folder: path,
    version,
    backbone: { source: manifest.backbone.source, hash: manifest.backbone.hash },
    classes: new Set(tasks.flatMap(({ labels }) => labels)).size,
    tasks,
    contributions: totals === undefined ? "kept" : "none",
    statisticsBytes:
      totals?.retained().bytes ?? tasks.reduce((sum, { statisticsBytes }) => sum + statisticsBytes, 0),
    versions: await history(path, version),
  };
}
