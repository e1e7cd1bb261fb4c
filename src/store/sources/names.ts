/** Names of stores: one part of a path that leads nowhere else. */

import { StoreError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";

const pattern = /^(?!\.{1,2}$)[\w.-]{1,128}$/;

/** Letters, digits, ".", "_" and "-", 128 at most; not "." or "..". */
export function isStoreName(name: string): boolean {
  return pattern.test(name);
}

/** The folder in a cache that takes the copies of a place's stores: of the place's hash, and a number. */
export const copiesFolder = /[0-9a-f]{12}-\d+/;

/** Names that one which is not there is compared with. */
const MOST_COMPARED = 400;

/** Of many names those that begin alike: to compare one with ten thousand takes longer than to answer a text. */
export function namesAround(name: string, names: readonly string[]): readonly string[] {
  if (names.length <= MOST_COMPARED) return names;
  const place = names.findIndex((each) => each > name);
  const start = Math.max(0, (place < 0 ? names.length : place) - MOST_COMPARED / 2);
  return names.slice(start, start + MOST_COMPARED);
}

/** No store has that name. */
export class NoSuchStoreError extends StoreError {
  /** @param names of the stores that there are */
  constructor(name: string, names: readonly string[]) {
    const near = nearest(name.slice(0, 128), names);
    super(
      `no store is called ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean "${near}"?`}`,
      {
        code: "NO_SUCH_STORE",
      },
    );
  }
}
