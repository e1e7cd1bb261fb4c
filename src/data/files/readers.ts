/** Labelled texts of any format of rows. */
import { DataError } from "../../core/errors.ts";
import { type ClassNames, readClassNames } from "./classNames.ts";
import { fieldNames, jsonHint, type Row, type RowFormat, readRows } from "./rows.ts";
import type { Example, LabelledExample } from "./types.ts";

function describe(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function renamed({ place, fields }: Row): Row {
  const names = Object.keys(fields);
  const own = fieldNames(names);
  return { place, fields: Object.fromEntries(names.map((name, i) => [own[i] ?? name, fields[name]])) };
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

/** Reads the labels of a file, and counts what is taken otherwise than it stands. */
class LabelReader {
  private readonly path: string;
  private readonly names: ClassNames | undefined;
  private tidied = 0;
  private firstTidied = "";
  private numbered = 0;

  constructor(path: string, names: ClassNames | undefined) {
    this.path = path;
    this.names = names;
  }

  /** @throws DataError if the row has no label, or a number beyond the names there are */
  read({ place, fields }: Row): string {
    const { label } = fields;
    if (typeof label === "number") return this.nameOf(label, place);
    if (typeof label !== "string" || label.trim() === "")
      throw new DataError(`${place}: label must be a name, got ${describe(label)}`, {
        hint: "Give the row a label, or remove it.",
      });
    // Labels that look the same are the same.
    const tidy = label.normalize("NFC").replace(/\s+/gu, " ").trim();
    if (tidy !== label && this.tidied++ === 0) this.firstTidied = label;
    return tidy;
  }

  private nameOf(number: number, place: string): string {
    const names = this.names?.byColumn.get("label");
    if (names === undefined) return String(number);
    const name = names[number];
    if (name === undefined)
      throw new DataError(`${place}: label ${number} has no name: ${this.names?.from} has ${names.length}`, {
        hint: "Is that description of this data set?",
      });
    this.numbered++;
    return name;
  }

  get notes(): readonly string[] {
    const { path, tidied, firstTidied, numbered, names } = this;
    const rows = (n: number) => `${n.toLocaleString("en")} ${n === 1 ? "row" : "rows"}`;
    return [
      ...(tidied === 0
        ? []
        : [
            `${path}: the labels of ${rows(tidied)} were trimmed of blanks or brought to normal form (NFC), e.g. ${JSON.stringify(firstTidied)}.`,
          ]),
      ...(numbered === 0 ? [] : [`${path}: the labels are numbers, named by ${names?.from}.`]),
    ];
  }
}

/**
 * Reads labelled examples from JSONL of `{"text", "label", "textPair"?}`, from CSV with a header of `text,label`, or from
 * Parquet with such columns; `text_pair`, and `sentence1` with `sentence2`, are known too, and `category` for label.
 * Blank lines are skipped; labels are trimmed and brought to NFC; a number becomes the name that the data set's
 * description gives it, else its decimal text.
 * @param format default: by the file's extension
 * @param notes takes what the reader should know, one sentence each, when all is read
 * @throws DataError naming file and line (JSONL) or row (counted after the header) of what cannot be used
 */
export async function* readExamples(
  path: string,
  format?: RowFormat,
  notes: string[] = [],
): AsyncGenerator<LabelledExample> {
  const rows = readRows(path, format, ["text", "label"]);
  let labels: LabelReader | undefined;
  for await (const row of rows) {
    const known = renamed(row);
    const example = toExample(known);
    labels ??= new LabelReader(path, await readClassNames(path));
    yield { ...example, label: labels.read(known) };
  }
  notes.push(...(labels?.notes ?? []));
}

/** Reads texts whose labels, where there are any, do not matter. @throws DataError as `readExamples` */
export async function* readTexts(path: string, format?: RowFormat): AsyncGenerator<Example> {
  for await (const row of readRows(path, format, ["text"])) yield toExample(renamed(row));
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}
