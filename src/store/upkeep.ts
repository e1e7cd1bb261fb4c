/** Keeping a store in order: going back, purging, cleaning up. */
import { resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { TrunkCache } from "../continual/passes/trunkCache.ts";
import type { ChangeEvent } from "../model/changes.ts";
import { sizeOfFolder } from "../workspace/listing.ts";
import { inTurn } from "../workspace/queue.ts";
import { asStore, keptVersions, readSettings, readStore, type StoreManifest } from "../workspace/reading.ts";
import { Workspace, type WorkspaceOptions } from "../workspace/workspace.ts";
import { recordOf, requireFinished } from "./adopted.ts";

/** How a change that needs no backbone waits for its turn. */
export interface WaitOptions {
  /** Seconds that another process is waited for; default 10. */
  readonly waitSeconds?: number | undefined;
  /** Hears how a change goes on. */
  readonly onEvent?: ((event: ChangeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const defaultWaitSeconds = 10;
export const defaultKeepVersions = 20;

export function lockingOf({
  waitSeconds = defaultWaitSeconds,
  onEvent,
  signal,
}: WaitOptions): WorkspaceOptions {
  return {
    elsewhere: false,
    waitMs: waitSeconds * 1000,
    signal,
    onWait: (message) => onEvent?.({ type: "note", message }),
  };
}

/** What is gone for good. */
export interface Purged {
  /** The present version, which is the only one now. */
  readonly version: number;
  readonly deletedVersions: readonly number[];
  /** Files of texts' states that were deleted from the system's folder for caches. */
  readonly deletedStates: number;
  /** Files of the experiment that the store began as, which stay and may name what is gone. */
  readonly recordFiles: readonly string[];
}

/**
 * Makes a next version that holds what an earlier one held. The present one need not be whole, and no backbone is loaded:
 * the router of the new version is made by whoever is first asked something.
 * @param version default: the one before
 * @throws StoreError where there is no store, or no such version is kept
 */
export async function rollbackStore(
  folder: string,
  version?: number,
  options: WaitOptions = {},
): Promise<StoreManifest> {
  const path = resolve(folder);
  await readStore(path);
  return await inTurn(path, async () => {
    await using workspace = await Workspace.open(path, lockingOf(options));
    return asStore(await workspace.rollback(version));
  });
}

/**
 * Deletes the versions before the present one, with every file that only they need, and what runs on the same backbone
 * have kept of texts in the system's folder for caches. Makes no version; there is no way back.
 * @throws StoreError where there is no store, or another process is changing it
 */
export async function purgeStore(folder: string, options: WaitOptions = {}): Promise<Purged> {
  const path = resolve(folder);
  await requireFinished(path);
  const { backbone, store } = await readStore(path);
  return await inTurn(path, async () => {
    await using workspace = await Workspace.open(path, lockingOf(options));
    const deletedVersions = await keptVersions(path);
    await workspace.purge();
    return {
      version: store.version,
      deletedVersions,
      deletedStates: await TrunkCache.clear({ backboneHash: backbone.hash }),
      recordFiles: await recordOf(path),
    };
  });
}

/** What a clean-up took away. */
export interface Collected {
  readonly version: number;
  readonly deletedVersions: readonly number[];
  /** Bytes that the folder takes less. */
  readonly freedBytes: number;
}

/**
 * Deletes what a store does not need: versions beyond those that it keeps, and what interrupted changes left.
 * @param keep versions before the present one that stay; default: as the store's settings say
 * @throws StoreError where there is no store, or another process is changing it
 */
export async function cleanStore(
  folder: string,
  keep?: number,
  options: WaitOptions = {},
): Promise<Collected> {
  checkArguments("cleanStore", { folder, keep, options });
  const path = resolve(folder);
  await requireFinished(path);
  const begun = await readStore(path);
  const { keepVersions = defaultKeepVersions } = await readSettings(path, begun);
  return await inTurn(path, async () => {
    await using workspace = await Workspace.open(path, lockingOf(options));
    const before = await sizeOfFolder(path);
    const deletedVersions = await workspace.expire(keep ?? keepVersions);
    await workspace.removeLeftovers();
    const freedBytes = before - (await sizeOfFolder(path));
    return { version: begun.store.version, deletedVersions, freedBytes };
  });
}
