/** What a store's folder says of its tasks, read into memory and written back. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ContributionFile, decodeContributions } from "../../continual/routing/contributionFile.ts";
import { statisticsFile } from "../../continual/routing/routedLearner.ts";
import type { Contribution } from "../../continual/routing/statistics.ts";
import { CheckpointError } from "../../core/errors.ts";
import { float32, type HostTensor } from "../../core/tensor.ts";
import { readPeftFolder } from "../../peft/checkpoint.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import type { ManifestTask } from "../manifest.ts";
import { damageHint, verifiedAdapterFolder } from "../runFolder.ts";
import type { StoreManifest } from "./storeFolder.ts";

/** A task of a store. */
export interface StoreTask {
  readonly entry: ManifestTask;
  /** Absent where statistics alone were learned. */
  readonly saved?: SavedAdapter;
  /** Absent where an experiment without a router learned the task. */
  readonly statistics?: ContributionFile;
  /** The task's folder, for messages. */
  readonly where: string;
}

/** What to do where a file that a version names is missing or damaged. */
function damageHintOf({ store: { parent } }: StoreManifest): string {
  return parent === undefined
    ? damageHint
    : `Restore it from a copy, or go back to a version that does without it: accrete rollback, to version ${parent}, or further with --to.`;
}

async function readTask(store: string, entry: ManifestTask, hint: string): Promise<StoreTask> {
  const where = await verifiedAdapterFolder(store, entry, hint);
  const path = join(where, statisticsFile);
  return {
    entry,
    where,
    ...(entry.statisticsOnly === undefined && { saved: await readPeftFolder(where) }),
    ...(statisticsFile in entry.adapter.files && {
      statistics: decodeContributions(await readFile(path), path),
    }),
  };
}

/** @throws CheckpointError where a file is missing or damaged */
export function readTasks(store: string, manifest: StoreManifest): Promise<StoreTask[]> {
  return Promise.all(manifest.tasks.map((entry) => readTask(store, entry, damageHintOf(manifest))));
}

/** Every file of a task's folder, by name. */
export async function readFiles(store: string, entry: ManifestTask): Promise<Map<string, Uint8Array>> {
  const folder = await verifiedAdapterFolder(store, entry);
  const files = new Map<string, Uint8Array>();
  for (const name of Object.keys(entry.adapter.files)) files.set(name, await readFile(join(folder, name)));
  return files;
}

function takeSlots(tensor: HostTensor<"float32">, slots: readonly number[]): HostTensor<"float32"> {
  const [classes = 1, ...rest] = tensor.dims;
  const width = tensor.data.length / classes;
  const kept = new Float32Array(slots.length * width);
  slots.forEach((slot, row) => {
    kept.set(tensor.data.subarray(slot * width, (slot + 1) * width), row * width);
  });
  return float32(kept, [slots.length, ...rest]);
}

/**
 * The same adapter with a head that has no slot for a class.
 * @throws CheckpointError if it has no head
 */
export function withoutSlot(saved: SavedAdapter, label: string, where: string): SavedAdapter {
  const { head, labels } = saved;
  if (head === undefined) throw new CheckpointError(`${where}: the adapter has no head`);
  const slots = labels.flatMap((each, slot) => (each === label ? [] : slot));
  const perSlot = ["weight", "bias"];
  const tensors = new Map(
    [...head.tensors].map(
      ([name, tensor]) => [name, perSlot.includes(name) ? takeSlots(tensor, slots) : tensor] as const,
    ),
  );
  return { ...saved, head: { ...head, tensors }, labels: slots.map((slot) => labels[slot] ?? "") };
}

/** Contributions without those of a class. */
export function withoutClass(file: ContributionFile, label: string): ContributionFile {
  return { ...file, contributions: file.contributions.filter((each: Contribution) => each.label !== label) };
}
