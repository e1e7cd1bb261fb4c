import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import type { WeightSource } from "../../src/graph/types.ts";
import { readSafetensorsHeader } from "../../src/io/safetensors.ts";
import { createBackbone, type DecoderBackbone } from "../../src/nn/backbone.ts";
import { goldensFolder } from "../support/goldens.ts";

type Weights = ReadonlyMap<string, WeightSource>;

async function files(
  model: string,
): Promise<{ readonly config: Record<string, unknown>; readonly weights: Weights }> {
  const folder = join(goldensFolder, model);
  const { tensors } = await readSafetensorsHeader(join(folder, "model.safetensors"));
  return { config: JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), weights: tensors };
}

const renamed = (weights: Weights, rename: (name: string) => string): Weights =>
  new Map([...weights].map(([name, source]) => [rename(name), source]));

function asDecoder(config: unknown, weights: Weights): DecoderBackbone {
  const backbone = createBackbone(config, weights, "a model");
  if (backbone.kind !== "decoder") throw new Error("no decoder");
  return backbone;
}

describe("names behind wrappers", () => {
  test.each(["_orig_mod.", "module.", "model.", "0.auto_model.", "module._orig_mod.", "_orig_mod.module."])(
    "%s: the same tensors, bare and of a model with a head",
    async (wrapper) => {
      for (const model of ["bert", "bert-seqcls", "llama", "modernbert"]) {
        const { config, weights } = await files(model);
        const plain = createBackbone(config, weights, "a model");
        const wrapped = createBackbone(
          config,
          renamed(weights, (name) => wrapper + name),
          "a model",
        );
        expect(new Map(wrapped.weights), model).toEqual(new Map(plain.weights));
        expect(new Map(wrapped.headWeights), model).toEqual(new Map(plain.headWeights));
        expect(wrapped.parameterCount).toBe(plain.parameterCount);
      }
    },
  );

  test("layers that were compiled one by one", async () => {
    const { config, weights } = await files("llama");
    const inside = renamed(weights, (name) => name.replace(/layers\.(\d+)\./, "layers.$1._orig_mod."));
    const plain = createBackbone(config, weights, "a model");
    expect(new Map(createBackbone(config, inside, "a model").weights)).toEqual(new Map(plain.weights));
  });

  test("a wrapper that is not known is named by a tensor's name", async () => {
    const { config, weights } = await files("bert");
    const strange = renamed(weights, (name) => `teacher.${name}`);
    const refused = () => createBackbone(config, strange, "a model");
    expect(refused).toThrow(CheckpointError);
    expect(refused).toThrow(/no "embeddings.word_embeddings.weight", bare or under "bert."/);
    try {
      refused();
    } catch (error) {
      expect(error instanceof CheckpointError && error.hint).toContain("teacher.embeddings.word_embeddings");
    }
  });
});

describe("tied word embeddings", () => {
  const head = "lm_head.weight";

  test("a head of the file's own counts, whatever config.json says", async () => {
    const { config, weights } = await files("llama");
    const own = asDecoder({ ...config, tie_word_embeddings: true }, weights);
    expect(own.config.tiedHead).toBe(false);
    expect(own.weights.get(head)).toBe(weights.get(head));
  });

  test("saved under the head's name alone, the head is the word embeddings too", async () => {
    const { config, weights } = await files("llama");
    const words = weights.get("model.embed_tokens.weight");
    if (words === undefined) throw new Error("no words");
    const kept = [...weights].filter(([name]) => !name.includes("embed_tokens") && name !== head);
    const only = new Map([...kept, [head, words]]);
    const tied = asDecoder({ ...config, tie_word_embeddings: true }, only);
    expect(tied.config.tiedHead).toBe(true);
    expect(tied.weights.get("embed_tokens.weight")).toBe(words);
    expect(tied.weights.has(head)).toBe(false);
    expect(() => asDecoder({ ...config, tie_word_embeddings: false }, only)).toThrow(
      'no "embed_tokens.weight"',
    );
  });
});

test("the head that a checkpoint was saved with is kept by its own names", async () => {
  const { config, weights } = await files("roberta-seqcls");
  expect([...createBackbone(config, weights, "a model").headWeights.keys()].sort()).toEqual([
    "classifier.dense.bias",
    "classifier.dense.weight",
    "classifier.out_proj.bias",
    "classifier.out_proj.weight",
  ]);
});
