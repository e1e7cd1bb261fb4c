import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { LoadedBackbone } from "../../src/continual/types.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { loadBackbone, resolveFeature } from "../../src/model/settings/backbone.ts";
import { endTokens } from "../../src/model/settings/endTokens.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyDecoder, writeTinyModel } from "../support/tinyModels.ts";

async function openDecoder(
  changes: Readonly<Record<string, unknown>> = {},
  files: Readonly<Record<string, unknown>> = {},
): Promise<LoadedBackbone> {
  const folder = await temporaryFolder();
  await writeTinyDecoder(folder, changes);
  for (const [name, json] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(json));
  return loadBackbone(folder);
}

describe("loadBackbone", () => {
  it("opens an encoder, which reads a sentence by its first token", async () => {
    const folder = await temporaryFolder();
    await writeTinyModel(folder);
    const loaded = await loadBackbone(folder);
    expect(loaded.backbone.kind).toBe("encoder");
    expect(resolveFeature(loaded, {}).pooling).toBe("cls");
  });

  it("opens a decoder, which reads a sentence by its last token", async () => {
    const loaded = await openDecoder();
    expect(loaded.backbone.kind).toBe("decoder");
    expect(resolveFeature(loaded, {}).pooling).toBe("last");
    expect(resolveFeature(loaded, { pooling: "mean" }).pooling).toBe("mean");
  });

  it("refuses a tokenizer that knows more tokens than the model embeds", async () => {
    const opening = openDecoder({ vocab_size: 400 });
    await expect(opening).rejects.toBeInstanceOf(CheckpointError);
    await expect(opening).rejects.toThrow(
      "the tokenizer has ids up to 478, the model embeds only 400 tokens",
    );
  });
});

describe("the tokens that end a text", () => {
  it.each([
    ["the tokenizer's and the model's", {}, {}, { answerEnd: 2, stopIds: [7, 2] }],
    [
      "generation_config.json before config.json",
      {},
      { "generation_config.json": { eos_token_id: [8, 9] } },
      { answerEnd: 2, stopIds: [8, 9, 2] },
    ],
    ["the tokenizer's alone", { eos_token_id: null }, {}, { answerEnd: 2, stopIds: [2] }],
    ["the model's alone", {}, { "tokenizer_config.json": {} }, { answerEnd: 7, stopIds: [7] }],
  ])("%s", async (_, config, files, expected) => {
    expect(await endTokens(await openDecoder(config, files))).toEqual(expected);
  });

  it("may be none", async () => {
    const loaded = await openDecoder({ eos_token_id: null }, { "tokenizer_config.json": {} });
    expect(await endTokens(loaded)).toEqual({ answerEnd: undefined, stopIds: [] });
  });
});
