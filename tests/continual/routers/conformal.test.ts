import { describe, expect, it } from "vitest";
import {
  conformalScores,
  predictionSet,
  rowsNeeded,
  scoreThreshold,
} from "../../../src/continual/routers/scores/conformal.ts";
import { createRng } from "../../../src/core/random.ts";

const logs = (...probabilities: number[]) => Float64Array.from(probabilities, Math.log);

describe("sets of labels", () => {
  // Four rows of two classes: their own classes have 0.9, 0.8, 0.6 and 0.3.
  const posterior = { rows: 4, classes: 2, values: logs(0.9, 0.1, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8) };
  const targets = Int32Array.of(0, 1, 0, 1);
  const calibration = conformalScores(posterior, targets);

  it("are cut at the quantile that (n + 1)·coverage rows do not exceed", () => {
    expect([...calibration.scores].map((score) => Math.exp(-score).toFixed(2))).toEqual([
      "0.90",
      "0.80",
      "0.60",
      "0.30",
    ]);
    // ⌈5 · 0.6⌉ = 3 rows, the third of which has 0.6; ⌈5 · 0.8⌉ = 4.
    expect(scoreThreshold(calibration, 0.6)).toBeCloseTo(-Math.log(0.6), 12);
    expect(scoreThreshold(calibration, 0.8)).toBeCloseTo(-Math.log(0.3), 12);
  });

  it("name the classes above it, likeliest first, and none where none is", () => {
    expect(predictionSet(logs(0.35, 0.65), 0.8, calibration)).toEqual({ columns: [1, 0], calibrated: true });
    expect(predictionSet(logs(0.35, 0.65), 0.6, calibration)).toEqual({ columns: [1], calibrated: true });
    expect(predictionSet(logs(0.5, 0.5), 0.6, calibration)).toEqual({ columns: [], calibrated: true });
  });

  it("hold every class and say so where there are too few rows for the level", () => {
    expect(rowsNeeded(0.9)).toBe(9);
    expect(rowsNeeded(0.95)).toBe(19);
    expect(predictionSet(logs(0.999, 0.001), 0.9, calibration)).toEqual({
      columns: [0, 1],
      calibrated: false,
    });
  });

  it("refuse a coverage that is no probability", () => {
    for (const coverage of [0, 1, 95, Number.NaN])
      expect(() => predictionSet(logs(0.5, 0.5), coverage, calibration)).toThrow(/coverage is/);
  });

  it("take classes for equally frequent", () => {
    // Three easy rows of class 0, one hard row of class 1, which counts for as much as they do together.
    const uneven = conformalScores(
      { rows: 4, classes: 2, values: logs(0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.8, 0.2) },
      Int32Array.of(0, 0, 0, 1),
    );
    expect([...uneven.weights].map((weight) => weight.toFixed(4))).toEqual([
      "0.6667",
      "0.6667",
      "0.6667",
      "2.0000",
    ]);
    expect(Math.exp(-scoreThreshold(uneven, 0.5))).toBeCloseTo(0.2, 12);
  });

  it("contain the right label as often as asked", () => {
    const rng = createRng(3);
    // A classifier of three classes that is sure of 60 to 100 % and right so often.
    const draw = () => {
      const sure = 0.6 + 0.4 * rng.uniform();
      const target = rng.uniform() < sure ? 0 : 1 + rng.integer(2);
      return { logs: logs(sure, (1 - sure) / 2, (1 - sure) / 2), target };
    };
    const rows = Array.from({ length: 1000 }, draw);
    const found = conformalScores(
      { rows: rows.length, classes: 3, values: Float64Array.from(rows.flatMap((row) => [...row.logs])) },
      Int32Array.from(rows, ({ target }) => target),
    );
    const asked = Array.from({ length: 4000 }, draw);
    for (const coverage of [0.8, 0.9]) {
      const covered = asked.filter((row) =>
        predictionSet(row.logs, coverage, {
          scores: found.scores,
          weights: found.weights.fill(1),
        }).columns.includes(row.target),
      );
      expect(Math.abs(covered.length / asked.length - coverage)).toBeLessThan(0.03);
    }
  });
});
