/** Adapters that real peft saved on the goldens' models, run as they were read. */
import type { HostTensor } from "../../src/core/tensor.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import { HEAD_PREFIX } from "../../src/nn/heads.ts";
import type { AdapterBackbone } from "../../src/peft/checkpoint.ts";
import type { SavedAdapter } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildInferenceGraph, type ModelStructure } from "../../src/train/graphs.ts";
import * as golden from "./goldens.ts";
import { expectClose, tolerances } from "./tolerances.ts";
import { compileUntilEnd } from "./untilEnd.ts";

export type Tensors = ReadonlyMap<string, HostTensor>;

/** A golden model, and what it tells of an adapter made on it. */
export async function goldenBase(
  model: string,
): Promise<{ readonly backbone: Backbone; readonly told: AdapterBackbone }> {
  const backbone = await golden.goldenBackbone(model);
  const { headWeights } = backbone;
  return { backbone, told: { architecture: backbone.config.architecture, where: model, headWeights } };
}

/** How an adapter with a head is built on a backbone. */
export function structureOf(saved: SavedAdapter, backbone: Backbone): ModelStructure {
  const { head, adapter, pooling, normalize, level } = saved;
  if (head === undefined) throw new Error("no head");
  const { tensors: _, ...spec } = adapter;
  return {
    backbone,
    adapter: spec,
    feature: { pooling, normalize },
    head: { kind: head.kind, scale: 1, scaleLearnable: false },
    level: level ?? "sentence",
  };
}

/** Compares the logits that an adapter's head gives a golden's batch with those of transformers. */
export async function expectLogits(saved: SavedAdapter, backbone: Backbone, tensors: Tensors): Promise<void> {
  const structure = structureOf(saved, backbone);
  const executable = await compileUntilEnd(nodeRuntime, buildInferenceGraph(structure));
  const ids = golden.needIds(tensors, "input_ids");
  const typed = tensors.has("token_type_ids") ? tensors : new Map(tensors).set("token_type_ids", ids);
  const heads = [...(saved.head?.tensors ?? [])].map(
    ([name, tensor]) => [HEAD_PREFIX + name, tensor] as const,
  );
  const feeds = {
    ...golden.batchFeeds(backbone, structure.feature, typed),
    ...Object.fromEntries([...saved.adapter.tensors, ...heads]),
  };
  const { logits } = await executable.run(golden.inPrecision(feeds, "f32"));
  const expected = golden.need(tensors, "logits");
  if (saved.level !== "word" || logits === undefined) {
    expectClose(logits, expected, tolerances.float32, "logits");
    return;
  }
  const mask = golden.need(tensors, "attention_mask");
  const classes = expected.dims.at(-1) ?? 0;
  const theirs = golden.realRows(expected, mask, classes);
  expectClose(golden.realRows(logits, mask, classes), theirs, tolerances.float32, "logits");
}
