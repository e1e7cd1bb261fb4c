import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import type { LoadedBackbone } from "../../src/continual/types.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { multipliesBytes } from "../../src/io/processor.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { architectures } from "../../src/nn/families.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { randomEncodings } from "../support/openedModels.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";

const root = folderOfTestFile("int8");
vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
afterAll(() => vi.unstubAllEnvs());

const able = multipliesBytes();
const reason = able ? "" : " (skipped: this processor does not multiply bytes)";

function open({ backbone, tokenizer }: LoadedBackbone): AdaptedBackbone {
  return new AdaptedBackbone({
    structure: { backbone, feature: { pooling: "mean", normalize: false }, head: defaultHeads.linear },
    tokenizer,
    runtime: nodeRuntime,
    maxLength: 30,
    threads: 1,
  });
}

describe.skipIf(!able).each(architectures)(`%s in 8 bits${reason}`, (family) => {
  const folder = join(root, family);
  const texts = randomEncodings([5, 12, 1, 9]);

  it("gives nearly the features of float32, each text's whatever it is batched with, and is another backbone", async () => {
    await writeTinyFamily(family, folder);
    const plain = await loadBackbone(folder);
    const rounded = await loadBackbone(folder, { precision: "int8" });
    expect(rounded.folder.hash).not.toBe(plain.folder.hash);
    const spec = { layers: [plain.backbone.config.layers] };
    await using floats = open(plain);
    await using bytes = open(rounded);
    const expected = await floats.routingFeatures(texts, spec);
    const found = await bytes.routingFeatures(texts, spec);
    let [difference, size] = [0, 0];
    for (const [i, value] of found.values.entries()) {
      difference += (value - expected.values[i]!) ** 2;
      size += expected.values[i]! ** 2;
    }
    expect(Math.sqrt(difference / size)).toBeLessThan(0.1);
    expect(difference).toBeGreaterThan(0);
    const { width } = found;
    for (const [row, text] of texts.entries()) {
      const alone = await bytes.routingFeatures([text], spec);
      for (const [i, value] of alone.values.entries())
        expect(Math.abs(value - found.values[row * width + i]!)).toBeLessThan(1e-4);
    }
  });

  it("says its precision by its hash", async () => {
    const rounded = await loadBackbone(folder, { precision: "int8" });
    const again = await loadBackbone(folder, { learnedWith: rounded.folder.hash });
    expect(again.folder.hash).toBe(rounded.folder.hash);
    const plain = await loadBackbone(folder, { learnedWith: (await loadBackbone(folder)).folder.hash });
    expect(plain.folder.hash).not.toBe(rounded.folder.hash);
  });
});

it.skipIf(!able)(`is made once, and a copy that is damaged is named${reason}`, async () => {
  const folder = join(root, "once");
  await writeTinyFamily("bert", folder);
  const { folder: opened } = await loadBackbone(folder, { precision: "int8" });
  const path = join(root, "cache", "accrete", "int8", opened.hash, "model.safetensors");
  const { mtimeMs } = await stat(path);
  await loadBackbone(folder, { precision: "int8" });
  expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  expect(await readdir(join(path, ".."))).toEqual(["model.safetensors"]);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length - 10));
  const damaged = loadBackbone(folder, { precision: "int8" });
  await expect(damaged).rejects.toThrow(CheckpointError);
  await expect(damaged).rejects.toThrow(/model\.safetensors: truncated/);
});
