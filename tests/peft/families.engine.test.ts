/** Adapters that real peft saved of every family, Hugging Face's own head inside: read, run, and written as they were. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import { adapterHost } from "../../src/train/graphs.ts";
import { configOf } from "../support/adapterFiles.ts";
import { temporaryFolder } from "../support/folders.ts";
import { expectLogits, goldenBase } from "../support/goldenAdapters.ts";
import * as golden from "../support/goldens.ts";

const encoders = ["xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "modernbert", "deberta-v2"];
const decoders = ["qwen3", "smollm3", "phi3", "gemma3_text"];
const cases = [...encoders, ...decoders].flatMap((model) =>
  (["sentence", "word"] as const)
    // transformers has no token classifier of Gemma 3.
    .filter((level) => model !== "gemma3_text" || level === "sentence")
    .map((level) => ({ model, level, name: level === "word" ? "tokcls" : "seqcls" })),
);

describe.each(cases)("$model, $name", ({ model, level, name }) => {
  const folder = join(golden.goldensFolder, model, `peft-${name}`);

  test("gives transformers' logits, and again after it was written and read", async () => {
    const { backbone, told } = await goldenBase(model);
    const saved = await readPeftFolder(folder, { backbone: told });
    expect(saved.level ?? "sentence").toBe(level);
    const tensors = await golden.goldenTensors(model, `golden-peft-${name}`, "f32");
    await expectLogits(saved, backbone, tensors);
    const written = join(await temporaryFolder(), "adapter");
    await writeFolderAtomic(written, encodePeftFolder(saved));
    const host = adapterHost({ backbone, feature: { pooling: saved.pooling, normalize: false } });
    const again = await readPeftFolder(written, { host, backbone: told });
    expect(again.adapter).toEqual(saved.adapter);
    await expectLogits(again, backbone, tensors);
  });

  test("is written as peft wrote it: the same tensors, byte for byte, and the same modules", async () => {
    const { told } = await goldenBase(model);
    const saved = await readPeftFolder(folder, { backbone: told });
    const files = encodePeftFolder(saved);
    const theirs = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"));
    const { modules_to_save: modules, ...ours } = configOf(files);
    expect(new Set(Array.isArray(modules) ? modules : [])).toEqual(new Set(theirs.modules_to_save));
    expect(ours.task_type).toBe(theirs.task_type);
    const bytes = await readFile(join(folder, "adapter_model.safetensors"));
    expect(Buffer.from(files.get("adapter_model.safetensors") ?? [])).toEqual(bytes);
  });
});
