/** Between a task's state and its files: an adapter folder as peft has it, and files of our own beside it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSelector, encodeSelector, selectorFile } from "../continual/newlora/selectorState.ts";
import { decodeTagCounts, encodeTagCounts, tagCountsFile } from "../continual/routing/tagCounts.ts";
import type { TaskRows } from "../continual/routing/taskRouting.ts";
import { decodeContributions, encodeContributions } from "../continual/statistics/contributionFile.ts";
import { distinctContributions } from "../continual/statistics/statistics.ts";
import { sha256, sha256Json } from "../io/hash.ts";
import { featureWidth } from "../nn/features.ts";
import { encodePeftFolder, readPeftFolder } from "../peft/checkpoint.ts";
import type { ContinualModel } from "./continualModel.ts";
import type { TaskState } from "./state.ts";

export const statisticsFile = "statistics.safetensors";

/** Files of ours beside an adapter, which its identity does not depend on. */
const companionFiles: ReadonlySet<string> = new Set([statisticsFile, tagCountsFile, selectorFile]);

/** What a folder has to say of a task besides its files. */
export interface TaskRecord {
  readonly name: string;
  readonly labels: readonly string[];
  readonly statisticsOnly?: true | undefined;
  readonly forgotten?: number | undefined;
  readonly trainedOn?: "webgpu" | undefined;
}

/** Every file of a task, by name; a function of its state. */
export function encodeTask({ saved, rows, selector }: TaskState): ReadonlyMap<string, Uint8Array> {
  const files = new Map(saved === undefined ? [] : encodePeftFolder(saved));
  if (rows !== undefined) {
    files.set(statisticsFile, encodeContributions(rows));
    if (rows.tags !== undefined) files.set(tagCountsFile, encodeTagCounts(rows.tags));
  }
  if (selector !== undefined) files.set(selectorFile, encodeSelector(selector));
  return files;
}

export function recordOf({ name, labels, saved, forgotten, trainedOn }: TaskState): TaskRecord {
  return {
    name,
    labels,
    ...(saved === undefined && { statisticsOnly: true }),
    ...(forgotten !== undefined && { forgotten }),
    ...(trainedOn !== undefined && { trainedOn }),
  };
}

/** SHA-256 of each file, by name in code-unit order. */
export function hashFiles(files: ReadonlyMap<string, Uint8Array>): Readonly<Record<string, string>> {
  return Object.fromEntries([...files.keys()].sort().map((name) => [name, sha256(files.get(name) ?? "")]));
}

/**
 * The identity of a task: SHA-256 over the names and hashes of its adapter's files, hex. An adapter is the same one
 * whatever chooses among adapters; without an adapter the statistics are all there is.
 */
export function taskId(hashes: Readonly<Record<string, string>>, statisticsOnly: boolean): string {
  const own = Object.entries(hashes).filter(([name]) => statisticsOnly || !companionFiles.has(name));
  return sha256Json(Object.fromEntries(own));
}

/** The rows that lie in a folder. @throws StoreError if their file is damaged */
export async function readContributions(folder: string): Promise<TaskRows> {
  const path = join(folder, statisticsFile);
  const { constants, contributions } = decodeContributions(await readFile(path), path);
  return { constants, contributions: distinctContributions(contributions) };
}

/**
 * Reads a task back from its folder, whose files were checked.
 * @throws CheckpointError or StoreError if a file is damaged, or does not fit the model
 */
export async function readTask(
  model: Pick<ContinualModel, "restore" | "loaded" | "feature">,
  { name, labels, statisticsOnly, forgotten, trainedOn }: TaskRecord,
  files: Iterable<string>,
  folder: string,
): Promise<TaskState> {
  const there = new Set(files);
  const read = (file: string) => (there.has(file) ? readFile(join(folder, file)) : undefined);
  const [tags, selector] = [await read(tagCountsFile), await read(selectorFile)];
  const rows = there.has(statisticsFile) ? await readContributions(folder) : undefined;
  const saved = statisticsOnly === true ? undefined : await readPeftFolder(folder);
  return {
    name,
    labels,
    ...(saved && { saved, learned: model.restore(name, saved, folder) }),
    ...(rows && {
      rows: { ...rows, ...(tags && { tags: decodeTagCounts(tags, join(folder, tagCountsFile)) }) },
    }),
    ...(selector && {
      selector: decodeSelector(
        selector,
        featureWidth(model.loaded.backbone, model.feature),
        join(folder, selectorFile),
      ),
    }),
    ...(forgotten !== undefined && { forgotten }),
    ...(trainedOn !== undefined && { trainedOn }),
  };
}

/** Longest folder name of a task. */
const maxSlug = 64;

/**
 * A folder name for a task: `[a-z0-9._-]`, at most 64 characters, unlike every one in `taken`.
 * A second task of the same slug gets `.2`; `-2` would read as the first one's second version.
 */
export function slugFor(name: string, taken: ReadonlySet<string>): string {
  const plain = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[.-]+|[.-]+$/g, "");
  const base = plain === "" ? "task" : plain;
  for (let n = 1; ; n++) {
    const suffix = n === 1 ? "" : `.${n}`;
    const candidate = `${base.slice(0, maxSlug - suffix.length).replace(/[.-]+$/, "")}${suffix}`;
    if (!taken.has(candidate)) return candidate;
  }
}
