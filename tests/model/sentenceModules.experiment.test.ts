// Dimensions: n texts, F width of the vector.
/** What sentence-transformers puts over a model, against vectors that it made itself (`tools/goldens/make_modules.py`). */
import { cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { float32 } from "../../src/core/tensor.ts";
import { createLearner, type Learner, loadAdapter, openStore, type Prediction } from "../../src/index.ts";
import { readSafetensorsHeader } from "../../src/io/safetensors.ts";
import { loadBackbone, resolveFeature } from "../../src/model/settings/backbone.ts";
import { describeFeature } from "../../src/nn/features.ts";
import { createStore } from "../../src/store/create.ts";
import { temporaryFolder } from "../support/folders.ts";
import { goldensFolder, need, readTensors } from "../support/goldens.ts";
import { expectClose, relativeDifference, tolerances } from "../support/tolerances.ts";

const modules = join(goldensFolder, "modules");
const { texts } = z
  .object({ texts: z.array(z.string()) })
  .parse(JSON.parse(await readFile(join(modules, "golden.json"), "utf8")));

/** A model's folder with the files of a case beside it. */
async function modelOf(name: string): Promise<string> {
  const folder = join(await temporaryFolder(), "model");
  await cp(join(modules, "backbone"), folder, { recursive: true });
  await cp(join(goldensFolder, "tokenizers", "bert-uncased"), folder, { recursive: true });
  await cp(join(modules, name), folder, { recursive: true });
  return folder;
}

const rows = (label: string, ...of: readonly string[]) => of.map((text) => ({ text, label }));
const task = {
  name: "task",
  train: [
    ...rows("a", "book a table", "play the song", "for two"),
    ...rows("b", "the weather", "on Monday", "in Paris"),
  ],
};
const settings = { training: { epochs: 1 }, seed: 1, threads: 1 };

type Asked = Pick<Learner, "predict">;

const asMatrix = (vectors: readonly Float32Array[]) =>
  float32(new Float32Array(vectors.flatMap((vector) => [...vector])), [
    vectors.length,
    vectors[0]?.length ?? 0,
  ]);

async function embed(backbone: string, more: object = {}) {
  await using learner = await createLearner({ backbone, ...settings, ...more });
  await learner.learn(task);
  return asMatrix(await learner.embed(texts));
}

describe("vectors are those of sentence-transformers", () => {
  it.each(["poolings", "flags", "dense", "norm", "residual"])("%s", async (name) => {
    const expected = need(await readTensors("modules", name, "golden.f32.safetensors"), "vectors");
    const folder = await modelOf(name);
    expectClose(await embed(folder), expected, tolerances.float32, name);
    const { folder: opened } = await loadBackbone(folder);
    expect(opened.notes.filter((note) => note.includes("not applied"))).toEqual([]);
  });

  it("and are named as they are made", async () => {
    const named = async (name: string) => {
      const loaded = await loadBackbone(await modelOf(name));
      return describeFeature(loaded.backbone, resolveFeature(loaded, {}));
    };
    expect(await named("dense")).toBe("mean, dense, layer-norm, normalised");
    expect(await named("flags")).toBe("cls + max + mean, normalised");
    expect(await named("backbone")).toBe("cls");
  });

  it("unless a pooling is asked for, which goes without the model's layers", async () => {
    const folder = await modelOf("dense");
    const expected = need(await readTensors("modules", "dense", "golden.f32.safetensors"), "vectors");
    const mean = await embed(folder, { feature: { pooling: "mean" } });
    expect(mean.dims).toEqual([texts.length, 16]);
    const unscaled = await embed(folder, { feature: { normalize: false } });
    expect(unscaled.dims).toEqual(expected.dims);
    expect(relativeDifference(unscaled, expected)).toBeGreaterThan(0.1);
  });
});

describe("a head over the model's own layers", () => {
  it("is as wide as they are, and answers the same from the disk: exact answers, and a second pass", async () => {
    const backbone = await modelOf("dense");
    const path = join(await temporaryFolder(), "store");
    const router = { kind: "lda", secondPass: "always", topTasks: 2 } as const;
    const other = {
      name: "other",
      train: task.train.map(({ text, label }) => ({ text, label: `${label}2` })),
    };
    const ask = async (from: Asked) => [
      await from.predict(texts, { exact: true }),
      await from.predict(texts),
    ];
    await createStore(path, { backbone, ...settings, router });
    const store = await openStore(path);
    await store.learn(task);
    await store.learn(other);
    const answers = await ask(store);
    await store[Symbol.asyncDispose]();
    await using again = await openStore(path);
    expect(await ask(again)).toEqual(answers);

    const saved = join(await temporaryFolder(), "adapter");
    await again.saveAdapter("task", saved);
    const head = await readSafetensorsHeader(join(saved, "head.safetensors")).then(({ tensors }) => tensors);
    expect(head.get("weight")?.dims).toEqual([2, 10]);
    expect(JSON.parse(await readFile(join(saved, "accrete.json"), "utf8"))).toMatchObject({
      pooling: "modules",
      normalize: true,
    });
    await using alone = await loadAdapter(saved, { backbone });
    const scores = (given: readonly Prediction[]) => given.map(({ top }) => top);
    expect(scores(await alone.predict(texts))).toEqual(scores(await again.predict(texts, { task: "task" })));
    await expect(loadAdapter(saved, { backbone: await modelOf("backbone") })).rejects.toThrow(
      /was trained on another backbone/,
    );
  });

  it("trains with NewLoRA's network on the same vector", async () => {
    const method = { adapter: "lora", selector: "newlora" } as const;
    await using learner = await createLearner({ backbone: await modelOf("norm"), ...settings, method });
    await learner.learn(task);
    await learner.learn({
      ...task,
      name: "more",
      train: rows("c", "the song", "play").concat(rows("d", "two")),
    });
    expect(await learner.predict(texts)).toHaveLength(texts.length);
  });
});

describe("what cannot be applied", () => {
  const change = async (folder: string, file: string, to: (json: object) => object) =>
    await writeFile(
      join(folder, file),
      JSON.stringify(to(JSON.parse(await readFile(join(folder, file), "utf8")))),
    );

  it.each<[string, (folder: string) => Promise<void>, RegExp]>([
    [
      "an activation",
      (at) =>
        change(at, "2_Dense/config.json", (json) => ({
          ...json,
          activation_function: "torch.nn.modules.activation.Mish",
        })),
      /Dense module in 2_Dense is not applied \(its activation is torch\.nn\.modules\.activation\.Mish\)/,
    ],
    [
      "vectors of tokens",
      (at) =>
        change(at, "2_Dense/config.json", (json) => ({ ...json, module_input_name: "token_embeddings" })),
      /2_Dense is not applied \(it reads token_embeddings and writes sentence_embedding\)/,
    ],
    [
      "weights that are pickled",
      (at) => rename(join(at, "2_Dense/model.safetensors"), join(at, "2_Dense/pytorch_model.bin")),
      /2_Dense is not applied \(it has no model\.safetensors; SentenceTransformer/,
    ],
    [
      "a module of another kind",
      (at) =>
        change(at, "modules.json", (json) => [
          ...Object.values(json),
          { type: "st.models.CNN", path: "5_CNN" },
        ]),
      /the CNN module in 5_CNN is not applied/,
    ],
  ])("is named, and the pooling stands alone: %s", async (_, spoil, note) => {
    const folder = await modelOf("dense");
    await spoil(folder);
    const loaded = await loadBackbone(folder);
    expect(loaded.folder.notes.join("\n")).toMatch(note);
    expect(resolveFeature(loaded, {}).pooling).toBe("mean");
    expect(loaded.backbone.modules).toBeUndefined();
  });

  it.each<[string, (folder: string) => Promise<void>, RegExp]>([
    [
      "no config",
      (at) => rm(join(at, "2_Dense/config.json")),
      /2_Dense\/config\.json: is missing, and modules\.json names it as a Dense module/,
    ],
    [
      "a width that is not its own",
      (at) => change(at, "2_Dense/config.json", (json) => ({ ...json, in_features: 12 })),
      /2_Dense takes vectors of width 12, and what comes before it is 16 wide/,
    ],
    [
      "weights of another shape",
      (at) =>
        change(at, "3_LayerNorm/config.json", () => ({ dimension: 10 })).then(() =>
          cp(join(modules, "norm/2_LayerNorm/model.safetensors"), join(at, "3_LayerNorm/model.safetensors")),
        ),
      /3_LayerNorm\.norm\.weight.*config\.json says float32 \(10\), the file has float32 \(32\)/,
    ],
    [
      "a config that is none",
      (at) => writeFile(join(at, "2_Dense/config.json"), '{"in_features": "many"}'),
      /2_Dense\/config\.json: no Dense module's/,
    ],
  ])("is an error: %s", async (_, spoil, message) => {
    const folder = await modelOf("dense");
    await spoil(folder);
    await expect(loadBackbone(folder)).rejects.toThrow(message);
  });

  it("a model without modules has no such pooling", async () => {
    const folder = await modelOf("backbone");
    await expect(createLearner({ backbone: folder, feature: { pooling: "modules" } })).rejects.toThrow(
      /feature\.pooling: modules, but .* has no modules\.json with several poolings/,
    );
  });
});

it("what the layers hold is part of the backbone's identity", async () => {
  const folder = await modelOf("dense");
  const before = (await loadBackbone(folder)).folder.hash;
  expect(before).not.toBe((await loadBackbone(await modelOf("backbone"))).folder.hash);
  await cp(join(modules, "residual/7_Dense/config.json"), join(folder, "unrelated.json"));
  expect((await loadBackbone(folder)).folder.hash).toBe(before);
  const file = join(folder, "2_Dense/model.safetensors");
  const bytes = await readFile(file);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(file, bytes);
  expect((await loadBackbone(folder)).folder.hash).not.toBe(before);
});
