import { describe, expect, it } from "vitest";
import {
  computeAnswerMetrics,
  computeForwardTransfer,
  computeMetrics,
  type EvaluatedRow,
} from "../../../src/continual/metrics/metrics.ts";
import { computeFigures } from "../../../src/continual/metrics/runMetrics.ts";
import { StoreError } from "../../../src/core/errors.ts";
import { runEventSchema, runMetricsSchema } from "../../../src/core/record.ts";

const rows: readonly EvaluatedRow[] = [
  {
    type: "evaluated",
    task: 0,
    til: [1],
    cil: [1],
    tilCorrect: [4],
    cilCorrect: [4],
    counted: [4],
    passesPerExample: 1,
    exactMatch: { til: [0.5], cil: [0.5], tilCorrect: [2], cilCorrect: [2] },
    unseen: { counted: 8, til: { newest: 6, untrained: 4 }, cil: { newest: 1, untrained: 3 } },
    seconds: 1,
  },
  {
    type: "evaluated",
    task: 1,
    til: [1, 0.75],
    cil: [0.25, 0.5],
    tilCorrect: [4, 6],
    cilCorrect: [1, 4],
    counted: [4, 8],
    passesPerExample: 1,
    exactMatch: { til: [0.5, 0.25], cil: [0, 0.25], tilCorrect: [2, 2], cilCorrect: [0, 2] },
    seconds: 1,
  },
];

describe("the metrics of answers in words", () => {
  it("are the usual figures of label scoring and of exact match", () => {
    const { cil, til } = computeAnswerMetrics(rows);
    const { forwardTransfer: _, unseen: __, ...usual } = cil.labelScored;
    expect(usual).toEqual(computeMetrics(rows).cil);
    expect(cil.exactMatch).toEqual({
      matrix: [
        [0.5, null],
        [0, 0.25],
      ],
      averageAccuracy: 0.125,
      sampleAccuracy: 2 / 12,
      averageIncrementalAccuracy: (0.5 + 0.125) / 2,
      forgetting: 0.5,
      backwardTransfer: -0.5,
      passesPerExample: 1,
    });
    expect(til.exactMatch.averageAccuracy).toBe(0.375);
    expect(til.averageAccuracy).toBe(0.875);
  });

  it("have forward transfer, of label scoring alone", () => {
    const { cil, til } = computeAnswerMetrics(rows);
    for (const [figures, newest, untrained] of [
      [cil, 1 / 8, 3 / 8],
      [til, 6 / 8, 4 / 8],
    ] as const) {
      expect(figures.forwardTransfer).toBe(newest - untrained);
      expect(figures.labelScored.forwardTransfer).toBe(newest - untrained);
      expect(figures.unseen).toEqual({ newest: [newest], untrained: [untrained] });
      expect(figures.exactMatch).not.toHaveProperty("forwardTransfer");
    }
  });

  it("average forward transfer over the tasks from the second on, in the order of learning", () => {
    const [first, second] = rows;
    if (first === undefined || second === undefined) throw new Error("two rows");
    const counts = { til: { newest: 0, untrained: 2 }, cil: { newest: 2, untrained: 1 } };
    const three = [{ ...second, task: 2 }, { ...second, unseen: { counted: 2, ...counts } }, first];
    expect(computeForwardTransfer(three, "cil")).toEqual({
      forwardTransfer: (-2 / 8 + 1 / 2) / 2,
      unseen: { newest: [1 / 8, 1], untrained: [3 / 8, 1 / 2] },
    });
    expect(computeForwardTransfer(three, "til").forwardTransfer).toBe((2 / 8 - 1) / 2);
    // Older records lack it for some task; a stream of one task has none.
    expect(computeForwardTransfer([{ ...second, task: 2 }, second, first], "cil")).toEqual({});
    expect(computeForwardTransfer([first], "cil")).toEqual({});
  });

  it("go through the record's schema whole", () => {
    const cost = { trainSeconds: 1, evalSeconds: 1, peakRssBytes: 1 };
    const metrics = { ...computeFigures("sentence", rows, []), cost };
    expect(runMetricsSchema.parse(JSON.parse(JSON.stringify(metrics)))).toEqual(metrics);
    for (const row of rows) {
      const event = { time: "2026-01-01T00:00:00.000Z", ...row };
      expect(runEventSchema.parse(event)).toEqual(event);
    }
  });

  it("leave a run with heads as it was", () => {
    const plain = rows.map(({ exactMatch: _, unseen: __, ...row }) => row);
    expect(computeFigures("sentence", plain, [])).toEqual({ schemaVersion: 1, ...computeMetrics(plain) });
    expect(() => computeAnswerMetrics(plain)).toThrow(StoreError);
  });
});
