// Dimensions: n texts, w windows of them all, F width of a row.
/** Texts that are read in several windows: what passes give for windows, brought back to texts. */
import type { Encoding, Window } from "../../data/encoding/tokenizer.ts";

/** The windows of texts, one text's behind the other's. */
export interface Windows {
  readonly encodings: readonly Encoding[];
  /** (w), the text of each. */
  readonly owners: readonly number[];
  /** (w), how much each counts in its text's vector, by its tokens; those of a text sum to 1. */
  readonly shares: readonly number[];
}

const known = new WeakMap<readonly Encoding[], Windows>();

function shareOut(windows: readonly Window[]): number[] {
  const all = windows.reduce((sum, { textTokens }) => sum + textTokens, 0);
  return windows.map(({ textTokens }) => textTokens / all);
}

/** The windows of texts, the same object for the same texts; undefined where each text is read at once. */
export function windowsOf(encodings: readonly Encoding[]): Windows | undefined {
  if (encodings.every(({ windows }) => windows === undefined)) return undefined;
  const found = known.get(encodings);
  if (found !== undefined) return found;
  const windows: Windows = {
    encodings: encodings.flatMap((text): readonly Encoding[] => text.windows ?? [text]),
    owners: encodings.flatMap(({ windows }, i) => (windows ?? [undefined]).map(() => i)),
    shares: encodings.flatMap(({ windows }) => (windows === undefined ? [1] : shareOut(windows))),
  };
  known.set(encodings, windows);
  return windows;
}

/** Brings each row of that many numbers to length 1. */
export function normalizeRows(values: Float32Array, width: number): void {
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    let squares = 0;
    for (const value of row) squares += value * value;
    const norm = Math.max(Math.sqrt(squares), 1e-12);
    for (let i = 0; i < row.length; i++) row[i]! /= norm;
  }
}

/**
 * The mean of each text's windows, weighted by their tokens.
 * @param rows (w, F)
 * @param texts n
 * @returns (n, F)
 */
export function poolWindows(
  { owners, shares }: Windows,
  rows: Float32Array,
  width: number,
  texts: number,
): Float32Array {
  const pooled = new Float32Array(texts * width);
  for (const [window, text] of owners.entries()) {
    const share = shares[window]!;
    for (let f = 0; f < width; f++) pooled[text * width + f]! += share * rows[window * width + f]!;
  }
  return pooled;
}
