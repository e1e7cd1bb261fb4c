/** Files of rows: JSONL, CSV, Parquet, and formats that extensions register. What is in a row is for others to check. */
import { extname } from "node:path";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { isInteger, isLosslessNumber, parse as parseLossless } from "lossless-json";
import { ConfigError, DataError, messageOf } from "../../core/errors.ts";
import { Registry } from "../../core/registry.ts";
import { readLines } from "./lines.ts";
import { parquetRows } from "./parquet.ts";

type BuiltInFormat = "jsonl" | "csv" | "parquet";
/** `jsonl`, `csv`, `parquet`, or a format that an extension registered. */
export type RowFormat = string;

/** One row before it is checked; `place` names it in messages. */
export interface Row {
  readonly place: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export const jsonHint = 'A line holds one object: {"text": "…", "label": "…"}.';

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a field may be called besides. The first name that is there counts. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  text: ["sentence1"],
  textPair: ["text_pair", "sentence2"],
  label: ["category"],
};

/** The names of columns as fields are called here; a name that is there is not given to another. */
export function fieldNames(columns: readonly string[]): readonly string[] {
  const result = [...columns];
  for (const [field, others] of Object.entries(otherNames)) {
    const found = others.find((name) => columns.includes(name));
    if (found !== undefined && !columns.includes(field)) result[columns.indexOf(found)] = field;
  }
  return result;
}

/** JSON.parse rounds whole numbers above 2⁵³, so that two labels become one: such a label is read anew, as it is written. */
function exactLabel(text: string, fields: Readonly<Record<string, unknown>>): unknown {
  const { label } = fields;
  if (typeof label !== "number" || Number.isSafeInteger(label)) return label;
  const exact = parseLossless(text);
  const found = isRecord(exact) ? exact.label : undefined;
  return isLosslessNumber(found) && isInteger(found.value) ? found.value : label;
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
    const label = exactLabel(text, fields);
    yield { place, fields: label === undefined ? fields : { ...fields, label } };
  }
}

async function* csvText(path: string): AsyncGenerator<string> {
  for await (const { text } of readLines(path)) yield `${text}\n`;
}

const csvHint =
  'A text with commas, quotes or line breaks stands in double quotes, its own quotes doubled: "a ""b"", c".';

/** Columns by name from the header. */
function csvColumns(path: string, header: readonly string[], required: readonly string[]): readonly string[] {
  const columns = fieldNames(header.map((name) => name.trim()));
  const missing = required.filter((name) => !columns.includes(name));
  if (missing.length > 0)
    throw new DataError(
      `${path}: the header has no column ${missing.join(", ")}; it has ${columns.join(", ")}`,
      { hint: "The first line names the columns: text,label (or text,category; textPair is optional)." },
    );
  const twice = columns.find((name, i) => name in otherNames && columns.indexOf(name) !== i);
  if (twice !== undefined)
    throw new DataError(`${path}: the header names the column ${twice} twice`, {
      hint: "Which of the two is meant cannot be told: rename one.",
    });
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
    parquet: { extensions: [".parquet"], rows: parquetRows },
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

/** What a file's name ends in, in lower case, with the dot; of `a.csv.gz` what stands before `.gz`. */
export function extensionOf(path: string): string {
  const name = path.toLowerCase();
  return extname(name.endsWith(".gz") ? name.slice(0, -".gz".length) : name);
}

/** The format of a file by its name; undefined for one that is none of rows. */
export function formatOf(path: string): RowFormat | undefined {
  return rowReaders.names().find((name) => rowExtensions(name).includes(extensionOf(path)));
}

/**
 * The rows of a file.
 * @param format default: by the file's name
 * @param required columns that a header must have
 * @throws DataError naming the place of what cannot be read
 */
export function readRows(
  path: string,
  format: RowFormat | undefined,
  required: readonly string[],
): AsyncGenerator<Row> {
  const known = format ?? formatOf(path);
  if (known === undefined)
    throw new DataError(`${path}: what kind of file this is cannot be told from its name`, {
      hint: `Name it ${rowExtensions().join(" or ")}, or set stream.format. The two-file layout is named by its folder.`,
    });
  return rowReaders.get(known).rows(path, required);
}
