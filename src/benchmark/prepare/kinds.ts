/** What a publisher's files become before they are divided into tasks. */

import type { Source } from "../../data/source.ts";
import type { WordSource } from "../../data/wordStream.ts";

export interface SentenceSource {
  readonly source: Source;
  /** Every label, in the order in which tasks take them; default: as they first appear in train. */
  readonly classOrder?: readonly string[] | "shuffled";
  /** What the reader should know, one sentence each. */
  readonly notes?: readonly string[];
}

export interface WordSourceWithNotes {
  readonly source: WordSource;
  readonly notes?: readonly string[];
}
