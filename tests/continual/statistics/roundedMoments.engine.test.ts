import { afterAll, describe, expect, it } from "vitest";
import { FeatureMapper } from "../../../src/continual/statistics/featureMaps.ts";
import { accumulate, emptyTotals, type LabelledRows } from "../../../src/continual/statistics/totals.ts";
import { createRng } from "../../../src/core/random.ts";
import { Algebra } from "../../../src/linalg/algebra.ts";
import { lowerRowStarts } from "../../../src/linalg/lower.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";

const algebra = new Algebra((graph) => nodeRuntime.compile(graph, { threads: 1 }));
afterAll(() => algebra[Symbol.asyncDispose]());

const width = 24;
const mapper = new FeatureMapper({ kind: "rounded" }, { backbone: "x", layers: [0], width, seed: 0 });

/** Rows whose first columns are as large as a feature can be. */
function rowsOf(count: number, large: number, seed: number): LabelledRows {
  const rng = createRng(seed);
  const values = Int16Array.from({ length: count * width }, (_, place) =>
    Math.round((place % width < large ? 30_000 : 900) * Math.max(-1, Math.min(1, rng.normal()))),
  );
  return { label: "a", rows: { rows: count, width, values } };
}

/** Σ h·hᵀ by whole numbers. */
function expectedOf({ rows: { rows, values } }: LabelledRows): Float64Array {
  const second = new Float64Array(lowerRowStarts.packed(width, width));
  const rounded = values.map((value) => Math.round(value / 32));
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < width; i++)
      for (let j = 0; j <= i; j++)
        second[lowerRowStarts.packed(i, width) + j]! += rounded[row * width + i]! * rounded[row * width + j]!;
  return second;
}

describe("second moments of rounded features", () => {
  it.each([
    ["no column is large", 1500, 0],
    ["some columns are large", 1500, 3],
    ["every column is large", 700, width],
    ["a single row", 1, 2],
  ])("are exact where %s", async (_, count, large) => {
    const rows = rowsOf(count, large, 7);
    const totals = emptyTotals(width, true, "packed");
    await accumulate(algebra, mapper, totals, [rows]);
    expect(totals.second).toEqual(expectedOf(rows));
  });

  it("add up, and what is taken away leaves no trace", async () => {
    const [kept, gone] = [rowsOf(600, 2, 1), rowsOf(900, 4, 2)];
    const totals = emptyTotals(width, true, "packed");
    await accumulate(algebra, mapper, totals, [gone, kept]);
    await accumulate(algebra, mapper, totals, [gone], -1);
    expect(totals.second).toEqual(expectedOf(kept));
  });
});
