import { afterAll, describe, expect, it } from "vitest";
import { relativeDistances } from "../../../src/continual/rejection/detectorModel.ts";
import { Detectors } from "../../../src/continual/rejection/detectors.ts";
import { fitRelativeDistance } from "../../../src/continual/rejection/outOfScope.ts";
import {
  auroc,
  falsePositiveRateAt95,
  rejectionThreshold,
} from "../../../src/continual/rejection/rejection.ts";
import { RouterFitter } from "../../../src/continual/routers/fit.ts";
import { encodeContributions } from "../../../src/continual/statistics/contributionFile.ts";
import { FeatureMapper } from "../../../src/continual/statistics/featureMaps.ts";
import { takeRows } from "../../../src/continual/statistics/fixedRows.ts";
import { ClassStatistics } from "../../../src/continual/statistics/statistics.ts";
import { accumulate, emptyTotals } from "../../../src/continual/statistics/totals.ts";
import { DataError } from "../../../src/core/errors.ts";
import { createRng } from "../../../src/core/random.ts";
import { float64 } from "../../../src/core/tensor.ts";
import { Algebra } from "../../../src/linalg/algebra.ts";
import { factorLower } from "../../../src/linalg/triangular.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { cloud, constants, contribution } from "../../support/routingRows.ts";
import { relativeDifference, tolerances } from "../../support/tolerances.ts";

const compile = (graph: Parameters<typeof nodeRuntime.compile>[0]) =>
  nodeRuntime.compile(graph, { threads: 1 });
const algebra = new Algebra(compile);
const fitter = new RouterFitter(compile);
const detectors = new Detectors(fitter);
afterAll(async () => {
  await algebra[Symbol.asyncDispose]();
  await fitter[Symbol.asyncDispose]();
});

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

  it("a threshold rejects no more than the share asked for", () => {
    const rng = createRng(1);
    const scores = Array.from({ length: 101 }, () => rng.normal());
    for (const rate of [0, 0.05, 0.5, 1]) {
      const threshold = rejectionThreshold(scores, rate);
      const rejected = scores.filter((score) => score > threshold).length;
      expect(rejected).toBeLessThanOrEqual(rate * 101);
      expect(rejected).toBe(Math.min(100, Math.floor(rate * 101)));
    }
  });

  it("refuses to judge without scores", () => {
    expect(() => auroc([], [1])).toThrow(DataError);
    expect(() => falsePositiveRateAt95([1], [])).toThrow(/1 in scope and 0 out/);
    expect(() => rejectionThreshold([], 0.05)).toThrow(DataError);
  });
});

