/**
 * The safetensors format: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes
 * without gaps. Typed arrays read and write the machine's own byte order, which is little-endian wherever
 * ONNX Runtime has a build.
 */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { bytesPerElement, type StorageDType, sizeOf } from "../core/tensor.ts";
import { quantisedHint, quantisedTypes } from "./quantised.ts";

/** Where a tensor's bytes lie. */
export interface TensorEntry {
  /** Path of the file. Model folders resolve symbolic links, since ONNX Runtime refuses them. */
  readonly file: string;
  readonly dtype: StorageDType;
  readonly dims: readonly number[];
  /** Bytes from the start of the file (not of the data section). */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

export const lengthBytes = 8;
/** The safetensors library's own limit. */
const maxHeaderBytes = 100_000_000;

/** In the order of the safetensors library, which lays out the later ones of this list first. */
export const storageOrder = [
  "bool",
  "uint8",
  "float16",
  "bfloat16",
  "int32",
  "float32",
  "float64",
  "int64",
] as const satisfies readonly StorageDType[];

export const safetensorsNames = {
  bool: "BOOL",
  uint8: "U8",
  float16: "F16",
  bfloat16: "BF16",
  int32: "I32",
  float32: "F32",
  float64: "F64",
  int64: "I64",
} as const satisfies { readonly [D in StorageDType]: string };

const storageTypes = new Map<string, StorageDType>(
  storageOrder.map((dtype) => [safetensorsNames[dtype], dtype]),
);

const count = z.number().int().nonnegative();
const tensorSchema = z.object({
  dtype: z.string(),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
});

/** @throws CheckpointError if the file is too short, or is no safetensors file at all. */
export function readHeaderLength(prefix: Uint8Array, fileBytes: number, path: string): number {
  if (prefix.length < lengthBytes)
    throw new CheckpointError(
      `${path}: truncated: ${lengthBytes - prefix.length} bytes of the header length are missing`,
      { hint: "Download or copy the file again." },
    );
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, lengthBytes).getBigUint64(0, true));
  if (length > maxHeaderBytes)
    throw new CheckpointError(`${path}: not a safetensors file: its header would be ${length} bytes long`);
  const missing = lengthBytes + length - fileBytes;
  if (missing > 0)
    throw new CheckpointError(`${path}: truncated: ${missing} bytes of the header are missing`, {
      hint: "Download or copy the file again.",
    });
  return length;
}

function parseEntry(name: string, value: unknown, dataStart: number, path: string): TensorEntry {
  const parsed = tensorSchema.safeParse(value);
  if (!parsed.success)
    throw new CheckpointError(`${path}: tensor ${name}: malformed header entry`, { cause: parsed.error });
  const { shape: dims, data_offsets: offsets } = parsed.data;
  const dtype = storageTypes.get(parsed.data.dtype);
  const quantised = quantisedTypes[parsed.data.dtype];
  if (quantised !== undefined)
    throw new CheckpointError(
      `${path}: tensor ${name}: is of type ${parsed.data.dtype}, ${quantised}: these weights are quantised`,
      { hint: quantisedHint },
    );
  if (dtype === undefined)
    throw new CheckpointError(
      `${path}: tensor ${name}: type ${parsed.data.dtype} is not supported (supported: ${[...storageTypes.keys()].join(", ")})`,
      { hint: "Save the model anew in float32, float16 or bfloat16." },
    );
  const [begin, end] = offsets;
  const length = sizeOf(dims) * bytesPerElement[dtype];
  if (end - begin !== length)
    throw new CheckpointError(
      `${path}: tensor ${name}: ${dtype} (${dims.join(", ")}) takes ${length} bytes, data_offsets give ${end - begin}`,
    );
  return { file: path, dtype, dims, offset: dataStart + begin, length };
}

/** Tensors must fill the data section without gap or overlap, as the safetensors library demands. */
function checkLayout(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileBytes: number,
  path: string,
): void {
  const ordered = [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.offset + a.length - b.offset - b.length,
  );
  let end = dataStart;
  let previous = "the header";
  for (const [name, entry] of ordered) {
    if (entry.offset < end)
      throw new CheckpointError(
        `${path}: tensors ${previous} and ${name} overlap by ${end - entry.offset} bytes`,
      );
    if (entry.offset > end)
      throw new CheckpointError(
        `${path}: ${entry.offset - end} bytes between ${previous} and ${name} belong to no tensor`,
      );
    end = entry.offset + entry.length;
    previous = name;
  }
  if (end > fileBytes)
    throw new CheckpointError(
      `${path}: truncated: ${end - fileBytes} bytes are missing (${fileBytes} of ${end} are there)`,
      { hint: "Download or copy the file again." },
    );
  if (end < fileBytes)
    throw new CheckpointError(`${path}: ${fileBytes - end} bytes after the last tensor belong to no tensor`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseHeaderJson(header: Uint8Array, path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (cause) {
    throw new CheckpointError(`${path}: not a safetensors file: its header is not JSON`, { cause });
  }
  if (!isObject(value))
    throw new CheckpointError(`${path}: not a safetensors file: its header is no JSON object`);
  return value;
}

function parseMetadata(value: unknown, path: string): Map<string, string> {
  const metadata = new Map<string, string>();
  const wrong = new CheckpointError(`${path}: __metadata__ must map strings to strings`);
  if (!isObject(value)) throw wrong;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw wrong;
    metadata.set(key, text);
  }
  return metadata;
}

/** @throws CheckpointError if the header contradicts itself or the file's size. */
export function parseHeader(header: Uint8Array, fileBytes: number, path: string): SafetensorsFile {
  const dataStart = lengthBytes + header.length;
  const tensors = new Map<string, TensorEntry>();
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(parseHeaderJson(header, path))) {
    if (name === "__metadata__") metadata = parseMetadata(value, path);
    else tensors.set(name, parseEntry(name, value, dataStart, path));
  }
  checkLayout(tensors, dataStart, fileBytes, path);
  return { path, tensors, metadata };
}
