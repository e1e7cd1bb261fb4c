import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  computeBackwardTransfer,
  computeForgetting,
  computeMetrics,
  computeProtocolMetrics,
  type EvaluatedRow,
  matrixFromCsv,
  matrixToCsv,
  type ProtocolRow,
} from "../../../src/continual/metrics/metrics.ts";

/** Rows of one protocol from counts: `correct[k][j]` of `counted[j]`. */
function rowsOf(correct: readonly (readonly number[])[], counted: readonly number[]): ProtocolRow[] {
  return correct.map((row, k) => ({
    task: k,
    accuracy: row.map((value, j) => value / counted[j]!),
    correct: row,
    counted: counted.slice(0, k + 1),
    passesPerExample: k + 1,
  }));
}

/** Lower-triangular accuracies of 2 to 8 tasks. */
const triangles = fc
  .integer({ min: 2, max: 8 })
  .chain((tasks) =>
    fc.tuple(
      ...Array.from({ length: tasks }, (_, k) =>
        fc.array(fc.integer({ min: 0, max: 100 }), { minLength: k + 1, maxLength: k + 1 }),
      ),
    ),
  )
  .map((rows) => rows.map((row) => row.map((value) => value / 100)));

function rowsFrom(triangle: readonly (readonly number[])[]): ProtocolRow[] {
  return rowsOf(
    triangle.map((row) => row.map((value) => Math.round(value * 100))),
    triangle.map(() => 100),
  );
}

describe("computeProtocolMetrics", () => {
  it("gives the figures computed by hand", () => {
    // a = [[.9], [.6, .8], [.7, .5, 1]]: task 0 recovers a little, task 1 falls.
    const metrics = computeProtocolMetrics(
      rowsOf(
        [
          [9, 0],
          [6, 16, 0],
          [7, 10, 10],
        ].map((row, k) => row.slice(0, k + 1)),
        [10, 20, 10],
      ),
    );
    expect(metrics.matrix).toEqual([
      [0.9, null, null],
      [0.6, 0.8, null],
      [0.7, 0.5, 1],
    ]);
    expect(metrics.averageAccuracy).toBeCloseTo((0.7 + 0.5 + 1) / 3, 12);
    // Task 1 has twice the examples, so over samples it weighs twice.
    expect(metrics.sampleAccuracy).toBeCloseTo(27 / 40, 12);
    expect(metrics.averageIncrementalAccuracy).toBeCloseTo((0.9 + 0.7 + 2.2 / 3) / 3, 12);
    expect(metrics.forgetting).toBeCloseTo((0.2 + 0.3) / 2, 12);
    expect(metrics.backwardTransfer).toBeCloseTo((-0.2 - 0.3) / 2, 12);
    expect(metrics.passesPerExample).toBe(3);
    expect(metrics).not.toHaveProperty("forwardTransfer");
  });

  it("measures forgetting from the best value, not the first, and never below zero", () => {
    const peak = [[0.5], [0.9, 0.7], [0.6, 0.8, 1]];
    expect(computeForgetting(peak)).toBeCloseTo((0.3 + 0) / 2, 12);
    expect(computeBackwardTransfer(peak)).toBeCloseTo((0.1 + 0.1) / 2, 12);
  });

  it("leaves forgetting and backward transfer out for a single task", () => {
    const metrics = computeProtocolMetrics(rowsOf([[8]], [10]));
    expect(Object.keys(metrics).sort()).toEqual([
      "averageAccuracy",
      "averageIncrementalAccuracy",
      "matrix",
      "passesPerExample",
      "sampleAccuracy",
    ]);
  });

  it("does not depend on the order in which rows are given", () => {
    fc.assert(
      fc.property(triangles, fc.infiniteStream(fc.nat()), (triangle, picks) => {
        const rows = rowsFrom(triangle);
        const mixed = rows
          .map((row) => ({ row, key: picks.next().value }))
          .sort((a, b) => a.key - b.key)
          .map(({ row }) => row);
        expect(computeProtocolMetrics(mixed)).toEqual(computeProtocolMetrics(rows));
      }),
    );
  });

  it("names what is wrong with the rows", () => {
    const rows = rowsFrom([[1], [1, 1], [1, 1, 1]]);
    expect(() => computeProtocolMetrics([])).toThrow("no evaluated task");
    expect(() => computeProtocolMetrics([rows[0]!, rows[2]!])).toThrow("task 1 was never evaluated");
    expect(() => computeProtocolMetrics([rows[0]!, rows[0]!])).toThrow("task 0 is evaluated twice");
    expect(() => computeProtocolMetrics([{ ...rows[0]!, counted: [] }])).toThrow(
      "counted needs 1 entries, one for each task so far, got 0",
    );
    expect(() => computeProtocolMetrics([{ ...rows[0]!, counted: [0] }])).toThrow("counted no example");
  });
});

