/** Decoders' own classifiers in peft's folders: for texts a bias-free `score` on the last token, for tokens one with a bias. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { float32, type HostTensor, zeros } from "../../src/core/tensor.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";
import { createLearner } from "../../src/model/learner.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, Head, SavedAdapter } from "../../src/peft/types.ts";
import { loadAdapter } from "../../src/store/openRun.ts";
import { configOf, editTensors, keysOf } from "../support/adapterFiles.ts";
import { batchOf, differences, runAdapter } from "../support/adapterRuns.ts";
import { temporaryFolder } from "../support/folders.ts";
import { goldenBackbone, goldensFolder, readTensors, realRows } from "../support/goldens.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

interface Case {
  readonly name: string;
  readonly model: Architecture;
  readonly folder: string;
  readonly expected: string;
  readonly key: string;
}

const lora: readonly Architecture[] = ["gpt2", "gpt_neox", "llama", "qwen2"];
const prompts: readonly Architecture[] = ["gpt2", "gpt_neox", "llama"];
const cases: readonly Case[] = [
  ...lora.map((model) => ({
    name: `LoRA, ${model}`,
    model,
    folder: join(goldensFolder, model, "peft-seqcls"),
    expected: join(model, "golden-peft-seqcls.f32.safetensors"),
    key: "base_model.model.score.weight",
  })),
  ...prompts.map((model) => ({
    name: `prompt tuning, ${model}`,
    model,
    folder: join(goldensFolder, "prompt", model, "peft-seqcls"),
    expected: join("prompt", model, "golden-seqcls.f32.safetensors"),
    key: "base_model.score.weight",
  })),
];

const weightsFile = "adapter_model.safetensors";

async function tensorsOf(folder: string): Promise<Map<string, HostTensor>> {
  return new Map(decodeSafetensors(await readFile(join(folder, weightsFile)), weightsFile).tensors);
}

/** A copy of an adapter's head with something in its bias. */
function withBias(head: Head | undefined, value: number): Head {
  if (head === undefined) throw new Error("no head");
  const classes = head.tensors.get("bias")?.data.length ?? 0;
  const bias = float32(new Float32Array(classes).fill(value), [classes]);
  return { ...head, tensors: new Map([...head.tensors, ["bias", bias]]) };
}

describe.each(cases)("a SEQ_CLS folder of real peft: $name", ({ model, folder, expected, key }) => {
  test("is a linear head without bias on the last token, with peft's logits", async () => {
    const saved = await readPeftFolder(folder, { architecture: model });
    const { pooling, normalize, labels, head } = saved;
    expect({ pooling, normalize, labels, kind: head?.kind }).toEqual({
      pooling: "last",
      normalize: false,
      labels: ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"],
      kind: "linear",
    });
    expect(head?.tensors.get("weight")).toEqual((await tensorsOf(folder)).get(key));
    expect(head?.tensors.get("bias")).toEqual(zeros([4]));

    const backbone = await goldenBackbone(model);
    const reference = await readTensors(expected);
    const batch = batchOf(reference);
    const differ = async (adapted: SavedAdapter) =>
      differences(await runAdapter(backbone, adapted, batch), reference, batch.attentionMask, backbone.width);
    const found = await differ(saved);
    expect([...found.keys()]).toContain("logits");
    for (const [name, difference] of found) expect(difference, name).toBeLessThanOrEqual(tolerances.float32);
    const other = await differ({ ...saved, head: withBias(head, 0.1) });
    expect(other.get("logits")).toBeGreaterThan(100 * tolerances.float32);
  });

  test("is written again as peft wrote it", async () => {
    const files = encodePeftFolder(await readPeftFolder(folder, { architecture: model }));
    const theirs = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"));
    // Under prompt tuning peft names its head's modules twice.
    expect(configOf(files)).toEqual({ ...theirs, modules_to_save: ["classifier", "score"] });
    const ours = decodeSafetensors(files.get(weightsFile) ?? new Uint8Array(), weightsFile).tensors;
    expect(new Map([...ours].sort())).toEqual(new Map([...(await tensorsOf(folder))].sort()));
    expect(files.has("head.safetensors")).toBe(false);
  });

  test("lies beside where it is not that head", async () => {
    const saved = await readPeftFolder(folder, { architecture: model });
    const others: Partial<SavedAdapter>[] = [
      { head: withBias(saved.head, 0.1) },
      { pooling: "mean" },
      { normalize: true },
    ];
    for (const change of others) {
      const files = encodePeftFolder({ ...saved, ...change });
      expect(configOf(files)).toMatchObject({ task_type: "FEATURE_EXTRACTION", modules_to_save: null });
      expect(keysOf(files).filter((name) => name.includes("score"))).toEqual([]);
      expect(files.has("head.safetensors")).toBe(true);
    }
  });
});

