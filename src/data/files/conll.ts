/** Tagged sentences in columns: CoNLL files and their relatives. */
import { DataError } from "../../core/errors.ts";
import { type Line, readLines } from "./lines.ts";
import { looksLikeTag, type TaggedSentence, TagReader } from "./tags.ts";

const hint =
  "A line holds a word, a tab or spaces, perhaps other columns, and last the tag: O, B-type or I-type. " +
  "stream.wordColumn names the word's column where it is not the first.";

export interface TaggedFile {
  readonly sentences: readonly TaggedSentence[];
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

export interface ColumnOptions {
  /** The column of the words, from 1. Default: 2 where the first one numbers the words of each sentence, else 1. */
  readonly wordColumn?: number | undefined;
}

interface Row {
  readonly line: number;
  readonly columns: readonly string[];
}

/** Only ASCII blanks separate: a no-break space may be part of a word, or be one. Those at the end are of no account. */
function splitColumns(text: string): string[] {
  const line = text.replace(/[\t \r]+$/u, "");
  const columns = line.includes("\t") ? line.split("\t") : line.split(/ +/);
  // Blanks around a line make empty columns in a file separated by spaces only.
  const trimmed = columns.map((column) => column.replace(/^ +| +$/g, ""));
  return line.includes("\t") ? trimmed : trimmed.filter((column) => column !== "");
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

function isBlankOrDocument({ columns }: Row): boolean {
  return columns.every((column) => column === "") || columns[0] === "-DOCSTART-";
}

/** A comment begins with `#` and a blank, before a sentence, and is no word with its tag. */
function isComment({ columns }: Row, text: string, width: number): boolean {
  return /^#[\t ]/u.test(text) && !(columns.length === width && looksLikeTag(columns.at(-1) ?? ""));
}

async function readSentences(path: string): Promise<{ sentences: Row[][]; width: number }> {
  const lines: { readonly row: Row; readonly text: string }[] = [];
  for await (const { number, text } of readLines(path))
    lines.push({ row: { line: number, columns: splitColumns(text) }, text });
  const first = lines.find(({ row, text }) => !isBlankOrDocument(row) && !/^#[\t ]/u.test(text));
  const width = first?.row.columns.length ?? 2;
  const sentences: Row[][] = [];
  let open: Row[] = [];
  for (const { row, text } of lines) {
    if (isBlankOrDocument(row)) {
      if (open.length > 0) sentences.push(open);
      open = [];
    } else if (open.length > 0 || !isComment(row, text, width)) open.push(row);
  }
  if (open.length > 0) sentences.push(open);
  return { sentences, width };
}

/** CoNLL-U: a range of words that were written as one, and a word that is not there. */
function isExtra({ columns }: Row): boolean {
  return /^\d+[-.]\d+$/u.test(columns[0] ?? "");
}

function areNumbered(sentences: readonly (readonly Row[])[]): boolean {
  return sentences.every((rows) =>
    rows.filter((row) => !isExtra(row)).every(({ columns }, i) => columns[0] === String(i + 1)),
  );
}

interface Layout {
  readonly word: number;
  readonly tag: number;
}

/** From so many of its cells on, a column holds tags. */
const MOST_CELLS = 0.9;

/**
 * Where word and tag stand. The tag is in the last column; where the word is not in the first, in the first column
 * behind it that holds tags, as GermEval and CoNLL-U files have others behind.
 */
function layOut(path: string, rows: readonly Row[], width: number, wordColumn: number): Layout {
  const word = wordColumn - 1;
  if (word >= width)
    throw new DataError(`${path}: the word is to be in column ${wordColumn}, but its lines have ${width}`, {
      hint,
    });
  if (word === 0) return { word, tag: width - 1 };
  const others = Array.from({ length: width }, (_, i) => i).filter((i) => i !== word);
  const holdsTags = (column: number) =>
    rows.filter(({ columns }) => looksLikeTag(columns[column] ?? "")).length >= MOST_CELLS * rows.length;
  const found = [...others.filter((i) => i > word), ...others.filter((i) => i < word)].find(holdsTags);
  return { word, tag: found ?? others.at(-1) ?? 0 };
}

function checkRow(path: string, { line, columns }: Row, { word, tag }: Layout, width: number): void {
  const place = `${path}, line ${line}`;
  const [own = "", its = ""] = [columns[word], columns[tag]];
  const untagged = new DataError(`${place}: the word ${JSON.stringify(own)} has no tag`, { hint });
  if (columns.length < 2) throw untagged;
  // Without this check, a line that lost its tag would be read with the column before as its tag.
  if (columns.length !== width)
    throw new DataError(`${place}: ${columns.length} columns, but the lines before have ${width}`, { hint });
  if (its === "") throw untagged;
  if (own === "") throw new DataError(`${place}: there is a tag but no word before it`, { hint });
}

/**
 * Reads a CoNLL file: a word a line, columns separated by tabs or else by spaces, a blank line between sentences. The word
 * is in the first column and the tag in the last, or as {@link ColumnOptions} says. `-DOCSTART-` lines and comments
 * (`# …` before a sentence) are skipped. Tags in IOB1, IOB2, BIOES or BILOU, given in IOB2.
 * @throws DataError naming the file and the line: no tag, another number of columns, a tag that is none, mixed schemes, not UTF-8
 */
export async function readConll(path: string, { wordColumn }: ColumnOptions = {}): Promise<TaggedFile> {
  const { sentences: found, width } = await readSentences(path);
  const numbered = width > 2 && areNumbered(found);
  const kept = numbered ? found.map((rows) => rows.filter((row) => !isExtra(row))) : found;
  const layout = layOut(path, kept.flat(), width, wordColumn ?? (numbered ? 2 : 1));
  const reader = new TagReader(path);
  const sentences = kept.map((rows): TaggedSentence => {
    for (const row of rows) checkRow(path, row, layout, width);
    const tags = reader.read(
      rows.map(({ columns }) => columns[layout.tag] ?? ""),
      (i) => `line ${rows[i]?.line}`,
    );
    return { words: rows.map(({ columns }) => columns[layout.word] ?? ""), tags };
  });
  return { sentences, notes: reader.notes };
}
