import { existsSync, utimesSync } from "node:fs";
import { mkdir, readFile, realpath, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { float32 } from "../../src/core/tensor.ts";
import { openModelFolder, readModelConfig, SHIPPED_MODEL } from "../../src/io/models/modelFolder.ts";
import { encodeSafetensors, readTensor } from "../../src/io/safetensors.ts";
import { failureOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { hex, modelFiles, weightsA, weightsB, without } from "../support/modelFiles.ts";

let folder = "";
beforeEach(async () => {
  folder = await temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function makeModel(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const path = join(folder, "model");
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

describe("a local folder", () => {
  test("gives config, weights by name, tokenizer and the hash of what sha256sum prints", async () => {
    const path = await makeModel(modelFiles);
    const model = await openModelFolder(path);
    expect(model).toMatchObject({ source: path, path, config: { model_type: "bert" }, notes: [] });
    expect(model.tokenizerPath).toBe(join(path, "tokenizer.json"));
    expect(model.poolingConfig).toBeUndefined();
    const entry = model.weights.get("a");
    expect(entry && (await readTensor(entry))).toEqual(weightsA.get("a"));
    const listing = ["config.json", "model.safetensors"].map(
      (name) => `${hex(modelFiles[name] ?? "")}  ${name}\n`,
    );
    expect(model.hash).toBe(hex(listing.join("")));
  });

  test("weights behind links have the real file's path, since the engine refuses links", async () => {
    const path = await makeModel(without("model.safetensors"));
    await mkdir(join(folder, "blobs"));
    await writeFile(join(folder, "blobs", "0123abcd"), modelFiles["model.safetensors"] ?? "");
    await symlink("../blobs/0123abcd", join(path, "model.safetensors"));
    const { weights } = await openModelFolder(path);
    expect(weights.get("a")?.file).toBe(join(await realpath(folder), "blobs", "0123abcd"));
  });

  test("shards of an index are read together", async () => {
    const path = await makeModel({
      ...without("model.safetensors"),
      "model-1.safetensors": encodeSafetensors(weightsA),
      "model-2.safetensors": encodeSafetensors(weightsB),
      "model.safetensors.index.json": JSON.stringify({
        weight_map: { a: "model-1.safetensors", b: "model-2.safetensors" },
      }),
    });
    const { weights } = await openModelFolder(path);
    expect([...weights].map(([name, { file }]) => [name, file.slice(-19)])).toEqual([
      ["a", "model-1.safetensors"],
      ["b", "model-2.safetensors"],
    ]);
    await unlink(join(path, "model-2.safetensors"));
    await expect(openModelFolder(path)).rejects.toThrow(/names files that are missing: model-2.safetensors/);
  });

  test("an index that promises a tensor its shard lacks, or leads out of the folder, is refused", async () => {
    const index = (weight_map: Record<string, string>) => ({
      ...without("model.safetensors"),
      "model-1.safetensors": encodeSafetensors(weightsA),
      "model.safetensors.index.json": JSON.stringify({ weight_map }),
    });
    await expect(openModelFolder(await makeModel(index({ z: "model-1.safetensors" })))).rejects.toThrow(
      /model-1.safetensors holds z, but it does not/,
    );
    await expect(openModelFolder(await makeModel(index({ a: "../x.safetensors" })))).rejects.toThrow(
      /no index/,
    );
  });

  test.each(["config.json", "tokenizer.json"])("a missing %s is named", async (name) => {
    const failure = await failureOf(openModelFolder(await makeModel(without(name))));
    expect(failure).toBeInstanceOf(CheckpointError);
    expect(failure.message).toContain(`${name} is missing`);
    expect(failure.hint).toBeTruthy();
  });

  test("missing weights: which files were looked for, and what to do with pytorch_model.bin", async () => {
    const path = await makeModel(without("model.safetensors"));
    await expect(openModelFolder(path)).rejects.toThrow(
      /looked for model.safetensors and model.safetensors.index/,
    );
    await writeFile(join(path, "pytorch_model.bin"), "");
    expect((await failureOf(openModelFolder(path))).hint).toMatch(/Convert it with transformers/);
  });

  test("a folder that is not there, and a config that is not JSON", async () => {
    await expect(openModelFolder("./no/such")).rejects.toThrow("./no/such: no such model folder");
    const path = await makeModel({ ...modelFiles, "config.json": "{" });
    await expect(openModelFolder(path)).rejects.toThrow(/config.json: is not JSON/);
  });
});

describe("the hash", () => {
  test("follows the bytes, not the place", async () => {
    const path = await makeModel(modelFiles);
    const { hash } = await openModelFolder(path);
    await symlink(path, join(folder, "elsewhere"));
    expect((await openModelFolder(join(folder, "elsewhere"))).hash).toBe(hash);
    await writeFile(
      join(path, "model.safetensors"),
      encodeSafetensors(new Map([["a", float32([1, 3], [2])]])),
    );
    const changed = await openModelFolder(path);
    expect(changed.hash).not.toBe(hash);
    await writeFile(join(path, "config.json"), "{}");
    expect((await openModelFolder(path)).hash).not.toBe(changed.hash);
  });

  test("is remembered while the file does not change, and taken anew when it does", async () => {
    const path = await makeModel(modelFiles);
    const { hash } = await openModelFolder(path);
    const cache = join(folder, "cache", "accrete", "hashes.json");
    const digest = hex(modelFiles["model.safetensors"] ?? "");
    const stored = await readFile(cache, "utf8");
    expect(stored).toContain(digest);
    await writeFile(cache, stored.replace(digest, "0".repeat(64)));
    expect((await openModelFolder(path)).hash).not.toBe(hash);
    utimesSync(join(path, "model.safetensors"), 1, 1);
    expect((await openModelFolder(path)).hash).toBe(hash);
  });

  test("does without a cache that is damaged or cannot be written", async () => {
    const path = await makeModel(modelFiles);
    const { hash } = await openModelFolder(path);
    await writeFile(join(folder, "cache", "accrete", "hashes.json"), "nonsense");
    expect((await openModelFolder(path)).hash).toBe(hash);
    vi.stubEnv("XDG_CACHE_HOME", join(path, "config.json"));
    expect((await openModelFolder(path)).hash).toBe(hash);
  });
});

describe("sentence-transformers' pooling", () => {
  const modules = (...types: string[]) =>
    JSON.stringify(
      types.map((type, i) => ({ idx: i, name: `${i}`, path: `${i}_${type}`, type: `st.models.${type}` })),
    );
  const old = {
    pooling_mode_cls_token: false,
    pooling_mode_mean_tokens: true,
    pooling_mode_max_tokens: false,
  };

  test.each<[string, Record<string, string>, unknown]>([
    [
      "mean",
      { "1_Pooling/config.json": JSON.stringify(old) },
      { pooling: "mean", modes: ["mean_tokens"], normalize: false },
    ],
    [
      "cls, normalised",
      {
        "modules.json": modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": '{"pooling_mode_cls_token": true}',
      },
      { pooling: "cls", modes: ["cls_token"], normalize: true },
    ],
    [
      "the newer form",
      { "1_Pooling/config.json": '{"pooling_mode": "lasttoken"}' },
      { pooling: "last", modes: ["lasttoken"], normalize: false },
    ],
    [
      "the largest values",
      { "1_Pooling/config.json": '{"pooling_mode_max_tokens": true}' },
      { pooling: "max", modes: ["max_tokens"], normalize: false },
    ],
    [
      "the mean by position",
      { "1_Pooling/config.json": '{"pooling_mode": "weightedmean"}' },
      { pooling: "weighted-mean", modes: ["weightedmean"], normalize: false },
    ],
    [
      "the root of the length",
      { "1_Pooling/config.json": '{"pooling_mode_mean_sqrt_len_tokens": true}' },
      { pooling: "mean-sqrt-len", modes: ["mean_sqrt_len_tokens"], normalize: false },
    ],
    [
      "one that is not ours",
      { "1_Pooling/config.json": '{"pooling_mode": "median"}' },
      { modes: ["median"], normalize: false },
    ],
    [
      "two at once",
      { "1_Pooling/config.json": '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}' },
      { pooling: "modules", modes: ["cls_token", "mean_tokens"], normalize: false },
    ],
    [
      "none of the old flags",
      { "1_Pooling/config.json": '{"pooling_mode_cls_token": false}' },
      { pooling: "mean", modes: ["mean"], normalize: false },
    ],
    [
      "in another folder",
      {
        "modules.json": modules("Transformer", "Dense", "Pooling"),
        "2_Pooling/config.json": '{"pooling_mode_cls_token": true}',
      },
      { pooling: "cls", modes: ["cls_token"], normalize: false },
    ],
  ])("%s", async (_, files, expected) => {
    const { poolingConfig } = await openModelFolder(await makeModel({ ...modelFiles, ...files }));
    expect(poolingConfig).toEqual(expected);
  });
});

describe("what sentence-transformers writes beside a model", () => {
  const open = async (files: Record<string, string>) =>
    openModelFolder(await makeModel({ ...modelFiles, ...files }));
  const chain = (...paths: readonly (readonly [string, string])[]) =>
    JSON.stringify(paths.map(([type, path]) => ({ type: `sentence_transformers.models.${type}`, path })));

  test("is named where it is not applied: several poolings at once under a module that is not known", async () => {
    const { notes } = await open({
      "modules.json": chain(
        ["Transformer", ""],
        ["Pooling", "1_Pooling"],
        ["CNN", "2_CNN"],
        ["Normalize", "3_Normalize"],
      ),
      "1_Pooling/config.json": '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}',
    });
    expect(notes.join("\n")).toMatch(/the CNN module in 2_CNN is not applied/);
    expect(notes.join("\n")).toMatch(/cls_token and mean_tokens is not applied/);
    expect(notes).toHaveLength(2);
  });

  test("says which prompt stands before every text, and which do not", async () => {
    const prompts = { query: "query: ", passage: "passage: " };
    const file = (settings: object) => ({ "config_sentence_transformers.json": JSON.stringify(settings) });
    const asked = await open(file({ prompts, default_prompt_name: "query" }));
    expect(asked.prefix).toBe("query: ");
    expect(asked.notes.join()).toMatch(/its prompt query, "query: ", is put before every text/);
    const none = await open(file({ prompts, default_prompt_name: null }));
    expect(none.prefix).toBeUndefined();
    expect(none.notes.join()).toMatch(/prompts \(query, passage\).*Set prompt: "query: \{text\}"/);
    expect((await open(file({ prompts: {} }))).notes).toEqual([]);
  });

  test("may keep the model in a folder of its own", async () => {
    const inner = Object.fromEntries(
      Object.entries(modelFiles).map(([name, content]) => [`0_Transformer/${name}`, content]),
    );
    const folder = await makeModel({
      ...inner,
      "modules.json": chain(["Transformer", "0_Transformer"], ["Pooling", "1_Pooling"]),
      "1_Pooling/config.json": '{"pooling_mode_mean_tokens": true}',
    });
    const model = await openModelFolder(folder);
    expect(model.path).toBe(join(folder, "0_Transformer"));
    expect(model.poolingConfig?.pooling).toBe("mean");
    expect(await readModelConfig(folder)).toEqual(model.config);
  });

  test("may not point out of the folder", async () => {
    const refused = open({ "modules.json": chain(["Pooling", "../elsewhere"]) });
    await expect(refused).rejects.toThrow(/Pooling lies in \.\.\/elsewhere, out of the model's folder/);
  });
});

describe("the model that ships", () => {
  test("is opened by its name from any folder", async () => {
    const model = await openModelFolder(SHIPPED_MODEL);
    expect(model.source).toBe("accrete-mini");
    expect(model.path).toBe(join(import.meta.dirname, "../../models/accrete-mini"));
  });
});

describe.skipIf(!existsSync("../shared/models/minilm-l6"))(
  "MiniLM-L6 (skipped where ../shared/models/minilm-l6 is absent)",
  () => {
    test("opens with mean pooling and all its tensors", async () => {
      const model = await openModelFolder("../shared/models/minilm-l6");
      expect(model.poolingConfig).toEqual({ pooling: "mean", modes: ["mean_tokens"], normalize: false });
      expect(model.weights.get("embeddings.word_embeddings.weight")?.dims).toEqual([30522, 384]);
    });
  },
);
