import { ConfigError, DataError } from "../../core/errors.ts";
import type { Example } from "../files/types.ts";
import type { Spans } from "./officialTokenizer.ts";
import { compileTemplates, type Piece } from "./postProcessor.ts";
import { readTokenizer, type TokenizerParts, type TokenizerSource } from "./tokenizerFiles.ts";
import { wordReader } from "./wordReader.ts";

/** One example as the model reads it, special tokens included, unpadded. */
export interface Encoding {
  readonly ids: readonly number[];
  /** Segment of each token: 0, or 1 in the second text of a pair. */
  readonly typeIds: readonly number[];
  readonly truncated: boolean;
  /** Of a text that is read in several; `ids` are then the first one's. */
  readonly windows?: readonly Window[];
}

/** A part of a text, special tokens included. */
export interface Window extends Encoding {
  /** How many of its tokens are the text's. */
  readonly textTokens: number;
}

/** Turns texts into token ids and back, as the model's own files say. */
export interface Tokenizer {
  /** SHA-256 of `tokenizer.json`'s bytes, hex; where files beside change what it does, of that too. */
  readonly hash: string;
  readonly padId: number;
  /** The end of a text by `tokenizer_config.json` or the class of tokenizer; undefined where there is none. */
  readonly endId: number | undefined;
  readonly vocabularySize: number;
  readonly paddingSide: "left" | "right";
  /** The longest text in tokens that the files beside tokenizer.json allow; undefined where they say nothing. */
  readonly maxLength: number | undefined;
  /** What was read otherwise than tokenizer.json says, one sentence each. */
  readonly notes: readonly string[];
  /**
   * Encodes as transformers does with `truncation=True, max_length=maxLength`.
   * @throws DataError if not a single token remains; BERT's special tokens always do
   * @throws ConfigError if `maxLength` is less than the special tokens
   */
  encode(example: Example, maxLength: number): Encoding;
  /**
   * The tokens of one word of a text that comes split into words. A tokenizer that marks the break before a word in its
   * tokens reads every word as if a space stood before it, as transformers does with `add_prefix_space=True`.
   * @returns ids without special tokens; none for a word of nothing but what the tokenizer removes
   */
  encodeWord(word: string): readonly number[];
  /** Tokens of a text without special tokens around it, with the place and the word that each comes from. */
  spans(text: string): Spans;
  /** Puts the special tokens of a single text around its ids. @returns also the index of the first of `ids` */
  frame(ids: readonly number[]): Pick<Encoding, "ids" | "typeIds"> & { readonly start: number };
  /** The text of `ids` as transformers 5 prints it, special tokens left out. */
  decode(ids: readonly number[]): string;
}

/** How many tokens of each text stay, as Rust's `LongestFirst`: the longer text gives way first. */
export function longestFirst(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second];
  const swap = first > second;
  let short = swap ? second : first;
  let long = Math.max(short, room - short);
  if (short > room) long = short;
  if (short + long > room) {
    short = Math.floor(room / 2);
    long = short + (room % 2);
  }
  return swap ? [long, short] : [short, long];
}

function keep(ids: readonly number[], count: number, side: "left" | "right"): readonly number[] {
  return side === "right" ? ids.slice(0, count) : ids.slice(Math.max(0, ids.length - count));
}

function specialCount(template: readonly Piece[]): number {
  return template.reduce((sum, piece) => sum + (piece.kind === "special" ? piece.ids.length : 0), 0);
}

function assemble(template: readonly Piece[], sequences: { A: readonly number[]; B: readonly number[] }) {
  const ids: number[] = [];
  const typeIds: number[] = [];
  for (const piece of template) {
    for (const id of piece.kind === "special" ? piece.ids : sequences[piece.sequence]) {
      ids.push(id);
      typeIds.push(piece.typeId);
    }
  }
  return { ids, typeIds };
}

/** @throws ConfigError if the special tokens alone are longer than `maxLength` */
export function checkMaxLength(maxLength: number, special: number): number {
  if (maxLength >= special) return special;
  throw new ConfigError(`maxLength ${maxLength} leaves no room for the tokenizer's special tokens`, {
    hint: `It adds ${special} to every text: raise training.maxLength well above that.`,
    issues: [{ path: "training.maxLength", expected: `more than ${special}`, received: String(maxLength) }],
  });
}

