import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";
import type { AdapterHost } from "../../src/peft/adapterMethod.ts";
import { encodePeftFolder, readPeftFolder } from "../../src/peft/checkpoint.ts";
import type { Architecture, SavedAdapter } from "../../src/peft/types.ts";
import { temporaryFolder } from "../support/folders.ts";
import { goldenBackbone, goldensFolder } from "../support/goldens.ts";

const lora = ["gpt2", "gpt_neox", "llama", "qwen2"] as const;
const prompts = ["gpt2", "gpt_neox", "llama"] as const;
const cases: readonly { readonly name: string; readonly model: Architecture; readonly folder: string }[] = [
  ...lora.map((model) => ({
    name: `LoRA, ${model}`,
    model,
    folder: join(goldensFolder, model, "peft-causal"),
  })),
  ...prompts.map((model) => ({
    name: `prompt tuning, ${model}`,
    model,
    folder: join(goldensFolder, "prompt", model, "peft-causal"),
  })),
];

async function hostOf(model: string): Promise<AdapterHost> {
  const { width, sites, biases } = await goldenBackbone(model);
  return { width, sites, biases };
}

/** Writes what `encodePeftFolder` gives, and reads it again. */
async function throughDisk(saved: SavedAdapter, host: AdapterHost): Promise<SavedAdapter> {
  const folder = join(await temporaryFolder(), "adapter");
  await mkdir(folder);
  for (const [name, bytes] of encodePeftFolder(saved)) await writeFile(join(folder, name), bytes);
  return readPeftFolder(folder, { host });
}

describe.each(cases)("a CAUSAL_LM folder of real peft: $name", ({ model, folder }) => {
  it("is read by AutoModel's names, and written again as peft wrote it", async () => {
    const host = await hostOf(model);
    const saved = await readPeftFolder(folder, { host, architecture: model });
    expect(saved.causal).toBe(true);
    expect(saved.prompt).toBeUndefined();
    expect(saved.head).toBeUndefined();
    expect(saved.labels).toEqual([]);
    const files = encodePeftFolder({ ...saved, architecture: model });
    const text = (name: string) => new TextDecoder().decode(files.get(name));
    expect(text("adapter_config.json")).toBe(await readFile(join(folder, "adapter_config.json"), "utf8"));
    const weights = "adapter_model.safetensors";
    const theirs = decodeSafetensors(await readFile(join(folder, weights)), weights).tensors;
    const ours = decodeSafetensors(files.get(weights) ?? new Uint8Array(), weights).tensors;
    expect(new Map([...ours].sort())).toEqual(new Map([...theirs].sort()));
    expect(files.has("head.safetensors")).toBe(false);
  });

  it("keeps prompt and labels beside it", async () => {
    const host = await hostOf(model);
    const read = await readPeftFolder(folder, { host, architecture: model });
    const saved: SavedAdapter = {
      ...read,
      architecture: model,
      labels: ["book_flight", "translate"],
      prompt: "qa",
    };
    expect(await throughDisk(saved, host)).toEqual(saved);
  });
});

describe("what depends on the architecture", () => {
  it("is refused where nobody says which it is", async () => {
    const saved = await readPeftFolder(join(goldensFolder, "llama", "peft-causal"));
    expect(saved.architecture).toBeUndefined();
    expect(() => encodePeftFolder(saved)).toThrow(CheckpointError);
  });

  it("is moved in a pattern over whole paths", async () => {
    const host = await hostOf("llama");
    const folder = join(goldensFolder, "llama", "peft-causal");
    const saved = await readPeftFolder(folder, { architecture: "llama" });
    if (saved.adapter.kind !== "lora") throw new Error("no LoRA");
    const targetModules = "layers\\.\\d+\\.self_attn\\.[qv]_proj";
    const spec = { ...saved.adapter.spec, targetModules };
    const changed: SavedAdapter = { ...saved, adapter: { ...saved.adapter, spec } };
    const config = new TextDecoder().decode(encodePeftFolder(changed).get("adapter_config.json"));
    expect(JSON.parse(config)).toMatchObject({ target_modules: `model\\.(?:${targetModules})` });
    expect((await throughDisk(changed, host)).adapter).toEqual(changed.adapter);
  });
});
