/**
 * Which files of a task are written. Rows that a task gained go into a folder of their own, a segment, beside those that
 * stand. A segment that is no larger than what is written takes part in it, and at last the task's own folder does: so a task
 * of n rows has log n segments, and each row is written log n times.
 */
import { selectorFile } from "../continual/newlora/selectorState.ts";
import { tagCountsFile } from "../continual/routing/tagCounts.ts";
import { encodeContributions } from "../continual/statistics/contributionFile.ts";
import type { KeptContribution } from "../continual/statistics/statistics.ts";
import type { TaskState } from "../model/state.ts";
import { encodeTask, statisticsFile } from "../model/taskFiles.ts";
import type { ManifestTask } from "./manifest.ts";

/** A folder of a task, as manifests name it. */
export type TaskFolder = Pick<ManifestTask["adapter"], "folder" | "files">;

/** Where parts of states lie. */
interface Place {
  readonly root: string;
  readonly folder: string;
  readonly files: string;
  /** So many contributions lie there. */
  readonly contributions: number;
  readonly bytes: number;
}

const lying = new WeakMap<object, Place>();

type Parts = Pick<TaskState, "saved" | "selector" | "rows">;

function companionsOf({ saved, selector, rows }: Parts): readonly object[] {
  return [saved, selector, rows?.tags].filter((part) => part !== undefined);
}

/** Notes that parts of a state lie in a folder. */
export function rememberPlace(
  root: string,
  { folder, files }: TaskFolder,
  parts: Parts,
  bytes: number,
): void {
  const contributions = parts.rows?.contributions ?? [];
  const place = {
    root,
    folder,
    files: JSON.stringify(files),
    contributions: contributions.length,
    bytes,
  };
  for (const part of [...companionsOf(parts), ...contributions]) lying.set(part, place);
}

export interface Plan {
  /** What stays of the task's folders; absent: nothing, all of it is written anew. */
  readonly stays?: { readonly adapter: ManifestTask["adapter"]; readonly segments: readonly TaskFolder[] };
  /** What is written into a new folder; empty: everything lies there already. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What of the state those files hold. */
  readonly parts: Parts;
}

function sizeOf(files: ReadonlyMap<string, Uint8Array>): number {
  return [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
}

function bytesOf(contributions: readonly KeptContribution[]): number {
  return contributions.reduce((sum, { rows }) => sum + rows.values.byteLength, 0);
}

/** Whether all but the rows lies in a folder, and nothing else does. */
function holdsCompanions(root: string, { adapter, statisticsOnly }: ManifestTask, task: TaskState): boolean {
  const has = (file: string) => file in adapter.files;
  return (
    companionsOf(task).every((part) => liesIn(root, adapter, part)) &&
    (statisticsOnly !== true) === (task.saved !== undefined) &&
    has(tagCountsFile) === (task.rows?.tags !== undefined) &&
    has(selectorFile) === (task.selector !== undefined)
  );
}

function liesIn(root: string, { folder, files }: TaskFolder, part: object): boolean {
  const place = lying.get(part);
  return place?.root === root && place.folder === folder && place.files === JSON.stringify(files);
}

/** @param before the task of its name in the present version */
export function planTask(root: string, task: TaskState, before: ManifestTask | undefined): Plan {
  const { rows } = task;
  const whole = (): Plan => ({ files: encodeTask(task), parts: task });
  if (rows === undefined || before === undefined || !holdsCompanions(root, before, task)) return whole();
  const remaining = new Set(rows.contributions);
  /** What lies in a folder whose rows all are still the task's; undefined where one is gone. */
  const take = (folder: TaskFolder): readonly KeptContribution[] | undefined => {
    const own = rows.contributions.filter((each) => liesIn(root, folder, each));
    const count = own[0] && lying.get(own[0])?.contributions;
    if (statisticsFile in folder.files && own.length !== count) return undefined;
    for (const each of own) remaining.delete(each);
    return own;
  };
  const base = take(before.adapter);
  if (base === undefined) return whole();
  const stands = (before.segments ?? []).flatMap((folder) => {
    const own = take(folder);
    return own === undefined ? [] : [{ folder, own }];
  });
  while (remaining.size > 0) {
    const last = stands.at(-1);
    if (last === undefined || bytesOf(last.own) > bytesOf([...remaining])) break;
    stands.pop();
    for (const each of last.own) remaining.add(each);
  }
  const written = rows.contributions.filter((each) => remaining.has(each));
  const [first] = [...companionsOf(task), ...base];
  const baseBytes = (first && lying.get(first)?.bytes) ?? 0;
  if (stands.length === 0 && bytesOf(written) >= baseBytes) return whole();
  const { constants } = rows;
  return {
    stays: { adapter: before.adapter, segments: stands.map(({ folder }) => folder) },
    files:
      written.length === 0
        ? new Map()
        : new Map([[statisticsFile, encodeContributions({ constants, contributions: written })]]),
    parts: { rows: { constants, contributions: written } },
  };
}

/** Notes where a state lies that was written as planned. */
export function rememberPlan(root: string, { files, parts }: Plan, folder: TaskFolder | undefined): void {
  if (folder !== undefined) rememberPlace(root, folder, parts, sizeOf(files));
}
