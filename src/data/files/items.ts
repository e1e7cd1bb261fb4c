/** Labelled files, whatever gets a label: texts, or the words of sentences. */
import { DataError } from "../../core/errors.ts";
import type { RunLevel } from "../../core/record.ts";
import { type ColumnOptions, readConll, type TaggedFile } from "./conll.ts";
import { readLines } from "./lines.ts";
import { collect, readExamples } from "./readers.ts";
import { extensionOf, formatOf } from "./rows.ts";
import { readTaggedRows } from "./taggedRows.ts";
import type { TaggedSentence } from "./tags.ts";
import type { LabelledExample } from "./types.ts";

export interface LabelledFile {
  readonly items: readonly (LabelledExample | TaggedSentence)[];
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

const taggedHint =
  'Give a CoNLL file (a word a line with its tag, a blank line between sentences), or JSONL or Parquet of {"tokens", "ner_tags"} or {"text", "entities": [{"start", "end", "label"}]}.';

/** Files of tagged words in a form that is not read, by what their names end in. */
const foreign: Readonly<Record<string, string>> = {
  ".csv": "a table of labelled texts (CSV)",
  ".tsv": "a table (TSV); as CoNLL name it .conll",
  ".json": "one JSON document, in place of an object a line (JSONL)",
  ".ann": "brat's standoff format",
  ".spacy": "spaCy's binary format",
  ".xml": "XML",
  ".arrow": "an Arrow file; save it as Parquet or JSONL",
};

/** The first line with something in it. */
async function firstLine(path: string): Promise<string> {
  for await (const { text } of readLines(path)) if (text.trim() !== "") return text.trimStart();
  return "";
}

/**
 * Reads tagged sentences: CoNLL and its relatives, JSONL, Parquet. What a file is, its name or its first line says.
 * @throws DataError naming the form of a file that is not read, or the place of what cannot be used
 */
export async function readTagged(path: string, options: ColumnOptions = {}): Promise<TaggedFile> {
  const format = formatOf(path);
  if (format === "jsonl" || format === "parquet") return await readTaggedRows(path, format);
  const begins = extensionOf(path) === ".spacy" || format !== undefined ? "" : await firstLine(path);
  const form = foreign[extensionOf(path)] ?? (format && `a file of labelled texts (${format})`);
  const seen = begins.startsWith("[{")
    ? foreign[".json"]
    : begins.startsWith("<?xml")
      ? foreign[".xml"]
      : undefined;
  if (form !== undefined || seen !== undefined)
    throw new DataError(`${path}: words are tagged here, and that is ${form ?? seen}`, { hint: taggedHint });
  if (begins.startsWith('{"')) return await readTaggedRows(path, "jsonl");
  return await readConll(path, options);
}

const readers: { readonly [L in RunLevel]: (path: string) => Promise<LabelledFile> } = {
  sentence: async (path) => {
    const notes: string[] = [];
    return { items: await collect(readExamples(path, undefined, notes)), notes };
  },
  word: async (path) => {
    const { sentences, notes } = await readTagged(path);
    return { items: sentences, notes };
  },
};

const holds: { readonly [L in RunLevel]: string } = {
  sentence: 'A line holds one object: {"text": "…", "label": "…"}.',
  word: "A line holds a word, a tab or spaces, and its tag.",
};

/**
 * Reads labelled texts, at word level tagged sentences.
 * @throws DataError naming the place of what cannot be used, and where there is nothing
 */
export async function readLabelled(path: string, level: RunLevel): Promise<LabelledFile> {
  const file = await readers[level](path);
  if (file.items.length === 0) throw new DataError(`${path}: holds no examples`, { hint: holds[level] });
  return file;
}
