/** Texts as words, by the rules of Unicode. */

export interface CutText {
  readonly words: readonly string[];
  /** Where each word begins, in UTF-16 code units of the text. */
  readonly starts: readonly number[];
}

/** The rules are the same for all languages, so a fixed one is named: results hang on no machine's locale. */
const segmenter = new Intl.Segmenter("en", { granularity: "word" });

/**
 * Cuts a text into words by Unicode's word boundaries (UAX #29), with a dictionary where a script has no blanks (Chinese,
 * Japanese, Thai). A mark of punctuation is a word of its own, white space is none.
 */
export function cutWords(text: string): CutText {
  const words: string[] = [];
  const starts: number[] = [];
  for (const { segment, index } of segmenter.segment(text)) {
    if (segment.trim() === "") continue;
    words.push(segment);
    starts.push(index);
  }
  return { words, starts };
}

/** The words between white space: of a text that was cut already. */
export function splitAtBlanks(text: string): CutText {
  const found = [...text.matchAll(/\S+/gu)];
  return { words: found.map(([word]) => word), starts: found.map(({ index }) => index) };
}

/** Where words stand in a text, one after another; undefined where they do not. */
export function locateWords(text: string, words: readonly string[]): readonly number[] | undefined {
  const starts: number[] = [];
  let from = 0;
  for (const word of words) {
    const start = text.indexOf(word, from);
    if (start < 0) return undefined;
    starts.push(start);
    from = start + word.length;
  }
  return starts;
}
