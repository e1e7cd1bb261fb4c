import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { float64, type HostTensor, int64 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { lastTokenRows } from "../../src/generate/feeds.ts";
import { buildCausalGraph, buildContinuationGraph } from "../../src/generate/graphs.ts";
import { KeyValueCache } from "../../src/generate/keyValueCache.ts";
import { multipliesBytes } from "../../src/io/processor.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import type { DecoderBackbone } from "../../src/nn/backbone.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import type { Executable, Runtime } from "../../src/runtime/types.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { goldenDecoder } from "../support/goldens.ts";
import { writeTinyDecoder } from "../support/tinyModels.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";
import { compileUntilEnd } from "../support/untilEnd.ts";

/** Learned, rotary, partly rotary, scaled and absent positions; grouped queries; windows; heads of 8 elements and of 12. */
const models = [
  "gpt2",
  "gpt_neox",
  "llama",
  "qwen2",
  "qwen3",
  "smollm3",
  "phi3",
  "gemma3_text",
  "rope-llama3",
  "rope-yarn",
  "rope-longrope",
] as const;

const setups = [
  ["the engine", nodeRuntime, tolerances.float32],
  ["the reference", referenceRuntime, tolerances.goldenFloat64],
] as const;

type Texts = readonly (readonly number[])[];

const encodings = (texts: Texts) =>
  texts.map((ids) => ({ ids, typeIds: ids.map(() => 0), truncated: false }));

/** The logits behind each text, which is read whole. (B, V) */
async function whole(executable: Executable, { config }: DecoderBackbone, texts: Texts) {
  const batch = collate(encodings(texts), config.padId);
  const feeds = { ...tokenFeeds(config, batch), ...lastTokenRows(batch.attentionMask) };
  return (await executable.run(feeds)).logits;
}

/** The same behind its first tokens, and behind each of those that follow, one by one. */
async function stepwise(executable: Executable, { config }: DecoderBackbone, texts: Texts, steps: number) {
  const prompts = texts.map((ids) => ids.slice(0, ids.length - steps));
  const cache = new KeyValueCache(config, texts.length, Math.max(...texts.map(({ length }) => length)));
  const found: (HostTensor | undefined)[] = [];
  for (let step = 0; step <= steps; step++) {
    const ids = step === 0 ? prompts : texts.map((text) => [text[text.length - steps + step - 1] ?? 0]);
    const batch = collate(encodings(ids), config.padId);
    const places = BigInt64Array.from(texts, ({ length }) => BigInt(length - steps + step - 1));
    const outputs = await executable.run({
      ...tokenFeeds(config, batch),
      ...(step > 0 && { position_ids: int64(places, [texts.length, 1]) }),
      ...lastTokenRows(batch.attentionMask),
      ...cache.feeds(batch.attentionMask),
    });
    found.push(outputs.logits);
    cache.append(outputs, batch.attentionMask);
  }
  return found;
}

function row(logits: HostTensor | undefined, index: number): HostTensor {
  const [rows = 1, width = 0] = logits?.dims ?? [];
  const values = Array.from(logits?.data ?? [], Number).slice(index * width, (index + 1) * width);
  expect(index).toBeLessThan(rows);
  return float64(values, [1, width]);
}

describe.each(setups)(
  "operators for inference give what plain ones give, on %s",
  (_, runtime: Runtime, tolerance) => {
    it.each(models)("%s: padded texts, each token behind the cache, alone and in a batch", async (model) => {
      const backbone = await goldenDecoder(model);
      const plain = await compileUntilEnd(runtime, buildCausalGraph({ backbone }));
      const fused = await compileUntilEnd(runtime, buildContinuationGraph({ backbone }));
      const rng = createRng(3);
      const texts = [9, 4, 13].map((length) =>
        Array.from({ length }, () => 5 + rng.integer(backbone.config.vocabularySize - 5)),
      );
      const steps = 3;
      const together = await stepwise(fused, backbone, texts, steps);
      for (let step = 0; step <= steps; step++) {
        const read = texts.map((ids) => ids.slice(0, ids.length - steps + step));
        const expected = await whole(plain, backbone, read);
        const actual = together[step];
        if (actual === undefined || expected === undefined) throw new Error("no logits");
        expect(relativeDifference(actual, expected), `step ${step}`).toBeLessThan(tolerance);
      }
      for (const [i, text] of texts.entries()) {
        const alone = await stepwise(fused, backbone, [text], steps);
        for (let step = 0; step <= steps; step++)
          expect(relativeDifference(row(alone[step], 0), row(together[step], i))).toBeLessThan(tolerance);
      }
    });
  },
);

const folder = folderOfTestFile("continuation");
vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
afterAll(() => vi.unstubAllEnvs());

it.skipIf(!multipliesBytes())(
  "in 8 bits, where a last bit decides how a row is rounded, a text gets alone what it gets beside longer ones",
  async () => {
    await writeTinyDecoder(folder);
    const { backbone } = await loadBackbone(folder, { precision: "int8" });
    if (backbone.kind !== "decoder") throw new Error("no decoder");
    const executable = await compileUntilEnd(nodeRuntime, buildContinuationGraph({ backbone }));
    const rng = createRng(7);
    const texts = [11, 5, 17].map((length) =>
      Array.from({ length }, () => rng.integer(backbone.config.vocabularySize)),
    );
    const together = await stepwise(executable, backbone, texts, 4);
    for (const [i, text] of texts.entries()) {
      const alone = await stepwise(executable, backbone, [text], 4);
      for (const [step, logits] of alone.entries())
        expect(row(logits, 0), `step ${step}`).toEqual(row(together[step], i));
    }
  },
);
