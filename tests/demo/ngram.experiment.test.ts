import { describe, expect, it } from "vitest";
import { generateDemo, sentencesPerIntent } from "../../tools/demo/generate.ts";
import { accuracyOf, measureTextBaseline, trainClassifier } from "../../tools/demo/ngram.ts";

const demo = generateDemo();

describe("hashed n-gram baseline", () => {
  it("learns its training sentences and carries little over to the test", () => {
    const baseline = measureTextBaseline(demo.train, demo.test);
    expect(baseline.tilMean).toBeGreaterThan(0.4);
    expect(baseline.tilMean).toBeLessThan(0.8);
    expect(baseline.joint).toBeLessThan(baseline.tilMean);
    const travel = demo.train.slice(0, 4 * sentencesPerIntent.train);
    expect(accuracyOf(trainClassifier(travel), travel)).toBeGreaterThan(0.98);
  });

  it("gives the same weights for the same seed", () => {
    const few = demo.train.slice(0, 80);
    expect(trainClassifier(few, { epochs: 2 })).toEqual(trainClassifier(few, { epochs: 2 }));
  });
});
