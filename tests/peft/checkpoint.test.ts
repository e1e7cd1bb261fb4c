import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, LoraBias, LoraSpec, SavedAdapter } from "../../src/peft/types.ts";
import {
  configOf,
  copyGolden,
  editConfig,
  editTensors,
  host,
  keysOf,
  loraOf,
  makeHead,
  makeSaved,
  width,
  writeAdapter,
} from "../support/adapterFiles.ts";
import { goldensFolder } from "../support/goldens.ts";

const golden = (name: string) => copyGolden("peft", name);

const goldens = join(goldensFolder, "peft");

describe("what we save, we read", () => {
  const biases: readonly LoraBias[] = ["none", "lora_only", "all"];
  const cases: readonly [string, SavedAdapter][] = [
    ...biases.map((bias): [string, SavedAdapter] => [`bias ${bias}`, makeSaved({}, { bias })]),
    ["BERT with its own head inside", makeSaved({ pooling: "pooler" }, { bias: "all" })],
    [
      "RoBERTa with its own head inside",
      makeSaved({ architecture: "roberta", pooling: "cls", head: makeHead.dense() }),
    ],
    ["a cosine head", makeSaved({ head: makeHead.cosine(), normalize: true, pooling: "last" })],
    ["a dense head on BERT", makeSaved({ head: makeHead.dense() })],
    ["rank-stabilised, no dropout", makeSaved({}, { rslora: true, dropout: 0, alpha: 1.5 })],
    ["a regex", makeSaved({}, { targetModules: ".*\\.(query|value)" })],
    [
      "a regex with alternatives, head inside",
      makeSaved({ pooling: "pooler" }, { targetModules: "encoder.*\\.query|encoder.*\\.value" }),
    ],
    ["the top layer", makeSaved({}, { layers: [1] })],
    ["the top layer, head inside", makeSaved({ pooling: "pooler" }, { layers: [1], bias: "lora_only" })],
    ["a base with an accent", makeSaved({ baseModel: "./größe" })],
  ];

  test.each(cases)("%s", async (_, saved) => {
    const path = await writeAdapter(saved);
    expect(await readPeftFolder(path)).toEqual(saved);
    expect(await readPeftFolder(path, { host })).toEqual(saved);
  });

  test("layers are told as peft can find them", () => {
    const layers = [1];
    const config = (targetModules: LoraSpec["targetModules"], architecture: Architecture) =>
      configOf(encodePeftFolder(makeSaved({ architecture }, { layers, targetModules })));
    const written = { layers_to_transform: layers, target_modules: ["query", "value"] };
    expect(config(["query", "value"], "bert")).toMatchObject(written);
    // With a text for target modules peft refuses `layers_to_transform`.
    const sites = ["query", "value"].map((name) => `encoder.layer.1.attention.self.${name}`);
    expect(config(".*\\.(query|value)", "bert")).toMatchObject({ ...written, target_modules: sites });
  });

  test("an adapter without a head", async () => {
    const { head: _, ...saved } = makeSaved({ labels: [] });
    expect(await readPeftFolder(await writeAdapter(saved))).toEqual(saved);
  });

  test("equal input gives equal bytes, in any order of tensors", () => {
    const saved = makeSaved();
    const reversed = new Map([...saved.adapter.tensors].reverse());
    const again = encodePeftFolder({ ...saved, adapter: { ...saved.adapter, tensors: reversed } });
    expect(again).toEqual(encodePeftFolder(saved));
  });
});

