/** Words' statistics and their fusion, without a model. */
import { describe, expect, test } from "vitest";
import { chainOf } from "../../../src/continual/routing/wordDecoding.ts";
import {
  chooseOfSentence,
  layOutTags,
  raiseOutside,
  routerAlone,
  tasksOfSentence,
} from "../../../src/continual/routing/wordFusion.ts";
import {
  addWordCounts,
  chooseWordFusion,
  countWordFusion,
  tasksToGather,
} from "../../../src/continual/routing/wordFusionFit.ts";
import { takeRows } from "../../../src/continual/statistics/fixedRows.ts";
import { ClassStatistics } from "../../../src/continual/statistics/statistics.ts";
import { joinRows } from "../../../src/continual/statistics/totals.ts";
import {
  contributionsOfWords,
  drawRows,
  drawStatistics,
  poolWords,
} from "../../../src/continual/statistics/wordStatistics.ts";
import { constants, contribution } from "../../support/routingRows.ts";
import { tolerances } from "../../support/tolerances.ts";

const { width } = constants;
const sorted = (values: Int16Array) =>
  Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width).join(),
  ).sort();

describe("the rows that a tag keeps", () => {
  const all = contribution("O", 50, 1).rows;
  const first = takeRows(
    all,
    Array.from({ length: 20 }, (_, i) => i),
  );
  const rest = takeRows(
    all,
    Array.from({ length: 30 }, (_, i) => 49 - i),
  );

  test("are the same whatever the order of rows and tasks", () => {
    const drawn = sorted(drawRows(all, 8).values);
    expect(new Set(drawn).size).toBe(8);
    const parts = joinRows([drawRows(rest, 8), drawRows(first, 8)], width);
    expect(sorted(drawRows(parts, 8).values)).toEqual(drawn);
  });

  test("of all tasks together are no more than of one, and rare tags keep all of theirs", () => {
    const rare = contribution("B-x", 3, 2);
    const statistics = ClassStatistics.empty(constants).with([
      { label: "O", rows: first },
      rare,
      { label: "O", rows: rest },
    ]);
    const drawn = drawStatistics(statistics, 8);
    expect([drawn.count("O"), drawn.count("B-x")]).toEqual([8, 3]);
    const [, kept] = drawn.contributions;
    expect(sorted(kept!.rows.values)).toEqual(sorted(drawRows(all, 8).values));
  });
});

test("a word is the mean of its tokens, each layer's part of length 1; one without a token is none", () => {
  // [CLS], a word of two tokens, one that was cut off, a word of one, [SEP]; two layers of two.
  const tokens = [9, 9, 9, 9, 1, 0, 0.6, 0.8, 0, 1, 0.6, 0.8, 0, -1, 1, 0, 9, 9, 9, 9];
  const { rows, values } = poolWords(
    { rows: 5, width: 4, values: Float32Array.from(tokens) },
    { firstTokens: [1, null, 3], end: 4 },
    2,
  );
  expect(rows).toBe(2);
  const expected = [Math.SQRT1_2, Math.SQRT1_2, 0.6, 0.8, 0, -1, 1, 0];
  for (const [i, value] of expected.entries())
    expect(Math.abs(values[i]! - value)).toBeLessThan(tolerances.float32Operator);
});

test("words go to their tags by their first token; those that were cut off go nowhere", () => {
  const { rows } = contribution("any", 4, 3);
  const encodings = [
    { ids: [1, 2, 3, 4, 5], typeIds: [], truncated: false, firstTokens: [1, 3, null], end: 4, cutWords: 1 },
    { ids: [1, 2, 3], typeIds: [], truncated: false, firstTokens: [0, 1], end: 3, cutWords: 0 },
  ];
  const sentences = [{ tags: ["O", "B-x", "B-x"] }, { tags: ["O", "O"] }];
  const words = { rows, starts: [0, 2, 4] };
  const { contributions, totals } = contributionsOfWords(words, encodings, sentences, ["B-x", "I-x"]);
  expect(totals).toEqual({ O: 3, "B-x": 1, "I-x": 0 });
  const [outside, begins, inside] = contributions;
  expect(outside?.rows.values).toEqual(takeRows(rows, [0, 2, 3]).values);
  expect(begins?.rows.values).toEqual(takeRows(rows, [1]).values);
  expect(inside?.rows.rows).toBe(0);
});

/** Two tasks of a type each; a sentence of two words, of which the second is likely a y. */
const labels = ["B-x", "B-y", "I-x", "I-y", "O"];
const learned = true;
const tasks = [
  { labels: ["O", "B-x", "I-x"], learned },
  { labels: ["B-y", "I-y"], learned },
];
const layout = layOutTags(labels, "O", tasks, "first");
const ownTasks = [
  { labels: ["O", "B-x", "I-x"], learned },
  { labels: ["O", "B-y", "I-y"], learned },
];
const own = layOutTags(labels, "O", ownTasks, "own");
const chain = chainOf(labels, {});
const posterior = {
  rows: 2,
  classes: 5,
  values: Float64Array.from([0.05, 0.05, 0.05, 0.05, 0.8, 0.05, 0.5, 0.05, 0.1, 0.3], Math.log),
};
const span = { from: 0, to: 2 };
const logits = (classes: number, values: readonly number[]) => ({
  rows: 2,
  classes,
  values: Float32Array.from(values),
});

