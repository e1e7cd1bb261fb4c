import { constants } from "node:buffer";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { z } from "zod";
import { DataError, errorCode, messageOf } from "../../core/errors.ts";
import { readLargeJson } from "./largeJson.ts";

const NEWLINE = 0x0a;

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the line feed; a carriage return before it is kept. */
  readonly text: string;
}

/** What went wrong when a file was opened or read. */
export function unreadable(path: string, cause: unknown): DataError {
  const code = errorCode(cause);
  if (code === "ENOENT")
    return new DataError(`${path} does not exist`, {
      hint: "A path in a configuration is relative to the configuration's own folder, one on the command line to the working directory.",
      cause,
    });
  if (code === "EISDIR")
    return new DataError(`${path} is a folder, a file was expected`, {
      hint: "Name a .jsonl or .csv file, or give the folder of train, validation and test as stream.path.",
      cause,
    });
  return new DataError(`${path} cannot be read: ${messageOf(cause)}`, { cause });
}

function decode(where: string, number: number, bytes: Uint8Array): string {
  try {
    // Strips a byte order mark, which only the first line may have.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: number > 1 }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${where}, line ${number}: the file is not UTF-8`, {
      hint: `Convert it, e.g. \`iconv -f latin1 -t utf-8 old > new\` if it is Latin-1.`,
      cause,
    });
  }
}

/** A longer line is no example, and would take its multiple in memory. */
export const longestLineBytes = 16 * 2 ** 20;

/**
 * Reads a text file line by line, holding one line at a time; one whose name ends in `.gz` is unpacked.
 * @throws DataError as `linesOf`
 */
export function readLines(path: string, maxBytes = longestLineBytes): AsyncGenerator<Line> {
  const file = createReadStream(path);
  // What goes wrong reaches whoever reads the lines.
  const text = path.toLowerCase().endsWith(".gz") ? pipeline(file, createGunzip(), () => {}) : file;
  return linesOf(text, path, maxBytes);
}

/**
 * The lines of a stream of bytes, as they come in.
 * @throws DataError naming the line that is not UTF-8 or longer than `maxBytes`, or why nothing can be read
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
  where: string,
  maxBytes = longestLineBytes,
): AsyncGenerator<Line> {
  let number = 0;
  let openBytes = 0;
  let open: Buffer[] = [];
  try {
    for await (const chunk of chunks) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        open.push(chunk.subarray(start, end));
        number++;
        yield { number, text: decode(where, number, Buffer.concat(open)) };
        open = [];
        openBytes = 0;
        start = end + 1;
      }
      if (start === chunk.length) continue;
      open.push(chunk.subarray(start));
      openBytes += chunk.length - start;
      if (openBytes > maxBytes)
        throw new DataError(`${where}, line ${number + 1}: is longer than ${maxBytes} bytes`, {
          hint: "One example stands on a line; is the file what it should be?",
        });
    }
  } catch (cause) {
    throw cause instanceof DataError ? cause : unreadable(where, cause);
  }
  if (open.length > 0) yield { number: number + 1, text: decode(where, number + 1, Buffer.concat(open)) };
}

/**
 * Reads a whole JSON file. One that is longer than a text may be, as the two-file layout of a large set is, is read
 * member by member if it is an object.
 * @param maxBytes the most that is read as one text
 * @throws DataError naming the file (and the line that is not UTF-8)
 */
export async function readJson(path: string, maxBytes = constants.MAX_STRING_LENGTH): Promise<unknown> {
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  // A text has at most as many UTF-16 code units as UTF-8 bytes.
  if (found.size > maxBytes) return await readLargeJson(path, maxBytes);
  const lines: string[] = [];
  for await (const { text } of readLines(path, maxBytes)) lines.push(text);
  try {
    const json: unknown = JSON.parse(lines.join("\n"));
    return json;
  } catch (cause) {
    const hint = "Download or write it again.";
    throw new DataError(`${path} is not valid JSON: ${messageOf(cause)}`, { hint, cause });
  }
}

/**
 * Reads a JSON file of a known form.
 * @param hint what to do where it has another form
 * @throws DataError as `readJson`, or naming what in it has another form
 */
export async function readJsonAs<T>(
  schema: z.ZodType<T>,
  path: string,
  hint: string,
  where = path,
): Promise<T> {
  const { data, error } = schema.safeParse(await readJson(path));
  if (error === undefined) return data;
  throw new DataError(`${where}: ${z.prettifyError(error)}`, { hint, cause: error });
}
