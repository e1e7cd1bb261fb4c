/** Safetensors as bytes. */
import { CheckpointError } from "../core/errors.ts";
import { bytesPerElement, type DType, type HostTensor, type StorageDType, sizeOf } from "../core/tensor.ts";
import { narrowToHalf, widenBfloat16, widenHalf } from "./halfFloat.ts";
import {
  lengthBytes,
  parseHeader,
  readHeaderLength,
  safetensorsNames,
  storageOrder,
} from "./safetensorsFormat.ts";

/** @param bytes the tensor's own, starting at offset 0 of their buffer, so that any typed array is aligned. */
export const tensorDecoders: {
  readonly [D in StorageDType]: (bytes: ArrayBuffer, dims: readonly number[]) => HostTensor;
} = {
  float32: (bytes, dims) => ({ dtype: "float32", dims, data: new Float32Array(bytes) }),
  float64: (bytes, dims) => ({ dtype: "float64", dims, data: new Float64Array(bytes) }),
  int32: (bytes, dims) => ({ dtype: "int32", dims, data: new Int32Array(bytes) }),
  int64: (bytes, dims) => ({ dtype: "int64", dims, data: new BigInt64Array(bytes) }),
  uint8: (bytes, dims) => ({ dtype: "uint8", dims, data: new Uint8Array(bytes) }),
  bool: (bytes, dims) => ({ dtype: "bool", dims, data: new Uint8Array(bytes) }),
  float16: (bytes, dims) => ({ dtype: "float32", dims, data: widenHalf(new Uint16Array(bytes)) }),
  bfloat16: (bytes, dims) => ({ dtype: "float32", dims, data: widenBfloat16(new Uint16Array(bytes)) }),
};

export function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

/** @throws CheckpointError naming the first value that is not a finite number: it would make every answer one */
export function checkFinite({ data }: HostTensor, where: string): void {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return;
  // A sum is finite where each value is, but for overflow: only then each is looked at.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]!;
  if (Number.isFinite(sum)) return;
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new CheckpointError(`${where}: value ${at} is ${data[at]}, not a finite number`, {
      hint: "Restore the file from a copy, or make it anew.",
    });
}

export interface DecodedSafetensors {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Decodes a whole file in memory; float16 and bfloat16 are widened to float32.
 *
 * @param path names the file in errors.
 * @throws CheckpointError as `readSafetensorsHeader`, and where a value is no finite number
 */
export function decodeSafetensors(bytes: Uint8Array, path: string): DecodedSafetensors {
  const length = readHeaderLength(bytes.subarray(0, lengthBytes), bytes.length, path);
  const file = parseHeader(bytes.subarray(lengthBytes, lengthBytes + length), bytes.length, path);
  const tensors = new Map<string, HostTensor>();
  for (const [name, { dtype, dims, offset, length: size }] of file.tensors) {
    const tensor = tensorDecoders[dtype](ownBuffer(bytes.subarray(offset, offset + size)), dims);
    checkFinite(tensor, `${path}: ${name}`);
    tensors.set(name, tensor);
  }
  return { tensors, metadata: file.metadata };
}

export interface EncodeOptions {
  /** How float32 tensors are stored; float16 rounds to nearest even. Other types are stored as they are. */
  readonly storage?: "float32" | "float16";
}

/** A tensor of a file to be written, by its bytes as they are stored. */
export interface TensorToStore {
  readonly dtype: StorageDType;
  readonly dims: readonly number[];
  read(): Promise<Uint8Array>;
}

interface LaidOut {
  readonly name: string;
  readonly dtype: StorageDType;
  readonly dims: readonly number[];
}

interface StoredTensor extends LaidOut {
  readonly bytes: Uint8Array;
}

function isFloat32Data(dtype: DType, data: HostTensor["data"]): data is Float32Array {
  return dtype === "float32" && data instanceof Float32Array;
}

function store(name: string, tensor: HostTensor, storage: "float32" | "float16"): StoredTensor {
  const { dims, data } = tensor;
  const half = storage === "float16" && isFloat32Data(tensor.dtype, data);
  const stored = half ? narrowToHalf(data) : data;
  return {
    name,
    dtype: half ? "float16" : tensor.dtype,
    dims,
    bytes: new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength),
  };
}

const layoutOrder: readonly StorageDType[] = storageOrder;

const utf8 = new TextEncoder();

/** By their bytes, as Rust compares strings. */
function compareUtf8(a: string, b: string): number {
  const [first, second] = [utf8.encode(a), utf8.encode(b)];
  const at = first.findIndex((byte, i) => byte !== second[i]);
  return at < 0 ? first.length - second.length : first[at]! - (second[at] ?? -1);
}

/** The safetensors library's order: wide types first, so that every tensor is aligned; then by name. */
function compareStored(a: LaidOut, b: LaidOut): number {
  const byType = layoutOrder.indexOf(b.dtype) - layoutOrder.indexOf(a.dtype);
  return byType || compareUtf8(a.name, b.name);
}

// Written piece by piece: an object literal would reorder names like "0" and lose "__proto__".
function headerJson(tensors: readonly LaidOut[], metadata: Readonly<Record<string, string>>): string {
  const members: string[] = [];
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) {
    const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    members.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  let offset = 0;
  for (const { name, dtype, dims } of tensors) {
    const end = offset + sizeOf(dims) * bytesPerElement[dtype];
    const type = safetensorsNames[dtype];
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${type}","shape":[${dims.join(",")}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  return `{${members.join(",")}}`;
}

/** The length of the header, and the header padded with spaces to 8 bytes. */
function encodeHeader(tensors: readonly LaidOut[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const header = new TextEncoder().encode(headerJson(tensors, metadata));
  const padded = Math.ceil(header.length / 8) * 8;
  const result = new Uint8Array(lengthBytes + padded).fill(0x20, lengthBytes);
  new DataView(result.buffer).setBigUint64(0, BigInt(padded), true);
  result.set(header, lengthBytes);
  return result;
}

/** As {@link encodeSafetensors}, a tensor after the other: a large model is never whole in memory. */
export async function* streamSafetensors(
  tensors: ReadonlyMap<string, TensorToStore>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const ordered = [...tensors].map(([name, tensor]) => ({ name, ...tensor })).sort(compareStored);
  yield encodeHeader(ordered, metadata);
  for (const { read } of ordered) yield await read();
}

/**
 * Encodes tensors as the safetensors library does, byte for byte: the same order of tensors, the header
 * padded with spaces to 8 bytes. (The library leaves the order of metadata keys to chance; here they are sorted.)
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Readonly<Record<string, string>> = {},
  options: EncodeOptions = {},
): Uint8Array {
  const stored = [...tensors].map(([name, tensor]) => store(name, tensor, options.storage ?? "float32"));
  stored.sort(compareStored);
  const header = encodeHeader(stored, metadata);
  const dataBytes = stored.reduce((total, { bytes }) => total + bytes.length, 0);
  const result = new Uint8Array(header.length + dataBytes);
  result.set(header);
  let offset = header.length;
  for (const { bytes } of stored) {
    result.set(bytes, offset);
    offset += bytes.length;
  }
  return result;
}
