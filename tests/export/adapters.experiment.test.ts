/** `merged`, `peft` and `gguf-lora` of stores that trained their adapters. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { exportStore } from "../../src/export/exportStore.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";
import { type Architecture, architectures } from "../../src/nn/families.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { openStore } from "../../src/store/store.ts";
import { accrete } from "../support/cli.ts";
import { compareScores, exportedLogits, exportedScores, readJson } from "../support/exports.ts";
import { workshop } from "../support/stores.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";
import { conll, texts } from "../support/tinyStreams.ts";
import { tolerances } from "../support/tolerances.ts";

const asked = texts(["aa", "bb", "cc"], "test", 4).map(({ text }) => text);

/** A store of a family with a task that was trained away from where it began. */
async function trained(family: Architecture, changes: object = {}) {
  const { at, open } = await workshop();
  await writeTinyFamily(family, at("backbone"));
  const training = {
    epochs: 2,
    minSteps: 0,
    batchSize: 4,
    learningRate: 2e-2,
    headLearningRate: 5e-2,
    maxLength: 24,
  };
  {
    await using store = await open("store", { backbone: at("backbone"), training, ...changes });
    await store.learn({ name: "A task", train: texts(["aa", "bb", "cc"]) });
  }
  return { at, store: at("store"), out: at("out") };
}

async function answersOf(store: string) {
  await using open = await openStore(store, { background: false });
  return await open.predict(asked, { task: "A task", top: 9 });
}

describe("merged", () => {
  test.each(architectures)("%s: the exported model answers as the task", async (family) => {
    const { store, out } = await trained(family);
    const { files, notes } = await exportStore(store, { to: "merged", out });
    const compared = compareScores(await answersOf(store), await exportedScores(out, asked));
    expect(compared).toMatchObject({ otherwise: 0, texts: asked.length });
    expect(compared.largest).toBeLessThan(tolerances.float32);
    // Our linear head with a bias is transformers' in none of the families, but for BERT's over its pooler.
    expect(notes.join()).toContain("model.safetensors is for AutoModel, the head lies in head.safetensors");
    expect(files.map(({ name }) => name)).toContain("head.safetensors");
    expect(await readJson(join(out, "config.json"))).toMatchObject({ dtype: "float32" });
  });

  test.each([
    ["bert", "BertForSequenceClassification", "bert.encoder.layer.0.output.dense.weight", "classifier.bias"],
    [
      "roberta",
      "RobertaForSequenceClassification",
      "roberta.embeddings.word_embeddings.weight",
      "classifier.out_proj.bias",
    ],
  ] as const)("%s with its own head: %s", async (family, name, weight, head) => {
    const { store, out } = await trained(family, { head: "own" });
    const { files, notes } = await exportStore(store, { to: "merged", out });
    const compared = compareScores(await answersOf(store), await exportedScores(out, asked));
    expect(compared).toMatchObject({ otherwise: 0 });
    expect(compared.largest).toBeLessThan(tolerances.float32);
    expect(notes).toEqual([]);
    expect(files.map((file) => file.name)).not.toContain("head.safetensors");
    expect(await readJson(join(out, "config.json"))).toMatchObject({
      architectures: [name],
      id2label: { 0: "aa", 1: "bb", 2: "cc" },
      label2id: { aa: 0, bb: 1, cc: 2 },
    });
    const path = join(out, "model.safetensors");
    const { tensors, metadata } = decodeSafetensors(await readFile(path), path);
    expect([...tensors.keys()]).toEqual(expect.arrayContaining([weight, head]));
    expect(metadata.get("format")).toBe("pt");
    expect([...tensors.values()].every(({ dtype }) => dtype === "float32")).toBe(true);
  });

  test("trained biases, rank-stabilised, with pooling and cosine head", async () => {
    const { store, out } = await trained("bert", {
      method: { adapter: "lora", bias: "all", rslora: true, rank: 3 },
      head: "cosine",
      feature: { pooling: "mean", normalize: true },
    });
    await exportStore(store, { to: "merged", out });
    const compared = compareScores(await answersOf(store), await exportedScores(out, asked));
    expect(compared).toMatchObject({ otherwise: 0 });
    expect(compared.largest).toBeLessThan(tolerances.float32);
  });

  test("of entities: a model of tags", async () => {
    const { at, open } = await workshop();
    await writeFile(at("words.conll"), conll(0, 24));
    {
      await using _ = await open("store", { level: "word", training: { epochs: 2 } });
    }
    expect((await accrete("learn", at("store"), "--task", "words", at("words.conll"))).exitCode).toBe(0);
    await exportStore(at("store"), { to: "merged", out: at("out") });
    expect(await readJson(at("out/config.json"))).toMatchObject({
      architectures: ["BertForTokenClassification"],
    });
    const { dims } = await exportedLogits(at("out"), ["a g b h"]);
    const { id2label } = { id2label: {}, ...Object(await readJson(at("out/config.json"))) };
    expect(dims).toEqual([1, expect.any(Number), Object.keys(id2label).length]);
  });

  test("a decoder that answers in words: weights alone, and the reason", async () => {
    const { store, out } = await trained("llama", { head: "none", prompt: "{text}" });
    const { files, notes } = await exportStore(store, { to: "merged", out });
    expect(files.map(({ name }) => name)).not.toContain("onnx/model.onnx");
    expect(notes.join()).toContain("No ONNX: the model answers in words");
    expect(await readJson(join(out, "config.json"))).toMatchObject({ architectures: ["LlamaForCausalLM"] });
  });
});

