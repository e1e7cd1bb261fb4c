// Dimensions: B batch, T tokens, D width, C classes of the largest head, S stacked tasks.
/** One forward pass in which every example goes through its own task's adapter and head. */
import { float32, type HostTensor, sizeOf } from "../core/tensor.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph } from "../graph/types.ts";
import { featureWidth } from "../nn/features.ts";
import { declareStackedHead } from "../nn/heads.ts";
import { noDropout } from "../nn/layers/layers.ts";
import { adapterMethod } from "../peft/adapters.ts";
import { adapterHost, assembleModel, classifiedRows, type ModelStructure } from "./graphs.ts";
import { parameterFeeds, type TrainableState } from "./trainer.ts";

/** The input that says which of the stacked tasks each example belongs to, int64 (B). */
export const TASK_OF = "task_of";

/**
 * Forward only, the adapters and heads of S tasks stacked and gathered per example. Inputs beside a batch's: `task_of`
 * int64 (B), and every parameter of adapter and head with S in front, as {@link stackParameters} makes them.
 *
 * @param trunkLayers as many layers are left out, and what they gave is the input `trunk_state`
 * @returns a graph with the output `logits` (B, C), at word level (B·T, C), of each example's own task; in the slots that
 *   a task does not have stands nothing of meaning. With the feature also `feature` (B, F), what a head of sentences reads
 */
export function buildMixedGraph(structure: ModelStructure, trunkLayers = 0, withFeature = false): Graph {
  const taskOf = op.input(TASK_OF, "int64", ["B"]);
  const adapter = adapterMethod(structure.adapter).buildStacked(adapterHost(structure), taskOf);
  const model = assembleModel(structure, adapter, noDropout, trunkLayers);
  const head = declareStackedHead(
    structure.head.kind,
    featureWidth(structure.backbone, structure.feature),
    taskOf,
  );
  const logits = head(classifiedRows(structure, model));
  return createGraph({ logits, ...(withFeature && { feature: model.feature }) });
}

/** Tensors of one shape but for the first axis, in a block each of the longest's size: (S, longest, …), zeros behind. */
function stack(tensors: readonly HostTensor<"float32">[]): HostTensor<"float32"> {
  const longest = Math.max(...tensors.map(({ dims }) => dims[0] ?? 1));
  const dims = [longest, ...(tensors[0]?.dims.slice(1) ?? [])];
  const size = sizeOf(dims);
  const values = new Float32Array(tensors.length * size);
  for (const [i, { data }] of tensors.entries()) values.set(data, i * size);
  return float32(values, [tensors.length, ...dims]);
}

/** The parameters of S tasks with S in front, by graph input. A copy: later changes of the tasks are not seen. */
export function stackParameters(tasks: readonly TrainableState[]): Record<string, HostTensor<"float32">> {
  const each = tasks.map(parameterFeeds);
  const names = Object.keys(each[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, stack(each.flatMap((feeds) => feeds[name] ?? []))]));
}
