/** Publishing a version: the one step after which everybody sees it. */
import type { ArtefactStore, NamedValue } from "../../artefacts/store.ts";
import { messageOf, StoreError } from "../../core/errors.ts";
import type { Lease } from "./lease.ts";
import { type Published, storeName } from "./published.ts";

/**
 * @param before what the store's name says; undefined: there is no such store yet
 * @returns what it says from now on
 * @throws StoreError STORE_BUSY where another process was faster: nothing is published then
 */
export async function publish(
  artefacts: ArtefactStore,
  name: string,
  next: Published,
  before: NamedValue | undefined,
  lease: Lease,
): Promise<NamedValue> {
  const overtaken = (why: string) =>
    new StoreError(`${artefacts.place}/${name}: ${why}; the change was not published`, {
      code: "STORE_BUSY",
      exitCode: 1,
      hint: "Make it again.",
    });
  if (!(await lease.confirm()))
    throw overtaken("another process took over the lease, which was not renewed in time");
  const named = await artefacts
    .setName(storeName(name), JSON.stringify(next), before)
    .catch((cause: unknown) => {
      throw new StoreError(`${messageOf(cause)}; whether the change was published is not known`, {
        cause,
        exitCode: 1,
        hint: "Look at the store's versions before you make it again.",
      });
    });
  if (named === undefined) throw overtaken("another process has published a version meanwhile");
  return named;
}
