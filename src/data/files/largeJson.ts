/** JSON files longer than a string may be: an object is read member by member, each on its own. */
import { createReadStream } from "node:fs";
import { DataError, messageOf } from "../../core/errors.ts";

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Finds where the members of the outermost value end, byte by byte: all that it looks for is ASCII. */
class MemberScanner {
  depth = 0;
  private inString = false;
  private escaped = false;

  /** @returns where, from `start` on, the outermost value opens or closes, or its members are parted; −1: nowhere */
  find(chunk: Uint8Array, start: number): number {
    // In local variables: a large file takes hundreds of millions of turns.
    let { depth, inString, escaped } = this;
    let found = -1;
    for (let i = start; i < chunk.length && found < 0; i++) {
      const value = chunk[i]!;
      if (inString) {
        if (escaped) escaped = false;
        else if (value === backslash) escaped = true;
        else if (value === quote) inString = false;
      } else if (value === quote) inString = true;
      else if (value === openBrace || value === openBracket) {
        if (depth++ === 0) found = i;
      } else if (value === closeBrace || value === closeBracket) {
        if (--depth === 0) found = i;
      } else if (value === comma && depth === 1) found = i;
    }
    Object.assign(this, { depth, inString, escaped });
    return found;
  }
}

function notAnObject(path: string): DataError {
  return new DataError(
    `${path}: is too long to be read at once, and is no single JSON object, which could be read in parts`,
    { hint: "Write it again as an object of members that are smaller." },
  );
}

/** The bytes of each member of the outermost object, `"key": value`. */
async function* readMembers(path: string, maxBytes: number): AsyncGenerator<Buffer> {
  const scanner = new MemberScanner();
  let members = 0;
  let state: "before" | "inside" | "after" = "before";
  let parts: Buffer[] = [];
  let sizeBytes = 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    sizeBytes += part.length;
    if (sizeBytes <= maxBytes) return;
    if (state !== "inside") throw notAnObject(path);
    throw new DataError(
      `${path}: member ${members + 1} of its object is longer than ${maxBytes} bytes, the most that can be read at once`,
      { hint: "Make the file again with smaller tasks, or with fewer examples." },
    );
  };
  const take = (): Buffer => {
    const whole = Buffer.concat(parts);
    parts = [];
    sizeBytes = 0;
    return whole;
  };
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const chunk of chunks) {
    let start = 0;
    for (let i = scanner.find(chunk, 0); i >= 0; i = scanner.find(chunk, start)) {
      add(chunk.subarray(start, i));
      start = i + 1;
      const bytes = take();
      if (state === "inside") {
        members++;
        yield bytes;
      } else if (state === "after" || chunk[i] !== openBrace || !isBlank(bytes)) throw notAnObject(path);
      state = scanner.depth === 0 ? "after" : "inside";
    }
    add(chunk.subarray(start));
  }
  if (state === "inside") throw new DataError(`${path} is not valid JSON: its end is missing`);
  if (state === "before" || !isBlank(take())) throw notAnObject(path);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.toString().trim() === "";
}

function parseMember(path: string, bytes: Buffer, number: number): readonly [string, unknown] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const object: Record<string, unknown> = JSON.parse(`{${text}}`);
    const [member] = Object.entries(object);
    if (member === undefined) throw new SyntaxError("there is nothing before its comma or brace");
    return member;
  } catch (cause) {
    throw new DataError(`${path} is not valid JSON: member ${number} of its object: ${messageOf(cause)}`, {
      hint: "Download or write it again.",
      cause,
    });
  }
}

/**
 * Reads a JSON file whose outermost value is an object, one member at a time.
 * @throws DataError naming the file, and the member (counted from 1) that is damaged or too long
 */
export async function readLargeJson(path: string, maxBytes: number): Promise<Record<string, unknown>> {
  const entries = new Map<string, unknown>();
  let number = 0;
  for await (const bytes of readMembers(path, maxBytes)) entries.set(...parseMember(path, bytes, ++number));
  return Object.fromEntries(entries);
}