/** The beginning of a text, fit for a message. */
export function excerpt(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

/** What transformers strips of spaces where `clean_up_tokenization_spaces` is set; of byte pairs only when forced. */
function cleanUp({ config, file }: TokenizerParts, text: string): string {
  const forced = config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true;
  if (config.clean_up_tokenization_spaces !== true || (file.model.type === "BPE" && !forced)) return text;
  const steps = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];
  return steps.reduce((cleaned, step) => cleaned.replaceAll(step, step.trim()), text);
}

/** Decoders often have no padding token; what stands on padding is masked, so any id serves. */
function findPadding({ names, library, file }: TokenizerParts, endId: number | undefined): number {
  for (const token of [names.pad_token, "[PAD]", "<pad>"]) {
    const id = token === undefined ? undefined : library.tokenToId(token);
    if (id !== undefined) return id;
  }
  return file.padding?.pad_id ?? endId ?? 0;
}

function buildTokenizer(parts: TokenizerParts): Tokenizer {
  const { path, file, library, names } = parts;
  const { single, pair } = compileTemplates(path, file.post_processor);
  const { truncation_side: side } = parts.config;
  const readWord = wordReader(parts);
  const endId = names.eos_token === undefined ? undefined : library.tokenToId(names.eos_token);
  return {
    hash: parts.hash,
    padId: findPadding(parts, endId),
    endId,
    vocabularySize: library.highestId() + 1,
    paddingSide: parts.paddingSide,
    maxLength: parts.maxLength,
    notes: parts.notes,
    encode({ text, textPair }, maxLength) {
      const template = textPair === undefined ? single : pair;
      const room = maxLength - checkMaxLength(maxLength, specialCount(template));
      const first = library.encode(text);
      const second = textPair === undefined ? [] : library.encode(textPair);
      const [firstKept, secondKept] = longestFirst(first.length, second.length, room);
      const { ids, typeIds } = assemble(template, {
        A: keep(first, firstKept, side),
        B: keep(second, secondKept, side),
      });
      if (ids.length === 0)
        throw new DataError(`the text ${excerpt(text)} has no tokens`, {
          hint: "This tokenizer adds no special tokens, so an empty text cannot be read: remove it.",
        });
      return { ids, typeIds, truncated: firstKept < first.length || secondKept < second.length };
    },
    encodeWord: (word) => (word === "" ? [] : readWord(word)),
    spans: (text) => library.spans(text),
    frame(ids) {
      const before = single.slice(
        0,
        single.findIndex(({ kind }) => kind === "sequence"),
      );
      return { ...assemble(single, { A: ids, B: [] }), start: specialCount(before) };
    },
    decode: (ids) => (ids.length === 0 ? "" : cleanUp(parts, library.decode(ids, true))),
  };
}

/**
 * Opens a model's `tokenizer.json` with what stands beside it.
 *
 * Ids equal those of transformers 5 (and of sentence-transformers, in a folder of its own): special tokens by the
 * post-processor, the file's own truncation and padding ignored.
 * @throws CheckpointError if the file is missing, damaged, or of a kind that is not known
 */
export async function openTokenizer(source: TokenizerSource): Promise<Tokenizer> {
  return buildTokenizer(await readTokenizer(source));
}

/**
 * Encodes many examples.
 * @returns the encodings in order, and how many of them were cut to `maxLength`
 * @throws DataError naming the example (counted from 1) that has no tokens
 */
export function encodeAll(
  tokenizer: Tokenizer,
  examples: readonly Example[],
  maxLength: number,
  what = "text",
): { encodings: Encoding[]; truncated: number } {
  return encodeEach(examples, (example) => tokenizer.encode(example, maxLength), what);
}

/**
 * Encodes many items, one by one.
 * @returns the encodings in order, and how many of them were cut
 * @throws DataError of `encode`, with what and which item it was in front
 */
export function encodeEach<T, E extends { readonly truncated: boolean }>(
  items: readonly T[],
  encode: (item: T) => E,
  what: string,
): { encodings: E[]; truncated: number } {
  const encodings = items.map((item, i) => {
    try {
      return encode(item);
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      const hint = cause.hint === undefined ? {} : { hint: cause.hint };
      throw new DataError(`${what}, number ${i + 1}: ${cause.message}`, { ...hint, cause });
    }
  });
  return { encodings, truncated: encodings.filter(({ truncated }) => truncated).length };
}
