/** What lies in a folder, and what of it is ours to remove. */
import { readdir } from "node:fs/promises";
import { errorCode, StoreError } from "../core/errors.ts";
import { lockFile } from "../io/lock.ts";

/** Names in a folder; none where there is none. @throws StoreError where it is a file, or cannot be read */
export async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return [];
    if (errorCode(cause) === "ENOTDIR") throw new StoreError(`${folder}: is a file, not a folder`, { cause });
    throw new StoreError(`${folder}: cannot be read`, { cause });
  }
}

/** What atomic writing leaves; a lock's temporary may belong to a process that is asking for the lock right now. */
export function isTemporary(path: string): boolean {
  return /(^|\/)\.(tmp|old)-/.test(path) && !path.startsWith(".tmp-lock");
}

/** Everything but a lock and temporary names: a writer may have died before its first file. */
export async function listBegun(folder: string): Promise<string[]> {
  return (await listFolder(folder)).filter((name) => name !== lockFile && !/^\.tmp-/.test(name));
}