describe("peft", () => {
  test("a folder a task, as the store keeps it, and the reason why vLLM gets none", async () => {
    const { store, out } = await trained("bert");
    const { files, notes } = await exportStore(store, { to: "peft", out });
    expect(notes).toEqual(["A task: no folder for vLLM: it serves no adapters of bert."]);
    for (const { name } of files)
      expect(await readFile(join(out, name))).toEqual(
        await readFile(join(store, "adapters/a-task", name.replace("peft/a-task/", ""))),
      );
    expect(files.length).toBe(4);
  });

  test("of a decoder with a head: for vLLM the adapter of a language model, the head beside it", async () => {
    const { store, out } = await trained("llama");
    const { files, notes } = await exportStore(store, { to: "peft", out });
    expect(notes).toEqual([
      "A task: vLLM has no place for its head; it lies in vllm/a-task.head.safetensors.",
    ]);
    expect(files.map(({ name }) => name)).toContain("vllm/a-task.head.safetensors");
    const config = await readJson(join(out, "vllm/a-task/adapter_config.json"));
    expect(config).toMatchObject({
      task_type: "CAUSAL_LM",
      bias: "none",
      use_dora: false,
      modules_to_save: null,
    });
    const path = join(out, "vllm/a-task/adapter_model.safetensors");
    const keys = [...decodeSafetensors(await readFile(path), path).tensors.keys()];
    // vLLM takes what stands between its prefix and lora_A for a module of the language model.
    const key = /^base_model\.model\.model\.layers\.\d+\.self_attn\.[qv]_proj\.lora_[AB]\.weight$/;
    expect(keys.filter((each) => !key.test(each))).toEqual([]);
    const [ours, theirs] = await Promise.all(
      ["peft/a-task", "vllm/a-task"].map((name) => readPeftFolder(join(out, name))),
    );
    expect(theirs?.adapter.tensors).toEqual(ours?.adapter.tensors);
  });
});

describe("gguf-lora", () => {
  test("a head lies beside the adapter", async () => {
    const { store, out } = await trained("llama");
    const { files, notes } = await exportStore(store, { to: "gguf-lora", out });
    expect(files.map(({ name }) => name)).toEqual(["a-task.gguf", "a-task.head.safetensors"]);
    expect(notes.join()).toContain("llama.cpp has no place for its head");
  });
});
