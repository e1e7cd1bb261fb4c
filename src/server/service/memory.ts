/** How much memory open stores may take. */
import { totalmem } from "node:os";

/** Of the machine's memory, or of what a container allows: the rest is for backbones, passes and the system. */
const DEFAULT_SHARE = 1 / 2;
/** Of that, for the thread that makes changes. */
const CHANGING_SHARE = 1 / 5;

/** @returns bytes */
export function defaultMemoryBytes(): number {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  return DEFAULT_SHARE * total;
}

/** @returns what the stores of a thread may take of what all may take */
export function shareOf(memoryBytes: number, changes: boolean): number {
  return memoryBytes * (changes ? CHANGING_SHARE : 1 - CHANGING_SHARE);
}