describe("the second pass with the first task's O for all", () => {
  test("asks the likeliest plausible task, and the first one for O", () => {
    const asked = (plausible: number, topTasks: number) =>
      tasksOfSentence(posterior, span, layout, { plausible, topTasks });
    expect(asked(0.5, 1)).toEqual([0, 1]);
    expect(asked(0.7, 2)).toEqual([]);
    expect(asked(0, 1)).toEqual([0, 1]);
    expect(asked(0, 0)).toEqual([]);
    // A higher bar of O leaves less for types.
    expect(
      tasksOfSentence(raiseOutside(posterior, layout, 3), span, layout, { plausible: 0.5, topTasks: 1 }),
    ).toEqual([]);
  });

  test("lets heads side by side decide alone where they are to", () => {
    const evidence = [
      { task: 0, logits: logits(3, [0, 3, 0, 4, 0, 0]) },
      { task: 1, logits: logits(2, [0, 0, 2, 1]) },
    ];
    const alone = chooseOfSentence(posterior, span, [], chain, layout, { router: 1, heads: 0 });
    expect(alone.map(({ tag }) => tag)).toEqual(["O", "B-y"]);
    const heads = chooseOfSentence(posterior, span, evidence, chain, layout, { router: 0, heads: 1 });
    expect(heads.map(({ tag }) => tag)).toEqual(["B-x", "O"]);
    const all = [4, 0, 0, 2, 1].map(Math.exp);
    const expected = Math.exp(4) / all.reduce((sum, value) => sum + value, 0);
    expect(Math.abs(heads[1]!.probability - expected)).toBeLessThan(tolerances.float64);
    // log p = log p_router + log p_heads: 0.5·e² against 0.3·e⁴.
    const both = chooseOfSentence(posterior, span, evidence, chain, layout, { router: 1, heads: 1 });
    expect(both.map(({ tag }) => tag)).toEqual(["B-x", "O"]);
    const little = chooseOfSentence(posterior, span, evidence, chain, layout, { router: 1, heads: 0.1 });
    expect(little.map(({ tag }) => tag)).toEqual(["O", "B-y"]);
  });
});

describe("the second pass where every head has an O", () => {
  test("asks the likeliest plausible task and no other; one of statistics alone cannot be asked", () => {
    const asked = (plausible: number, topTasks: number, among = own) =>
      tasksOfSentence(posterior, span, among, { plausible, topTasks });
    expect(asked(0.5, 1)).toEqual([1]);
    expect(asked(0, 2)).toEqual([0, 1]);
    expect(asked(0.7, 2)).toEqual([]);
    expect(asked(0, 0)).toEqual([]);
    const [x, { labels: y }] = [ownTasks[0]!, ownTasks[1]!];
    expect(asked(0, 2, layOutTags(labels, "O", [x, { labels: y }], "own"))).toEqual([0]);
    expect(asked(0.5, 1, layOutTags(labels, "O", [x, { labels: y }], "own"))).toEqual([]);
  });

  test("weighs each tag against its own head's O, which is counted once", () => {
    const evidence = [
      { task: 0, logits: logits(3, [0, 3, 0, 4, 0, 0]) },
      { task: 1, logits: logits(3, [7, 7, 7, 7, 9, 8]) },
    ];
    const heads = chooseOfSentence(posterior, span, evidence, chain, own, { router: 0, heads: 1 });
    expect(heads.map(({ tag }) => tag)).toEqual(["B-x", "B-y"]);
    // Of the second word: O 0, x −4 and −4, y 2 and 1.
    const all = [0, -4, -4, 2, 1].map(Math.exp);
    const expected = Math.exp(2) / all.reduce((sum, value) => sum + value, 0);
    expect(Math.abs(heads[1]!.probability - expected)).toBeLessThan(tolerances.float64);
  });

  test("leaves the tags of a head that was not asked with what the router gave them", () => {
    const second = { task: 1, logits: logits(3, [0, -9, -9, 0, -9, -9]) };
    const found = chooseOfSentence(posterior, span, [second], chain, own, { router: 1, heads: 1 });
    // What O and y have together goes to O.
    expect(found.map(({ tag }) => tag)).toEqual(["O", "O"]);
    const y = 0.5 * Math.exp(-9) + 0.1 * Math.exp(-9);
    const expected = (0.9 * 0.3) / (0.3 + y);
    expect(Math.abs(found[1]!.probability - expected)).toBeLessThan(tolerances.float64);
  });
});

test("no entity goes on that has not begun, whatever the words say by themselves", () => {
  const values = Float64Array.from([0.4, 0.02, 0.1, 0.02, 0.46, 0.02, 0.02, 0.5, 0.06, 0.4], Math.log);
  const found = chooseOfSentence({ ...posterior, values }, span, [], chain, layout, { router: 1, heads: 0 });
  expect(found.map(({ tag }) => tag)).toEqual(["B-x", "I-x"]);
  expect(found.map(({ probability }) => Number(probability.toFixed(6)))).toEqual([0.4, 0.5]);
});

