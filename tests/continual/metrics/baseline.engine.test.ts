import { describe, expect, test } from "vitest";
import { measureTextBaseline, ngramFeatures } from "../../../src/continual/metrics/baseline.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";

describe("ngramFeatures", () => {
  test("rows of length 1, the same for the same text wherever it stands, zero for no text", () => {
    const { values, width } = ngramFeatures([
      { text: "Book a flight" },
      { text: "" },
      { text: "book a FLIGHT" },
    ]);
    const row = (index: number) => values.subarray(index * width, (index + 1) * width);
    expect(Math.hypot(...row(0))).toBeCloseTo(1, 6);
    expect(Math.hypot(...row(1))).toBe(0);
    expect(row(2)).toEqual(row(0));
  });

  test("a pair's second text counts", () => {
    const { values, width } = ngramFeatures([{ text: "a" }, { text: "a", textPair: "b" }]);
    expect(values.subarray(0, width)).not.toEqual(values.subarray(width));
  });
});

function task(labels: readonly string[], wordsOf: (label: string) => readonly string[]) {
  const texts = (from: number, to: number) =>
    labels.flatMap((label) =>
      Array.from({ length: to - from }, (_, i) => ({
        text: `${wordsOf(label)[(from + i) % wordsOf(label).length]} please ${from + i}`,
        label,
      })),
    );
  return { name: labels.join("-"), labels, train: texts(0, 8), test: texts(8, 12) };
}

describe("measureTextBaseline", () => {
  test("tells classes apart that are spelt apart", async () => {
    const spelt = (label: string) => [`${label} ticket`, `my ${label}`, `${label} now`];
    const tasks = [task(["flight", "hotel"], spelt), task(["music", "radio"], spelt)];
    const floor = await measureTextBaseline(tasks, (graph) => nodeRuntime.compile(graph));
    expect(floor).toMatchObject({ cil: 1, til: 1 });
  });

  test("cannot tell classes apart whose words are the same, but knows their task", async () => {
    const same = (label: string) => (label < "m" ? ["red green"] : ["blue yellow"]);
    const tasks = [task(["a", "b"], same), task(["x", "y"], same)];
    const { cil, til } = await measureTextBaseline(tasks, (graph) => nodeRuntime.compile(graph));
    expect(cil).toBeLessThanOrEqual(0.75);
    expect(til).toBe(cil);
  });
});