describe("relative Mahalanobis distance", () => {
  /** (x − m)ᵀ·Σ⁻¹·(x − m), by loops. */
  function mahalanobis(covariance: Float64Array, x: Float64Array): number {
    const n = x.length;
    const lower = covariance.slice();
    factorLower(lower, n, "test");
    const half = x.slice();
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) half[i]! -= lower[i * n + k]! * half[k]!;
      half[i]! /= lower[i * n + i]!;
    }
    return half.reduce((sum, value) => sum + value * value, 0);
  }

  it("is what its definition says, by loops over rows", async () => {
    const labels = ["a", "b", "c"];
    const batches = labels.map((label, i) => contribution(label, 25, i));
    const expander = new FeatureMapper({ kind: "identity" }, constants);
    const totals = emptyTotals(16, true);
    await accumulate(algebra, expander, totals, batches);
    const shrinkage = 0.2;
    const distance = await fitRelativeDistance(algebra, totals, labels, shrinkage);

    const rows = batches.map(({ rows: { values } }) => Float64Array.from(values));
    const meanOf = (values: Float64Array) =>
      Float64Array.from(
        { length: 16 },
        (_, i) => values.reduce((s, v, k) => (k % 16 === i ? s + v : s), 0) / (values.length / 16),
      );
    const means = rows.map(meanOf);
    const joined = Float64Array.from(rows.flatMap((values) => [...values]));
    const overall = meanOf(joined);
    const covarianceOf = (centred: Float64Array[]) => {
      const n = centred.reduce((sum, values) => sum + values.length / 16, 0);
      const covariance = new Float64Array(256);
      for (const values of centred)
        for (let start = 0; start < values.length; start += 16)
          for (let i = 0; i < 16; i++)
            for (let j = 0; j < 16; j++)
              covariance[i * 16 + j]! += (values[start + i]! * values[start + j]!) / n;
      let trace = 0;
      for (let i = 0; i < 16; i++) trace += covariance[i * 17]!;
      for (let k = 0; k < 256; k++) covariance[k]! *= 1 - shrinkage;
      for (let i = 0; i < 16; i++) covariance[i * 17]! += (shrinkage * trace) / 16;
      return covariance;
    };
    const less = (values: Float64Array, mean: Float64Array) =>
      values.map((value, k) => value - mean[k % 16]!);
    const within = covarianceOf(rows.map((values, c) => less(values, means[c]!)));
    const background = covarianceOf([less(joined, overall)]);

    const { values } = contribution("c", 6, 50).rows;
    const queries = { rows: 6, columns: 16, values: Float64Array.from(values) };
    const expected = Array.from({ length: 6 }, (_, row) => {
      const x = queries.values.slice(row * 16, (row + 1) * 16);
      const nearest = Math.min(...means.map((mean) => mahalanobis(within, less(x, mean))));
      return nearest - mahalanobis(background, less(x, overall));
    });
    const found = await relativeDistances(algebra, distance, queries);
    expect(relativeDifference(float64(found, [6]), float64(expected, [6]))).toBeLessThan(
      tolerances.float64Solve,
    );
  });

  it("tells clouds never seen, and rejects about the share asked for", async () => {
    const known = ["a", "b", "c", "d"];
    const statistics = ClassStatistics.empty(constants).with(
      known.map((label, i) => contribution(label, 120, i)),
    );
    const detector = await detectors.fit(statistics, { falseRejectRate: 0.1 });
    expect(detector.falseRejectRate).toBe(0.1);
    const inside: number[] = [];
    for (const label of known) inside.push(...(await detector.score(cloud(label, 60, 900))));
    const outside: number[] = [];
    for (const label of ["x", "y", "z"]) outside.push(...(await detector.score(cloud(label, 60, 901))));
    expect(auroc(inside, outside)).toBeGreaterThan(0.9);
    const rejected = inside.filter((score) => score > detector.threshold).length / inside.length;
    expect(rejected).toBeGreaterThan(0.01);
    expect(rejected).toBeLessThan(0.25);
  });

  it("has a second kind of evidence where enough rows are held out, and adds standard scores", async () => {
    const known = ["a", "b", "c", "d"];
    const fitting = known.map((label, i) => ({ ...contribution(label, 60, i), role: "fit" }) as const);
    const varianceWith = async (judges: number) => {
      const judging = known.map(
        (label, i) => ({ ...contribution(label, judges, 40 + i), role: "judge" }) as const,
      );
      const detector = await detectors.fit(ClassStatistics.empty(constants).with([...fitting, ...judging]));
      const scores: number[] = [];
      for (const label of known) scores.push(...(await detector.score(cloud(label, 100, 900))));
      const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
      return scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length;
    };
    // One standard score has a variance of about 1; two that agree in part have one of more together.
    const [one, two] = [await varianceWith(24), await varianceWith(25)];
    expect(one).toBeGreaterThan(0.5);
    expect(one).toBeLessThan(2);
    expect(two).toBeGreaterThan(1.3 * one);
  });

  it("says the same to the last bit once it was written and read", async () => {
    const parts = ["a", "b", "c", "d"].map((label, i) => contribution(label, 200, i));
    const detector = await detectors.fit(ClassStatistics.empty(constants).with(parts));
    expect(detector.model.evidence.map(({ type }) => type)).toEqual(["distances", "logits"]);
    const bytes = detectors.encode(detector);
    await using otherFitter = new RouterFitter(compile);
    const other = new Detectors(otherFitter);
    const read = other.decode(bytes, "detector.safetensors");
    const queries = cloud("b", 70, 8);
    expect(read.threshold).toBe(detector.threshold);
    expect(await read.score(queries)).toEqual(await detector.score(queries));
    expect(Buffer.compare(other.encode(read), bytes)).toBe(0);
    const statistics = encodeContributions({ constants, contributions: parts });
    expect(() => other.decode(statistics, "detector.safetensors")).toThrow(
      /^detector\.safetensors: detector is not JSON/,
    );
  });

  it("is the same to the last bit in any order, and of a text alone", async () => {
    const parts = ["a", "b", "c"].map((label, i) => contribution(label, 30, i));
    const empty = ClassStatistics.empty(constants);
    const [first, second, third] = [parts[0]!, parts[1]!, parts[2]!];
    const half = (from: number) => ({
      label: "a",
      rows: takeRows(
        first.rows,
        [...Array(15).keys()].map((i) => 2 * i + from),
      ),
    });
    const one = await detectors.fit(empty.with(parts));
    const other = await detectors.fit(empty.with([third, half(1)]).with([second, half(0)]));
    const queries = cloud("a", 70, 7);
    const scores = await one.score(queries);
    expect(other.threshold).toBe(one.threshold);
    expect(await other.score(queries)).toEqual(scores);
    const alone = await one.score({ rows: 1, width: 16, values: queries.values.slice(69 * 16) });
    expect(alone[0]).toBe(scores[69]);
  });
});
