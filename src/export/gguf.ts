/** GGUF, the file format of llama.cpp, version 3: keys and float32 tensors. */

/** A value of the header. */
export type GgufValue =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "float32"; readonly value: number }
  | { readonly type: "uint32"; readonly value: number };

/** A float32 tensor; `dims` in the order of rows and columns, as everywhere in this program. */
export interface GgufTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

const VERSION = 3;
const ALIGNMENT = 32;
/** GGML's number of float32. */
const FLOAT32_TENSOR = 0;

const valueTypes = { uint32: 4, float32: 6, string: 8 } as const;

/** Little-endian bytes, one value after the other. */
class Writer {
  private readonly parts: Uint8Array[] = [];
  length = 0;

  bytes(part: Uint8Array): void {
    this.parts.push(part);
    this.length += part.length;
  }

  private number(size: number, set: (view: DataView) => void): void {
    const part = new Uint8Array(size);
    set(new DataView(part.buffer));
    this.bytes(part);
  }

  uint32(value: number): void {
    this.number(4, (view) => view.setUint32(0, value, true));
  }

  uint64(value: number): void {
    this.number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  float32(value: number): void {
    this.number(4, (view) => view.setFloat32(0, value, true));
  }

  string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.uint64(bytes.length);
    this.bytes(bytes);
  }

  align(): void {
    this.bytes(new Uint8Array((ALIGNMENT - (this.length % ALIGNMENT)) % ALIGNMENT));
  }

  join(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

function writeValue(writer: Writer, given: GgufValue): void {
  writer.uint32(valueTypes[given.type]);
  if (given.type === "string") writer.string(given.value);
  else writer[given.type](given.value);
}

const alignedBytes = ({ data }: GgufTensor) => Math.ceil(data.byteLength / ALIGNMENT) * ALIGNMENT;

export function encodeGguf(
  values: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Uint8Array {
  const writer = new Writer();
  writer.bytes(new TextEncoder().encode("GGUF"));
  writer.uint32(VERSION);
  writer.uint64(tensors.length);
  writer.uint64(values.size);
  for (const [key, value] of values) {
    writer.string(key);
    writeValue(writer, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    writer.string(tensor.name);
    writer.uint32(tensor.dims.length);
    // The fastest dimension first.
    for (const dim of tensor.dims.toReversed()) writer.uint64(dim);
    writer.uint32(FLOAT32_TENSOR);
    writer.uint64(offset);
    offset += alignedBytes(tensor);
  }
  writer.align();
  for (const { data } of tensors) {
    writer.bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    writer.align();
  }
  return writer.join();
}
