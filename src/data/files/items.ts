/** Labelled files, whatever gets a label: texts, or the words of sentences. */
import { extname } from "node:path";
import { DataError } from "../../core/errors.ts";
import type { RunLevel } from "../../core/record.ts";
import { readConll, type TaggedSentence } from "./conll.ts";
import { collect, readExamples, rowExtensions } from "./readers.ts";
import type { LabelledExample } from "./types.ts";

export interface LabelledFile {
  readonly items: readonly (LabelledExample | TaggedSentence)[];
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

const readers: { readonly [L in RunLevel]: (path: string) => Promise<LabelledFile> } = {
  sentence: async (path) => ({ items: await collect(readExamples(path)), notes: [] }),
  word: async (path) => {
    if (rowExtensions().includes(extname(path).toLowerCase()))
      throw new DataError(`${path}: words are tagged here, and that is a file of labelled texts`, {
        hint: "Give a CoNLL file: a word a line with its tag (O, B-type or I-type), a blank line between sentences.",
      });
    const { sentences, notes } = await readConll(path);
    return { items: sentences, notes };
  },
};

const holds: { readonly [L in RunLevel]: string } = {
  sentence: 'A line holds one object: {"text": "…", "label": "…"}.',
  word: "A line holds a word, a tab or spaces, and its tag.",
};

/**
 * Reads JSONL or CSV of labelled texts, at word level CoNLL.
 * @throws DataError naming the place of what cannot be used, and where there is nothing
 */
export async function readLabelled(path: string, level: RunLevel): Promise<LabelledFile> {
  const file = await readers[level](path);
  if (file.items.length === 0) throw new DataError(`${path}: holds no examples`, { hint: holds[level] });
  return file;
}
