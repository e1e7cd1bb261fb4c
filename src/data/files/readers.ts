import { extname } from "node:path";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { ConfigError, DataError, messageOf } from "../../core/errors.ts";
import { Registry } from "../../core/registry.ts";
import { readLines } from "./lines.ts";
import type { Example, LabelledExample } from "./types.ts";

type BuiltInFormat = "jsonl" | "csv";
/** `jsonl`, `csv`, or a format that an extension registered. */
export type RowFormat = string;

/** One row before it is checked; `place` names it in messages. */
interface Row {
  readonly place: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const jsonHint = 'A line holds one object: {"text": "…", "label": "…"}.';

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function* jsonRows(path: string): AsyncGenerator<Row> {
  for await (const { number, text } of readLines(path)) {
    if (text.trim() === "") continue;
    const place = `${path}, line ${number}`;
    let fields: unknown;
    try {
      fields = JSON.parse(text);
    } catch (cause) {
      throw new DataError(`${place}: not valid JSON: ${messageOf(cause)}`, { hint: jsonHint, cause });
    }
    if (!isRecord(fields)) throw new DataError(`${place}: not a JSON object`, { hint: jsonHint });
    yield { place, fields };
  }
}

async function* csvText(path: string): AsyncGenerator<string> {
  for await (const { text } of readLines(path)) yield `${text}\n`;
}

const csvHint =
  'A text with commas, quotes or line breaks stands in double quotes, its own quotes doubled: "a ""b"", c".';

/** Columns by name from the header; `category` is Banking77's word for label. */
function csvColumns(path: string, header: readonly string[], required: readonly string[]): readonly string[] {
  const columns = header.map((name) => name.trim());
  const category = columns.includes("label") ? -1 : columns.indexOf("category");
  if (category >= 0) columns[category] = "label";
  const missing = required.filter((name) => !columns.includes(name));
  if (missing.length > 0)
    throw new DataError(
      `${path}: the header has no column ${missing.join(", ")}; it has ${columns.join(", ")}`,
      { hint: "The first line names the columns: text,label (or text,category; textPair is optional)." },
    );
  return columns;
}

interface CsvRecord {
  readonly record: readonly string[];
  /** Lines read up to the record's end; records read, this one and the header included. */
  readonly info: { readonly lines: number; readonly records: number };
}

async function* csvRows(path: string, required: readonly string[]): AsyncGenerator<Row> {
  const source = Readable.from(csvText(path));
  const parser = parse({ info: true, relaxColumnCount: true, skipEmptyLines: true });
  source.on("error", (error) => parser.destroy(error));
  let columns: readonly string[] | undefined;
  let rows = 0;
  const records: AsyncIterable<CsvRecord> = source.pipe(parser);
  try {
    for await (const { record, info } of records) {
      if (columns === undefined) {
        columns = csvColumns(path, record, required);
        continue;
      }
      rows++;
      const place = `${path}, row ${rows} (line ${info.lines})`;
      if (record.length !== columns.length)
        throw new DataError(`${place}: ${record.length} fields, the header has ${columns.length}`, {
          hint: csvHint,
        });
      yield { place, fields: Object.fromEntries(columns.map((name, i) => [name, record[i]])) };
    }
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    // The parser reads ahead and drops what it had ready: its own count is the broken row's, header included.
    const before: unknown = cause.records;
    const row = typeof before === "number" ? before : rows + 1;
    throw new DataError(`${path}, ${row === 0 ? "header" : `row ${row}`}: ${cause.message}`, {
      hint: csvHint,
      cause,
    });
  }
  if (columns === undefined) throw new DataError(`${path} is empty: not even a header`, { hint: csvHint });
}

function describe(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function toExample({ place, fields }: Row): Example {
  const { text, textPair } = fields;
  if (typeof text !== "string")
    throw new DataError(`${place}: text must be a string, got ${describe(text)}`, { hint: jsonHint });
  if (textPair === undefined || textPair === null) return { text };
  if (typeof textPair !== "string")
    throw new DataError(`${place}: textPair must be a string, got ${describe(textPair)}`, { hint: jsonHint });
  return { text, textPair };
}

function toLabelled(row: Row): LabelledExample {
  const example = toExample(row);
  const { label } = row.fields;
  if (typeof label === "number") return { ...example, label: String(label) };
  if (typeof label !== "string" || label.trim() === "")
    throw new DataError(`${row.place}: label must be a name, got ${describe(label)}`, {
      hint: "Give the row a label, or remove it.",
    });
  return { ...example, label };
}

interface RowReader {
  /** What such files' names end in, with the dot. */
  readonly extensions: readonly string[];
  rows(path: string, required: readonly string[]): AsyncGenerator<Row>;
}

const rowReaders = new Registry<BuiltInFormat, RowReader>(
  "stream.format",
  {
    jsonl: { extensions: [".jsonl", ".ndjson"], rows: jsonRows },
    csv: { extensions: [".csv"], rows: csvRows },
  },
  ["continual"],
);

export function rowFormats(): readonly string[] {
  return rowReaders.names();
}

/** @param format default: of all formats */
export function rowExtensions(format?: RowFormat): readonly string[] {
  const formats = format === undefined ? rowReaders.names() : [format];
  return formats.flatMap((name) => rowReaders.get(name).extensions);
}

/** What an extension reads a file with: `{ text, label, textPair? }` each. */
export type ExampleReader = (path: string) => AsyncIterable<Readonly<Record<string, unknown>>>;

/**
 * Adds a format of files, for `stream.format`; files of its extensions are read by it without being told.
 * @param extensions what such files' names end in; default: the format's name behind a dot
 * @throws ConfigError if the name is taken, or `read` is no function
 */
export function registerReader(
  format: string,
  read: ExampleReader,
  { extensions = [`.${format}`] }: { readonly extensions?: readonly string[] | undefined } = {},
): void {
  if (typeof read !== "function")
    throw new ConfigError(`registerReader: ${format} has no function that reads`, { code: "ARGUMENT" });
  const rows = async function* (path: string): AsyncGenerator<Row> {
    let number = 0;
    for await (const fields of read(path)) {
      number++;
      const place = `${path}, example ${number}`;
      if (!isRecord(fields)) throw new DataError(`${place}: not an object`, { hint: jsonHint });
      yield { place, fields };
    }
  };
  rowReaders.register(format, { extensions, rows });
}

function readRows(
  path: string,
  format: RowFormat | undefined,
  required: readonly string[],
): AsyncGenerator<Row> {
  const extension = extname(path).toLowerCase();
  const known = format ?? rowReaders.names().find((name) => rowExtensions(name).includes(extension));
  if (known === undefined)
    throw new DataError(`${path}: what kind of file this is cannot be told from its name`, {
      hint: `Name it ${rowExtensions().join(" or ")}, or set stream.format. The two-file layout is named by its folder.`,
    });
  return rowReaders.get(known).rows(path, required);
}

/**
 * Reads labelled examples from a JSONL file of `{"text", "label", "textPair"?}` or a CSV file with a header of
 * `text,label` (or `text,category`). Blank lines are skipped; a numeric label becomes its decimal text.
 * @param format default: by the file's extension
 * @throws DataError naming file and line (JSONL) or row (CSV, counted after the header) of what cannot be used
 */
export async function* readExamples(path: string, format?: RowFormat): AsyncGenerator<LabelledExample> {
  for await (const row of readRows(path, format, ["text", "label"])) yield toLabelled(row);
}

/** Reads texts whose labels, where there are any, do not matter. @throws DataError as `readExamples` */
export async function* readTexts(path: string, format?: RowFormat): AsyncGenerator<Example> {
  for await (const row of readRows(path, format, ["text"])) yield toExample(row);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}