describe("where the head goes", () => {
  const inside = "adapter_config.json,adapter_model.safetensors,accrete.json";
  const beside = `head.safetensors,${inside}`;
  test.each<[string, Partial<SavedAdapter>, string, string]>([
    ["BERT, pooler, linear", { pooling: "pooler" }, "SEQ_CLS", inside],
    [
      "BERT, pooler, linear, normalised",
      { pooling: "pooler", normalize: true },
      "FEATURE_EXTRACTION",
      beside,
    ],
    ["BERT, pooler, cosine", { pooling: "pooler", head: makeHead.cosine() }, "FEATURE_EXTRACTION", beside],
    ["BERT, cls, linear", { pooling: "cls" }, "FEATURE_EXTRACTION", beside],
    [
      "RoBERTa, cls, dense",
      { architecture: "roberta", pooling: "cls", head: makeHead.dense() },
      "SEQ_CLS",
      inside,
    ],
    [
      "RoBERTa, mean, dense",
      { architecture: "roberta", head: makeHead.dense() },
      "FEATURE_EXTRACTION",
      beside,
    ],
    ["RoBERTa, pooler, linear", { architecture: "roberta", pooling: "pooler" }, "FEATURE_EXTRACTION", beside],
  ])("%s", (_, change, taskType, names) => {
    const files = encodePeftFolder(makeSaved(change));
    expect(configOf(files).task_type).toBe(taskType);
    expect([...files.keys()].join()).toBe(names);
  });

  test("keys are those of AutoModel, or of the model with a head", () => {
    const site = "encoder.layer.0.attention.self.query";
    const features = keysOf(encodePeftFolder(makeSaved({}, { bias: "all" })));
    expect(features).toContain(`base_model.model.${site}.lora_A.weight`);
    expect(features).toContain(`base_model.model.${site}.base_layer.bias`);
    expect(features).toContain("base_model.model.encoder.layer.0.attention.self.key.bias");
    const inside = keysOf(encodePeftFolder(makeSaved({ pooling: "pooler" })));
    expect(inside).toContain(`base_model.model.bert.${site}.lora_A.weight`);
    expect(inside).toContain("base_model.model.classifier.weight");
  });

  test("a regex is written so that peft matches the same layers in the prefixed model", () => {
    const targetModules = "encoder.layer.\\d+.attention.self.(query|value)|nothing";
    const change = { pooling: "pooler" } as const;
    const { target_modules: written } = configOf(encodePeftFolder(makeSaved(change, { targetModules })));
    const pattern = new RegExp(`^(?:${String(written)})$`);
    expect(pattern.test("bert.encoder.layer.0.attention.self.query")).toBe(true);
    expect(pattern.test("bert.encoder.layer.0.attention.self.key")).toBe(false);
    expect(configOf(encodePeftFolder(makeSaved({}, { targetModules }))).target_modules).toBe(targetModules);
  });
});

const architectures: readonly Architecture[] = ["bert", "roberta"];
const variants = ["none", "all", "lora-only"];

