/** Prompt tuning in peft's folders: what peft wrote is read, and what we write is what peft writes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import type { HostTensor } from "../../src/core/tensor.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, PromptTuningSpec, SavedAdapter } from "../../src/peft/types.ts";
import {
  configOf,
  copyGolden,
  editConfig,
  editTensors,
  host,
  keysOf,
  makeHead,
  random,
  width,
  writeAdapter,
} from "../support/adapterFiles.ts";

function makeSaved(change: Partial<SavedAdapter> = {}, spec: Partial<PromptTuningSpec> = {}): SavedAdapter {
  const tensors = new Map([["prompt_embeddings", random(3, width)]]);
  return {
    adapter: {
      kind: "prompt-tuning",
      spec: { virtualTokens: 3, init: "random", ...spec },
      tensors,
    },
    head: makeHead.linear(),
    labels: ["a", "b", "c"],
    pooling: "cls",
    normalize: false,
    architecture: "bert",
    depth: { layers: 2, heads: 3 },
    baseModel: "./models/tiny",
    backboneHash: "b".repeat(64),
    tokenizerHash: "c".repeat(64),
    ...change,
  };
}

const weightsFile = "adapter_model.safetensors";
const configPath = (dir: string) => join(dir, "adapter_config.json");

const golden = (model: string, kind: string) => copyGolden("prompt", model, `peft-${kind}`);

describe("what we save, we read", () => {
  test.each<[string, SavedAdapter]>([
    ["a head beside it", makeSaved()],
    ["a text", makeSaved({ pooling: "mean", normalize: true }, { init: "text", text: "größe: “x”" })],
    ["words of the vocabulary", makeSaved({}, { init: "vocab" })],
    ["BERT's own head inside", makeSaved({ pooling: "peft-first-pooler" })],
    [
      "RoBERTa's own head inside",
      makeSaved({ pooling: "peft-first", architecture: "roberta", head: makeHead.dense() }),
    ],
  ])("%s", async (_, saved) => {
    expect(await readPeftFolder(await writeAdapter(saved), { host })).toEqual(saved);
  });

  test("a head that reads the text's own [CLS] lies beside: peft's would read the prompt", () => {
    const files = encodePeftFolder(makeSaved({ pooling: "pooler" }));
    expect(keysOf(files)).toEqual(["prompt_embeddings"]);
    expect(configOf(files)).toMatchObject({ task_type: "FEATURE_EXTRACTION", modules_to_save: null });
  });
});

describe("what peft wrote", () => {
  const architectures: readonly Architecture[] = ["bert", "roberta"];

  test.each(architectures)("%s, a sequence classifier: read and written again as it was", async (model) => {
    const dir = await golden(model, "seqcls");
    // Beside a prompt nothing tells RoBERTa's head from ELECTRA's.
    const saved = await readPeftFolder(dir, { architecture: model });
    expect(saved).toMatchObject({
      adapter: { kind: "prompt-tuning", spec: { virtualTokens: 4, init: "random" } },
      architecture: model,
      depth: { layers: 3, heads: 3 },
      labels: ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"],
    });
    const again = encodePeftFolder(saved);
    // peft names its head's modules twice.
    const modules = { modules_to_save: ["classifier", "score"] };
    expect(configOf(again)).toEqual({ ...JSON.parse(await readFile(configPath(dir), "utf8")), ...modules });
    expect(again.get(weightsFile)).toEqual(new Uint8Array(await readFile(join(dir, weightsFile))));
  });

  test("a bare prompt: the same bytes of configuration", async () => {
    const dir = await golden("bert", "feature");
    const again = encodePeftFolder(await readPeftFolder(dir)).get("adapter_config.json");
    expect(Buffer.from(again ?? []).toString()).toBe(await readFile(configPath(dir), "utf8"));
  });
});

describe("what is refused", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["two submodules", { num_transformer_submodules: 2 }, /is no prompt tuning configuration/],
    ["no virtual tokens", { num_virtual_tokens: 0 }, /num_virtual_tokens/],
    ["other virtual tokens", { num_virtual_tokens: 5 }, /expected shape \(5, any\), got \(4, 24\)/],
    ["an unknown start", { prompt_tuning_init: "ZEROS" }, /prompt_tuning_init/],
    ["a trained embedding", { modules_to_save: ["embeddings"] }, /modules_to_save: \["embeddings"\]/],
    [
      "another kind",
      { peft_type: "P_TUNING" },
      /P_TUNING is not supported \(supported: LORA, PROMPT_TUNING\)/,
    ],
  ])("%s", async (_, change, message) => {
    const dir = await golden("bert", "seqcls");
    await editConfig(dir, change);
    await expect(readPeftFolder(dir)).rejects.toThrow(CheckpointError);
    await expect(readPeftFolder(dir)).rejects.toThrow(message);
  });

  test.each<[string, (tensors: Map<string, HostTensor>) => void, RegExp]>([
    ["no prompt", (t) => t.delete("prompt_embeddings"), /tensors are missing: prompt_embeddings/],
    ["half a head", (t) => t.delete("base_model.classifier.bias"), /needs base_model.classifier.bias/],
    [
      "LoRA beside it",
      (t) => t.set("base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight", random(2, 24)),
      /no part of a prompt tuning adapter/,
    ],
    [
      "another width",
      (t) => t.set("prompt_embeddings", random(4, 8)),
      /expected shape \(4, 24\), got \(4, 8\)/,
    ],
  ])("%s", async (_, edit, message) => {
    const dir = await golden("bert", "seqcls");
    await editTensors(dir, edit);
    await expect(readPeftFolder(dir, { host, architecture: "bert" })).rejects.toThrow(message);
  });
});
