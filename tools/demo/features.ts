import type { LabelledExample } from "../../src/data/files/types.ts";

/** Buckets of the hashed features: many more than there are n-grams, so that few collide. */
export const buckets = 1 << 17;

/** Words of a text, lower-cased, apostrophes kept. */
export function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];
}

/** FNV-1a over UTF-16 units, into a bucket. */
function bucketOf(feature: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < feature.length; i++) hash = Math.imul(hash ^ feature.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % buckets;
}

/** A sparse vector of unit length: bucket to value. */
export type SparseVector = ReadonlyMap<number, number>;

/** Words, word pairs, and character 3- to 5-grams within words, hashed and scaled to length 1. */
export function ngramFeatures(text: string): SparseVector {
  const words = wordsOf(text);
  const features: string[] = words.map((word) => `w ${word}`);
  for (let i = 1; i < words.length; i++) features.push(`p ${words[i - 1]} ${words[i]}`);
  for (const word of words) {
    const padded = `<${word}>`;
    for (let size = 3; size <= 5; size++) {
      for (let i = 0; i + size <= padded.length; i++) features.push(`c ${padded.slice(i, i + size)}`);
    }
  }
  const vector = new Map<number, number>();
  for (const feature of features) {
    const bucket = bucketOf(feature);
    vector.set(bucket, (vector.get(bucket) ?? 0) + 1);
  }
  let squares = 0;
  for (const value of vector.values()) squares += value * value;
  const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares);
  return new Map([...vector].map(([bucket, value]) => [bucket, value * scale]));
}

// Function words and the words of the assistant's register, which say nothing of the intent.
const stopWords = new Set(
  (
    "a about after again all also an and any are around as at be because been before but by can could did do does " +
    "down else ever for from get give go goes had has have how i i'd i'll i'm i've if in into is isn't it it's its " +
    "just know let let's like may me might more must my near need no not now of off on one or our out over please " +
    "put right see should show so some somebody someone something that that's the their them then there there's " +
    "they they're this those to too up us use very want was way we we'd we're were what what's when where which " +
    "while who whose why will with without would yet you your"
  ).split(" "),
);

/** Words of a text that carry its meaning. */
export function contentWords(text: string): readonly string[] {
  return wordsOf(text).filter((word) => !stopWords.has(word));
}

/** How much of the test's wording a training set has already shown, as fractions of all test tokens. */
export interface Overlap {
  /** Content words that occur in training sentences of the same intent. */
  readonly contentWords: number;
  /** Word pairs that occur in training sentences of the same intent. */
  readonly wordPairs: number;
  /** Test sentences that share no content word with training sentences of the same intent. */
  readonly sentencesWithoutSharedWord: number;
}

function wordPairs(text: string): readonly string[] {
  const words = wordsOf(text);
  return words.slice(1).map((word, i) => `${words[i]} ${word}`);
}

export function measureOverlap(train: readonly LabelledExample[], test: readonly LabelledExample[]): Overlap {
  const seen = new Map<string, Set<string>>();
  for (const { text, label } of train) {
    const known = seen.get(label) ?? new Set<string>();
    for (const item of [...contentWords(text), ...wordPairs(text)]) known.add(item);
    seen.set(label, known);
  }
  const tally = { words: 0, sharedWords: 0, pairs: 0, sharedPairs: 0, untouched: 0 };
  for (const { text, label } of test) {
    const known = seen.get(label) ?? new Set<string>();
    const words = contentWords(text);
    const pairs = wordPairs(text);
    const shared = words.filter((word) => known.has(word)).length;
    tally.words += words.length;
    tally.sharedWords += shared;
    tally.pairs += pairs.length;
    tally.sharedPairs += pairs.filter((pair) => known.has(pair)).length;
    if (shared === 0) tally.untouched++;
  }
  return {
    contentWords: tally.sharedWords / tally.words,
    wordPairs: tally.sharedPairs / tally.pairs,
    sentencesWithoutSharedWord: tally.untouched / test.length,
  };
}
