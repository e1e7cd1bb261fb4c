import { createReadStream } from "node:fs";
import { stdin } from "node:process";
import { addAbortSignal } from "node:stream";
import { linesOf } from "../../data/files/lines.ts";

/**
 * The lines of a file or of stdin as they come in, without line ends; an empty line stays, so that line n of the answer
 * belongs to line n of the question.
 * @throws DataError naming the line that is not UTF-8, or why nothing can be read
 */
export async function* readLines(path: string | undefined, signal?: AbortSignal): AsyncGenerator<string> {
  const stream = path === undefined ? stdin : createReadStream(path);
  if (signal !== undefined) addAbortSignal(signal, stream);
  for await (const { text } of linesOf(stream, path ?? "stdin"))
    yield text.endsWith("\r") ? text.slice(0, -1) : text;
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
