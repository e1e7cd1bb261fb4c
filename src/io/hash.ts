/** SHA-256 of files, as lower-case hex. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

export { canonicalJson, sha256, sha256Json, sha256Listing } from "../portable/hash.ts";

/** Streams the file, so that its size does not matter. Rejects as `fs.createReadStream` does. */
export function sha256File(path: string, signal?: AbortSignal): Promise<string> {
  return sha256Files([path], signal);
}

/** Over the bytes of all files, one after another. */
export async function sha256Files(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    const stream = createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) });
    for await (const chunk of stream) hash.update(chunk);
  }
  return hash.digest("hex");
}
