/** `merged`: one task's LoRA merged into the weights, with its head, as transformers and transformers.js read it. */
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { bytesPerElement, type HostTensor, isFloat32, sizeOf } from "../core/tensor.ts";
import type { WeightSource } from "../graph/types.ts";
import type { FileContent } from "../io/atomic.ts";
import { readTensor, streamSafetensors, type TensorToStore } from "../io/safetensors.ts";
import { type Backbone, createBackbone } from "../nn/backbone.ts";
import { ownHead } from "../nn/families.ts";
import { joinParameters } from "../nn/layers/parameters.ts";
import { hasOwnHead } from "../peft/checkpoint.ts";
import type { LoraAdapter, SavedAdapter } from "../peft/types.ts";
import { encodeSafetensors } from "../portable/safetensors.ts";
import { adapterHost } from "../train/graphs.ts";
import { encodeOnnx, LARGEST_ONNX } from "./embedded.ts";
import { mergeLora } from "./mergeLora.ts";
import { configOf, type ModelUse, tokenizerFilesOf } from "./modelFiles.ts";
import { buildHeadedModel } from "./portableModel.ts";
import { type AdaptedTask, oneTask, readingNotes, requireFloat } from "./source.ts";
import type { Exporter, ExportSource } from "./types.ts";
import { onnxFile } from "./webFiles.ts";

type Floats = HostTensor<"float32">;

/** @throws ConfigError for an adapter that is no LoRA */
function requireLora({ where }: ExportSource, { name, saved }: AdaptedTask): LoraAdapter {
  if (saved.adapter.kind === "lora") return saved.adapter;
  throw new ConfigError(
    `${where}: task "${name}" has a tuned prompt, no LoRA: there is nothing to merge into the weights`,
    { hint: "--to peft writes it as it is." },
  );
}

async function readFloats(source: WeightSource): Promise<Floats> {
  const tensor = await readTensor(source);
  if (isFloat32(tensor)) return tensor;
  throw new CheckpointError(`${source.file}: a weight is ${tensor.dtype}, expected floats`);
}

/** Names of a normalisation in old checkpoints, as they are today. */
function presentName(name: string): string {
  return name.replace(/LayerNorm\.gamma$/, "LayerNorm.weight").replace(/LayerNorm\.beta$/, "LayerNorm.bias");
}

/** A merged model's weights, by AutoModel's names: as they were made, or where they lie. */
export type MergedWeights = ReadonlyMap<string, Floats | WeightSource>;

/** The backbone's weights in float32, by AutoModel's present names, merged where the adapter changes them. */
export async function mergedWeights(
  backbone: Backbone,
  saved: SavedAdapter,
  adapter: LoraAdapter,
): Promise<MergedWeights> {
  const weights = new Map<string, Floats | WeightSource>();
  for (const [name, source] of backbone.weights)
    if (["float32", "float16", "bfloat16"].includes(source.dtype)) weights.set(presentName(name), source);
  const host = adapterHost({ backbone, feature: saved });
  const read = (name: string) => {
    const known = weights.get(name);
    if (known === undefined) throw new CheckpointError(`the backbone has no weight "${name}" to merge into`);
    return "data" in known ? Promise.resolve(known) : readFloats(known);
  };
  for await (const [name, tensor] of mergeLora(adapter, host, read)) weights.set(name, tensor);
  return weights;
}

/** What transformers loads, and why it is not more. */
interface Layout {
  readonly use: ModelUse;
  /** In front of AutoModel's names. */
  readonly prefix: string;
  /** By Hugging Face's names. */
  readonly head: ReadonlyMap<string, Floats | WeightSource>;
  /** Why the head is no part of the weights. */
  readonly apart?: string;
}

/** A head of ours under Hugging Face's names. */
function namedHead({ architecture, level, head }: SavedAdapter): ReadonlyMap<string, Floats> {
  const names = architecture === undefined ? undefined : ownHead(architecture, level ?? "sentence")?.names;
  return new Map(
    [...(names ?? [])].flatMap(([name, theirs]) => {
      const tensor = head?.tensors.get(name);
      return tensor === undefined ? [] : [[theirs, tensor] as const];
    }),
  );
}

