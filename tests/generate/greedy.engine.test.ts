import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConfigError, DataError, EngineError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, int64 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import { answerFeeds, lastTokenRows } from "../../src/generate/feeds.ts";
import { buildCausalGraph, type CausalStructure, NEW_KEY_VALUES } from "../../src/generate/graphs.ts";
import { generateGreedy, openCausalModel } from "../../src/generate/greedy.ts";
import { KeyValueCache } from "../../src/generate/keyValueCache.ts";
import { openModelFolder } from "../../src/io/models/modelFolder.ts";
import { createBackbone, type DecoderBackbone } from "../../src/nn/backbone.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { adapterMethod } from "../../src/peft/adapters.ts";
import type { PromptTuningSpec } from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Executable, Tensors } from "../../src/runtime/types.ts";
import { goldenDecoder, goldensFolder } from "../support/goldens.ts";
import { compileUntilEnd, untilEnd } from "../support/untilEnd.ts";

const openModel = async (backbone: DecoderBackbone) =>
  untilEnd(await openCausalModel({ backbone }, nodeRuntime));

/** Decoding the slow way: the whole text anew for every token, one text at a time. */
async function withoutCache(
  executable: Executable,
  { backbone, adapter }: CausalStructure,
  prompt: readonly number[],
  count: number,
  parameters: Tensors,
): Promise<number[]> {
  const text = [...prompt];
  while (text.length < prompt.length + count) {
    const encoding = { ids: text, typeIds: text.map(() => 0), truncated: false };
    const { batch, feeds } = adapterMethod(adapter).adapt(collate([encoding], 0), 0);
    const rows = lastTokenRows(batch.attentionMask);
    const { logits } = await executable.run({
      ...tokenFeeds(backbone.config, batch),
      ...feeds,
      ...rows,
      ...parameters,
    });
    const values = Array.from(logits?.data ?? [], Number);
    text.push(values.indexOf(Math.max(...values)));
  }
  return text.slice(prompt.length);
}

describe("what is refused before anything runs", () => {
  const cases: readonly (readonly [
    string,
    readonly (readonly number[])[],
    number,
    typeof DataError | typeof ConfigError,
    string,
  ])[] = [
    ["an empty prompt", [[5], []], 5, DataError, "prompt 2 has no tokens"],
    [
      "a prompt that leaves no room",
      [new Array<number>(36).fill(5)],
      5,
      DataError,
      "36 tokens and 5 new ones do not fit the model's 40",
    ],
    ["a token beyond the vocabulary", [[5, 60]], 5, DataError, "token 60 is not among the model's 60"],
    ["no new tokens", [[5]], 0, ConfigError, "maxNewTokens must be a whole number of at least 1, got 0"],
  ];
  it.each(cases)("%s", async (_, prompts, maxNewTokens, type, message) => {
    const model = await openModel(await goldenDecoder("llama"));
    const generating = generateGreedy(model, prompts, { maxNewTokens, stopIds: [] });
    await expect(generating).rejects.toBeInstanceOf(type);
    await expect(generateGreedy(model, prompts, { maxNewTokens, stopIds: [] })).rejects.toThrow(message);
  });

  it("fills the model's length to the last token", async () => {
    const model = await openModel(await goldenDecoder("gpt2"));
    const [result] = await generateGreedy(model, [new Array<number>(35).fill(5)], {
      maxNewTokens: 5,
      stopIds: [],
    });
    expect(result?.ids).toHaveLength(5);
  });

  it("stops when asked to", async () => {
    const model = await openModel(await goldenDecoder("llama"));
    const options = { maxNewTokens: 5, stopIds: [], signal: AbortSignal.abort(new Error("enough")) };
    await expect(generateGreedy(model, [[5]], options)).rejects.toThrow("enough");
  });
});

describe("what is fed", () => {
  it("asks for the token before each answer token", () => {
    const labels = int64([-100, -100, 7, 8, 9, -100, -100, 6], [2, 4]);
    const { logit_rows, answer_ids, answer_weights } = answerFeeds(labels);
    // The second text's first label, 9, has nothing before it.
    expect(logit_rows?.data).toEqual(BigInt64Array.of(1n, 2n, 6n));
    expect(answer_ids?.data).toEqual(BigInt64Array.of(7n, 8n, 6n));
    expect(answer_weights?.data).toEqual(new Float32Array(3).fill(1 / 3));
  });

  it("counts virtual tokens, behind which a first token can be asked for", () => {
    const labels = int64([9, -100, -100, 7], [2, 2]);
    expect(answerFeeds(labels, 3).logit_rows?.data).toEqual(BigInt64Array.of(2n, 8n));
  });

  it("refuses a batch without answers", () => {
    expect(() => answerFeeds(int64([5, -100], [1, 2]))).toThrow(DataError);
  });

  it("finds the last real token on either side of padding", () => {
    expect(lastTokenRows(int64([0, 1, 1, 1, 1, 0], [2, 3])).logit_rows?.data).toEqual(
      BigInt64Array.of(2n, 4n),
    );
  });
});

