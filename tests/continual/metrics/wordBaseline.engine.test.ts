import { describe, expect, test } from "vitest";
import { measureWordBaseline, spellingFeatures } from "../../../src/continual/metrics/wordBaseline.ts";
import type { TaggedSentence } from "../../../src/data/files/tags.ts";
import { maskTypes, type WordTask } from "../../../src/data/wordStream.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";

describe("spellingFeatures", () => {
  const row = (words: readonly string[], at: number) => spellingFeatures([{ words, at }]).values;

  test("rows of length 1, the same for the same word between the same neighbours", () => {
    expect(Math.hypot(...row(["a", "trip", "home"], 1))).toBeCloseTo(1, 6);
    expect(row(["and", "a", "trip", "home"], 2)).toEqual(row(["a", "trip", "home"], 1));
  });

  test("neighbours and capitals count", () => {
    expect(row(["a", "trip", "home"], 1)).not.toEqual(row(["the", "trip", "home"], 1));
    expect(row(["a", "trip"], 1)).not.toEqual(row(["a", "Trip"], 1));
  });
});

const places = ["today", "we saw", "people like", "my friend and", "somewhere near"];

/** Two types in two tasks, a sentence of each in turn, its entity spelt as `spell` says. */
function stream(spell: (type: string, i: number) => string, validated = true): WordTask[] {
  const sentences = (types: readonly string[], from: number, to: number): TaggedSentence[] =>
    Array.from({ length: to - from }, (_, n) => {
      const type = types[n % types.length] ?? "";
      const before = (places[(from + n) % places.length] ?? "").split(" ");
      const after = (places[(from + 3 * n + 1) % places.length] ?? "").split(" ");
      return {
        words: [...before, spell(type, from + n), ...after],
        tags: [...before.map(() => "O"), `B-${type}`, ...after.map(() => "O")],
      };
    });
  const task = (name: string, type: string, from: number, seen: readonly string[]): WordTask => ({
    name,
    types: [type],
    labels: [`B-${type}`, `I-${type}`],
    train: sentences([type], from, from + 20),
    validation: validated ? maskTypes(sentences(["x", "y"], 40, 50), [type]) : [],
    test: maskTypes(sentences(["x", "y"], 50, 62), seen),
  });
  return [task("task-0", "x", 0, ["x"]), task("task-1", "y", 20, ["x", "y"])];
}

const measure = (tasks: readonly WordTask[]) =>
  measureWordBaseline(tasks, (graph) => nodeRuntime.compile(graph));

describe("measureWordBaseline", () => {
  const apart = (type: string, i: number) => (type === "x" ? `Xandria${i % 7}` : `@yolo${i % 7}`);

  test("finds entities that are spelt like nothing else", async () => {
    const { cil, til, method } = await measure(stream(apart));
    expect({ cil, til }).toEqual({ cil: 1, til: 1 });
    expect(method).toContain("spellings");
  });

  test("needs no validation sentences", async () => {
    expect((await measure(stream(apart, false))).cil).toBeGreaterThan(0.5);
  });

  test("cannot tell types apart that are spelt alike", async () => {
    const { cil, til } = await measure(stream((_, i) => `Qo${i % 7}`));
    expect(cil).toBeLessThanOrEqual(0.7);
    expect(til).toBeLessThanOrEqual(0.7);
  });
});
