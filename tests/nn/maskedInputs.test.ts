import { describe, expect, test } from "vitest";
import { type HostTensor, int64 } from "../../src/core/tensor.ts";
import { createGraph } from "../../src/graph/graph.ts";
import { poolingWeights, type TokenPooling, tokenFeeds } from "../../src/nn/features.ts";
import { declareMaskedInputs, maskedPoolingWeights } from "../../src/nn/maskedInputs.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import { expectClose, tolerances } from "../support/tolerances.ts";

const kinds: readonly TokenPooling[] = ["cls", "mean", "last", "max", "mean-sqrt-len", "weighted-mean"];
const T = 6;

/** Texts of 6, 3 and 1 tokens, padded on a side. */
function maskOf(side: "left" | "right"): HostTensor<"int64"> {
  const rows = [6, 3, 1].map((length) =>
    Array.from({ length: T }, (_, t) => (side === "right" ? t < length : t >= T - length)),
  );
  return int64(rows.flat().map(Number), [3, T]);
}

/** What the graph makes of a mask. */
async function computed(layout: { firstPosition: number; typeVocabularySize: number }, mask: HostTensor) {
  const inputs = declareMaskedInputs(layout, 8);
  const graph = createGraph({
    positions: inputs.positionIds,
    types: inputs.tokenTypeIds,
    weights: maskedPoolingWeights(kinds, inputs),
  });
  const ids = int64(new BigInt64Array(3 * T).fill(7n), [3, T]);
  const types = int64(
    Array.from({ length: 3 * T }, (_, i) => i % 2),
    [3, T],
  );
  const given = { input_ids: ids, attention_mask: mask, token_type_ids: types };
  const feeds = Object.fromEntries(
    graph.inputs.map(({ attributes: { name } }) => [name, Reflect.get(given, name)]),
  );
  const outputs = await (await referenceRuntime.compile(graph)).run(feeds);
  return { outputs, ids, types, inputs: Object.keys(feeds).sort() };
}

describe.each(["right", "left"] as const)("padding on the %s", (side) => {
  // BERT's positions begin at 0, RoBERTa's behind its padding's own.
  test.each([0, 2])("positions from %i on and pooling as the host makes them", async (firstPosition) => {
    const mask = maskOf(side);
    const layout = { firstPosition, typeVocabularySize: 2 };
    const { outputs, ids, types } = await computed(layout, mask);
    const host = tokenFeeds(layout, { inputIds: ids, attentionMask: mask, tokenTypeIds: types });
    expect(outputs.positions?.data).toEqual(host.position_ids?.data);
    expect(outputs.types?.data).toEqual(types.data);
    expectClose(outputs.weights, poolingWeights(kinds, mask), tolerances.float32Operator, "weights");
  });
});

test("a model without segments is not asked for them", async () => {
  const { outputs, inputs } = await computed({ firstPosition: 0, typeVocabularySize: 1 }, maskOf("right"));
  expect(inputs).toEqual(["attention_mask", "input_ids"]);
  expect(outputs.types?.data.every((type) => type === 0n)).toBe(true);
});
