/** Adapters made up for tests, and ways to damage those that real peft made. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { writeFolderAtomic } from "../../src/io/atomic.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { type HeadKind, heads } from "../../src/nn/heads.ts";
import type { AdapterHost } from "../../src/peft/adapterMethod.ts";
import { encodePeftFolder } from "../../src/peft/checkpoint.ts";
import type { Head, LoraAdapter, LoraSpec, SavedAdapter } from "../../src/peft/types.ts";
import { temporaryFolder } from "./folders.ts";
import { goldensFolder } from "./goldens.ts";

export const width = 24;
const intermediate = 40;

/** The layers of the goldens' models, less the pooler's. */
export const host: AdapterHost = (() => {
  const sites = new Map<string, readonly [number, number]>();
  const biases = new Map([["embeddings.LayerNorm.bias", width]]);
  for (const layer of [0, 1].map((index) => `encoder.layer.${index}`)) {
    for (const name of ["query", "key", "value"])
      sites.set(`${layer}.attention.self.${name}`, [width, width]);
    sites.set(`${layer}.attention.output.dense`, [width, width]);
    sites.set(`${layer}.intermediate.dense`, [width, intermediate]);
    sites.set(`${layer}.output.dense`, [intermediate, width]);
    for (const name of ["attention.output", "output"]) biases.set(`${layer}.${name}.LayerNorm.bias`, width);
  }
  for (const [site, [, outFeatures]] of sites) biases.set(`${site}.bias`, outFeatures);
  return { width, sites, biases };
})();

const rng = createRng(5);
export function random(...dims: number[]): HostTensor<"float32"> {
  return float32(
    Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
    dims,
  );
}

const plain: LoraSpec = {
  rank: 2,
  alpha: 8,
  dropout: 0.1,
  bias: "none",
  targetModules: ["query", "value"],
  rslora: false,
};

function makeTensors(spec: LoraSpec): Map<string, HostTensor<"float32">> {
  const tensors = new Map<string, HostTensor<"float32">>();
  for (const layer of spec.layers ?? [0, 1]) {
    for (const name of ["query", "value"]) {
      const site = `encoder.layer.${layer}.attention.self.${name}`;
      tensors.set(`${site}.lora_A.weight`, random(spec.rank, width));
      tensors.set(`${site}.lora_B.weight`, random(width, spec.rank));
      if (spec.bias === "lora_only") tensors.set(`${site}.bias`, random(width));
    }
  }
  if (spec.bias === "all") for (const [name, size] of host.biases) tensors.set(name, random(size));
  return tensors;
}

const makeHeadOf = (kind: HeadKind) => (): Head => ({
  kind,
  tensors: new Map(
    Object.entries(heads[kind].shapes(width, 3)).map(([name, dims]) => [name, random(...dims.map(Number))]),
  ),
});

export const makeHead: { readonly [K in HeadKind]: () => Head } = {
  linear: makeHeadOf("linear"),
  cosine: makeHeadOf("cosine"),
  dense: makeHeadOf("dense"),
  "dense-relu": makeHeadOf("dense-relu"),
  "dense-gelu": makeHeadOf("dense-gelu"),
  "dense-gelu-norm": makeHeadOf("dense-gelu-norm"),
};

export function makeSaved(change: Partial<SavedAdapter> = {}, spec: Partial<LoraSpec> = {}): SavedAdapter {
  const full = { ...plain, ...spec };
  return {
    adapter: { kind: "lora", spec: full, tensors: makeTensors(full) },
    head: makeHead.linear(),
    labels: ["a", "Größe", "c"],
    pooling: "mean",
    normalize: false,
    architecture: "bert",
    baseModel: "org/tiny",
    backboneHash: "b".repeat(64),
    tokenizerHash: "c".repeat(64),
    ...change,
  };
}

/** Writes an adapter into a folder of peft's beside others of the test. @returns the folder */
export async function writeAdapter(saved: SavedAdapter): Promise<string> {
  const path = join(await temporaryFolder(), "adapter");
  await writeFolderAtomic(path, encodePeftFolder(saved));
  return path;
}

/** A copy of a folder that real peft made, of the test's own. @param from inside the goldens */
export async function copyGolden(...from: readonly string[]): Promise<string> {
  const path = join(await temporaryFolder(), "golden");
  await cp(join(goldensFolder, ...from), path, { recursive: true });
  return path;
}

export function configOf(files: ReadonlyMap<string, Uint8Array>): Record<string, unknown> {
  return JSON.parse(Buffer.from(files.get("adapter_config.json") ?? []).toString());
}

export function keysOf(files: ReadonlyMap<string, Uint8Array>, name = "adapter_model.safetensors"): string[] {
  return [...decodeSafetensors(files.get(name) ?? new Uint8Array(), name).tensors.keys()];
}

export async function editConfig(dir: string, change: Record<string, unknown>): Promise<void> {
  const path = join(dir, "adapter_config.json");
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...change }));
}

export async function editTensors(
  dir: string,
  edit: (tensors: Map<string, HostTensor>) => void,
): Promise<void> {
  const path = join(dir, "adapter_model.safetensors");
  const tensors = new Map(decodeSafetensors(await readFile(path), path).tensors);
  edit(tensors);
  await writeFile(path, encodeSafetensors(tensors, { format: "pt" }));
}

export function loraOf({ adapter }: SavedAdapter): LoraAdapter {
  if (adapter.kind !== "lora") throw new Error(`the adapter is ${adapter.kind}`);
  return adapter;
}
