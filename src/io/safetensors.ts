/** Reading safetensors files. */
import { type FileHandle, open } from "node:fs/promises";
import { CheckpointError } from "../core/errors.ts";
import type { HostTensor } from "../core/tensor.ts";
import { ownBuffer, tensorDecoders } from "../portable/safetensors.ts";
import {
  lengthBytes,
  parseHeader,
  readHeaderLength,
  type SafetensorsFile,
  type TensorEntry,
} from "../portable/safetensorsFormat.ts";

export {
  checkFinite,
  type DecodedSafetensors,
  decodeSafetensors,
  type EncodeOptions,
  encodeSafetensors,
  streamSafetensors,
  type TensorToStore,
} from "../portable/safetensors.ts";
export type { SafetensorsFile, TensorEntry } from "../portable/safetensorsFormat.ts";

/** Reads bytes [offset, offset + length), fewer where the file ends before. */
async function readRange(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new CheckpointError(`${path}: cannot be opened`, { cause });
  }
}

/**
 * Reads and checks a file's header; the tensors' bytes stay on disk.
 *
 * @throws CheckpointError if the file is missing, truncated (the message says by how many bytes), not a
 *   safetensors file, or holds a type that Accrete does not know.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
  const handle = await openToRead(path);
  try {
    const { size } = await handle.stat();
    const length = readHeaderLength(await readRange(handle, 0, lengthBytes), size, path);
    return parseHeader(await readRange(handle, lengthBytes, length), size, path);
  } finally {
    await handle.close();
  }
}

/**
 * Reads one tensor; float16 and bfloat16 are widened to float32.
 *
 * @throws CheckpointError if the file is gone or has become shorter since its header was read.
 */
export async function readTensor(entry: TensorEntry): Promise<HostTensor> {
  return tensorDecoders[entry.dtype](ownBuffer(await readTensorBytes(entry)), entry.dims);
}

/** The bytes of a tensor as they are stored. @throws CheckpointError as {@link readTensor} */
export async function readTensorBytes(entry: TensorEntry): Promise<Uint8Array> {
  const handle = await openToRead(entry.file);
  try {
    const bytes = await readRange(handle, entry.offset, entry.length);
    if (bytes.length === entry.length) return bytes;
    throw new CheckpointError(
      `${entry.file}: truncated since it was opened: ${entry.length - bytes.length} bytes are missing`,
    );
  } finally {
    await handle.close();
  }
}

/**
 * Reads single rows of a matrix, in the order of `rows`, without reading the rest.
 *
 * @returns (rows, columns); half precision is widened to float32
 * @throws CheckpointError if the file is gone or too short, or has no such row.
 */
export async function readRows(entry: TensorEntry, rows: readonly number[]): Promise<HostTensor> {
  const [height = 0, ...rest] = entry.dims;
  const rowBytes = entry.length / Math.max(1, height);
  const bytes = new Uint8Array(rows.length * rowBytes);
  const handle = await openToRead(entry.file);
  try {
    for (const [i, row] of rows.entries()) {
      const read = await readRange(handle, entry.offset + row * rowBytes, rowBytes);
      if (row >= height || read.length < rowBytes)
        throw new CheckpointError(`${entry.file}: there is no row ${row}: the matrix has ${height}`);
      bytes.set(read, i * rowBytes);
    }
  } finally {
    await handle.close();
  }
  return tensorDecoders[entry.dtype](ownBuffer(bytes), [rows.length, ...rest]);
}
