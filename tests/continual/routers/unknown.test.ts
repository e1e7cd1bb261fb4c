import { describe, expect, it } from "vitest";
import { fitUnknown, unknownProbabilities } from "../../../src/continual/routers/scores/unknown.ts";
import { createRng } from "../../../src/core/random.ts";

const rng = createRng(7);
const drawn = (count: number, mean: number) => [
  Float64Array.from({ length: count }, () => mean + rng.normal()),
];
const known = drawn(500, 0);
const left = drawn(500, 3);
const at = (score: number, outside?: readonly Float64Array[]) =>
  unknownProbabilities(fitUnknown(known, left, outside), [Float64Array.of(score)], 0.5)[0]!;

describe("the probability of being of no class", () => {
  it("is even between known rows and rows whose class is left out, where no text from outside is given", () => {
    expect(at(1.5)).toBeGreaterThan(0.4);
    expect(at(1.5)).toBeLessThan(0.6);
  });

  it("goes by texts from outside the more of them there are", () => {
    // They look more like known texts than classes that are left out do.
    const few = at(1, drawn(10, 1.5));
    const many = at(1, drawn(500, 1.5));
    expect(few).toBeGreaterThan(at(1));
    expect(many).toBeGreaterThan(few);
    // Between means of 0 and 1.5 the odds are even in the middle.
    const middle = at(0.75, drawn(2000, 1.5));
    expect(middle).toBeGreaterThan(0.4);
    expect(middle).toBeLessThan(0.6);
  });
});
