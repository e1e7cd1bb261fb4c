import { createReadStream } from "node:fs";
import { stdin } from "node:process";
import { addAbortSignal } from "node:stream";
import { DataError, messageOf } from "../../core/errors.ts";

async function* chunks(path: string | undefined, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const stream = path === undefined ? stdin : createReadStream(path);
  if (signal !== undefined) addAbortSignal(signal, stream);
  try {
    for await (const chunk of stream) yield chunk;
  } catch (cause) {
    const where = path ?? "stdin";
    throw new DataError(`${where}: cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/**
 * The lines of a file or of stdin as they come in, without line ends; a byte order mark is dropped, and an empty
 * line stays, so that line n of the answer belongs to line n of the question.
 * @throws DataError naming the line that is not UTF-8.
 */
export async function* readLines(path: string | undefined, signal?: AbortSignal): AsyncGenerator<string> {
  const where = path ?? "stdin";
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  const decode = (bytes: Uint8Array): string => {
    number++;
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: number > 1 }).decode(bytes);
      return text.endsWith("\r") ? text.slice(0, -1) : text;
    } catch (cause) {
      throw new DataError(`${where}, line ${number}: not UTF-8`, { cause, hint: "Save the file as UTF-8." });
    }
  };
  for await (const chunk of chunks(path, signal)) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a, start)) {
      yield decode(rest.subarray(start, end));
      start = end + 1;
    }
    rest = rest.subarray(start);
  }
  if (rest.length > 0) yield decode(rest);
}

/** Texts in groups of `size`, as they come; the last group may be smaller. */
export async function* grouped(
  texts: Iterable<string> | AsyncIterable<string>,
  size: number,
): AsyncGenerator<string[]> {
  let group: string[] = [];
  for await (const text of texts) {
    group.push(text);
    if (group.length === size) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
