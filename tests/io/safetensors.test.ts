import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { type DType, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensorsHeader,
  readTensor,
} from "../../src/io/safetensors.ts";
import { float32ToHalf, halfToFloat32 } from "../../src/portable/halfFloat.ts";
import { folderOfTestFile } from "../support/folders.ts";

const folder = folderOfTestFile("safetensors");

/** A file of any header and data, also the ones that no honest writer makes. */
function craft(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const dims = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });

const makers: { readonly [D in DType]: (size: number) => fc.Arbitrary<HostTensor<D>["data"]> } = {
  // What is not finite is refused.
  float32: (n) => fc.float32Array({ minLength: n, maxLength: n, noNaN: true, noDefaultInfinity: true }),
  float64: (n) => fc.float64Array({ minLength: n, maxLength: n, noNaN: true, noDefaultInfinity: true }),
  int32: (n) => fc.int32Array({ minLength: n, maxLength: n }),
  int64: (n) => fc.bigInt64Array({ minLength: n, maxLength: n }),
  uint8: (n) => fc.uint8Array({ minLength: n, maxLength: n }),
  bool: (n) => fc.uint8Array({ minLength: n, maxLength: n, max: 1 }),
};

const dtypes: readonly DType[] = ["float32", "float64", "int32", "int64", "uint8", "bool"];
const tensor: fc.Arbitrary<HostTensor> = fc
  .tuple(fc.constantFrom(...dtypes), dims)
  .chain(([dtype, shape]) => makers[dtype](sizeOf(shape)).map((data) => ({ dtype, dims: shape, data })));
const name = fc
  .oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("0", "10", "__proto__", "toString"))
  .filter((text) => text !== "__metadata__");
const tensors = fc.array(fc.tuple(name, tensor)).map((pairs) => new Map(pairs));

describe("safetensors", () => {
  test("decode(encode(x)) = x", () => {
    fc.assert(
      fc.property(tensors, fc.dictionary(name, fc.string({ unit: "grapheme" })), (original, metadata) => {
        const decoded = decodeSafetensors(encodeSafetensors(original, metadata), "x");
        expect(new Map([...decoded.tensors].sort())).toEqual(new Map([...original].sort()));
        expect(decoded.metadata).toEqual(new Map(Object.entries(metadata)));
      }),
    );
  });

  test("writes the bytes that the safetensors library writes", () => {
    const zeros = (dtype: DType, shape: number[], data: HostTensor["data"]): HostTensor => ({
      dtype,
      dims: shape,
      data,
    });
    const encoded = encodeSafetensors(
      new Map([
        ["b", zeros("float32", [2], new Float32Array(2))],
        ["B.é", zeros("bool", [1], new Uint8Array(1))],
        ["c", zeros("int64", [1], new BigInt64Array(1))],
        ["d", zeros("float64", [1], new Float64Array(1))],
        ["u", zeros("uint8", [1], new Uint8Array(1))],
        ["i", zeros("int32", [], new Int32Array(1))],
        ["e", zeros("float32", [0, 3], new Float32Array(0))],
        ['"q/\n', zeros("float32", [1], new Float32Array(1))],
      ]),
      { format: "pt" },
    );
    // From safetensors 0.8.0, save() of the same tensors.
    const header =
      '{"__metadata__":{"format":"pt"},"c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"d":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},"\\"q/\\n":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},"b":{"dtype":"F32","shape":[2],"data_offsets":[20,28]},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[28,28]},"i":{"dtype":"I32","shape":[],"data_offsets":[28,32]},"u":{"dtype":"U8","shape":[1],"data_offsets":[32,33]},"B.é":{"dtype":"BOOL","shape":[1],"data_offsets":[33,34]}}';
    const padded = Math.ceil(Buffer.byteLength(header) / 8) * 8;
    const text = Buffer.from(encoded)
      .subarray(8, 8 + padded)
      .toString();
    expect(text.trimEnd()).toBe(header);
    expect(text.length - header.length).toBeLessThan(8);
    expect(Buffer.from(encoded).readBigUInt64LE(0)).toBe(BigInt(padded));
    expect(encoded.length).toBe(8 + padded + 34);
  });

  test("a file's header gives absolute offsets, and its tensors can be read one by one", async () => {
    const path = join(folder, "good.safetensors");
    const original = new Map<string, HostTensor>([
      ["w", { dtype: "float32", dims: [2, 2], data: Float32Array.of(1, -2, 3.5, 4) }],
      ["ids", { dtype: "int64", dims: [3], data: BigInt64Array.of(1n, -2n, 3n) }],
    ]);
    const bytes = encodeSafetensors(original, { format: "pt" });
    await writeFile(path, bytes);
    const file = await readSafetensorsHeader(path);
    expect(file.metadata.get("format")).toBe("pt");
    const entry = file.tensors.get("w");
    expect(entry).toEqual({
      file: path,
      dtype: "float32",
      dims: [2, 2],
      offset: bytes.length - 16,
      length: 16,
    });
    for (const [key, value] of original) {
      const found = file.tensors.get(key);
      expect(found && (await readTensor(found))).toEqual(value);
    }
  });

  test("float16 storage rounds float32 only, and bfloat16 is widened", () => {
    const encoded = encodeSafetensors(
      new Map<string, HostTensor>([
        ["w", { dtype: "float32", dims: [3], data: Float32Array.of(1, 1 / 3, -60001) }],
        ["n", { dtype: "int32", dims: [1], data: Int32Array.of(70000) }],
      ]),
      {},
      { storage: "float16" },
    );
    const { tensors: decoded } = decodeSafetensors(encoded, "x");
    expect(decoded.get("w")?.data).toEqual(Float32Array.of(1, 0.333251953125, -60000));
    expect(decoded.get("n")?.data).toEqual(Int32Array.of(70000));
    const bfloat = craft({ b: { dtype: "BF16", shape: [2], data_offsets: [0, 4] } }, 4);
    bfloat.set([0x80, 0x3f, 0x49, 0xc0], bfloat.length - 4);
    expect(decodeSafetensors(bfloat, "x").tensors.get("b")?.data).toEqual(Float32Array.of(1, -3.140625));
  });
});

