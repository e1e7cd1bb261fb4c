/** Joining what two stores learned. */
import { checkSameConstants } from "../../continual/routing/statistics.ts";
import { canonicalJson } from "../../io/hash.ts";
import type { ManifestTask } from "../manifest.ts";
import { requireFinished } from "./adopted.ts";
import type { Beginning } from "./building.ts";
import type { Workplace } from "./learning.ts";
import { between, checkAlike, checkSameLength, checkStructure, type Sides } from "./likeness.ts";
import { readSettings, requireLearnable } from "./settings.ts";
import { readStore, type StoreManifest } from "./storeFolder.ts";
import { readFiles, readTasks, type StoreTask } from "./tasks.ts";
import type { Merged } from "./types.ts";

/** A name that no task has: `travel`, `travel.2`, … */
function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}.${n}`;
    if (!taken.has(candidate)) return candidate;
  }
}

/** Byte for byte, and under one name. */
function isSame(a: ManifestTask, b: ManifestTask): boolean {
  return a.name === b.name && canonicalJson(a.adapter.files) === canonicalJson(b.adapter.files);
}

export interface Union {
  readonly tasks: readonly StoreTask[];
  /** What came, and what it was called. */
  readonly came: Merged["tasks"];
}

/** @throws StoreError if features were made otherwise than those of this store */
function checkFeatures({ before }: Workplace, incoming: readonly StoreTask[], { sides }: Other): void {
  const own = before.tasks.find(({ statistics }) => statistics !== undefined)?.statistics;
  for (const { statistics } of incoming)
    if (own !== undefined && statistics !== undefined)
      between(sides, () => checkSameConstants(own.constants, statistics.constants));
}

interface Other {
  /** Folder of the store that is taken in. */
  readonly other: string;
  readonly sides: Sides;
}

/**
 * Reads what another store learned, as far as it can stand beside what this one did.
 * @throws StoreError if the two do not fit
 */
async function readOther(place: Workplace, from: Other): Promise<readonly StoreTask[]> {
  const { before, model } = place;
  const { other, sides } = from;
  await requireFinished(other);
  const theirs = await readStore(other);
  checkAlike(before.manifest, theirs, sides);
  const settings = await readSettings(other);
  requireLearnable(settings, other, "begun");
  checkSameLength(model, settings, sides);
  const incoming = await readTasks(other, theirs);
  checkFeatures(place, incoming, from);
  for (const task of incoming) checkStructure(model, task, sides);
  return incoming;
}

/**
 * Copies the tasks of another store into this one. A task that is there already, byte for byte, comes once; another one
 * of the same name gets a new name.
 * @param called what messages call this store
 * @throws StoreError if the two do not fit
 */
export async function mergeTasks(
  place: Workplace,
  other: string,
  { called = place.folder.path, signal }: { readonly called?: string; readonly signal?: AbortSignal },
): Promise<Union> {
  const { folder, before } = place;
  const incoming = await readOther(place, { other, sides: { ours: called, theirs: other } });
  const tasks = [...before.tasks];
  const came: { name: string; was: string }[] = [];
  for (const task of incoming) {
    signal?.throwIfAborted();
    const was = task.entry.name;
    if (tasks.some((known) => isSame(known.entry, task.entry))) continue;
    const name = freeName(was, new Set(tasks.map(({ entry }) => entry.name)));
    const { adapter: _, slug: _slug, ...named } = task.entry;
    const slugs = tasks.map(({ entry }) => entry.slug);
    const written = await folder.writeTask({ ...named, name }, await readFiles(other, task.entry), slugs);
    tasks.push({ ...task, entry: written, where: folder.placeOf(written) });
    came.push({ name, was });
  }
  return { tasks, came };
}

function hasAdapters({ tasks }: Pick<StoreManifest, "tasks">): boolean {
  return tasks.some(({ statisticsOnly }) => statisticsOnly === undefined);
}

/**
 * What the union of two stores begins with: the settings of the first. Where that has no adapters, those of the second
 * come with their settings, so that it does not matter which one comes first.
 * @throws StoreError where one is no store, or learned what a store does not learn
 */
export async function unionOf(first: string, second: string): Promise<Beginning> {
  const ours = await readStore(first);
  const settings = await readSettings(first);
  requireLearnable(settings, first, "begun");
  const theirs = await readStore(second);
  const others = await readSettings(second);
  requireLearnable(others, second, "begun");
  const { store: _, tasks: _tasks, dataHash: _data, configHash: _hash, ...manifest } = ours;
  if (hasAdapters(ours) || !hasAdapters(theirs)) return { settings, manifest };
  const { method, head, training } = others;
  return { settings: { ...settings, method, head, training }, manifest };
}
