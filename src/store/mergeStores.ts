/** Making a store of two others. */
import { resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import type { Merged } from "../model/changes.ts";
import { buildBeside, unionOf } from "./create.ts";
import type { OpenRunOptions } from "./opening.ts";
import { openStore } from "./store.ts";

/**
 * Makes a store of two others, which stay as they are: the union of what they learned, with the settings of the first.
 * @param out is whole or not there
 * @throws StoreError if `out` is not empty, or the two do not fit
 */
export async function mergeStores(
  first: string,
  second: string,
  out: string,
  options: OpenRunOptions = {},
): Promise<Merged> {
  checkArguments("mergeStores", { first, second, out, options });
  const { signal } = options;
  const how = { called: resolve(first), ...(signal && { signal }) };
  const begin = () => unionOf(resolve(first), resolve(second));
  return await buildBeside(out, begin, async (folder) => {
    await using store = await openStore(folder, { ...options, background: false });
    const [one, two] = [await store.merge(first, how), await store.merge(second, how)];
    return { version: two.version, tasks: [...one.tasks, ...two.tasks] };
  });
}
