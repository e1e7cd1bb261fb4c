/** Adapters that our engine trained, through their folder and back. `tools/peft/check_ours.sh` asks real peft as well. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { decodeSafetensors, readTensor } from "../../src/io/safetensors.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import { adapterHost } from "../../src/train/graphs.ts";
import { type TrainedCase, trainCase, trainedCases } from "../../tools/peft/trained.ts";
import { runAdapter } from "../support/adapterRuns.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { goldenBackbone } from "../support/goldens.ts";

const folder = folderOfTestFile("trained");

function find(name: string): TrainedCase {
  const found = trainedCases.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
}

describe("an adapter that we trained computes the same after writing and reading", () => {
  test.each(trainedCases)("$name", async (one) => {
    const backbone = await goldenBackbone(one.architecture);
    const { saved, batch } = await trainCase(one, backbone);
    const before = await runAdapter(backbone, saved, batch);
    const path = join(folder, one.name);
    await writeFolderAtomic(path, encodePeftFolder(saved));
    const { pooling, normalize } = one;
    const host = adapterHost({ backbone, feature: { pooling, normalize } });
    const read = await readPeftFolder(path, { host });
    expect(read.adapter.tensors).toEqual(saved.adapter.tensors);
    const after = await runAdapter(backbone, read, batch);
    expect(after).toEqual(before);
    expect([...after.keys()]).toContain("logits");
  });
});

describe("training reaches what peft trains", () => {
  test.each([
    ["bert-own-head-all", "pooler.dense.bias"],
    ["roberta-pooler-linear-all", "pooler.dense.bias"],
    ["bert-own-head-everywhere", "pooler.dense.lora_B.weight"],
    ["roberta-pooler-linear-everywhere", "pooler.dense.lora_B.weight"],
    ["bert-own-head-dense", "pooler.dense.bias"],
    ["bert-mean-linear-all", "embeddings.LayerNorm.bias"],
  ])("%s: %s", async (name, tensor) => {
    const one = find(name);
    const backbone = await goldenBackbone(one.architecture);
    const { saved } = await trainCase(one, backbone);
    const trained = saved.adapter.tensors.get(tensor);
    expect(trained).toBeDefined();
    const source = backbone.weights.get(tensor);
    const before =
      source === undefined ? new Float32Array(trained?.data.length ?? 0) : (await readTensor(source)).data;
    expect([...(trained?.data ?? [])].filter((value, i) => value === before[i])).toEqual([]);
  });

  test.each(["bert-mean-linear-all", "bert-mean-linear-everywhere", "roberta-own-head-everywhere"])(
    "%s: not the pooler, which nothing reads",
    async (name) => {
      const one = find(name);
      const { saved } = await trainCase(one, await goldenBackbone(one.architecture));
      const path = "adapter_model.safetensors";
      const bytes = encodePeftFolder(saved).get(path) ?? new Uint8Array();
      expect(
        [...decodeSafetensors(bytes, path).tensors.keys()].filter((key) => key.includes("pooler")),
      ).toEqual([]);
    },
  );
});
