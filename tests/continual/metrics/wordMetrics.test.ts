import { describe, expect, test } from "vitest";
import { computeWordMetrics, type WordsEvaluatedRow } from "../../../src/continual/metrics/wordMetrics.ts";
import type { WordScores } from "../../../src/core/record.ts";

describe("figures of words", () => {
  const scores = (microF1: number, perTask: number[], f1: Readonly<Record<string, number>>): WordScores => ({
    microF1,
    macroF1: microF1 / 2,
    perTask,
    perType: Object.fromEntries(
      Object.entries(f1).map(([type, value]) => [
        type,
        { precision: value, recall: value, f1: value, support: 1 },
      ]),
    ),
    passesPerExample: perTask.length,
  });
  const row = (task: number, cil: WordScores, til = cil): WordsEvaluatedRow => ({
    type: "words-evaluated",
    task,
    cil,
    til,
    seconds: 0,
  });
  const rows = [
    row(0, scores(0.8, [0.8], { a: 0.8, b: 0.6 })),
    row(1, scores(0.6, [0.5, 0.9], { a: 0.3, b: 0.7, c: 0.9 })),
  ];
  const division = [{ types: ["a", "b"] }, { types: ["c"] }, { types: ["d"] }];

  test("by hand, for the tasks learned so far", () => {
    const { cil } = computeWordMetrics(rows.toReversed(), division);
    expect(cil).toEqual({
      matrix: [
        [0.8, null],
        [0.5, 0.9],
      ],
      microF1: 0.6,
      macroF1: 0.3,
      averageIncrementalF1: (0.8 + 0.6) / 2,
      forgetting: 0.8 - 0.5,
      backwardTransfer: 0.5 - 0.8,
      perType: rows[1]?.cil.perType,
      typeMatrix: {
        types: ["a", "b", "c"],
        f1: [
          [0.8, 0.3],
          [0.6, 0.7],
          [null, 0.9],
        ],
        forgetting: [0.5, 0, null],
        meanForgetting: 0.25,
      },
      passesPerExample: 2,
    });
  });

  test("one task has none of forgetting", () => {
    const { til } = computeWordMetrics(rows.slice(0, 1), division);
    expect(til).not.toHaveProperty("forgetting");
    expect(til).not.toHaveProperty("backwardTransfer");
    expect(til.typeMatrix).not.toHaveProperty("meanForgetting");
  });

  test("missing, repeated and short rows are refused", () => {
    expect(() => computeWordMetrics([], division)).toThrow(/no evaluated task/);
    expect(() => computeWordMetrics(rows.slice(1), division)).toThrow(/task 0 was evaluated never or twice/);
    expect(() => computeWordMetrics([...rows, ...rows.slice(1)], division)).toThrow(/never or twice/);
    expect(() => computeWordMetrics([row(0, scores(1, [], {}))], division)).toThrow(
      /perTask needs 1 entries/,
    );
  });
});