describe("what peft saved", () => {
  const names = architectures.flatMap((architecture) =>
    ["seq-cls", "feature-extraction"].flatMap((kind) =>
      variants.map((bias) => `${architecture}-${kind}-${bias}`),
    ),
  );

  test.each(names)("%s is read and written back as peft wrote it", async (name) => {
    const architecture = name.startsWith("bert") ? "bert" : "roberta";
    const dir = join(goldens, name);
    const pooler = name.includes("feature") ? ({ pooling: "pooler" } as const) : {};
    const saved = await readPeftFolder(dir, { architecture, ...pooler });
    const files = encodePeftFolder(saved);
    expect(Buffer.from(files.get("adapter_config.json") ?? []).toString()).toBe(
      await readFile(join(dir, "adapter_config.json"), "utf8"),
    );
    const path = join(dir, "adapter_model.safetensors");
    const theirs = new Map(decodeSafetensors(await readFile(path), path).tensors);
    for (const key of theirs.keys()) if (/original_module|modules_to_save/.test(key)) theirs.delete(key);
    expect(files.get("adapter_model.safetensors")).toEqual(encodeSafetensors(theirs, { format: "pt" }));
  });

  test.each(names)("%s fits the backbone's layers", async (name) => {
    const architecture = name.startsWith("bert") ? "bert" : "roberta";
    const pooled = name === "bert-seq-cls-all";
    const withPooler = { ...host, biases: new Map([...host.biases, ["pooler.dense.bias", width]]) };
    const saved = await readPeftFolder(join(goldens, name), {
      architecture,
      host: pooled ? withPooler : host,
    });
    const biases = name.endsWith("none") ? 0 : name.endsWith("only") ? 4 : host.biases.size;
    expect(saved.adapter.tensors.size).toBe(8 + biases + (pooled ? 1 : 0));
    expect(saved.architecture).toBe(architecture);
  });

  test("a head inside has numbered labels and the feature that Hugging Face reads", async () => {
    const bert = await readPeftFolder(join(goldens, "bert-seq-cls-none"));
    expect(bert).toMatchObject({
      labels: ["LABEL_0", "LABEL_1", "LABEL_2"],
      pooling: "pooler",
      normalize: false,
    });
    expect(bert).toMatchObject({
      head: { kind: "linear" },
      baseModel: "bert-seq-cls-base",
      backboneHash: "",
    });
    const roberta = await readPeftFolder(join(goldens, "roberta-seq-cls-none"));
    expect(roberta).toMatchObject({ pooling: "cls", head: { kind: "dense" } });
    expect([...(roberta.head?.tensors.keys() ?? [])].sort()).toEqual([
      "bias",
      "dense.bias",
      "dense.weight",
      "weight",
    ]);
  });

  test("a bare adapter has no labels, and does not say its architecture", async () => {
    const dir = join(goldens, "bert-feature-extraction-none");
    expect(await readPeftFolder(dir)).not.toHaveProperty("architecture");
    const saved = await readPeftFolder(dir, { architecture: "bert", pooling: "mean", normalize: true });
    expect(saved).toMatchObject({ labels: [], pooling: "mean", normalize: true });
    expect(saved.head).toBeUndefined();
  });

  test("the model's class tells the architecture where there is no task type", async () => {
    const dir = await golden("roberta-feature-extraction-none");
    await editConfig(dir, { task_type: null, auto_mapping: { base_model_class: "RobertaModel" } });
    expect((await readPeftFolder(dir)).architecture).toBe("roberta");
  });

  test("keys with the architecture's prefix are read in a bare adapter too", async () => {
    const dir = await golden("bert-feature-extraction-lora-only");
    const before = await readPeftFolder(dir, { architecture: "bert" });
    await editTensors(dir, (tensors) => {
      for (const [key, tensor] of [...tensors]) {
        tensors.delete(key);
        tensors.set(key.replace("base_model.model.", "base_model.model.bert."), tensor);
      }
    });
    expect(await readPeftFolder(dir, { host })).toEqual(before);
  });

  test("a regex over prefixed paths becomes the layers it matched", async () => {
    const dir = await golden("bert-seq-cls-none");
    await editConfig(dir, { target_modules: "bert\\.encoder\\..*\\.(query|value)" });
    const { spec } = loraOf(await readPeftFolder(dir, { host }));
    expect(spec.targetModules).toHaveLength(4);
    expect(spec.targetModules).toContain("encoder.layer.1.attention.self.value");
  });

  test.each([{ layers_to_transform: [1] }, { layers_to_transform: 1 }])(
    "layers chosen by number: %j",
    async (chosen) => {
      const dir = await golden("bert-seq-cls-none");
      await editConfig(dir, chosen);
      await editTensors(dir, (tensors) => {
        for (const key of [...tensors.keys()]) if (key.includes("layer.0.")) tensors.delete(key);
      });
      const { spec } = loraOf(await readPeftFolder(dir, { host }));
      expect(spec).toMatchObject({ targetModules: ["query", "value"], layers: [1] });
    },
  );

  test("targets named in full count whatever layers are chosen, as in peft", async () => {
    const dir = await golden("bert-seq-cls-none");
    const sites = [0, 1].flatMap((layer) =>
      ["query", "value"].map((name) => `encoder.layer.${layer}.attention.self.${name}`),
    );
    const targets = sites.map((site) => `bert.${site}`);
    await editConfig(dir, { layers_to_transform: [1], target_modules: targets });
    const { spec } = loraOf(await readPeftFolder(dir, { host }));
    expect(spec.targetModules).toEqual(sites);
    expect(spec).not.toHaveProperty("layers");
  });

  test("a layer that was chosen and is not there is missed", async () => {
    const dir = await golden("bert-seq-cls-none");
    await editConfig(dir, { layers_to_transform: [0, 1] });
    await editTensors(dir, (tensors) => {
      for (const key of [...tensors.keys()]) if (key.includes("layer.0.")) tensors.delete(key);
    });
    await expect(readPeftFolder(dir, { host })).rejects.toThrow(/tensors are missing: encoder\.layer\.0/);
  });
});
