/** Adapters as people save them with real peft: what is not said is found, what is computed is what transformers computes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { CheckpointError } from "../../src/core/errors.ts";
import { int64 } from "../../src/core/tensor.ts";
import { buildCausalGraph } from "../../src/generate/graphs.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { SavedAdapter } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildMixedGraph, stackParameters, TASK_OF } from "../../src/train/mixedGraph.ts";
import { temporaryFolder } from "../support/folders.ts";
import { expectLogits, goldenBase, structureOf } from "../support/goldenAdapters.ts";
import * as golden from "../support/goldens.ts";
import { expectClose, tolerances } from "../support/tolerances.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

const saved = join(golden.goldensFolder, "saved");
const infoSchema = z.object({ base: z.string(), level: z.enum(["sentence", "word"]).nullable() });

function infoOf(name: string) {
  return infoSchema.parse(JSON.parse(readFileSync(join(saved, name, "golden.json"), "utf8")));
}

const names = readdirSync(saved).filter((name) => !name.endsWith("-model"));
const headed = names.filter((name) => infoOf(name).level !== null);
const causal = names.filter((name) => infoOf(name).level === null);

async function open(name: string) {
  const { base, level } = infoOf(name);
  const { backbone, told } = await goldenBase(base);
  // What nothing in the folder tells, the caller does.
  const options = { backbone: told, ...(level && { level }) };
  const adapter = await readPeftFolder(join(saved, name), options);
  return {
    adapter,
    backbone,
    options,
    tensors: await golden.readTensors("saved", name, "golden.f32.safetensors"),
  };
}

async function writtenAndRead(adapter: SavedAdapter, options: Parameters<typeof readPeftFolder>[1]) {
  const folder = join(await temporaryFolder(), "adapter");
  await writeFolderAtomic(folder, encodePeftFolder(adapter));
  return await readPeftFolder(folder, options);
}

describe("with a head", () => {
  test.each(headed)("%s: transformers' logits, and again after it was written and read", async (name) => {
    const { adapter, backbone, options, tensors } = await open(name);
    await expectLogits(adapter, backbone, tensors);
    const again = await writtenAndRead(adapter, options);
    expect(again.adapter).toEqual(adapter.adapter);
    await expectLogits(again, backbone, tensors);
  });

  test.each(["dora-bert", "dora-gpt2", "embeddings-bert"])(
    "%s: the same beside another task's adapter in one pass",
    async (name) => {
      const { adapter, backbone, tensors } = await open(name);
      const structure = structureOf(adapter, backbone);
      const executable = await compileUntilEnd(nodeRuntime, buildMixedGraph(structure));
      const own = { adapter: adapter.adapter.tensors, head: adapter.head?.tensors ?? new Map() };
      const zeros = new Map(
        [...own.adapter].map(([key, tensor]) => [key, { ...tensor, data: tensor.data.map(() => 0.5) }]),
      );
      const [batch = 0] = golden.needIds(tensors, "input_ids").dims;
      const feeds = {
        ...golden.batchFeeds(backbone, structure.feature, tensors),
        ...stackParameters([{ ...own, adapter: zeros }, own]),
        [TASK_OF]: int64(new BigInt64Array(batch).fill(1n), [batch]),
      };
      const { logits } = await executable.run(golden.inPrecision(feeds, "f32"));
      expectClose(logits, golden.need(tensors, "logits"), tolerances.float32, "logits");
    },
  );
});

describe("without a head", () => {
  test.each(causal)("%s: transformers' logits of every real token", async (name) => {
    const { adapter, backbone, tensors, options } = await open(name);
    if (backbone.kind !== "decoder") throw new Error("no decoder");
    expect(adapter.causal).toBe(true);
    const again = await writtenAndRead(adapter, options);
    for (const { adapter: own } of [adapter, again]) {
      const { tensors: parameters, ...spec } = own;
      const executable = await compileUntilEnd(nodeRuntime, buildCausalGraph({ backbone, adapter: spec }));
      const inputIds = golden.needIds(tensors, "input_ids");
      const attentionMask = golden.needIds(tensors, "attention_mask");
      const rows = BigInt64Array.from({ length: inputIds.data.length }, (_, row) => BigInt(row));
      const { logits } = await executable.run({
        ...tokenFeeds(backbone.config, { inputIds, attentionMask, tokenTypeIds: inputIds }),
        ...Object.fromEntries(parameters),
        logit_rows: int64(rows, [rows.length]),
      });
      if (logits === undefined) throw new Error("no logits");
      const size = backbone.config.vocabularySize;
      const expected = golden.realRows(golden.need(tensors, "logits"), attentionMask, size);
      expectClose(golden.realRows(logits, attentionMask, size), expected, tolerances.float32, "logits");
    }
  });
});

describe("what nothing tells", () => {
  test("is asked for: whose head it is", async () => {
    const { told } = await goldenBase("bert");
    const { readFile } = await import("node:fs/promises");
    const config = JSON.parse(await readFile(join(saved, "untyped-seqcls", "adapter_config.json"), "utf8"));
    const folder = join(await temporaryFolder(), "adapter");
    const weights = await readFile(join(saved, "untyped-seqcls", "adapter_model.safetensors"));
    await writeFolderAtomic(
      folder,
      new Map([
        ["adapter_config.json", new TextEncoder().encode(JSON.stringify({ ...config, auto_mapping: null }))],
        ["adapter_model.safetensors", weights],
      ]),
    );
    const reading = readPeftFolder(folder, { backbone: told });
    await expect(reading).rejects.toThrow(CheckpointError);
    await expect(reading).rejects.toThrow(/may be one of texts or of words/);
    expect((await readPeftFolder(folder, { backbone: told, level: "word" })).level).toBe("word");
  });

  test("is refused where the model does not hold it: part of a head", async () => {
    const { told } = await goldenBase("deberta-v2");
    const reading = readPeftFolder(join(saved, "left-in-model"), { backbone: told });
    await expect(reading).rejects.toThrow(/needs base_model.model.pooler.dense.weight/);
  });

  test("labels come from the caller, else from the model's config.json, else they are numbered", async () => {
    const { told } = await goldenBase("bert");
    const folder = join(saved, "dora-bert");
    const labels = ["a", "b", "c", "d"];
    expect((await readPeftFolder(folder, { backbone: told, labels })).labels).toEqual(labels);
    expect((await readPeftFolder(folder, { backbone: { ...told, labels } })).labels).toEqual(labels);
    expect((await readPeftFolder(folder, { backbone: { ...told, labels: ["a", "b"] } })).labels).toEqual([
      "LABEL_0",
      "LABEL_1",
      "LABEL_2",
      "LABEL_3",
    ]);
    await expect(readPeftFolder(folder, { backbone: told, labels: ["a"] })).rejects.toThrow(
      /4 classes, and 1 labels were given/,
    );
  });
});
