import { describe, expect, it } from "vitest";
import { auroc, falsePositiveRateAt95 } from "../../../src/continual/routers/scores/outOfScope.ts";
import { DataError } from "../../../src/core/errors.ts";

describe("figures of rejection", () => {
  it("AUROC counts pairs, ties one half", () => {
    const [inside, outside] = [
      [1, 2, 2, 5],
      [2, 3, 9],
    ];
    let wins = 0;
    for (const out of outside) for (const own of inside) wins += out > own ? 1 : out === own ? 0.5 : 0;
    expect(auroc(inside, outside)).toBe(wins / 12);
    expect(auroc([0, 0], [0])).toBe(0.5);
    expect(auroc([3, 4], [1, 2])).toBe(0);
  });

  it("the false positive rate is that of the highest threshold which rejects 95 % of what is out of scope", () => {
    const outside = Array.from({ length: 20 }, (_, i) => i + 10);
    // 19 of 20 lie at 11 or above.
    expect(falsePositiveRateAt95([1, 10, 10.9, 11, 40], outside)).toBe(2 / 5);
    expect(falsePositiveRateAt95([1, 2], outside)).toBe(0);
  });

  it("refuses to judge without scores", () => {
    expect(() => auroc([], [1])).toThrow(DataError);
    expect(() => falsePositiveRateAt95([1], [])).toThrow(/1 in scope and 0 out/);
  });
});
