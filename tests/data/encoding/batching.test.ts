import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphError } from "../../../src/core/errors.ts";
import { createRng } from "../../../src/core/random.ts";
import { collate, planBatches, planEvaluationBatches } from "../../../src/data/encoding/batching.ts";

const lengthsAndSize = fc.tuple(
  fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 300 }),
  fc.integer({ min: 1, max: 40 }),
);

function padding(batches: readonly number[][], lengths: readonly number[]): number {
  return batches
    .map((batch) => batch.map((i) => lengths[i] ?? 0))
    .reduce((sum, batch) => sum + batch.length * Math.max(...batch) - batch.reduce((a, b) => a + b, 0), 0);
}

describe("planBatches", () => {
  it("uses every example once, in full batches but one", () => {
    fc.assert(
      fc.property(lengthsAndSize, fc.nat(), ([lengths, size], seed) => {
        const batches = planBatches(lengths, size, createRng(seed));
        expect(batches.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()]);
        expect(batches.filter((batch) => batch.length !== size).length).toBeLessThanOrEqual(1);
        expect(batches.every((batch) => batch.length <= size && batch.length > 0)).toBe(true);
      }),
    );
  });

  it("is a function of the seed", () => {
    const lengths = Array.from({ length: 200 }, (_, i) => (i * 7) % 31);
    expect(planBatches(lengths, 8, createRng(3))).toEqual(planBatches(lengths, 8, createRng(3)));
    expect(planBatches(lengths, 8, createRng(3))).not.toEqual(planBatches(lengths, 8, createRng(4)));
  });

  it("pads far less than chance does, and does not go from short to long", () => {
    const rng = createRng(5);
    const lengths = Array.from({ length: 2000 }, () => 4 + rng.integer(60));
    const bucketed = planBatches(lengths, 16, createRng(1));
    const cut = Array.from({ length: 125 }, (_, b) => Array.from({ length: 16 }, (_, i) => b * 16 + i));
    expect(padding(bucketed, lengths)).toBeLessThan(0.1 * padding(cut, lengths));
    const firsts = bucketed.map((batch) => lengths[batch[0] ?? 0] ?? 0);
    expect(firsts).not.toEqual(firsts.toSorted((a, b) => a - b));
  });

  it("refuses a batch size that is no count", () => {
    expect(() => planBatches([1], 0, createRng(1))).toThrow(GraphError);
    expect(() => planEvaluationBatches([1], 1.5)).toThrow(GraphError);
  });
});

describe("planEvaluationBatches", () => {
  it("uses every example once, by length", () => {
    fc.assert(
      fc.property(lengthsAndSize, ([lengths, size]) => {
        const order = planEvaluationBatches(lengths, size).flat();
        expect(order.toSorted((a, b) => a - b)).toEqual([...lengths.keys()]);
        const ordered = order.map((i) => lengths[i]);
        expect(ordered).toEqual(lengths.toSorted((a, b) => a - b));
      }),
    );
  });
});

describe("collate", () => {
  const encodings = [
    { ids: [5, 6, 7], typeIds: [0, 0, 1], truncated: false },
    { ids: [8], typeIds: [1], truncated: false },
  ];

  it("pads to the longest, on the right", () => {
    const batch = collate(encodings, 9);
    expect(batch).toMatchObject({ size: 2, length: 3, lengths: [3, 1] });
    expect(batch.inputIds).toEqual({
      dtype: "int64",
      dims: [2, 3],
      data: BigInt64Array.of(5n, 6n, 7n, 8n, 9n, 9n),
    });
    expect([...batch.attentionMask.data]).toEqual([1n, 1n, 1n, 1n, 0n, 0n]);
    expect([...batch.tokenTypeIds.data]).toEqual([0n, 0n, 1n, 1n, 0n, 0n]);
  });

  it("pads on the left where asked to", () => {
    const batch = collate(encodings, 9, "left");
    expect([...batch.inputIds.data]).toEqual([5n, 6n, 7n, 9n, 9n, 8n]);
    expect([...batch.attentionMask.data]).toEqual([1n, 1n, 1n, 0n, 0n, 1n]);
    expect([...batch.tokenTypeIds.data]).toEqual([0n, 0n, 1n, 0n, 0n, 1n]);
  });

  it("refuses an empty batch", () => {
    expect(() => collate([], 0)).toThrow(GraphError);
  });
});