describe("continuing behind virtual tokens", () => {
  it.each(["gpt2", "llama"])("%s: as the whole text computed anew for every token", async (name) => {
    const backbone = await goldenDecoder(name);
    const spec: PromptTuningSpec = { virtualTokens: 3, init: "random" };
    const structure: CausalStructure = { backbone, adapter: { kind: "prompt-tuning", spec } };
    const draw = createRng(5);
    const values = Float32Array.from({ length: 3 * backbone.width }, () => draw.normal());
    const parameters = { prompt_embeddings: float32(values, [3, backbone.width]) };
    const model = untilEnd(await openCausalModel(structure, nodeRuntime));
    const whole = await compileUntilEnd(nodeRuntime, buildCausalGraph(structure));
    const prompts = [[5, 9, 11, 30], [7], [40, 41]];
    const anew = await Promise.all(
      prompts.map((prompt) => withoutCache(whole, structure, prompt, 8, parameters)),
    );
    const options = { maxNewTokens: 8, stopIds: [], parameters };
    const results = await generateGreedy(model, prompts, options);
    expect(results.map(({ ids }) => ids)).toEqual(anew);
    const other = {
      prompt_embeddings: float32(
        values.map((x) => -x),
        [3, backbone.width],
      ),
    };
    expect(await generateGreedy(model, prompts, { ...options, parameters: other })).not.toEqual(results);
  });
});

describe("KeyValueCache", () => {
  it("puts each text's tokens behind those it has, head by head, and refuses more than fit", async () => {
    const { config } = await goldenDecoder("llama");
    const small = { ...config, layers: 1, keyValueHeads: 2, headWidth: 1 };
    const cache = new KeyValueCache(small, 2, 3);
    // Two heads' keys, and the values that are their negatives, of each token.
    const outputs = (keys: readonly number[], tokens: number) => {
      const rows = Array.from({ length: keys.length / 2 }, (_, i) => keys.slice(2 * i, 2 * i + 2));
      const values = rows.flatMap((row) => [...row, ...row.map((x) => -x)]);
      return { [NEW_KEY_VALUES]: float32(values, [2, tokens, 4]) };
    };
    const prompts = int64([1, 0, 1, 1], [2, 2]);
    expect(cache.feeds(prompts).lengths).toEqual(int64([1, 2], [2]));
    // The first text's second token is padding.
    cache.append(outputs([1, 2, 3, 4, 5, 6, 7, 8], 2), prompts);
    const next = int64([1, 1], [2, 1]);
    expect(cache.feeds(next).lengths).toEqual(int64([2, 3], [2]));
    cache.append(outputs([10, 20, 30, 40], 1), next);
    const feeds = cache.feeds(next);
    expect(feeds["past_key_values.0.key"]).toEqual(
      float32([1, 10, 0, 2, 20, 0, 5, 7, 30, 6, 8, 40], [2, 2, 3, 1]),
    );
    expect(feeds["past_key_values.0.value"]?.data[1]).toBe(-10);
    expect(() => cache.append(outputs([1, 2, 3, 4], 1), next)).toThrow(EngineError);
  });
});

const storiesFolder = join(goldensFolder, "../../../shared/models/stories260k");
const absent = !existsSync(storiesFolder);
const storiesSchema = z.object({
  maxNewTokens: z.number(),
  stopIds: z.array(z.number()),
  cases: z.array(
    z.object({
      prompt: z.string(),
      promptIds: z.array(z.number()),
      ids: z.array(z.number()),
      text: z.string(),
    }),
  ),
});

describe("a real, small Llama against transformers", () => {
  const title = absent
    ? "continues stories (skipped: ../shared/models/stories260k is absent)"
    : "continues stories";
  it.skipIf(absent)(title, async () => {
    const file = readFileSync(join(goldensFolder, "stories260k/continuation.json"), "utf8");
    const { maxNewTokens, stopIds, cases } = storiesSchema.parse(JSON.parse(file));
    const folder = await openModelFolder(storiesFolder);
    const backbone = createBackbone(folder.config, folder.weights, folder.path);
    if (backbone.kind !== "decoder") throw new Error("no decoder");
    const tokenizer = await loadTokenizer(folder.path);
    const prompts = cases.map(({ prompt }) => tokenizer.encode({ text: prompt }, backbone.maxTokens).ids);
    expect(prompts).toEqual(cases.map(({ promptIds }) => promptIds));

    const model = await openModel(backbone);
    const options = { maxNewTokens, stopIds };
    const together = await generateGreedy(model, prompts, options);
    expect(together.map(({ ids }) => ids)).toEqual(cases.map(({ ids }) => ids));
    expect(together.map(({ ids }) => tokenizer.decode(ids))).toEqual(cases.map(({ text }) => text));
    const alone = await generateGreedy(model, prompts, { ...options, batchSize: 1 });
    expect(alone).toEqual(together);
  });
});