describe("half precision", () => {
  test("every half survives the way to float32 and back", () => {
    for (let half = 0; half < 0x10000; half++) {
      const value = halfToFloat32(half);
      if (Number.isNaN(value)) expect(halfToFloat32(float32ToHalf(value))).toBeNaN();
      else expect(float32ToHalf(value)).toBe(half);
    }
  });

  test("between two halves the nearer wins, and the even one at the middle", () => {
    // Up to the step to infinity, which stands where the next finite half, 65536, would.
    for (let half = 0; half < 0x7c00; half++) {
      const low = halfToFloat32(half);
      const high = half === 0x7bff ? 65536 : halfToFloat32(half + 1);
      const middle = (low + high) / 2;
      const even = half & 1 ? half + 1 : half;
      const quarter = (high - low) / 4;
      const found = [middle, middle - quarter, middle + quarter, -middle].map((v) => float32ToHalf(v));
      expect(found, `between ${low} and ${high}`).toEqual([even, half, half + 1, even | 0x8000]);
    }
  });

  test("float32's own subnormals become zero, its largest infinity", () => {
    expect(float32ToHalf(1e-45)).toBe(0);
    expect(float32ToHalf(-1e-45)).toBe(0x8000);
    expect(float32ToHalf(3.4e38)).toBe(0x7c00);
  });
});

describe("damaged files", () => {
  const f32 = (begin: number, end: number, shape: number[]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ["empty", new Uint8Array(0), /truncated: 8 bytes of the header length/],
    [
      "cut in the header",
      craft({ w: f32(0, 4, [1]) }, 4).subarray(0, 20),
      /truncated: \d+ bytes of the header/,
    ],
    ["cut in the data", craft({ w: f32(0, 8, [2]) }, 3), /truncated: 5 bytes are missing/],
    ["no safetensors", new TextEncoder().encode("PK\x03\x04 something else"), /not a safetensors file/],
    ["header no JSON", craft("{nope", 0), /its header is not JSON/],
    ["header a list", craft([], 0), /no JSON object/],
    [
      "unsupported type",
      craft({ w: { dtype: "F8_E4M3", shape: [4], data_offsets: [0, 4] } }, 4),
      /tensor w: is of type F8_E4M3, an 8-bit float: these weights are quantised/,
    ],
    [
      "wrong size",
      craft({ w: f32(0, 8, [3]) }, 8),
      /tensor w: float32 \(3\) takes 12 bytes, data_offsets give 8/,
    ],
    ["overlap", craft({ a: f32(0, 8, [2]), b: f32(4, 12, [2]) }, 12), /a and b overlap by 4 bytes/],
    ["gap", craft({ a: f32(0, 4, [1]), b: f32(8, 12, [1]) }, 12), /4 bytes between a and b/],
    ["surplus", craft({ a: f32(0, 4, [1]) }, 9), /5 bytes after the last tensor/],
    ["negative shape", craft({ a: f32(0, 4, [-1]) }, 4), /tensor a: malformed/],
    ["metadata not text", craft({ __metadata__: { a: 1 } }, 0), /__metadata__/],
  ];

  test.each(cases)("%s", async (what, bytes, message) => {
    const path = join(folder, `${what}.safetensors`);
    await writeFile(path, bytes);
    await expect(readSafetensorsHeader(path)).rejects.toThrow(CheckpointError);
    await expect(readSafetensorsHeader(path)).rejects.toThrow(message);
    await expect(readSafetensorsHeader(path)).rejects.toThrow(path);
    expect(() => decodeSafetensors(bytes, path)).toThrow(message);
  });

  test("a missing file is named", async () => {
    await expect(readSafetensorsHeader(join(folder, "none"))).rejects.toThrow(/none: cannot be opened/);
  });

  test("a file that shrank after its header was read is told from a good one", async () => {
    const path = join(folder, "shrinks.safetensors");
    await writeFile(
      path,
      encodeSafetensors(new Map([["w", { dtype: "float32", dims: [4], data: new Float32Array(4) }]])),
    );
    const entry = (await readSafetensorsHeader(path)).tensors.get("w");
    if (entry === undefined) throw new CheckpointError("w is missing");
    await truncate(path, entry.offset + 6);
    await expect(readTensor(entry)).rejects.toThrow(/10 bytes are missing/);
  });
});