function layoutOf(backbone: Backbone, saved: SavedAdapter): Layout {
  const { headedPrefix: prefix, headWeights } = backbone;
  if (saved.causal === true) return { use: "ForCausalLM", prefix, head: headWeights };
  if (hasOwnHead(saved))
    return {
      use: saved.level === "word" ? "ForTokenClassification" : "ForSequenceClassification",
      prefix,
      head: namedHead(saved),
    };
  const what = `${saved.head?.kind ?? "no"} head on ${saved.level === "word" ? "words" : `pooling ${saved.pooling}`}${saved.normalize ? ", normalised" : ""}`;
  return {
    use: "Model",
    prefix: "",
    head: new Map(),
    apart: `transformers has no ${backbone.config.architecture} model with a ${what}: model.safetensors is for AutoModel, the head lies in head.safetensors, and ${onnxFile} holds both.`,
  };
}

function toStore(value: Floats | WeightSource): TensorToStore {
  const read = async () => {
    const { data } = "data" in value ? value : await readFloats(value);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  };
  return { dtype: "float32", dims: value.dims, read };
}

const floatBytes = (weights: MergedWeights) =>
  [...weights.values()].reduce((sum, { dims }) => sum + sizeOf(dims) * bytesPerElement.float32, 0);

/** The merged model as a graph with its head, in one file. @param config the backbone's config.json */
export async function mergedOnnx(
  config: unknown,
  backbone: Backbone,
  saved: SavedAdapter,
  weights: MergedWeights,
  where: string,
): Promise<Uint8Array> {
  const bytes = new Map<WeightSource, Uint8Array>();
  const sources = new Map<string, WeightSource>();
  for (const [name, value] of weights) {
    const data = await toStore(value).read();
    const place = { file: "merged", offset: sources.size, length: data.length };
    const source: WeightSource = { ...place, dtype: "float32", dims: value.dims };
    sources.set(name, source);
    bytes.set(source, data);
  }
  const plain = createBackbone(config, sources, where);
  // Layers over a pooled vector stand beside the model's own weights.
  const parameters = joinParameters(backbone.parameters, plain.parameters);
  const merged = {
    ...plain,
    parameters,
    maxTokens: backbone.maxTokens,
    ...(backbone.modules && { modules: backbone.modules }),
  };
  const { head, labels, level } = saved;
  if (head === undefined) throw new CheckpointError(`${where}: the adapter has no head`);
  const graph = buildHeadedModel(merged, saved, head, labels.length, level);
  return encodeOnnx(graph, where, (source) => bytes.get(source) ?? new Uint8Array());
}

export const exportMerged: Exporter = async (source) => {
  const task = oneTask(source);
  const { saved } = task;
  const adapter = requireLora(source, task);
  requireFloat(source, "the merged model");
  const { backbone, folder } = source.model.loaded;
  const weights = await mergedWeights(backbone, saved, adapter);
  const { use, prefix, head, apart } = layoutOf(backbone, saved);
  const all = new Map([...weights].map(([name, value]) => [prefix + name, value] as const));
  for (const [name, value] of head) all.set(name, value);
  const notes = [...readingNotes(source), ...(apart === undefined ? [] : [apart])];
  const classes = saved.head === undefined ? {} : { labels: saved.labels };
  const files = new Map<string, FileContent>([
    ["config.json", configOf(source, { use, ...classes, dtype: "float32" })],
    ...(await tokenizerFilesOf(source)),
    [
      "model.safetensors",
      streamSafetensors(new Map([...all].map(([name, value]) => [name, toStore(value)])), { format: "pt" }),
    ],
  ]);
  if (apart !== undefined && saved.head !== undefined)
    files.set("head.safetensors", encodeSafetensors(saved.head.tensors, { format: "pt" }));
  if (saved.head === undefined)
    notes.push("No ONNX: the model answers in words, and its graph with a cache of keys is not exported.");
  else if (floatBytes(weights) > LARGEST_ONNX)
    notes.push("No ONNX: the weights take more than the 2 GiB of one file.");
  else files.set(onnxFile, await mergedOnnx(folder.config, backbone, saved, weights, source.where));
  return { files, notes };
};
