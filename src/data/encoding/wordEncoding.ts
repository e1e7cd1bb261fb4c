import { DataError } from "../../core/errors.ts";
import { checkMaxLength, type Encoding, encodeEach, excerpt, type Tokenizer } from "./tokenizer.ts";

/** A sentence of words as the model reads it, special tokens included, unpadded. */
export interface WordEncoding extends Encoding {
  /**
   * Index in `ids` of each word's first token, where its tag is learned and read. Null for a word that was cut off
   * or has no token at all: such a word is predicted `O`.
   */
  readonly firstTokens: readonly (number | null)[];
  /** Index in `ids` behind the last word's last token; what follows are special tokens. */
  readonly end: number;
  /** Words cut off at the end to fit `maxLength`. */
  readonly cutWords: number;
}

/**
 * Encodes a sentence as transformers does with `is_split_into_words=True`, but cuts between words: where transformers
 * would keep the beginning of a word, that word goes, and all after it.
 * @throws DataError if not a single token remains; BERT's special tokens always do
 * @throws ConfigError if `maxLength` is less than the special tokens
 */
export function encodeWords(tokenizer: Tokenizer, words: readonly string[], maxLength: number): WordEncoding {
  const room = maxLength - checkMaxLength(maxLength, tokenizer.frame([]).ids.length);
  const ids: number[] = [];
  const offsets: (number | null)[] = [];
  for (const word of words) {
    const tokens = tokenizer.encodeWord(word);
    if (ids.length + tokens.length > room) break;
    offsets.push(tokens.length > 0 ? ids.length : null);
    ids.push(...tokens);
  }
  const framed = tokenizer.frame(ids);
  if (framed.ids.length === 0)
    throw new DataError(`the sentence ${excerpt(words.join(" "))} has no tokens`, {
      hint: "This tokenizer adds no special tokens, so a sentence needs a word of its own: remove it, or raise training.maxLength.",
    });
  const cutWords = words.length - offsets.length;
  return {
    ids: framed.ids,
    typeIds: framed.typeIds,
    truncated: cutWords > 0,
    firstTokens: words.map((_, i) => {
      const offset = offsets[i] ?? null;
      return offset === null ? null : framed.start + offset;
    }),
    end: framed.start + ids.length,
    cutWords,
  };
}

/**
 * Encodes many sentences.
 * @returns the encodings in order, how many sentences were cut to `maxLength`, and the words they lost
 * @throws DataError naming the sentence (counted from 1) that has no tokens
 */
export function encodeAllWords(
  tokenizer: Tokenizer,
  sentences: readonly { readonly words: readonly string[] }[],
  maxLength: number,
  what = "sentence",
): { encodings: WordEncoding[]; truncated: number; cutWords: number } {
  const encode = ({ words }: { readonly words: readonly string[] }) =>
    encodeWords(tokenizer, words, maxLength);
  const encoded = encodeEach(sentences, encode, what);
  return { ...encoded, cutWords: encoded.encodings.reduce((sum, { cutWords }) => sum + cutWords, 0) };
}
