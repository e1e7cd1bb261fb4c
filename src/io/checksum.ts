/**
 * CRC-32, at half the price of SHA-256 or less, for what is too large to be hashed at every load. It tells every flipped
 * bit, and damage, but not malice.
 */
import { createReadStream } from "node:fs";
import { crc32 } from "node:zlib";

function toHex(value: number): string {
  return value.toString(16).padStart(8, "0");
}

/** CRC-32 of bytes: eight hexadecimal digits. */
export function checksum(bytes: Uint8Array): string {
  return toHex(crc32(bytes));
}

/** {@link checksum} of a file, whatever its size. Rejects as `fs.createReadStream` does. */
export async function checksumFile(path: string, signal?: AbortSignal): Promise<string> {
  let value = 0;
  const stream = createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) });
  for await (const chunk of stream) value = crc32(chunk, value);
  return toHex(value);
}
