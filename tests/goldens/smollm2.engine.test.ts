/** SmolLM2-135M, a real decoder of 30 layers with grouped queries and half-precision weights, against transformers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { asFloat32, float32 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { openTextIds } from "../../src/data/encoding/prompts.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import { lastTokenRows } from "../../src/generate/feeds.ts";
import { type CausalModel, generateGreedy, openCausalModel } from "../../src/generate/greedy.ts";
import { KeyValueCache } from "../../src/generate/keyValueCache.ts";
import { sha256File } from "../../src/io/hash.ts";
import { openModelFolder } from "../../src/io/models/modelFolder.ts";
import { readSafetensorsHeader, readTensor } from "../../src/io/safetensors.ts";
import { createBackbone } from "../../src/nn/backbone.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";
import { goldensFolder } from "../support/goldens.ts";
import { optional } from "../support/shared.ts";
import { untilEnd } from "../support/untilEnd.ts";

const smollm2 = optional(
  join(packageRoot, "models/smollm2-135m"),
  "../shared/models/smollm2-135m/make.py has not made models/smollm2-135m",
);
const folder = smollm2.path;

const golden = z
  .object({
    weightsSha256: z.string(),
    maxNewTokens: z.number(),
    columnStep: z.number(),
    cases: z.array(z.object({ prompt: z.string(), promptIds: z.array(z.number()), ids: z.array(z.number()) })),
  })
  .parse(JSON.parse(readFileSync(join(goldensFolder, "smollm2/golden.json"), "utf8")));

/** The logits behind each prompt, at the columns that the golden keeps. (B, V / step) */
async function logitsBehind(model: CausalModel, prompts: readonly (readonly number[])[], step: number) {
  const { config } = model.structure.backbone;
  const encodings = prompts.map((ids) => ({ ids, typeIds: ids.map(() => 0), truncated: false }));
  const batch = collate(encodings, config.padId);
  const { logits } = await model.continuation.run({
    ...tokenFeeds(config, batch),
    ...lastTokenRows(batch.attentionMask),
    ...new KeyValueCache(config, prompts.length, 1).feeds(batch.attentionMask),
  });
  const kept = asFloat32(logits, "logits").data.filter((_, i) => (i % config.vocabularySize) % step === 0);
  return float32(kept, [prompts.length, kept.length / prompts.length]);
}

it.skipIf(smollm2.absent)(smollm2.titled("ten prompts, alone and padded in one batch, as transformers continues them"), async () => {
  const { maxNewTokens, columnStep, cases } = golden;
  const found = await openModelFolder(folder);
  const weights = await sha256File(join(folder, "model.safetensors"));
  expect(weights, "the weights that the golden was made of").toBe(golden.weightsSha256);
  const backbone = createBackbone(found.config, found.weights, found.path);
  if (backbone.kind !== "decoder") throw new Error("no decoder");
  const tokenizer = await loadTokenizer(found.path);
  const prompts = cases.map(({ prompt }) => [...openTextIds(tokenizer, prompt)]);
  expect(prompts).toEqual(cases.map(({ promptIds }) => promptIds));

  const model = untilEnd(await openCausalModel({ backbone }, nodeRuntime, { threads: 1 }));
  const file = await readSafetensorsHeader(join(goldensFolder, "smollm2/golden.safetensors"));
  const entry = file.tensors.get("logits");
  if (entry === undefined) throw new Error("the golden has no logits");
  const expected = await readTensor(entry);
  expect(relativeDifference(await logitsBehind(model, prompts, columnStep), expected)).toBeLessThan(tolerances.float32);
  for (const [i, prompt] of prompts.entries()) {
    const width = expected.dims[1] ?? 0;
    const row = float32(asFloat32(expected, "logits").data.slice(i * width, (i + 1) * width), [1, width]);
    expect(relativeDifference(await logitsBehind(model, [prompt], columnStep), row)).toBeLessThan(tolerances.float32);
  }

  const options = { maxNewTokens, stopIds: [] };
  const ids = cases.map((each) => each.ids);
  const together = await generateGreedy(model, prompts, options);
  expect(together.map((each) => each.ids)).toEqual(ids);
  const alone = await generateGreedy(model, prompts, { ...options, batchSize: 1 });
  expect(alone.map((each) => each.ids)).toEqual(ids);
});
