/**
 * Deleting what no published version names: what a purge took away, versions that were dropped, routers that were replaced,
 * and what writers left that died or were overtaken.
 *
 * It comes after a version was published, and goes in this order: list what is there, confirm the lease, delete what was
 * listed and is not named by what this writer has just published. A version that is published later finds all that it names,
 * though the lease may be lost, or the deletions be late, at any moment:
 * - Another writer that took the lease after it was confirmed wrote its objects after the listing, under keys of its own:
 *   they are not in the list. It relies on no other objects than its own and those that its base names.
 * - Another writer that took the lease before makes the confirmation fail, and nothing is deleted.
 * - A writer that lost the lease to this one, and whose base is an earlier version, cannot publish: the name says something
 *   else since this one published. For that reason a clean-up without a change publishes the same version anew.
 * - A writer that lost the lease to this one and read its base after that confirms the lease before it publishes, and fails.
 * - One that is killed in between has published; the next listing finds what it did not delete.
 * Of content that is there more than once, what this writer wrote stays, if it wrote any; else all of it does, since only a
 * key that was written under this lease is known to be on nobody's list.
 * No clock is involved, and so nothing has to be of some age before it goes. Readers that are fetching an earlier version miss
 * an object, see that another version is published, and take that.
 */
import type { StoredObject } from "../../artefacts/store.ts";
import { messageOf } from "../../core/errors.ts";
import { inParallel } from "./inParallel.ts";
import type { Lease } from "./lease.ts";
import type { StoreObjects } from "./objects.ts";

/** What was deleted in a bucket. */
export interface CollectedObjects {
  readonly deletedObjects: number;
  readonly freedBytes: number;
  /** Objects that should have been deleted and were not; absent where it is not known how many there are. */
  readonly remainingObjects?: number;
  /** Why there may be objects left, and what to do. */
  readonly warning?: string;
}

const bytesOf = (objects: Iterable<StoredObject>) =>
  [...objects].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

function hintOf(error: unknown): string {
  return error instanceof Error && "hint" in error && typeof error.hint === "string" ? ` ${error.hint}` : "";
}

/**
 * Deletes what nothing names.
 * @param objects with which what is published was written
 * @param named hashes of all that is published; whatever it throws, nothing is deleted
 * @returns what was deleted. It never fails: what was published stands whatever comes of this
 */
export async function collect(
  objects: StoreObjects,
  named: () => Promise<ReadonlySet<string>>,
  lease: Lease,
): Promise<CollectedObjects> {
  const gone: StoredObject[] = [];
  let unneeded: readonly StoredObject[] | undefined;
  const result = (why?: string): CollectedObjects => {
    const remaining = unneeded && unneeded.length - gone.length;
    const count = remaining === undefined ? "" : `${remaining} of the `;
    return {
      deletedObjects: gone.length,
      freedBytes: bytesOf(gone),
      ...(remaining !== undefined && { remainingObjects: remaining }),
      ...(why !== undefined && {
        warning: `${objects.place}: ${count}objects that nothing names could not be deleted: ${why} What is published stands. The next change deletes them, or: accrete gc ${objects.place}`,
      }),
    };
  };
  try {
    unneeded = await objects.unneeded(await named());
    if (unneeded.length === 0) return result();
    if (!(await lease.confirm())) return result("another process took over the lease.");
    await inParallel(unneeded, async (object) => {
      await objects.remove(object.key);
      gone.push(object);
    });
    return result();
  } catch (error) {
    return result(`${messageOf(error)}.${hintOf(error)}`);
  }
}