describe("how words are routed", () => {
  const heldOut = { posterior, spans: [span], gold: [["O", "O"]], chain, layout, topTasks: 1 };
  const evidence = [
    { task: 0, logits: logits(3, [9, 0, 0, 9, 0, 0]) },
    { task: 1, logits: logits(2, [0, 0, 0, 0]) },
  ];

  test("is what finds most on held-out sentences, of equals what asks least", () => {
    expect(tasksToGather(heldOut).map((asked) => [...asked])).toEqual([[0, 1]]);
    expect(tasksToGather({ ...heldOut, layout: own }).map((asked) => [...asked])).toEqual([[1]]);
    // The router finds the y by itself: no second pass.
    const right = { ...heldOut, gold: [["O", "B-y"]] };
    const counts = countWordFusion(right, ["y"], [evidence]);
    expect([counts.sentences, counts.entities]).toEqual([1, 1]);
    expect(chooseWordFusion(counts, 1, "auto")).toEqual(routerAlone);
    // It takes the x for a y, and no bar of O helps: only the heads know.
    const mistaken = { ...heldOut, gold: [["O", "B-x"]] };
    const knows = [{ task: 0, logits: logits(3, [9, 0, 0, 0, 9, 0]) }, evidence[1]!];
    const needed = countWordFusion(mistaken, ["x"], [knows]);
    const chosen = chooseWordFusion(needed, 1, "auto");
    expect(chosen.topTasks).toBe(1);
    expect(chosen.plausible).toBeGreaterThan(0);
    expect(chooseWordFusion(needed, 1, "off").topTasks).toBe(0);
    expect(chooseWordFusion(needed, 1, "always")).toMatchObject({ plausible: 0, topTasks: 1 });
    const sum = addWordCounts([counts, needed]);
    expect([sum.sentences, sum.entities]).toEqual([2, 2]);
  });

  test("leaves other types than the task's own uncounted: their gold tags are masked", () => {
    const counts = countWordFusion(heldOut, ["x"], [evidence]);
    const alone = counts.options.find(({ plausible, outside }) => plausible === null && outside === 0);
    expect(alone).toMatchObject({ predicted: 0, correct: 0, asked: 0 });
    const own = countWordFusion(heldOut, ["y"], [evidence]);
    expect(own.options.find(({ plausible, outside }) => plausible === null && outside === 0)?.predicted).toBe(
      1,
    );
  });

  test("asks as many tasks as find most, fewer where that is as good", () => {
    // The first word looks like a y and is an x, of which the heads of the second likeliest task know.
    const values = Float64Array.from([0.2, 0.5, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.8], Math.log);
    const looksLike = { ...posterior, values };
    const sentence = { posterior: looksLike, spans: [span], chain, layout: own, topTasks: 3 };
    const heads = [
      { task: 0, logits: logits(3, [0, 9, 0, 9, 0, 0]) },
      { task: 1, logits: logits(3, [9, 0, 0, 9, 0, 0]) },
    ];
    const counts = countWordFusion({ ...sentence, gold: [["B-x", "O"]] }, ["x"], [heads]);
    expect(chooseWordFusion(counts, "auto", "auto").topTasks).toBe(2);
    expect(chooseWordFusion(counts, 1, "always").topTasks).toBe(1);
    const easy = countWordFusion({ ...sentence, gold: [["O", "O"]] }, ["y"], [heads]);
    expect(chooseWordFusion(easy, "auto", "always").topTasks).toBe(1);
  });

  test("is a fixed way where nothing was held out", () => {
    const none = addWordCounts([]);
    expect(chooseWordFusion(none, "auto", "auto")).toMatchObject({ topTasks: 2, router: 1, heads: 1 });
    expect(chooseWordFusion(none, 1, "auto")).toMatchObject({ topTasks: 1, router: 1, heads: 1 });
    expect(chooseWordFusion(none, "auto", "off")).toEqual(routerAlone);
    expect(chooseWordFusion(none, 2, "always")).toMatchObject({ topTasks: 2, heads: 1, plausible: 0 });
  });

  test("a tag that several heads know has the word of the surest, whatever their order", () => {
    const both = [
      { labels: ["O", "B-x", "I-x"], learned },
      { labels: ["O", "B-x", "I-x"], learned },
    ];
    const shared = layOutTags(labels, "O", both, "own");
    const sure = { task: 0, logits: logits(3, [0, 4, 0, 9, 0, 0]) };
    const unsure = { task: 1, logits: logits(3, [0, -4, 0, 9, 0, 0]) };
    const answers = [
      [sure, unsure],
      [unsure, sure],
    ].map((evidence) => chooseOfSentence(posterior, span, evidence, chain, shared, { router: 0, heads: 1 }));
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.[0]?.tag).toBe("B-x");
  });
});
