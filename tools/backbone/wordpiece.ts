/** The classes of characters BERT's normaliser and pre-tokenizer split at. */
const wordOrPunctuation = /[^\s\p{P}$+<=>^`|~]+|[\p{P}$+<=>^`|~]/gu;

/** A text as BERT's lower-casing normaliser and pre-tokenizer see it: words and single punctuation marks. */
export function preTokenize(text: string): readonly string[] {
  const plain = text
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "")
    .toLowerCase();
  return plain.match(wordOrPunctuation) ?? [];
}

export const specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;

export interface VocabularySize {
  /** Entries in all. */
  readonly total: number;
  /** Pieces that merging may add; the rest is filled with the most frequent whole words. */
  readonly merges: number;
  /** A character beyond ASCII gets an entry if it occurs this often. */
  readonly rareCharacter: number;
}

/** A word as its pieces: the first bare, the others behind "##". */
interface CountedWord {
  pieces: readonly string[];
  readonly count: number;
}

/** More frequent first; equals in order of code points, so that the result is a function of the counts. */
function byCount(a: readonly [string, number], b: readonly [string, number]): number {
  return b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
}

function countWords(texts: Iterable<string>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const word of preTokenize(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** Every printable ASCII character and every common other one, alone and, but for punctuation, behind "##". */
function alphabetOf(words: ReadonlyMap<string, number>, rareCharacter: number): readonly string[] {
  const counts = new Map<string, number>();
  for (const [word, count] of words)
    for (const char of word) counts.set(char, (counts.get(char) ?? 0) + count);
  const ascii = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter(
    (c) => !/[A-Z]/.test(c),
  );
  const others = [...counts].filter(([char, count]) => char > "~" && count >= rareCharacter).sort(byCount);
  const characters = [...ascii, ...others.map(([char]) => char)];
  return [
    ...characters,
    ...characters.filter((char) => !/[\p{P}$+<=>^`|~]/u.test(char)).map((char) => `##${char}`),
  ];
}

const join = (left: string, right: string): string => left + right.slice(2);

/** Counts of neighbouring pieces, and the words each pair stands in, kept up to date from merge to merge. */
class PairTable {
  private readonly counts = new Map<string, number>();
  private readonly places = new Map<string, Set<CountedWord>>();

  add(word: CountedWord, sign: 1 | -1): void {
    for (let i = 1; i < word.pieces.length; i++) {
      const pair = `${word.pieces[i - 1]} ${word.pieces[i]}`;
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + sign * word.count);
      if (sign < 0) continue;
      const words = this.places.get(pair) ?? new Set();
      this.places.set(pair, words.add(word));
    }
  }

  best(): string | undefined {
    let best: readonly [string, number] = ["", 0];
    for (const entry of this.counts) if (entry[1] > 0 && byCount(entry, best) < 0) best = entry;
    return best[1] > 0 ? best[0] : undefined;
  }

  /** The words that hold the pair (or once did); the pair itself is forgotten. */
  take(pair: string): readonly CountedWord[] {
    const words = [...(this.places.get(pair) ?? [])];
    this.counts.delete(pair);
    this.places.delete(pair);
    return words;
  }
}

function mergePair(pieces: readonly string[], left: string, right: string): readonly string[] {
  const merged: string[] = [];
  for (const piece of pieces) {
    if (piece === right && merged.at(-1) === left) merged[merged.length - 1] = join(left, right);
    else merged.push(piece);
  }
  return merged;
}

/** Byte-pair merges over words (Sennrich et al. 2016), the most frequent pair first. */
function learnMerges(
  words: ReadonlyMap<string, number>,
  known: ReadonlySet<string>,
  merges: number,
): readonly string[] {
  const table = new PairTable();
  for (const [word, count] of words) {
    const pieces = [...word].map((char, i) => (i === 0 ? char : `##${char}`));
    if (pieces.every((piece) => known.has(piece))) table.add({ pieces, count }, 1);
  }
  const learned = new Set<string>();
  while (learned.size < merges) {
    const pair = table.best();
    if (pair === undefined) break;
    const [left = "", right = ""] = pair.split(" ");
    for (const word of table.take(pair)) {
      const merged = mergePair(word.pieces, left, right);
      if (merged.length === word.pieces.length) continue;
      table.add(word, -1);
      word.pieces = merged;
      table.add(word, 1);
    }
    table.take(pair);
    learned.add(join(left, right));
  }
  return [...learned];
}

/**
 * A WordPiece vocabulary: special tokens, single characters, pieces merged by frequency, then the most frequent
 * whole words. Pieces come from byte-pair merges, not from WordPiece's likelihood criterion; whole words are
 * preferred because a small encoder has few layers to spend on putting a word's meaning together from pieces.
 */
export function trainWordPiece(texts: Iterable<string>, size: VocabularySize): readonly string[] {
  const words = countWords(texts);
  const vocabulary = new Set<string>([...specialTokens, ...alphabetOf(words, size.rareCharacter)]);
  for (const piece of learnMerges(words, vocabulary, size.merges)) vocabulary.add(piece);
  for (const [word] of [...words].sort(byCount)) {
    if (vocabulary.size >= size.total) break;
    // Numbers are better read digit by digit than remembered one by one.
    if (!/\d{3}/.test(word) && [...word].every((char) => vocabulary.has(char))) vocabulary.add(word);
  }
  return [...vocabulary];
}
