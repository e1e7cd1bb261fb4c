/** Entities of earlier types in sentences that have no tags of them. */
import { expect, test } from "vitest";
import { knownTags, markEarlier, UNKNOWN } from "../../../src/continual/routing/unlabelled.ts";

const found = (...words: readonly (readonly [tag: string, probability: number])[]) =>
  words.map(([tag, probability]) => ({ tag, probability }));

test("what is found surely gets its tags, what is not sure is neither that nor O", () => {
  const gold = ["O", "O", "O", "O", "B-new", "O"];
  const model = found(
    ["B-old", 0.99],
    ["I-old", 0.95],
    ["O", 0.9],
    ["B-old", 0.6],
    ["B-old", 0.99],
    ["O", 1],
  );
  const tags = markEarlier(gold, model, new Set(["new"]));
  expect(tags).toEqual(["B-old", "I-old", "O", UNKNOWN, "B-new", "O"]);
  expect(knownTags(tags)).toEqual(["B-old", "I-old", "O", "O", "B-new", "O"]);
});

test("an entity is as sure as its least sure word, and one that touches the task's own is none", () => {
  const model = found(["B-old", 0.99], ["I-old", 0.5], ["B-old", 0.99], ["I-old", 0.99]);
  expect(markEarlier(["O", "O", "O", "B-new"], model, new Set(["new"]))).toEqual([
    UNKNOWN,
    UNKNOWN,
    "O",
    "B-new",
  ]);
});

test("a type that the task learns itself is O where the task says so", () => {
  expect(markEarlier(["O"], found(["B-x", 0.99]), new Set(["x"]))).toEqual(["O"]);
});
