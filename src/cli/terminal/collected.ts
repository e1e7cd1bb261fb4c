import { formatBytes } from "./format.ts";

/** What went from a bucket, in words. */
export function deletedLine(deleted: {
  readonly deletedObjects: number;
  readonly freedBytes: number;
}): string {
  const objects = deleted.deletedObjects === 1 ? "1 object" : `${deleted.deletedObjects} objects`;
  return `deleted ${objects} that nothing names, ${formatBytes(deleted.freedBytes)}`;
}
