import { describe, expect, it } from "vitest";
import {
  brierScore,
  fitInverseTemperature,
  fitInverseTemperatureByBrier,
} from "../../../src/continual/routers/scores/calibration.ts";
import { mixLogs, networkShare } from "../../../src/continual/routers/scores/mixture.ts";
import {
  fitUnknown,
  noEvidence,
  unknownProbabilities,
} from "../../../src/continual/routers/scores/unknown.ts";
import { createRng } from "../../../src/core/random.ts";

const logs = (...probabilities: number[]) => Float64Array.from(probabilities, Math.log);
const probabilitiesOf = (values: Float64Array) => [...values].map(Math.exp);

describe("a density with networks beside it", () => {
  it("shares out what the density gives to the classes that networks know, and leaves the others alone", () => {
    const density = logs(0.4, 0.4, 0.2);
    const mixed = mixLogs({ density, networks: [logs(0.9, 0.1, 1e-9)] }, 3, [0, 1], 0.5);
    const [a = 0, b = 0, c = 0] = probabilitiesOf(mixed);
    expect(c).toBeCloseTo(0.2, 12);
    expect(a + b).toBeCloseTo(0.8, 12);
    expect(a / b).toBeCloseTo(Math.sqrt(0.9 / 0.1), 9);
  });

  it("is the density where the networks have no share, or know one class", () => {
    const density = logs(0.7, 0.3);
    const networks = [logs(0.1, 0.9)];
    expect(mixLogs({ density, networks }, 2, [0, 1], 0)).toEqual(density);
    expect(mixLogs({ density, networks }, 2, [1], 0.7)).toEqual(density);
    expect(mixLogs({ density, networks: [] }, 2, [0, 1], 0.7)).toEqual(density);
  });

  /** Rows of three classes of which two members know something each. */
  function rowsOf(count: number, useful: boolean) {
    const rng = createRng(4);
    const targets = Int32Array.from({ length: count }, () => rng.integer(3));
    const say = (knows: number) =>
      Float64Array.from(
        [...targets].flatMap((target) => {
          const logits = [0, 1, 2].map((c) => (c === target ? knows : 0) + rng.normal());
          const sum = Math.log(logits.reduce((total, z) => total + Math.exp(z), 0));
          return logits.map((z) => z - sum);
        }),
      );
    return { targets, logs: { density: say(1.5), networks: [say(useful ? 2 : 0)] } };
  }

  it("lets networks count where many rows say that they help, and not where few do, or where they do not", () => {
    const many = rowsOf(600, true);
    expect(networkShare(many.logs, many.targets, 3, [0, 1, 2])).toBeGreaterThan(0.3);
    const few = rowsOf(4, true);
    expect(networkShare(few.logs, few.targets, 3, [0, 1, 2])).toBe(0);
    const useless = rowsOf(600, false);
    expect(networkShare(useless.logs, useless.targets, 3, [0, 1, 2])).toBe(0);
  });
});

describe("the probability of no class", () => {
  const rng = createRng(6);
  const normal = (mean: number) => Float64Array.from({ length: 2000 }, () => mean + rng.normal());

  it("is that of two normal scores, and the prior moves it by its odds", () => {
    // log N(s; 2, 1)/N(s; 0, 1) = 2·s − 2: even odds at s = 1.
    const model = fitUnknown([normal(0)], [normal(2)]);
    const [even = 0, low = 0, high = 0] = unknownProbabilities(model, [Float64Array.of(1, 0, 2)], 0.5);
    expect(even).toBeCloseTo(0.5, 1);
    expect(low).toBeCloseTo(1 / (1 + Math.exp(2)), 1);
    expect(high).toBeCloseTo(1 / (1 + Math.exp(-2)), 1);
    const [rare = 0] = unknownProbabilities(model, [Float64Array.of(1)], 0.1);
    expect(rare / (1 - rare)).toBeCloseTo(even / (1 - even) / 9, 6);
  });

  it("is the prior where nothing says otherwise", () => {
    expect([...unknownProbabilities(noEvidence, [Float64Array.of(-5, 5)], 0.1)]).toEqual([
      expect.closeTo(0.1, 12),
      expect.closeTo(0.1, 12),
    ]);
  });

  it("rises with the evidence, and is finite where both sides are apart", () => {
    const apart = fitUnknown([Float64Array.of(0, 0.1)], [Float64Array.of(5, 6)]);
    const [near = 0, far = 0] = unknownProbabilities(apart, [Float64Array.of(0, 8)], 0.1);
    expect(apart.slope).toBeGreaterThan(0);
    expect(apart.slope).toBeLessThan(20);
    expect(near).toBeLessThan(0.1);
    expect(far).toBeGreaterThan(near);
    const against = fitUnknown([normal(2)], [normal(0)]);
    expect(against).toMatchObject({ slope: 0, intercept: 0 });
  });
});

describe("a temperature by the Brier score", () => {
  it("has the score of the formula", () => {
    const logits = { rows: 1, columns: 2, values: logs(0.75, 0.25) };
    expect(brierScore(logits, 1, Int32Array.of(0))).toBeCloseTo(0.25 ** 2 + 0.25 ** 2, 12);
    expect(brierScore(logits, 1, Int32Array.of(1), 0.2)).toBeCloseTo(
      (0.75 - 0.1) ** 2 + (0.25 - 0.9) ** 2,
      12,
    );
  });

  it("is that which labels were drawn at, and a few confident errors hardly move it", () => {
    const rng = createRng(8);
    const rows = 3000;
    const values = Float64Array.from({ length: rows * 3 }, () => 4 * rng.normal());
    const targets = Int32Array.from({ length: rows }, (_, row) => {
      const weights = [0, 1, 2].map((c) => Math.exp(0.5 * values[row * 3 + c]!));
      const drawn = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
      const [first = 0, second = 0] = weights;
      return drawn <= first ? 0 : drawn <= first + second ? 1 : 2;
    });
    const logits = { rows, columns: 3, values };
    expect(fitInverseTemperatureByBrier(logits, targets)).toBeGreaterThan(0.42);
    expect(fitInverseTemperatureByBrier(logits, targets)).toBeLessThan(0.58);
    for (let row = 0; row < 30; row++) values.set([60, 0, -60], row * 3);
    targets.fill(2, 0, 30);
    expect(fitInverseTemperature(logits, targets)).toBeLessThan(0.4);
    expect(fitInverseTemperatureByBrier(logits, targets)).toBeGreaterThan(0.42);
  });
});
