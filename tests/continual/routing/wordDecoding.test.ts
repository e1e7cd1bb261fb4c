import { describe, expect, test } from "vitest";
import { addPairs, chainOf, countPairs } from "../../../src/continual/routing/wordDecoding.ts";
import { likeliestTags } from "../../../src/continual/taskTypes/tagSequence.ts";
import { createRng } from "../../../src/core/random.ts";
import { tolerances } from "../../support/tolerances.ts";

const labels = ["B-x", "B-y", "I-x", "I-y", "O"];
const sentences = [
  ["O", "B-x", "I-x", "O"],
  ["B-x", "I-x", "I-x"],
  ["O", "O", "B-y"],
];
const pairs = countPairs(sentences);

describe("pairs of tags", () => {
  test("are counted with the sentence's beginning", () => {
    expect(pairs).toEqual({
      "": { O: 2, "B-x": 1 },
      O: { O: 1, "B-x": 1, "B-y": 1 },
      "B-x": { "I-x": 2 },
      "I-x": { O: 1, "I-x": 1 },
    });
  });

  test("of several tasks are those of all their sentences, in any order", () => {
    const [first, ...rest] = sentences.map((tags) => countPairs([tags]));
    expect(addPairs([...rest, first!])).toEqual(pairs);
  });
});

describe("the chain of tags", () => {
  const at = (before: number, tag: number) => chainOf(labels, pairs).values[before * labels.length + tag];
  const [beginX, , insideX, insideY, outside] = [0, 1, 2, 3, 4] as const;

  test("adds half of log(p(tag | before)/p(tag)), p drawn towards the tag's share by five words", () => {
    // I-x is 3 of 10 words, and followed B-x 2 times of 2.
    const expected = 0.5 * Math.log((2 + 5 * 0.3) / (2 + 5) / 0.3);
    expect(Math.abs((at(beginX, insideX) ?? 0) - expected)).toBeLessThan(tolerances.float64);
  });

  test("lets no entity go on that has not begun", () => {
    expect([at(outside, insideX), at(beginX, insideY), at(labels.length, insideX)]).toEqual([
      Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ]);
  });

  test("says nothing of tags that were never seen, and without pairs only what cannot be", () => {
    expect(at(outside, 3)).toBe(Number.NEGATIVE_INFINITY);
    expect(at(insideY, insideY)).toBe(0);
    expect(new Set(chainOf(labels, {}).values)).toEqual(new Set([0, Number.NEGATIVE_INFINITY]));
  });
});

/** Every way to tag that many words. */
function paths(words: number): number[][] {
  if (words === 0) return [[]];
  return paths(words - 1).flatMap((path) => labels.map((_, tag) => [...path, tag]));
}

test("the likeliest tags are those of all ways to tag the sentence", () => {
  const chain = chainOf(labels, pairs);
  const rng = createRng(7);
  for (let sentence = 0; sentence < 20; sentence++) {
    const words = Array.from({ length: 4 }, () => Float64Array.from(labels, () => Math.log(rng.uniform())));
    const score = (path: readonly number[]) =>
      path.reduce(
        (sum, tag, word) =>
          sum + words[word]![tag]! + chain.values[(path[word - 1] ?? labels.length) * labels.length + tag]!,
        0,
      );
    const best = paths(4).reduce((a, b) => (score(b) > score(a) ? b : a));
    expect(likeliestTags(words, chain)).toEqual(best);
  }
  expect(likeliestTags([], chain)).toEqual([]);
});
