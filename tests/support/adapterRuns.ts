/** Runs an adapter on a golden backbone through our engine. B texts, T tokens, D width. */
import type { HostTensor } from "../../src/core/tensor.ts";
import { int64 } from "../../src/core/tensor.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import {
  type FeatureSpec,
  poolingsOf,
  poolingWeights,
  type TokenBatch,
  tokenFeeds,
} from "../../src/nn/features.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { adapterMethod } from "../../src/peft/adapters.ts";
import type { AdapterSpec, SavedAdapter } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Executable } from "../../src/runtime/types.ts";
import { buildFeatureGraph, buildInferenceGraph } from "../../src/train/graphs.ts";
import { parameterFeeds } from "../../src/train/trainer.ts";
import { needIds, realRows } from "./goldens.ts";
import { relativeDifference } from "./tolerances.ts";

/** The batch in a file of expected tensors; token types are optional, as for transformers. */
export function batchOf(tensors: ReadonlyMap<string, HostTensor>): TokenBatch {
  const inputIds = needIds(tensors, "input_ids");
  const zeros = () => int64(new BigInt64Array(inputIds.data.length), inputIds.dims);
  return {
    inputIds,
    attentionMask: needIds(tensors, "attention_mask"),
    tokenTypeIds: tensors.has("token_type_ids") ? needIds(tensors, "token_type_ids") : zeros(),
  };
}

export function batchFeeds(
  backbone: Backbone,
  feature: FeatureSpec,
  texts: TokenBatch,
  adapter?: AdapterSpec,
): Record<string, HostTensor> {
  const { batch, textMask, feeds } = adapterMethod(adapter).adapt(texts, backbone.config.padId);
  return {
    ...tokenFeeds(backbone.config, batch),
    ...feeds,
    pooling_weights: poolingWeights(poolingsOf(backbone, feature), textMask, batch.attentionMask),
  };
}

async function compute(executable: Promise<Executable>, feeds: Record<string, HostTensor>) {
  await using session = await executable;
  return await session.run(feeds);
}

/**
 * hidden.0 … hidden.L (B·T, D), virtual tokens included, feature (B, D), and logits where there is a head: (B, C), at
 * word level (B·T, C).
 */
export async function runAdapter(
  backbone: Backbone,
  saved: SavedAdapter,
  batch: TokenBatch,
): Promise<Map<string, HostTensor>> {
  const { pooling, normalize, adapter, head, level } = saved;
  const structure = { backbone, adapter, feature: { pooling, normalize } };
  const feeds = {
    ...batchFeeds(backbone, structure.feature, batch, adapter),
    ...parameterFeeds({ adapter: adapter.tensors, head: head?.tensors ?? new Map() }),
  };
  const outputs = await compute(nodeRuntime.compile(buildFeatureGraph(structure, true)), feeds);
  const results = new Map(Object.entries(outputs));
  if (head === undefined) return results;
  const inference = buildInferenceGraph({
    ...structure,
    head: defaultHeads[head.kind],
    ...(level && { level }),
  });
  const { logits } = await compute(nodeRuntime.compile(inference), feeds);
  if (logits !== undefined) results.set("logits", logits);
  return results;
}

/**
 * How far the results are from the hidden states and logits of a reference, each relative to its largest value; the
 * hidden states at real tokens only.
 */
export function differences(
  results: ReadonlyMap<string, HostTensor>,
  reference: ReadonlyMap<string, HostTensor>,
  mask: HostTensor,
  width: number,
): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, theirs] of reference) {
    const hidden = name.startsWith("hidden.");
    if (!hidden && name !== "logits") continue;
    const ours = results.get(name);
    if (ours === undefined) throw new Error(`we do not compute ${name}`);
    const rows = (tensor: HostTensor) => (hidden ? realRows(tensor, mask, width) : tensor);
    found.set(name, relativeDifference(rows(ours), rows(theirs)));
  }
  return found;
}
