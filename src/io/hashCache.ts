/** Digests of big files, remembered by (real path, size, modification time, inode), so that hashing is paid once. */
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "./atomic.ts";
import { cacheFolder } from "./cacheFolder.ts";
import { sha256File } from "./hash.ts";

const schema = z.record(
  z.string(),
  z.object({ stamp: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
);
type Digests = z.infer<typeof schema>;

function cachePath(): string {
  return join(cacheFolder(), "hashes.json");
}

async function readDigests(): Promise<Digests> {
  try {
    return schema.parse(JSON.parse(await readFile(cachePath(), "utf8")));
  } catch {
    return {};
  }
}

async function remember(realPath: string, stamp: string, sha256: string): Promise<void> {
  try {
    const path = cachePath();
    await mkdir(dirname(path), { recursive: true });
    const digests = { ...(await readDigests()), [realPath]: { stamp, sha256 } };
    await writeFileAtomic(path, `${JSON.stringify(digests, null, 2)}\n`);
  } catch {
    // A home that cannot be written to only costs the next hashing.
  }
}

/** SHA-256 of a file's bytes, from the cache where the file has not changed since. @param realPath without links */
export async function cachedFileHash(realPath: string, signal?: AbortSignal): Promise<string> {
  const { size, mtimeNs, ino } = await stat(realPath, { bigint: true });
  const stamp = `${size}:${mtimeNs}:${ino}`;
  const known = (await readDigests())[realPath];
  if (known?.stamp === stamp) return known.sha256;
  const digest = await sha256File(realPath, signal);
  await remember(realPath, stamp, digest);
  return digest;
}
