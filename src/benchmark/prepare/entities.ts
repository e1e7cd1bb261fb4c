/** Sets of tagged sentences in columns: CoNLL-2003, WNUT17, Few-NERD, and what others were converted to. */
import { readConll, rowsBySentence } from "../../data/files/conll.ts";
import type { Line } from "../../data/files/lines.ts";
import type { TaggedSentence } from "../../data/files/tags.ts";
import type { Splits } from "../../data/files/types.ts";
import type { WordSource } from "../../data/wordStream.ts";
import type { WordSourceWithNotes } from "./catalogue.ts";
import { findFile, misshapen, type RawFolder, readSplits, requireFile } from "./rawFolder.ts";

type SplitNames = Splits<string>;

/** What such files are called once they are two columns, word and tag. */
const columnNames: SplitNames = {
  train: ["train.txt", "train.conll"],
  validation: ["dev.txt", "dev.conll", "valid.txt"],
  test: ["test.txt", "test.conll"],
};

function upperTags(sentences: readonly TaggedSentence[]): TaggedSentence[] {
  return sentences.map(({ words, tags }) => ({ words, tags: tags.map((tag) => tag.toUpperCase()) }));
}

/** Types in capitals, as the benchmark's files have them. */
function upperTypes({ train, validation = [], test }: WordSource): WordSource {
  return { train: upperTags(train), validation: upperTags(validation), test: upperTags(test) };
}

async function readColumns(raw: RawFolder, names: SplitNames): Promise<WordSourceWithNotes> {
  const notes: string[] = [];
  const source = await readSplits(async (split) => {
    const file = await readConll(await requireFile(raw, ...names[split]));
    notes.push(...file.notes);
    return file.sentences;
  });
  return { source, notes };
}

/** Files in columns that someone converted a set to; undefined where the folder holds none. */
export async function readConverted(raw: RawFolder): Promise<WordSourceWithNotes | undefined> {
  if ((await findFile(raw, ...columnNames.train)) === undefined) return undefined;
  const { source, notes = [] } = await readColumns(raw, columnNames);
  return { source: upperTypes(source), notes };
}

/** CoNLL-2003 (Tjong Kim Sang and De Meulder 2003), as distributed (tags in IOB1) or as mirrors rename the files. */
export async function readConll2003(raw: RawFolder): Promise<WordSourceWithNotes> {
  const { source } = await readColumns(raw, {
    train: ["eng.train", ...columnNames.train],
    validation: ["eng.testa", ...columnNames.validation],
    test: ["eng.testb", ...columnNames.test],
  });
  // In IOB1 an entity begins with I- by rule: there is nothing to note.
  return { source: upperTypes(source) };
}

/** WNUT17 (Derczynski et al. 2017), under the publisher's names or short ones. */
export function readWnut17(raw: RawFolder): Promise<WordSourceWithNotes> {
  return readColumns(raw, {
    train: ["wnut17train.conll", ...columnNames.train],
    validation: ["emerging.dev.conll", ...columnNames.validation],
    test: ["emerging.test.annotated", ...columnNames.test],
  });
}

/**
 * Tags without B- and I-: words of one type in a row are one entity, which also joins two that truly stand side by
 * side; the files do not tell.
 */
export function typesToIob2(types: readonly string[]): string[] {
  return types.map((type, i) => {
    if (type === "O") return type;
    return `${type === types[i - 1] ? "I" : "B"}-${type}`;
  });
}

async function readTypedColumns(raw: RawFolder, path: string): Promise<TaggedSentence[]> {
  const parse = ({ number, text }: Line): { word: string; type: string } | undefined => {
    const line = text.replace(/\r$/, "");
    if (line.trim() === "") return undefined;
    const [word = "", type = "", ...others] = line.split(/[\t ]/);
    if (word === "" || type === "" || others.length > 0)
      throw misshapen(
        raw,
        path,
        `line ${number}: expected a word, a tab and a type, got ${JSON.stringify(line)}`,
      );
    return { word, type: type.toUpperCase() };
  };
  const sentences: TaggedSentence[] = [];
  for await (const rows of rowsBySentence(path, parse))
    sentences.push({
      words: rows.map(({ word }) => word),
      tags: typesToIob2(rows.map(({ type }) => type)),
    });
  return sentences;
}

/** Few-NERD (Ding et al. 2021), its supervised part: a word, a tab and a fine type such as `person-actor`, or `O`. */
export async function readFewNerd(raw: RawFolder): Promise<WordSourceWithNotes> {
  const source = await readSplits(async (split) => {
    const file = split === "validation" ? "dev.txt" : `${split}.txt`;
    return readTypedColumns(raw, await requireFile(raw, file, `supervised/${file}`));
  });
  return { source };
}
