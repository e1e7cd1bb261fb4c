import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadBackbone } from "../../src/app/backbone.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { goldensFolder } from "../goldens/harness.ts";

const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** A golden model with a tokenizer beside it, as a model folder wants one. */
async function modelFolder(model: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-backbone-"));
  folders.push(folder);
  await cp(join(goldensFolder, model), folder, { recursive: true });
  await cp(join(goldensFolder, "tokenizers/roberta/tokenizer.json"), join(folder, "tokenizer.json"));
  return folder;
}

describe("loadBackbone", () => {
  it.each(["gpt2", "gpt_neox", "llama", "qwen2"])("refuses %s by name: it is no encoder", async (model) => {
    const loading = loadBackbone(await modelFolder(model));
    await expect(loading).rejects.toBeInstanceOf(CheckpointError);
    await expect(loading).rejects.toThrow(`${model} is a generative backbone`);
  });

  it("opens an encoder from the same kind of folder", async () => {
    expect((await loadBackbone(await modelFolder("roberta"))).backbone.kind).toBe("encoder");
  });
});
