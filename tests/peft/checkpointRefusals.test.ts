import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import type { HostTensor } from "../../src/core/tensor.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import {
  copyGolden,
  editConfig,
  editTensors,
  host,
  makeSaved,
  random,
  width,
  writeAdapter,
} from "../support/adapterFiles.ts";

const golden = (name: string) => copyGolden("peft", name);

describe("what is refused", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["DoRA without its magnitudes", { use_dora: true }, /missing: .*query.lora_magnitude_vector/],
    ["ranks that the tensors do not have", { rank_pattern: { query: 8 } }, /expected shape \(8, any\)/],
    ["a rank of nothing", { rank_pattern: { query: 0 } }, /rank_pattern/],
    ["an alpha in words", { alpha_pattern: { query: "8" } }, /alpha_pattern/],
    ["two things at once", { use_qalora: true, lora_bias: true }, /lora_bias.*use_qalora/],
    ["PiSSA", { init_lora_weights: "pissa" }, /init_lora_weights: "pissa"/],
    ["a trained embedding", { modules_to_save: ["classifier", "embeddings"] }, /modules_to_save/],
    [
      "prefix tuning",
      { peft_type: "PREFIX_TUNING", r: undefined },
      /peft_type PREFIX_TUNING is not supported \(supported: LORA, PROMPT_TUNING\)/,
    ],
    ["question answering", { task_type: "QUESTION_ANS" }, /task_type QUESTION_ANS is not supported/],
    ["no rank", { r: 0 }, /is no LoRA configuration/],
  ])("%s", async (_, change, message) => {
    const dir = await golden("bert-seq-cls-none");
    await editConfig(dir, change);
    await expect(readPeftFolder(dir)).rejects.toThrow(CheckpointError);
    await expect(readPeftFolder(dir)).rejects.toThrow(message);
  });

  const query = "base_model.model.bert.encoder.layer.1.attention.self.query";
  test.each<[string, (tensors: Map<string, HostTensor>) => void, RegExp]>([
    [
      "a missing A",
      (t) => t.delete(`${query}.lora_A.weight`),
      /missing: encoder.layer.1.attention.self.query.lora_A.weight/,
    ],
    [
      "another rank",
      (t) => t.set(`${query}.lora_B.weight`, random(width, 3)),
      /query.lora_B.weight: expected shape \(any, 4\), got \(24, 3\)/,
    ],
    [
      "a missing head tensor",
      (t) => t.delete("base_model.model.classifier.bias"),
      /needs base_model.model.classifier.bias/,
    ],
    [
      "a head of two sizes",
      (t) => t.set("base_model.model.classifier.bias", random(4)),
      /bias: expected shape \(3\), got \(4\)/,
    ],
    [
      "a layer that the targets do not match",
      (t) => t.set(query.replace("query", "key.lora_A.weight"), random(4, width)),
      /do not match: encoder.layer.1.attention.self.key/,
    ],
    [
      "a bias that the configuration does not train",
      (t) => t.set(`${query}.base_layer.bias`, random(width)),
      /nothing in the configuration asks for: encoder.layer.1.attention.self.query.bias/,
    ],
    [
      "DoRA's magnitudes",
      (t) => t.set(`${query}.lora_magnitude_vector`, random(width)),
      /nothing in the configuration asks for: .*query.lora_magnitude_vector/,
    ],
    [
      "integers",
      (t) => t.set(`${query}.lora_A.weight`, { dtype: "int32", dims: [1], data: new Int32Array(1) }),
      /got int32/,
    ],
    [
      "nothing",
      (t) => {
        for (const key of [...t.keys()]) if (key.includes("lora")) t.delete(key);
      },
      /no LoRA tensors/,
    ],
  ])("%s", async (_, edit, message) => {
    const dir = await golden("bert-seq-cls-none");
    await editTensors(dir, edit);
    const reading = readPeftFolder(dir, { architecture: "bert" });
    await expect(reading).rejects.toThrow(CheckpointError);
    await expect(reading).rejects.toThrow(message);
  });

  test("with the backbone known, whole missing layers and other widths are named", async () => {
    const dir = await golden("bert-seq-cls-none");
    const wider = new Map([...host.sites].map(([site]) => [site, [32, 32] as const]));
    await expect(readPeftFolder(dir, { host: { ...host, sites: wider } })).rejects.toThrow(
      /expected shape \(4, 32\), got \(4, 24\)/,
    );
    await editTensors(dir, (tensors) => {
      for (const key of [...tensors.keys()]) if (key.includes("layer.0.")) tensors.delete(key);
    });
    await expect(readPeftFolder(dir, { host })).rejects.toThrow(
      /missing: encoder.layer.0.attention.self.query.lora_A.weight/,
    );
  });

  test("a folder that lacks a file, saying what to do with a pickled one", async () => {
    const dir = await golden("bert-seq-cls-none");
    await rm(join(dir, "adapter_model.safetensors"));
    await expect(readPeftFolder(dir)).rejects.toThrow(/adapter_model.safetensors is missing$/);
    await writeFile(join(dir, "adapter_model.bin"), "");
    await expect(readPeftFolder(dir)).rejects.toThrow(/only adapter_model.bin/);
    await rm(join(dir, "adapter_config.json"));
    await expect(readPeftFolder(dir)).rejects.toThrow(/adapter_config.json is missing/);
  });

  test("our own metadata when it is damaged, of a later version, or tells of a head that is gone", async () => {
    const path = await writeAdapter(makeSaved());
    const metadata = join(path, "accrete.json");
    const text = await readFile(metadata, "utf8");
    await writeFile(metadata, text.replace('"schemaVersion": 1', '"schemaVersion": 2'));
    await expect(readPeftFolder(path)).rejects.toThrow(/accrete.json: was written by a later version/);
    await writeFile(metadata, text.slice(0, 40));
    await expect(readPeftFolder(path)).rejects.toThrow(/accrete.json: is not JSON/);
    await writeFile(metadata, text.replace(',\n    "c"', ""));
    await expect(readPeftFolder(path)).rejects.toThrow(/3 classes, but there are 2 labels/);
    await writeFile(metadata, text);
    await rm(join(path, "head.safetensors"));
    await expect(readPeftFolder(path)).rejects.toThrow(/linear head, but head.safetensors is missing/);
  });

  test("to save what could not be read back", () => {
    expect(() => encodePeftFolder(makeSaved({ labels: ["a"] }))).toThrow(/3 classes, but there are 1 labels/);
    const saved = makeSaved();
    const tensors = new Map([...saved.adapter.tensors].slice(1));
    expect(() => encodePeftFolder({ ...saved, adapter: { ...saved.adapter, tensors } })).toThrow(/missing/);
  });
});
