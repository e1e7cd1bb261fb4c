/** Adapters that real peft saved of every family, Hugging Face's own head inside: read, run, and written as they were. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { HEAD_PREFIX } from "../../src/nn/heads.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { SavedAdapter } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { adapterHost, buildInferenceGraph, type ModelStructure } from "../../src/train/graphs.ts";
import { configOf } from "../support/adapterFiles.ts";
import { temporaryFolder } from "../support/folders.ts";
import * as golden from "../support/goldens.ts";
import { expectClose, tolerances } from "../support/tolerances.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

const encoders = ["xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "modernbert", "deberta-v2"];
const decoders = ["qwen3", "smollm3", "phi3", "gemma3_text"];
const cases = [...encoders, ...decoders].flatMap((model) =>
  (["sentence", "word"] as const)
    // transformers has no token classifier of Gemma 3.
    .filter((level) => model !== "gemma3_text" || level === "sentence")
    .map((level) => ({ model, level, name: level === "word" ? "tokcls" : "seqcls" })),
);

/** What the golden model tells of an adapter made on it. */
async function backboneOf(model: string) {
  const backbone = await golden.goldenBackbone(model);
  const { headWeights } = backbone;
  return { backbone, told: { architecture: backbone.config.architecture, where: model, headWeights } };
}

/** Logits of the golden's batch, (B, C) or at word level (B·T, C). */
async function logitsOf(saved: SavedAdapter, model: string, tensors: Parameters<typeof golden.need>[0]) {
  const { backbone } = await backboneOf(model);
  const { head, adapter, pooling, normalize, level } = saved;
  if (head === undefined) throw new Error("no head");
  const feature = { pooling, normalize };
  const { tensors: own, ...spec } = adapter;
  const structure: ModelStructure = {
    backbone,
    adapter: spec,
    feature,
    head: { kind: head.kind, scale: 1, scaleLearnable: false },
    level: level ?? "sentence",
  };
  const executable = await compileUntilEnd(nodeRuntime, buildInferenceGraph(structure));
  const heads = [...head.tensors].map(([name, tensor]) => [HEAD_PREFIX + name, tensor] as const);
  const feeds = {
    ...golden.batchFeeds(backbone, feature, tensors),
    ...tokenFeeds(backbone.config, {
      inputIds: golden.needIds(tensors, "input_ids"),
      attentionMask: golden.needIds(tensors, "attention_mask"),
      tokenTypeIds: tensors.has("token_type_ids")
        ? golden.needIds(tensors, "token_type_ids")
        : golden.needIds(tensors, "input_ids"),
    }),
    ...Object.fromEntries([...own, ...heads]),
  };
  return (await executable.run(golden.inPrecision(feeds, "f32"))).logits;
}

describe.each(cases)("$model, $name", ({ model, level, name }) => {
  const folder = join(golden.goldensFolder, model, `peft-${name}`);

  test("gives transformers' logits, and again after it was written and read", async () => {
    const { backbone, told } = await backboneOf(model);
    const saved = await readPeftFolder(folder, { backbone: told });
    expect(saved.level ?? "sentence").toBe(level);
    const tensors = await golden.goldenTensors(model, `golden-peft-${name}`, "f32");
    const withTypes = tensors.has("token_type_ids")
      ? tensors
      : new Map(tensors).set("token_type_ids", golden.need(tensors, "input_ids"));
    const logits = golden.need(tensors, "logits");
    const compare = async (adapter: SavedAdapter) => {
      const actual = await logitsOf(adapter, model, withTypes);
      if (actual === undefined) throw new Error("no logits");
      if (level === "sentence") return expectClose(actual, logits, tolerances.float32);
      const mask = golden.need(tensors, "attention_mask");
      const classes = logits.dims.at(-1) ?? 0;
      const [ours, theirs] = [actual, logits].map((each) => golden.realRows(each, mask, classes));
      if (theirs !== undefined) expectClose(ours, theirs, tolerances.float32);
    };
    await compare(saved);
    const written = join(await temporaryFolder(), "adapter");
    await writeFolderAtomic(written, encodePeftFolder(saved));
    const host = adapterHost({ backbone, feature: { pooling: saved.pooling, normalize: false } });
    const again = await readPeftFolder(written, { host, backbone: told });
    expect(again.adapter).toEqual(saved.adapter);
    await compare(again);
  });

  test("is written as peft wrote it: the same tensors, byte for byte, and the same modules", async () => {
    const { told } = await backboneOf(model);
    const saved = await readPeftFolder(folder, { backbone: told });
    const files = encodePeftFolder(saved);
    const { readFile } = await import("node:fs/promises");
    const theirs = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"));
    const { modules_to_save: modules, ...ours } = configOf(files);
    expect(new Set(Array.isArray(modules) ? modules : [])).toEqual(new Set(theirs.modules_to_save));
    expect(ours.task_type).toBe(theirs.task_type);
    const bytes = await readFile(join(folder, "adapter_model.safetensors"));
    expect(Buffer.from(files.get("adapter_model.safetensors") ?? [])).toEqual(bytes);
  });
});