describe("properties of the figures", () => {
  it("forgetting is at least minus backward transfer, and at least zero", () => {
    fc.assert(
      fc.property(triangles, (triangle) => {
        const { forgetting, backwardTransfer } = computeProtocolMetrics(rowsFrom(triangle));
        expect(forgetting!).toBeGreaterThanOrEqual(0);
        expect(forgetting!).toBeGreaterThanOrEqual(-backwardTransfer! - 1e-12);
      }),
    );
  });

  it("forgetting equals minus backward transfer where no task ever improves after it is learned", () => {
    fc.assert(
      fc.property(triangles, (triangle) => {
        const best = triangle.map((row) => [...row]);
        for (let k = 1; k < best.length; k++)
          for (let j = 0; j < k; j++) best[k]![j] = Math.min(best[k]![j]!, best[k - 1]![j]!);
        expect(computeForgetting(best)!).toBeCloseTo(-computeBackwardTransfer(best)!, 12);
      }),
    );
  });

  it("both are exactly zero where every row repeats the diagonal, as in TIL", () => {
    fc.assert(
      fc.property(triangles, (triangle) => {
        const diagonal = triangle.map((row, k) => row[k]!);
        const metrics = computeProtocolMetrics(rowsFrom(diagonal.map((_, k) => diagonal.slice(0, k + 1))));
        expect(metrics.forgetting).toBe(0);
        expect(metrics.backwardTransfer).toBe(0);
      }),
    );
  });

  it("permuting tasks permutes a diagonal matrix and keeps the average, not the incremental one", () => {
    const of = (diagonal: readonly number[]) =>
      computeProtocolMetrics(rowsFrom(diagonal.map((_, k) => diagonal.slice(0, k + 1))));
    const forwards = of([1, 0.5, 0]);
    const backwards = of([0, 0.5, 1]);
    expect(backwards.averageAccuracy).toBeCloseTo(forwards.averageAccuracy, 12);
    expect(backwards.matrix[2]).toEqual(forwards.matrix[2]!.toReversed());
    expect(forwards.averageIncrementalAccuracy).toBeCloseTo((1 + 0.75 + 0.5) / 3, 12);
    expect(backwards.averageIncrementalAccuracy).toBeCloseTo((0 + 0.25 + 0.5) / 3, 12);
  });

  it("sample accuracy equals the average where all test sets are equally large", () => {
    fc.assert(
      fc.property(triangles, (triangle) => {
        const metrics = computeProtocolMetrics(rowsFrom(triangle));
        expect(metrics.sampleAccuracy).toBeCloseTo(metrics.averageAccuracy, 12);
      }),
    );
  });
});

describe("computeMetrics", () => {
  it("takes each protocol's own figures, and one pass for TIL", () => {
    const row = (task: number, cil: number[], til: number[]): EvaluatedRow => ({
      type: "evaluated",
      task,
      cil,
      til,
      cilCorrect: cil.map((value) => value * 10),
      tilCorrect: til.map((value) => value * 10),
      counted: cil.map(() => 10),
      passesPerExample: task + 1,
      seconds: 1,
    });
    const { cil, til } = computeMetrics([row(0, [0.9], [0.9]), row(1, [0.4, 0.8], [0.9, 1])]);
    expect(cil.matrix).toEqual([
      [0.9, null],
      [0.4, 0.8],
    ]);
    expect(cil.sampleAccuracy).toBeCloseTo(0.6, 12);
    expect(cil.forgetting).toBeCloseTo(0.5, 12);
    expect(cil.passesPerExample).toBe(2);
    expect(til.averageAccuracy).toBeCloseTo(0.95, 12);
    expect(til.forgetting).toBe(0);
    expect(til.passesPerExample).toBe(1);
  });
});

describe("matrix as CSV", () => {
  it("writes fractions and leaves undefined cells empty", () => {
    expect(
      matrixToCsv(
        [
          [0.5, null],
          [0.25, 1],
        ],
        ["task-0", 'cards, "lost"'],
      ),
    ).toBe('after,task-0,"cards, ""lost"""\ntask-0,0.5,\n"cards, ""lost""",0.25,1\n');
  });

  it("reads back exactly what it wrote, whatever the names and figures", () => {
    const tables = fc.integer({ min: 1, max: 6 }).chain((tasks) =>
      fc.record({
        taskNames: fc.array(fc.string({ unit: "grapheme" }), { minLength: tasks, maxLength: tasks }),
        matrix: fc.array(
          fc.array(fc.option(fc.double({ min: 0, max: 1, noNaN: true })), {
            minLength: tasks,
            maxLength: tasks,
          }),
          { minLength: tasks, maxLength: tasks },
        ),
      }),
    );
    fc.assert(
      fc.property(tables, ({ matrix, taskNames }) => {
        const back = matrixFromCsv(matrixToCsv(matrix, taskNames));
        expect(back.taskNames).toEqual(taskNames);
        expect(back.matrix).toEqual(matrix.map((row) => row.map((value) => (value === 0 ? 0 : value))));
      }),
    );
  });

  it("names the row and column it cannot read", () => {
    expect(() => matrixFromCsv("after,a,b\na,1,\nb,x,1\n")).toThrow(
      'row 3, column 2: expected a number, got "x"',
    );
    expect(() => matrixFromCsv("after,a,b\na,1,\nc,1,1\n")).toThrow('row 3: expected "b"');
    expect(() => matrixFromCsv("after,a,b\na,1,\n")).toThrow("got 2 names and 1 rows");
    expect(() => matrixFromCsv('after,"a\na,1')).toThrow("not CSV");
    expect(() => matrixToCsv([[1]], ["a", "b"])).toThrow("2 task names need as many rows and columns");
  });
});
