/** Texts as words, and entities as places in the text. */
import { cutWords, locateWords } from "../../data/files/words.ts";
import type { FoundEntity } from "../answers.ts";
import { type Entity, findEntities } from "./entityMetrics.ts";
import { isTaggedSentence } from "./taskChecks.ts";
import type { Item } from "./taskType.ts";
import type { WordChoice } from "./wordPrediction.ts";

/** A text in words, each with its place. */
export interface SplitText {
  readonly text: string;
  readonly words: readonly string[];
  /** Where each word begins, in UTF-16 code units of `text`. */
  readonly starts: readonly number[];
}

/**
 * By the rules of Unicode; words that were split already as they stand. Where those do not stand in the text one after
 * another, or there is no text, the text is them with one space between.
 */
export function splitText(item: Item): SplitText {
  const text = isTaggedSentence(item) ? "" : item.text;
  if (item.words === undefined) return { text, ...cutWords(text) };
  const { words } = item;
  const located = locateWords(text, words);
  if (located !== undefined) return { text, words, starts: located };
  let next = 0;
  const starts = words.map((word) => {
    const start = next;
    next += word.length + 1;
    return start;
  });
  return { text: words.join(" "), words, starts };
}

function describeEntity(
  { type, start, end }: Entity,
  { text, words, starts }: SplitText,
  choices: readonly WordChoice[],
): FoundEntity {
  const from = starts[start] ?? 0;
  const to = (starts[end - 1] ?? 0) + (words[end - 1] ?? "").length;
  const probabilities = choices.slice(start, end).map(({ probability }) => probability);
  const score = probabilities.reduce((sum, value) => sum + value, 0) / probabilities.length;
  return { type, score, word: text.slice(from, to), start: from, end: to };
}

export function describeEntities(split: SplitText, choices: readonly WordChoice[]): readonly FoundEntity[] {
  return findEntities(choices.map(({ tag }) => tag)).map((span) => describeEntity(span, split, choices));
}
