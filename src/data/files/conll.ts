import { DataError } from "../../core/errors.ts";
import { type Line, readLines } from "./lines.ts";

/** A sentence in words with a tag each: `O`, or `B-x` where an entity of type x begins and `I-x` where it goes on. */
export interface TaggedSentence {
  readonly words: readonly string[];
  /** As many as words, in IOB2: an `I-x` follows a `B-x` or an `I-x`. */
  readonly tags: readonly string[];
}

export const OUTSIDE = "O";

const hint =
  "A line holds a word, a tab or spaces, perhaps other columns, and last the tag: O, B-type or I-type. " +
  "Other schemes (E-, S-, L-, U-) have to be converted to these.";

/** The entity type of a checked tag; undefined for `O`. */
export function typeOf(tag: string): string | undefined {
  return tag === OUTSIDE ? undefined : tag.slice(2);
}

/**
 * Checks one sentence's tags and turns them into IOB2: an `I-x` that follows neither `B-x` nor `I-x` becomes
 * `B-x`. So the older IOB1 of the CoNLL-2003 files is read right too, and the entities are those that conlleval
 * and seqeval's default mode find in the tags as they stood.
 * @returns the tags, and the indices of those that were changed
 * @throws DataError for a tag that is not O, B-type or I-type
 */
export function toIob2(
  tags: readonly string[],
  place: (i: number) => string,
): { readonly tags: readonly string[]; readonly changed: readonly number[] } {
  const changed: number[] = [];
  let open: string | undefined;
  const result = tags.map((tag, i) => {
    if (tag !== OUTSIDE && !/^[BI]-./su.test(tag))
      throw new DataError(`${place(i)}: ${JSON.stringify(tag)} is not a tag`, { hint });
    const type = typeOf(tag);
    const stray = tag.startsWith("I-") && type !== open;
    open = type;
    if (!stray) return tag;
    changed.push(i);
    return `B-${type}`;
  });
  return { tags: result, changed };
}

export interface ConllFile {
  readonly sentences: readonly TaggedSentence[];
  /** What the reader should know, one sentence each: `I-x` tags that had no beginning before them. */
  readonly notes: readonly string[];
}

interface Row {
  readonly line: number;
  readonly word: string;
  readonly tag: string;
}

/** Only ASCII blanks separate: a no-break space may be part of a word, or be one. */
function splitColumns(text: string): string[] {
  const line = text.replace(/\r$/, "");
  const columns = line.includes("\t") ? line.split("\t") : line.split(/ +/);
  // Blanks around a line make empty columns in a file separated by spaces only.
  const trimmed = columns.map((column) => column.replace(/^ +| +$/g, ""));
  return line.includes("\t") ? trimmed : trimmed.filter((column) => column !== "");
}

function parseRow(path: string, line: number, columns: readonly string[], width: number): Row {
  const place = `${path}, line ${line}`;
  const word = columns[0] ?? "";
  const tag = columns[columns.length - 1] ?? "";
  if (columns.length < 2 || tag === "")
    throw new DataError(`${place}: the word ${JSON.stringify(word)} has no tag`, { hint });
  if (word === "") throw new DataError(`${place}: there is a tag but no word before it`, { hint });
  // Without this check, a line that lost its tag would be read with the column before as its tag.
  if (columns.length !== width)
    throw new DataError(`${place}: ${columns.length} columns, but the lines before have ${width}`, { hint });
  return { line, word, tag };
}

/** The rows of each sentence of a file. @param parse gives undefined for a line between sentences */
export async function* rowsBySentence<R>(
  path: string,
  parse: (line: Line) => R | undefined,
): AsyncGenerator<readonly R[]> {
  let rows: R[] = [];
  for await (const line of readLines(path)) {
    const row = parse(line);
    if (row !== undefined) rows.push(row);
    else if (rows.length > 0) {
      yield rows;
      rows = [];
    }
  }
  if (rows.length > 0) yield rows;
}

/**
 * Reads a CoNLL file: a word a line, columns separated by tabs or else by spaces, the word first and the tag last,
 * a blank line between sentences. `-DOCSTART-` lines are skipped. Tags as {@link toIob2} leaves them.
 * @throws DataError naming the file and the line: no tag, another number of columns, a tag that is none, not UTF-8
 */
export async function readConll(path: string): Promise<ConllFile> {
  const sentences: TaggedSentence[] = [];
  const strayLines: number[] = [];
  let width: number | undefined;
  const parse = ({ number, text }: Line): Row | undefined => {
    const columns = splitColumns(text);
    if (columns.every((column) => column === "") || columns[0] === "-DOCSTART-") return undefined;
    width ??= columns.length;
    return parseRow(path, number, columns, width);
  };
  for await (const rows of rowsBySentence(path, parse)) {
    const { tags, changed } = toIob2(
      rows.map(({ tag }) => tag),
      (i) => `${path}, line ${rows[i]?.line}`,
    );
    sentences.push({ words: rows.map(({ word }) => word), tags });
    strayLines.push(...changed.map((i) => rows[i]!.line));
  }
  const [first] = strayLines;
  if (first === undefined) return { sentences, notes: [] };
  const strays = `${strayLines.length.toLocaleString("en")} I- tag${strayLines.length === 1 ? "" : "s"}`;
  const note = `${path}: ${strays} without a beginning before, the first in line ${first}; read as B-.`;
  return { sentences, notes: [note] };
}
