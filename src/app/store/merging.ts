/** Joining what two stores learned. */
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ClassTotals } from "../../continual/routing/classTotals.ts";
import { StoreError } from "../../core/errors.ts";
import { canonicalJson, sha256Json } from "../../io/hash.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import { adapterHost, type ModelStructure } from "../../train/graphs.ts";
import type { ManifestTask } from "../manifest.ts";
import { fromSavedAdapter } from "../savedTask.ts";
import { requireFinished } from "./adopted.ts";
import { refuseFull } from "./create.ts";
import type { Workplace } from "./learning.ts";
import { readSettings, requireLearnable, writeSettings } from "./settings.ts";
import { readStore, StoreFolder, type StoreManifest } from "./storeFolder.ts";
import type { StoreModel } from "./storeModel.ts";
import { checkSameKeeping, readTotals } from "./storeTotals.ts";
import { readFiles, readTasks, type StoreTask } from "./tasks.ts";
import type { Merged } from "./types.ts";

/** @throws StoreError if the two were not learned on the same model, read in the same way */
function checkAlike(own: StoreManifest, other: StoreManifest, where: string): void {
  const checks = [
    ["backbone", own.backbone.hash, other.backbone.hash],
    ["tokenizer", own.backbone.tokenizerHash, other.backbone.tokenizerHash],
    ["feature", JSON.stringify(own.feature), JSON.stringify(other.feature)],
  ] as const;
  for (const [what, ours, theirs] of checks)
    if (ours !== theirs)
      throw new StoreError(
        `${where}: has another ${what}, so that the two cannot be merged: ${theirs}, not ${ours}`,
        {
          hint: "Only stores on the same backbone, with the same feature, can be merged; learn the tasks of one anew.",
        },
      );
}

/** @throws StoreError if features hang on the tasks that were learned */
function refuseFirstSession(tasks: readonly StoreTask[], where: string): void {
  if (tasks.every(({ statistics }) => statistics?.constants.firstSession === undefined)) return;
  throw new StoreError(`${where}: its features are those of its first task's adapter (first-session)`, {
    hint: "Such stores cannot be merged: learn the tasks of one in the other.",
  });
}

function describe({
  structure,
  prompt,
}: {
  readonly structure: ModelStructure;
  readonly prompt: string | undefined;
}) {
  return JSON.stringify({
    ...adapterMethod(structure.adapter).describe(adapterHost(structure)),
    ...structure.feature,
    head: structure.head.kind,
    ...(prompt !== undefined && { prompt }),
  });
}

/** One graph serves all adapters. @throws StoreError if an adapter is built otherwise than the store's */
function checkStructure(model: StoreModel, { entry, saved, where }: StoreTask): void {
  if (saved === undefined) return;
  const theirs = describe(fromSavedAdapter(entry.name, saved, model.loaded, where));
  const ours = describe({ structure: model.structure, prompt: model.reader.prompt });
  if (theirs !== ours)
    throw new StoreError(`${where}: its adapter is built otherwise: ${theirs}; the store has ${ours}`, {
      hint: "Only adapters of the same method, head and prompt can stand side by side.",
    });
}

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
  /** What both counted, where both keep totals alone. */
  readonly totals?: ClassTotals;
}

/** @throws StoreError if one keeps rows and the other totals, or both have counted the same rows into their totals */
async function joinTotals(
  { before }: Workplace,
  theirs: StoreManifest,
  incoming: readonly StoreTask[],
  other: string,
): Promise<ClassTotals | undefined> {
  const ours = before.statistics;
  const totals = await readTotals(other, theirs);
  checkSameKeeping(ours, totals, incoming, other);
  if (!(ours instanceof ClassTotals)) return undefined;
  if (totals === undefined) return ours;
  return ours.merge(totals);
}

/**
 * Copies the tasks of another store into this one. A task that is there already, byte for byte, comes once; another one
 * of the same name gets a new name.
 * @throws StoreError if the two do not fit
 */
export async function mergeTasks(place: Workplace, other: string, signal?: AbortSignal): Promise<Union> {
  const { folder, before, model } = place;
  await requireFinished(other);
  const theirs = await readStore(other);
  checkAlike(before.manifest, theirs, other);
  const incoming = await readTasks(other, theirs);
  refuseFirstSession(before.tasks, folder.path);
  refuseFirstSession(incoming, other);
  for (const task of incoming) checkStructure(model, task);
  const totals = await joinTotals(place, theirs, incoming, other);
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
  return { tasks, came, ...(totals && { totals }) };
}

/**
 * Begins a store with the settings of another and nothing learned, builds it beside its place, and puts it there when
 * it is whole.
 * @param fill teaches it
 * @throws StoreError if the place is not free
 */
export async function buildBeside<T>(
  model: string,
  out: string,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const path = resolve(out);
  await refuseFull(path);
  const { store: _, tasks: _tasks, totals: _totals, dataHash: _data, ...header } = await readStore(model);
  const settings = await readSettings(model);
  requireLearnable(settings, model);
  const beside = join(
    dirname(path),
    `.tmp-${basename(path)}-${process.pid}-${randomBytes(4).toString("hex")}`,
  );
  try {
    await mkdir(beside, { recursive: true });
    await writeSettings(beside, settings);
    await StoreFolder.begin(beside, { ...header, configHash: sha256Json(settings), tasks: [] }, "begun");
    const result = await fill(beside);
    await rm(path, { recursive: true, force: true });
    await rename(beside, path);
    return result;
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}
