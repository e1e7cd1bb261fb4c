/** What lies in a folder, and what of it is ours to remove. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, StoreError } from "../core/errors.ts";
import { lockFile } from "../io/lock.ts";

/** Bytes of all files in a folder; what goes away meanwhile counts nothing. */
export async function sizeOfFolder(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

export const adaptersFolder = "adapters";

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

/** What atomic writing leaves where it is interrupted. @param name in its folder, e.g. `.tmp-manifest.json-71-0a1b2c3d` */
export function isTemporary(name: string): boolean {
  return /^\.tmp-.+-\d+-[0-9a-f]{8}$/.test(name);
}

/** Everything but a lock and temporary names: a writer may have died before its first file. */
export async function listBegun(folder: string): Promise<string[]> {
  return (await listFolder(folder)).filter((name) => name !== lockFile && !isTemporary(name));
}

/** Says that a folder was written by Accrete, and under which name: a copy of it under another name is somebody's. */
const markFile = ".accrete";

function markText(folder: string): string {
  return `${JSON.stringify({ writtenBy: "accrete", folder })}\n`;
}

/** @param folder inside the store, e.g. `adapters/travel` */
export function markOf(folder: string): readonly [name: string, content: Uint8Array] {
  return [markFile, new TextEncoder().encode(markText(folder))];
}

/** Whether a folder has the mark, under its own name. @param root the store's */
export async function isOurs(root: string, folder: string): Promise<boolean> {
  const text = await readFile(join(root, folder, markFile), "utf8").catch(() => undefined);
  return text === markText(folder);
}
