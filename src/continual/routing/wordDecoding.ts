// Dimensions: n words of a sentence, C tags.
/** What often follows what among the tags of a sentence, counted on training sentences. */
import { z } from "zod";
import { canFollow, type TagChain } from "../taskTypes/tagSequence.ts";

export const tagPairsSchema = z
  .record(z.string(), z.record(z.string(), z.int().nonnegative()).readonly())
  .readonly();

/** Of training sentences, how often a tag came right after another, by the former; `""` is the sentence's beginning. */
export type TagPairs = z.infer<typeof tagPairsSchema>;

const BEGINNING = "";

/**
 * How much the pairs count. A word's own probabilities come from a state that has seen the words around it, so that part of
 * what a pair says is in them already.
 */
const PAIR_WEIGHT = 0.5;

/** Words that a tag's successors are thought to have had before any was seen, divided as tags are at large. */
const UNSEEN_WORDS = 5;

function addTo(pairs: Map<string, Map<string, number>>, before: string, tag: string, count: number): void {
  const followers = pairs.get(before) ?? new Map<string, number>();
  pairs.set(before, followers.set(tag, (followers.get(tag) ?? 0) + count));
}

function recordOf(pairs: ReadonlyMap<string, ReadonlyMap<string, number>>): TagPairs {
  return Object.fromEntries([...pairs].map(([before, followers]) => [before, Object.fromEntries(followers)]));
}

/** @param sentences the tags of the words that were learned from */
export function countPairs(sentences: readonly (readonly string[])[]): TagPairs {
  const pairs = new Map<string, Map<string, number>>();
  for (const tags of sentences)
    tags.forEach((tag, word) => {
      addTo(pairs, tags[word - 1] ?? BEGINNING, tag, 1);
    });
  return recordOf(pairs);
}

/** The pairs of several tasks as those of one. */
export function addPairs(all: readonly TagPairs[]): TagPairs {
  const sum = new Map<string, Map<string, number>>();
  for (const pairs of all)
    for (const [before, followers] of Object.entries(pairs))
      for (const [tag, count] of Object.entries(followers)) addTo(sum, before, tag, count);
  return recordOf(sum);
}

/**
 * The chain of a router's tags: log(p(tag | before)/p(tag)) by half, where the tag can follow at all. Tags of which no
 * word was seen say nothing.
 */
export function chainOf(labels: readonly string[], pairs: TagPairs): TagChain {
  const classes = labels.length;
  const seen = (before: string, tag: string) => pairs[before]?.[tag] ?? 0;
  const rows = [...labels, BEGINNING];
  const words = labels.map((tag) => rows.reduce((sum, before) => sum + seen(before, tag), 0));
  const all = words.reduce((sum, count) => sum + count, 0);
  const values = new Float64Array(rows.length * classes);
  rows.forEach((before, row) => {
    const after = labels.reduce((sum, tag) => sum + seen(before, tag), 0);
    labels.forEach((tag, column) => {
      const share = (words[column] ?? 0) / all;
      const expected = (after + UNSEEN_WORDS) * share;
      const told = expected > 0 ? Math.log((seen(before, tag) + UNSEEN_WORDS * share) / expected) : 0;
      values[row * classes + column] = canFollow(tag, before) ? PAIR_WEIGHT * told : Number.NEGATIVE_INFINITY;
    });
  });
  return { labels, values };
}
