/** What a store holds, told without its backbone. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { type Contribution, compareCodeUnits, retainedOf } from "../continual/statistics/statistics.ts";
import { type RouterStage, routerStages } from "../continual/types.ts";
import type { RunLevel } from "../core/record.ts";
import { typeOf } from "../data/files/tags.ts";
import { readModelSettings } from "../model/settings/settings.ts";
import type { ManifestTask } from "../workspace/manifest.ts";
import {
  contributionsOf,
  damageHintOf,
  keptVersions,
  readStore,
  readVersion,
  type StoreManifest,
  verifiedTaskFolder,
} from "../workspace/reading.ts";
import { routerPlace } from "../workspace/routers.ts";

/** A task as a store lists it. */
export interface StoreTaskInfo {
  readonly name: string;
  /** Its classes; of words entity types. */
  readonly labels: readonly string[];
  /** `adapter`: has an adapter and a head; `statistics`: only feature rows. */
  readonly kind: "adapter" | "statistics";
  /** Feature rows that are kept; 0 where an experiment without a router learned the task. */
  readonly rows: number;
  /** Of these rows. */
  readonly statisticsBytes: number;
  readonly folder: string;
  readonly id: string;
  /** Classes that its adapter saw and the store has forgotten. */
  readonly forgotten: number;
}

/** A class as a store lists it; of words an entity type. */
export interface StoreClassInfo {
  readonly label: string;
  /** Those that have learned it. */
  readonly tasks: readonly string[];
  /** Feature rows that are kept of it. */
  readonly rows: number;
  readonly statisticsBytes: number;
}

/** A version of a store. */
export interface StoreVersionInfo {
  readonly version: number;
  readonly change: string;
  /** ISO 8601 in UTC; absent for the experiment that a store began as. */
  readonly time?: string;
}

/** What a store has learned. */
export interface StoreInfo {
  readonly folder: string;
  readonly version: number;
  readonly backbone: { readonly source: string; readonly hash: string };
  readonly classes: number;
  readonly tasks: readonly StoreTaskInfo[];
  /**
   * The router that answers: `consolidated`, or `immediate` where `consolidate` has yet to fit the one that takes over; absent
   * where none was fitted, or none is needed.
   */
  readonly router?: RouterStage;
  /** Sorted by code unit. */
  readonly perClass: readonly StoreClassInfo[];
  readonly statisticsBytes: number;
  /** The present version and those before it that are kept, newest first. */
  readonly versions: readonly StoreVersionInfo[];
}

interface ListedTask {
  readonly entry: ManifestTask;
  readonly classes: readonly string[];
  readonly contributions: readonly Contribution[];
}

function countRows(contributions: readonly Contribution[]): number {
  return contributions.reduce((sum, { rows }) => sum + rows.rows, 0);
}

function describeTask({ entry, classes, contributions }: ListedTask): StoreTaskInfo {
  const { name, adapter, statisticsOnly, forgotten = 0 } = entry;
  return {
    name,
    labels: classes,
    kind: statisticsOnly === undefined ? "adapter" : "statistics",
    rows: countRows(contributions),
    statisticsBytes: retainedOf(contributions).bytes,
    folder: adapter.folder,
    id: adapter.id,
    forgotten,
  };
}

/** The class that a label is of: itself; of a tag the entity type, of `O` none. */
const classOf: { readonly [L in RunLevel]: (label: string) => string | undefined } = {
  sentence: (label) => label,
  word: typeOf,
};

/** What is kept of each class, wherever it was learned. */
function describeClasses(tasks: readonly ListedTask[], level: RunLevel): StoreClassInfo[] {
  const names = [...new Set(tasks.flatMap(({ classes }) => classes))].sort(compareCodeUnits);
  const kept = new Map<string | undefined, Contribution[]>();
  for (const each of tasks.flatMap(({ contributions }) => contributions)) {
    const name = classOf[level](each.label);
    kept.set(name, [...(kept.get(name) ?? []), each]);
  }
  return names.map((name) => ({
    label: name,
    tasks: tasks.flatMap(({ entry, classes }) => (classes.includes(name) ? entry.name : [])),
    rows: countRows(kept.get(name) ?? []),
    statisticsBytes: retainedOf(kept.get(name) ?? []).bytes,
  }));
}

async function listTasks(
  path: string,
  { tasks, ...manifest }: StoreManifest,
  level: RunLevel,
): Promise<readonly ListedTask[]> {
  const hint = damageHintOf(manifest);
  return await Promise.all(
    tasks.map(async (entry): Promise<ListedTask> => {
      await verifiedTaskFolder(path, entry, hint);
      return {
        entry,
        classes: [...new Set(entry.labels.flatMap((label) => classOf[level](label) ?? []))],
        contributions: await contributionsOf(path, entry),
      };
    }),
  );
}

/** The classes of a version that is kept, as the present one lists them. */
export async function classesOfVersion(folder: string, version: number): Promise<readonly StoreClassInfo[]> {
  const path = resolve(folder);
  const { level } = await readModelSettings(path);
  return describeClasses(await listTasks(path, await readVersion(path, version), level), level);
}

async function history(folder: string, present: number): Promise<StoreVersionInfo[]> {
  const earlier = (await keptVersions(folder)).filter((version) => version !== present);
  const versions: StoreVersionInfo[] = [];
  for (const version of [...earlier, present].reverse()) {
    const { change, time } = await readVersion(folder, version).then(
      ({ store }) => store,
      () => ({ change: "cannot be read: see accrete check", time: "" }),
    );
    versions.push({ version, change, ...(time !== "" && { time }) });
  }
  return versions;
}

/**
 * Looks into a store, or into a run as the store that it may become; checks every file against its hash.
 * @throws StoreError if there is none; CheckpointError where a file is missing or damaged
 */
export async function describeStore(folder: string): Promise<StoreInfo> {
  checkArguments("describeStore", { folder });
  const path = resolve(folder);
  const manifest = await readStore(path);
  const { level } = await readModelSettings(path);
  const tasks = await listTasks(path, manifest, level);
  const { version } = manifest.store;
  const router = routerStages.findLast((stage) => existsSync(join(path, routerPlace(version, stage))));
  const perClass = describeClasses(tasks, level);
  return {
    folder: path,
    version,
    backbone: { source: manifest.backbone.source, hash: manifest.backbone.hash },
    classes: perClass.length,
    ...(router && { router }),
    tasks: tasks.map(describeTask),
    perClass,
    statisticsBytes: retainedOf(tasks.flatMap(({ contributions }) => contributions)).bytes,
    versions: await history(path, version),
  };
}
