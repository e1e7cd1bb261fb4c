/** What an open store takes of memory besides its backbone. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { totalsFile } from "../continual/routing/statisticsRouting.ts";
import type { RouterStage } from "../continual/types.ts";
import { foldersOf, type ManifestTask } from "../workspace/manifest.ts";
import { routerPlace } from "../workspace/routers.ts";

/** Objects of a store with one small task, as they were measured. */
const OBJECT_BYTES = 2 ** 16;

export interface HeldOptions {
  /** The router that answers. */
  readonly router: RouterStage | undefined;
  /** Whether the sums are held that the next router is fitted from. */
  readonly totals: boolean;
}

/**
 * Files are read into memory as they are, so their sizes are what is held: adapters, heads and statistics of every task, and
 * the router that answers.
 * @returns bytes
 */
export async function heldBytes(
  folder: string,
  { tasks, version }: { readonly tasks: readonly ManifestTask[]; readonly version: number },
  { router, totals }: HeldOptions,
): Promise<number> {
  const files = tasks.flatMap((task) =>
    foldersOf(task).flatMap((each) => Object.keys(each.files).map((name) => join(each.folder, name))),
  );
  const place = router === undefined ? undefined : routerPlace(version, router);
  const fitted = place === undefined ? [] : await readdir(join(folder, place)).catch(() => []);
  const kept = fitted.filter((name) => totals || name !== totalsFile).map((name) => join(place ?? "", name));
  const sizes = await Promise.all(
    [...files, ...kept].map((file) =>
      stat(join(folder, file)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, OBJECT_BYTES);
}
