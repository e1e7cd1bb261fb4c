/** Deleting for good what was forgotten: earlier versions, and what is kept of texts beside the store. */
import { resolve } from "node:path";
import { TrunkCache } from "../../continual/trunkCache.ts";
import { recordOf, requireFinished } from "./adopted.ts";
import { keptVersions, StoreFolder } from "./storeFolder.ts";
import type { Purged } from "./types.ts";

/** @returns how many files of texts' states were deleted from the system's folder for caches */
export function clearStates({ manifest }: StoreFolder): Promise<number> {
  return TrunkCache.clear({ backboneHash: manifest.backbone.hash });
}

/**
 * Deletes the versions before the present one, with every file that only they need, and what runs on the same backbone
 * have kept of texts in the system's folder for caches. Makes no version; there is no way back.
 * @throws StoreError where there is no store, or another process is changing it
 */
export async function purgeStore(folder: string): Promise<Purged> {
  const path = resolve(folder);
  await requireFinished(path);
  await using store = await StoreFolder.open(path);
  const deletedVersions = await keptVersions(path);
  await store.purge();
  return {
    version: store.manifest.store.version,
    deletedVersions,
    deletedStates: await clearStates(store),
    recordFiles: await recordOf(path),
  };
}
