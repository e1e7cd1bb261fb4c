import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { asFloat32, float32, int64 } from "../../src/core/tensor.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import { poolingWeights, type TokenPooling } from "../../src/nn/features.ts";
import type { InitSource } from "../../src/peft/adapterMethod.ts";
import {
  autoPromptText,
  PROMPT_EMBEDDINGS,
  prependVirtualTokens,
  promptTextIds,
  promptTuningMethod,
} from "../../src/peft/promptTuning.ts";
import type { PromptTuningSpec } from "../../src/peft/types.ts";
import { goldensFolder } from "../support/goldens.ts";
import { prompts } from "../support/promptRuns.ts";

/** A table of 50 words whose row i is (i, −i). */
const source: InitSource = {
  readBias: (name) => Promise.reject(new TypeError(`no bias is wanted, not ${name}`)),
  readWords: (ids) =>
    Promise.resolve(
      float32(
        ids.flatMap((id) => [id, -id]),
        [ids.length, 2],
      ),
    ),
  vocabularySize: 50,
  tokenize: (text) => [2, ...text.split(" ").map((word) => word.length), 3],
};

async function initial(spec: PromptTuningSpec, seed = 1, width = 2): Promise<number[]> {
  const shapes = [{ name: PROMPT_EMBEDDINGS, dims: [spec.virtualTokens, width] }];
  const tensors = await promptTuningMethod(spec).init(shapes, createRng(seed), source);
  expect([...tensors.keys()]).toEqual([PROMPT_EMBEDDINGS]);
  const prompt = asFloat32(tensors.get(PROMPT_EMBEDDINGS), "prompt");
  expect(prompt.dims).toEqual([spec.virtualTokens, width]);
  return [...prompt.data];
}

describe("the first values of a prompt", () => {
  test("of a text: its words with special tokens, repeated and cut", async () => {
    const text = "four by seven";
    expect(await initial({ virtualTokens: 3, init: "text", text })).toEqual([2, -2, 4, -4, 2, -2]);
    const ids = [2, 4, 2, 5, 3];
    const repeated = [...ids, ...ids, 2].flatMap((id) => [id, -id]);
    expect(await initial({ virtualTokens: 11, init: "text", text })).toEqual(repeated);
  });

  test("of a text: the words that peft takes", async () => {
    const { tokenizer: name, cases } = JSON.parse(readFileSync(join(prompts, "init.json"), "utf8"));
    const tokenizer = await loadTokenizer(join(goldensFolder, "tokenizers", name));
    expect(cases.length).toBe(3);
    for (const { text, virtualTokens, ids } of cases) {
      expect(promptTextIds(tokenizer.encode({ text }, 512).ids, virtualTokens)).toEqual(ids);
      expect(text).toBe(autoPromptText("intent"));
    }
  });

  test("a text of nothing is refused", () => {
    expect(() => promptTextIds([], 4)).toThrow(ConfigError);
  });

  test("of the vocabulary: rows of the table drawn by chance, each seed its own", async () => {
    const rows = await initial({ virtualTokens: 400, init: "vocab" });
    const ids = rows.filter((_, i) => i % 2 === 0);
    expect(rows).toEqual(ids.flatMap((id) => [id, -id]));
    expect(Math.min(...ids)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...ids)).toBeLessThan(50);
    // Missing more than a fifth of 50 words in 400 draws has no probability to speak of.
    expect(new Set(ids).size).toBeGreaterThan(40);
    expect(await initial({ virtualTokens: 400, init: "vocab" })).toEqual(rows);
    expect(await initial({ virtualTokens: 400, init: "vocab" }, 2)).not.toEqual(rows);
  });

  test("random: standard normal", async () => {
    const values = await initial({ virtualTokens: 100, init: "random" }, 3, 100);
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    // Four standard deviations of either for 10,000 draws.
    expect(Math.abs(mean)).toBeLessThan(0.04);
    expect(Math.abs(variance - 1)).toBeLessThan(0.057);
  });
});

describe("virtual tokens in front", () => {
  const texts = {
    inputIds: int64([5, 6, 7, 8, 9, 0], [2, 3]),
    attentionMask: int64([1, 1, 1, 1, 1, 0], [2, 3]),
    tokenTypeIds: int64([0, 1, 1, 0, 1, 0], [2, 3]),
  };

  test("padding id, attention 1, type 0, and their numbers; -1 at text and padding", () => {
    const { batch, textMask, feeds } = prependVirtualTokens(texts, 2, 99);
    expect(batch).toEqual({
      inputIds: int64([99, 99, 5, 6, 7, 99, 99, 8, 9, 0], [2, 5]),
      attentionMask: int64([1, 1, 1, 1, 1, 1, 1, 1, 1, 0], [2, 5]),
      tokenTypeIds: int64([0, 0, 0, 1, 1, 0, 0, 0, 1, 0], [2, 5]),
    });
    expect(textMask).toEqual(int64([0, 0, 1, 1, 1, 0, 0, 1, 1, 0], [2, 5]));
    expect(feeds).toEqual({ prompt_slots: int64([0, 1, -1, -1, -1, 0, 1, -1, -1, -1], [2, 5]) });
  });

  test("features read the text's own tokens, unless their name says otherwise", () => {
    const { batch, textMask } = prependVirtualTokens(texts, 2, 0);
    const weights = (pooling: TokenPooling) =>
      [...poolingWeights([pooling], textMask, batch.attentionMask).data].slice(5);
    expect(weights("cls")).toEqual([0, 0, 1, 0, 0]);
    expect(weights("pooler")).toEqual([0, 0, 1, 0, 0]);
    expect(weights("last")).toEqual([0, 0, 0, 1, 0]);
    expect(weights("mean")).toEqual([0, 0, 0.5, 0.5, 0]);
    expect(weights("peft-first")).toEqual([1, 0, 0, 0, 0]);
    expect(weights("peft-first-pooler")).toEqual([1, 0, 0, 0, 0]);
  });
});
