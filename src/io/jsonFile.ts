import { readFile } from "node:fs/promises";
import { CheckpointError, errorCode } from "../core/errors.ts";

/** @throws CheckpointError if a file that is there cannot be read */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(cause) ?? "")) return undefined;
    throw new CheckpointError(`${path}: cannot be read`, { cause });
  }
}

/** @throws CheckpointError if the bytes are no JSON in UTF-8 */
export function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CheckpointError(`${path}: is not JSON`, { cause });
  }
}

/** @throws CheckpointError if a file that is there cannot be read, or is no JSON */
export async function readJsonIfThere(path: string): Promise<unknown> {
  const bytes = await readIfThere(path);
  return bytes === undefined ? undefined : parseJson(bytes, path);
}
