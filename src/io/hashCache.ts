/**
 * Digests of big files, remembered by (real path, size, times of change, inode), so that hashing is paid once. A file that
 * seems to be the same is compared by a fast checksum: times can be set, and disks decay.
 */
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "./atomic.ts";
import { cacheFolder } from "./cacheFolder.ts";
import { checksumFile } from "./checksum.ts";
import { sha256File } from "./hash.ts";

const schema = z.record(
  z.string(),
  z.object({
    stamp: z.string(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    crc32: z.string().optional(),
  }),
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

async function remember(realPath: string, digest: Digests[string]): Promise<void> {
  try {
    const path = cachePath();
    await mkdir(dirname(path), { recursive: true });
    const digests = { ...(await readDigests()), [realPath]: digest };
    await writeFileAtomic(path, `${JSON.stringify(digests, null, 2)}\n`);
  } catch {
    // A home that cannot be written to only costs the next hashing.
  }
}

/** SHA-256 of a file's bytes, from the cache where the file has not changed since. @param realPath without links */
export async function cachedFileHash(realPath: string, signal?: AbortSignal): Promise<string> {
  const { size, mtimeNs, ctimeNs, ino } = await stat(realPath, { bigint: true });
  const stamp = `${size}:${mtimeNs}:${ctimeNs}:${ino}`;
  const known = (await readDigests())[realPath];
  const crc32 = await checksumFile(realPath, signal);
  if (known?.stamp === stamp && known.crc32 === crc32) return known.sha256;
  const sha256 = await sha256File(realPath, signal);
  await remember(realPath, { stamp, sha256, crc32 });
  return sha256;
}
