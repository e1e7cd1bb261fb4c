/** Entities of earlier types in a new task's sentences, which stand there without their tags. */
import { OUTSIDE, typeOf } from "../../data/files/tags.ts";
import { findEntities } from "../taskTypes/entityMetrics.ts";
import type { WordChoice } from "../taskTypes/wordPrediction.ts";

/** An entity whose least sure word has this probability or more gives rows to its own tags. */
export const SURE = 0.9;

/** Of a word that may be in an entity, or may not: nothing is learned from it. */
export const UNKNOWN = "";

/**
 * Tags as statistics take them: an entity that the model so far finds where the task has nothing but `O` gets its tags
 * where the model is sure of every word, else {@link UNKNOWN}.
 * @param gold the task's own tags of a sentence
 * @param found what the model so far says of each word
 * @param types the task's own types: what it calls `O` is none of these
 */
export function markEarlier(
  gold: readonly string[],
  found: readonly WordChoice[],
  types: ReadonlySet<string>,
): readonly string[] {
  const tags = [...gold];
  for (const { type, start, end } of findEntities(found.map(({ tag }) => tag))) {
    if (types.has(type) || gold.slice(start, end).some((tag) => typeOf(tag) !== undefined)) continue;
    const least = Math.min(...found.slice(start, end).map(({ probability }) => probability));
    for (let word = start; word < end; word++)
      tags[word] = least < SURE ? UNKNOWN : `${word === start ? "B" : "I"}-${type}`;
  }
  return tags;
}

/** Tags in which what is not known is `O`: of what follows what. */
export function knownTags(tags: readonly string[]): readonly string[] {
  return tags.map((tag) => (tag === UNKNOWN ? OUTSIDE : tag));
}
