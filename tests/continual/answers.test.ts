import { expect, test } from "vitest";
import { rankLabels } from "../../src/continual/answers.ts";
import { createRng } from "../../src/core/random.ts";

test("the best labels come first, and of equals the one that stands first", () => {
  expect(rankLabels(["a", "b", "c", "d"], [0.2, 0.5, 0.1, 0.2], 3)).toEqual([
    { label: "b", score: 0.5 },
    { label: "a", score: 0.2 },
    { label: "d", score: 0.2 },
  ]);
  expect(rankLabels(["a", "b"], [0.2, 0.5], 9).map(({ label }) => label)).toEqual(["b", "a"]);
});

test("a label of several tasks counts once, with its best slot", () => {
  expect(rankLabels(["a", "b", "a"], [0.1, 0.3, 0.6], 2)).toEqual([
    { label: "a", score: 0.6 },
    { label: "b", score: 0.3 },
  ]);
  expect(rankLabels(["a", "b", "a"], [0.6, 0.3, 0.1], 1)).toEqual([{ label: "a", score: 0.6 }]);
});

test("any number of them are the head of all of them sorted", () => {
  const rng = createRng(1);
  for (let round = 0; round < 50; round++) {
    const labels = Array.from({ length: 40 }, () => `label ${rng.integer(25)}`);
    const scores = labels.map(() => rng.uniform());
    const best = [...new Set(labels)]
      .map((label) => ({ label, score: Math.max(...scores.filter((_, i) => labels[i] === label)) }))
      .sort((a, b) => b.score - a.score);
    for (const top of [1, 2, 7, 40]) expect(rankLabels(labels, scores, top)).toEqual(best.slice(0, top));
  }
});
