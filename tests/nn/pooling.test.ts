import { describe, expect, it } from "vitest";
import { float32, int64 } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import { poolingWeights, sentenceFeature, type TokenPooling } from "../../src/nn/features.ts";
import { noDropout, noTransform } from "../../src/nn/layers/layers.ts";
import { inputParameters } from "../../src/nn/layers/parameters.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";

// Two texts of three positions, width 2: the second has two tokens, and large numbers where its padding is.
const hidden = float32(new Float32Array([1, -4, 2, 6, 6, 1, 3, -5, 1, -1, 99, 99]), [6, 2]);
const rightMask = int64(new BigInt64Array([1n, 1n, 1n, 1n, 1n, 0n]), [2, 3]);
const leftHidden = float32(new Float32Array([99, 99, 3, -5, 1, -1]), [3, 2]);
const leftMask = int64(new BigInt64Array([0n, 1n, 1n]), [1, 3]);

async function pooled(
  pooling: TokenPooling,
  states: typeof hidden,
  mask: typeof rightMask,
): Promise<number[]> {
  const context = { parameters: inputParameters(), transform: noTransform, dropout: noDropout };
  const rows = op.input("hidden", "float32", ["B*T", 2]);
  const spec = { pooling, normalize: false };
  const feature = sentenceFeature({ width: 2 }, context, spec, rows);
  await using executable = await referenceRuntime.compile(createGraph({ feature }));
  const feeds = { hidden: states, pooling_weights: poolingWeights([pooling], mask) };
  const { feature: vectors } = await executable.run(feeds);
  return Array.from(vectors?.data ?? [], Number);
}

/** By the formulas of sentence-transformers' Pooling, worked out by hand: of the first text, then of the second. */
const expected: { readonly [P in Exclude<TokenPooling, `p${string}`>]: readonly number[] } = {
  cls: [1, -4, 3, -5],
  last: [6, 1, 1, -1],
  mean: [3, 1, 2, -3],
  max: [6, 6, 3, -1],
  "mean-sqrt-len": [9 / Math.sqrt(3), 3 / Math.sqrt(3), 4 / Math.sqrt(2), -6 / Math.sqrt(2)],
  "weighted-mean": [(1 + 4 + 18) / 6, (-4 + 12 + 3) / 6, (3 + 2) / 3, (-5 - 2) / 3],
};

describe.each(Object.entries(expected))("pooling %s", (name, vectors) => {
  it("is sentence-transformers', whichever side is padded", async () => {
    const kind =
      Object.keys(expected).find((known): known is keyof typeof expected => known === name) ?? "cls";
    const both = await pooled(kind, hidden, rightMask);
    both.forEach((value, i) => {
      expect(value).toBeCloseTo(vectors[i] ?? Number.NaN, 5);
    });
    const left = await pooled(kind, leftHidden, leftMask);
    left.forEach((value, i) => {
      expect(value).toBeCloseTo(vectors[2 + i] ?? Number.NaN, 5);
    });
  });
});
