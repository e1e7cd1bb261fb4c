import { describe, expect, it } from "vitest";
import {
  calibrationErrorByChance,
  expectedCalibrationError,
  measureCalibration,
} from "../../../src/continual/metrics/calibrationError.ts";
import { createRng } from "../../../src/core/random.ts";

describe("expected calibration error", () => {
  it("is the formula, worked out by hand", () => {
    // Two bins: (0, ½] has scores 0.2 and 0.5, none right; (½, 1] has 0.6 and 1, one right.
    const error = expectedCalibrationError([0.2, 0.6, 0.5, 1], [false, true, false, false], 2);
    expect(error).toBeCloseTo((Math.abs(0 - 0.7) + Math.abs(1 - 1.6)) / 4, 12);
  });

  it("puts a score on a border into the lower bin, and 0 into the first", () => {
    // 15 bins: ⅓ is the upper border of bin 4 (from 0); 0.34 lies in the next one.
    const apart = expectedCalibrationError([1 / 3, 0.34], [true, false]);
    expect(apart).toBeCloseTo((2 / 3 + 0.34) / 2, 12);
    expect(expectedCalibrationError([0], [false])).toBe(0);
  });

  it("is 0 where every bin's accuracy is its mean score", () => {
    expect(expectedCalibrationError([0.75, 0.75, 0.75, 0.75], [true, true, true, false])).toBe(0);
  });

  it("refuses what is no probability, and nothing at all", () => {
    expect(() => expectedCalibrationError([1.2], [true])).toThrow(/score 0 is 1.2/);
    expect(() => expectedCalibrationError([Number.NaN], [true])).toThrow(/score 0 is NaN/);
    expect(() => expectedCalibrationError([], [])).toThrow(/at least one/);
    expect(() => expectedCalibrationError([0.5], [true, false])).toThrow(/1 scores and 2 answers/);
    expect(() => expectedCalibrationError([0.5], [true], 0)).toThrow(/0 bins/);
  });

  it("of right scores stays below what chance gives about 95 times in a hundred", () => {
    const rng = createRng(5);
    const scores = Array.from({ length: 200 }, () => 0.5 + 0.5 * rng.uniform());
    const bound = calibrationErrorByChance(scores, createRng(1));
    const draws = Array.from({ length: 400 }, () =>
      expectedCalibrationError(
        scores,
        scores.map((score) => rng.uniform() < score),
      ),
    );
    const within = draws.filter((error) => error <= bound).length / draws.length;
    expect(within).toBeGreaterThan(0.91);
    expect(within).toBeLessThan(0.99);
    expect(calibrationErrorByChance(scores, createRng(1))).toBe(bound);
  });

  it("leaves texts out that were rejected", () => {
    const answers = [
      { label: "a", score: 0.75 },
      { label: null, score: 0.1 },
      { label: "b", score: 1 + 1e-12 },
    ];
    expect(measureCalibration(answers, ["a", "a", "b"])).toEqual({
      expectedCalibrationError: 0.125,
      byChance: expect.any(Number),
      counted: 2,
    });
    expect(measureCalibration([{ label: null, score: 1 }], ["a"])).toBeUndefined();
  });
});