describe.each(lora)("a TOKEN_CLS folder of real peft: %s", (model) => {
  const folder = join(goldensFolder, model, "peft-tokcls");

  test("is a linear head over tokens, with peft's logits", async () => {
    // Its names tell the head where nothing tells the model.
    const saved = await readPeftFolder(folder);
    expect(saved).toMatchObject({ level: "word", head: { kind: "linear" } });
    const backbone = await goldenBackbone(model);
    const reference = await readTensors(model, "golden-peft-tokcls.f32.safetensors");
    const batch = batchOf(reference);
    const expected = reference.get("logits");
    const rows = (logits: HostTensor | undefined) => realRows(logits ?? zeros([0]), batch.attentionMask, 4);
    const differ = async (adapted: SavedAdapter) =>
      relativeDifference(rows((await runAdapter(backbone, adapted, batch)).get("logits")), rows(expected));
    expect(await differ(saved)).toBeLessThanOrEqual(tolerances.float32);
    expect(await differ({ ...saved, head: withBias(saved.head, 0) })).toBeGreaterThan(
      100 * tolerances.float32,
    );
  });

  test("is written again as peft wrote it", async () => {
    const files = encodePeftFolder({ ...(await readPeftFolder(folder)), architecture: model });
    expect(configOf(files)).toEqual(JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8")));
    const ours = decodeSafetensors(files.get(weightsFile) ?? new Uint8Array(), weightsFile).tensors;
    expect(new Map([...ours].sort())).toEqual(new Map([...(await tensorsOf(folder))].sort()));
    expect(files.has("head.safetensors")).toBe(false);
  });
});

test("whose model it is need not be known to read it: decoders share that head", async () => {
  const read = async (...path: string[]) => await readPeftFolder(join(goldensFolder, ...path, "peft-seqcls"));
  expect((await read("gpt2")).architecture).toBe("gpt2");
  for (const saved of [await read("llama"), await read("prompt", "gpt2")]) {
    expect(saved.architecture).toBeUndefined();
    expect(saved).toMatchObject({ pooling: "last", head: { kind: "linear" } });
  }
});

test("a folder that says it has a head, but has none, is refused", async () => {
  const folder = join(await temporaryFolder(), "adapter");
  await cp(join(goldensFolder, "gpt2", "peft-seqcls"), folder, { recursive: true });
  await editTensors(folder, (tensors) => tensors.delete("base_model.model.score.weight"));
  await expect(readPeftFolder(folder)).rejects.toThrow(CheckpointError);
  await expect(readPeftFolder(folder)).rejects.toThrow(
    /SEQ_CLS with gpt2 needs base_model.model.score.weight/,
  );
});

describe("through the library's doors", () => {
  /** The golden GPT-2 with another model's tokenizer, cut down to its sixty tokens. */
  async function baseFolder(): Promise<string> {
    const base = join(await temporaryFolder(), "gpt2");
    await cp(join(goldensFolder, "gpt2"), base, { recursive: true });
    const from = join(goldensFolder, "tokenizers", "bert-uncased");
    await cp(join(from, "tokenizer_config.json"), join(base, "tokenizer_config.json"));
    const tokenizer = JSON.parse(await readFile(join(from, "tokenizer.json"), "utf8"));
    const vocabulary = Object.entries(tokenizer.model.vocab).filter(([, id]) => Number(id) < 60);
    tokenizer.model.vocab = Object.fromEntries(vocabulary);
    await writeFile(join(base, "tokenizer.json"), JSON.stringify(tokenizer));
    return base;
  }

  test("predicts, and a learner takes it in and saves it as it was", async () => {
    const backbone = await baseFolder();
    const theirs = join(goldensFolder, "gpt2", "peft-seqcls");
    const texts = ["a b c d", "z", "1 2 3 !"].map((text) => ({ text }));
    await using predictor = await loadAdapter(theirs, { backbone, threads: 1 });
    const predictions = await predictor.predict(texts, { task: "peft-seqcls", top: 4 });

    const method = { rank: 3, alpha: 6, dropout: 0, targetModules: ["c_attn"] };
    await using learner = await createLearner({ backbone, method, feature: { pooling: "last" }, threads: 1 });
    await learner.loadAdapter("peft-seqcls", theirs);
    // The learner has made a version of the adapter; the predictor opened it as it is.
    const ofFirstVersion = predictions.map((prediction) => ({ ...prediction, version: 1 }));
    expect(await learner.predict(texts, { task: "peft-seqcls", top: 4 })).toEqual(ofFirstVersion);
    const ours = join(await temporaryFolder(), "ours");
    await learner.saveAdapter("peft-seqcls", ours);
    expect(new Map([...(await tensorsOf(ours))].sort())).toEqual(
      new Map([...(await tensorsOf(theirs))].sort()),
    );
    expect(predictions[0]?.top).toHaveLength(4);
    expect(new Set(predictions.map(({ score }) => score)).size).toBe(texts.length);
  });
});
