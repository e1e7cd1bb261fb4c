/** Parquet files, as data sets on the Hugging Face hub are kept. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { DataError, messageOf } from "../../core/errors.ts";
import { unreadable } from "./lines.ts";
import type { Row } from "./rows.ts";

/** Rows that are decoded together. */
const ROWS_AT_ONCE = 10_000;

const compressors = {
  GZIP: (input: Uint8Array) => new Uint8Array(gunzipSync(input)),
  BROTLI: (input: Uint8Array) => new Uint8Array(brotliDecompressSync(input)),
};

async function open(path: string) {
  const file = await asyncBufferFromFile(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    return { file, metadata: await parquetMetadataAsync(file) };
  } catch (cause) {
    throw new DataError(`${path}: is no Parquet file: ${messageOf(cause)}`, {
      hint: "Download or write it again.",
      cause,
    });
  }
}

/** Whole numbers of 64 bits as their decimal text: a label is a name, and as a number it would lose digits. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint")
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
      ? Number(value)
      : String(value);
  return Array.isArray(value) ? value.map(plain) : value;
}

/** The rows of a Parquet file; snappy, gzip and brotli are unpacked. @throws DataError naming the file */
export async function* parquetRows(path: string): AsyncGenerator<Row> {
  const { file, metadata } = await open(path);
  const count = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < count; rowStart += ROWS_AT_ONCE) {
    const rowEnd = Math.min(count, rowStart + ROWS_AT_ONCE);
    const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors }).catch(
      (cause: unknown) => {
        throw new DataError(
          `${path}, rows ${rowStart + 1} to ${rowEnd}: cannot be read: ${messageOf(cause)}`,
          {
            hint: "A column may be packed in a way that is not read here: write it again with compression snappy.",
            cause,
          },
        );
      },
    );
    for (const [i, row] of rows.entries()) {
      const fields = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
      yield { place: `${path}, row ${rowStart + i + 1}`, fields };
    }
  }
}

/** What the file says of itself under a key; undefined where there is nothing. */
export async function parquetNote(path: string, key: string): Promise<string | undefined> {
  const { metadata } = await open(path);
  return metadata.key_value_metadata?.find((each) => each.key === key)?.value;
}
