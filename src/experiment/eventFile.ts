/**
 * TensorBoard's event files: records of TFRecord, each an `Event` of TensorFlow as a protocol buffer.
 * https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** CRC-32C, of which zlib's CRC-32 differs by its polynomial. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (table[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return ~value >>> 0;
}

/** As TFRecord stores a checksum, so that one over bytes with checksums in them is none of a kind. */
function masked(bytes: Uint8Array): number {
  const value = crc32c(bytes);
  return (((value >>> 15) | (value << 17)) + 0xa282ead8) >>> 0;
}

/** length (uint64), its checksum, the data, its checksum; all little-endian. */
function toRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return record;
}

export interface Scalar {
  readonly tag: string;
  readonly value: number;
}

/** Field numbers of `Event`, `Summary` and `Summary.Value`. */
const fields = {
  wallTime: 1,
  step: 2,
  fileVersion: 3,
  summary: 5,
  value: 1,
  tag: 1,
  simpleValue: 2,
} as const;

/** @param time ISO 8601 */
function toEvent(time: string, step: number, write: (event: BinaryWriter) => void): Uint8Array {
  const event = new BinaryWriter();
  event.tag(fields.wallTime, WireType.Bit64).double(Date.parse(time) / 1000);
  if (step > 0) event.tag(fields.step, WireType.Varint).int64(step);
  write(event);
  return toRecord(event.finish());
}

/** What every event file begins with. */
export function encodeFileVersion(time: string): Uint8Array {
  return toEvent(time, 0, (event) =>
    event.tag(fields.fileVersion, WireType.LengthDelimited).string("brain.Event:2"),
  );
}

export function encodeScalars(time: string, step: number, scalars: readonly Scalar[]): Uint8Array {
  return toEvent(time, step, (event) => {
    event.tag(fields.summary, WireType.LengthDelimited).fork();
    for (const { tag, value } of scalars) {
      event.tag(fields.value, WireType.LengthDelimited).fork();
      event.tag(fields.tag, WireType.LengthDelimited).string(tag);
      event.tag(fields.simpleValue, WireType.Bit32).float(value);
      event.join();
    }
    event.join();
  });
}
