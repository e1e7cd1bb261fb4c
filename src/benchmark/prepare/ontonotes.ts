/** OntoNotes 5 (LDC2013T19) in the columns of the CoNLL-2012 shared task. */
import { rowsBySentence } from "../../data/files/conll.ts";
import type { Line } from "../../data/files/lines.ts";
import type { TaggedSentence } from "../../data/files/tags.ts";
import type { WordSourceWithNotes } from "./catalogue.ts";
import { readConverted } from "./entities.ts";
import { filesBelow, misshapen, missing, type RawFolder, readSplits } from "./rawFolder.ts";

const WORD = 3;
const ENTITY = 10;

/**
 * The entity column of a sentence: `(PERSON*` opens, `*)` closes, `(GPE)` is one word, `*` goes on or is outside.
 * @returns tags in IOB2; undefined where brackets do not match
 */
export function bracketsToIob2(cells: readonly string[]): string[] | undefined {
  const tags: string[] = [];
  let open: string | undefined;
  for (const cell of cells) {
    const match = /^(?:\(([^()*]+))?\*?(\))?$/.exec(cell);
    if (match === null || cell === "") return undefined;
    const [, type, closes] = match;
    if (type !== undefined && open !== undefined) return undefined;
    if (type === undefined && closes !== undefined && open === undefined) return undefined;
    tags.push(type !== undefined ? `B-${type}` : open !== undefined ? `I-${open}` : "O");
    open = closes !== undefined ? undefined : (type ?? open);
  }
  return open === undefined ? tags : undefined;
}

async function readConll2012(raw: RawFolder, path: string): Promise<TaggedSentence[]> {
  const parse = ({ number, text }: Line): { line: number; word: string; cell: string } | undefined => {
    const line = text.trim();
    if (line === "" || line.startsWith("#")) return undefined;
    const columns = line.split(/\s+/);
    const [word, cell] = [columns[WORD], columns[ENTITY]];
    if (word === undefined || cell === undefined)
      throw misshapen(
        raw,
        path,
        `line ${number}: ${columns.length} columns, at least ${ENTITY + 1} expected`,
      );
    return { line: number, word, cell };
  };
  const sentences: TaggedSentence[] = [];
  for await (const rows of rowsBySentence(path, parse)) {
    const tags = bracketsToIob2(rows.map(({ cell }) => cell));
    const next = (rows.at(-1)?.line ?? 0) + 1;
    if (tags === undefined)
      throw misshapen(raw, path, `brackets do not match in the sentence that ends before line ${next}`);
    sentences.push({ words: rows.map(({ word }) => word), tags });
  }
  return sentences;
}

const splitFolders = { train: ["train"], validation: ["development", "dev"], test: ["test"] };

/** Other languages have folders of their own, and the New Testament (`pt`) has no entities marked. */
const unwanted = ["chinese", "arabic", "pt"];

/**
 * OntoNotes 5: every `*_conll` file below `train`, `development` and `test`, or `train.txt`, `dev.txt` and `test.txt`
 * in columns, word and tag, as it is often converted to.
 */
export async function readOntoNotes(raw: RawFolder): Promise<WordSourceWithNotes> {
  const converted = await readConverted(raw);
  if (converted !== undefined) return converted;
  const source = await readSplits(async (split) => {
    const names = splitFolders[split];
    const paths = await filesBelow(
      raw,
      "_conll",
      (folders) =>
        folders.some((folder) => names.includes(folder)) &&
        !folders.some((folder) => unwanted.includes(folder)),
    );
    if (paths.length === 0) missing(raw, `*_conll files below ${names.join(" or ")}`);
    const sentences: TaggedSentence[] = [];
    for (const path of paths) for (const sentence of await readConll2012(raw, path)) sentences.push(sentence);
    return sentences;
  });
  return { source };
}
