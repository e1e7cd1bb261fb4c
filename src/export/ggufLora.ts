// Dimensions: R rank, H attention heads, d width of one.
/** `gguf-lora`: adapters of decoders as llama.cpp reads them. */
import { ConfigError } from "../core/errors.ts";
import { float32, type HostTensor } from "../core/tensor.ts";
import { slugFor } from "../model/taskFiles.ts";
import type { DecoderBackbone } from "../nn/backbone.ts";
import type { DecoderArchitecture, DecoderConfig } from "../nn/decoders/decoderConfig.ts";
import { loraScaling, loraSites, siteRank } from "../peft/lora.ts";
import type { LoraAdapter } from "../peft/types.ts";
import { encodeSafetensors } from "../portable/safetensors.ts";
import { encodeGguf, type GgufTensor, type GgufValue } from "./gguf.ts";
import { type AdaptedTask, adaptedTasks, readingNotes } from "./source.ts";
import type { Exporter } from "./types.ts";

type Floats = HostTensor<"float32">;

/** Where rows of a layer's output stand in llama.cpp's weight: the row that comes from there. @param rows of all */
type RowOrder = (config: DecoderConfig, rows: number) => (row: number) => number;

/**
 * llama.cpp rotates neighbours, Hugging Face the halves of a head: row (i, half) of a head stands at (half, i).
 * @param heads of the layer
 */
const interleaved =
  (heads: (config: DecoderConfig) => number): RowOrder =>
  (config, rows) => {
    const width = rows / heads(config);
    return (row) => {
      const within = row % width;
      return row - within + (within % 2) * (width / 2) + Math.floor(within / 2);
    };
  };

/** GPT-NeoX has query, key and value head by head; llama.cpp all queries, then all keys, then all values. */
const apart: RowOrder = ({ heads }, rows) => {
  const width = rows / (3 * heads);
  return (row) => {
    const [part, within] = [Math.floor(row / (heads * width)), row % (heads * width)];
    return (3 * Math.floor(within / width) + part) * width + (within % width);
  };
};

interface GgufSite {
  /** Of the layer within a block. */
  readonly name: string;
  readonly order?: RowOrder;
}

interface GgufFamily {
  /** llama.cpp's name of the architecture. */
  readonly architecture: string;
  /** AutoModel's path of a block, in front of its number. */
  readonly blocks: string;
  /** By what stands behind the number. */
  readonly sites: Readonly<Record<string, GgufSite>>;
}

const mlp: GgufFamily["sites"] = {
  "mlp.gate_proj": { name: "ffn_gate" },
  "mlp.up_proj": { name: "ffn_up" },
  "mlp.down_proj": { name: "ffn_down" },
};

const attention: GgufFamily["sites"] = {
  "self_attn.q_proj": { name: "attn_q" },
  "self_attn.k_proj": { name: "attn_k" },
  "self_attn.v_proj": { name: "attn_v" },
  "self_attn.o_proj": { name: "attn_output" },
};

const rotatedApart: GgufFamily["sites"] = {
  ...attention,
  "self_attn.q_proj": { name: "attn_q", order: interleaved(({ heads }) => heads) },
  "self_attn.k_proj": { name: "attn_k", order: interleaved(({ keyValueHeads }) => keyValueHeads) },
};

const llamaLike = (architecture: string): GgufFamily => ({
  architecture,
  blocks: "layers.",
  sites: { ...rotatedApart, ...mlp },
});
const qwenLike = (architecture: string): GgufFamily => ({
  architecture,
  blocks: "layers.",
  sites: { ...attention, ...mlp },
});

/** As llama.cpp's convert_hf_to_gguf.py names and turns the weights that adapters stand beside. */
const ggufFamilies: { readonly [A in DecoderArchitecture]: GgufFamily } = {
  llama: llamaLike("llama"),
  mistral: llamaLike("llama"),
  smollm3: llamaLike("smollm3"),
  qwen2: qwenLike("qwen2"),
  qwen3: qwenLike("qwen3"),
  gemma3_text: qwenLike("gemma3"),
  phi3: {
    architecture: "phi3",
    blocks: "layers.",
    sites: {
      "self_attn.qkv_proj": { name: "attn_qkv" },
      "self_attn.o_proj": { name: "attn_output" },
      "mlp.gate_up_proj": { name: "ffn_up" },
      "mlp.down_proj": { name: "ffn_down" },
    },
  },
  gpt2: {
    architecture: "gpt2",
    blocks: "h.",
    sites: {
      "attn.c_attn": { name: "attn_qkv" },
      "attn.c_proj": { name: "attn_output" },
      "mlp.c_fc": { name: "ffn_up" },
      "mlp.c_proj": { name: "ffn_down" },
    },
  },
  gpt_neox: {
    architecture: "gptneox",
    blocks: "layers.",
    sites: {
      "attention.query_key_value": { name: "attn_qkv", order: apart },
      "attention.dense": { name: "attn_output" },
      "mlp.dense_h_to_4h": { name: "ffn_up" },
      "mlp.dense_4h_to_h": { name: "ffn_down" },
    },
  },
};

/** llama.cpp's name of a layer, and how its rows are turned. */
function placeOf({ blocks, sites }: GgufFamily, site: string, where: string): GgufSite {
  const [, number, rest] = new RegExp(`^${blocks.replace(".", "\\.")}(\\d+)\\.(.+)$`).exec(site) ?? [];
  const known = rest === undefined ? undefined : sites[rest];
  if (known === undefined)
    throw new ConfigError(`${where}: llama.cpp has no name for the adapted layer ${site}`, {
      hint: `Adapt layers that it knows: ${Object.keys(sites).join(", ")}.`,
    });
  return { ...known, name: `blk.${number}.${known.name}.weight` };
}

/** B (out, R) as llama.cpp wants it: its rows in the order of the weight's, times a factor. */
function turned({ data, dims }: Floats, factor: number, order: (row: number) => number): Floats {
  const [rows = 0, rank = 0] = dims;
  const values = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let r = 0; r < rank; r++) values[row * rank + r] = factor * data[order(row) * rank + r]!;
  return float32(values, dims);
}

/** @throws ConfigError for what llama.cpp has no place for */
function requirePlain({ name, saved }: AdaptedTask, where: string): LoraAdapter {
  const { adapter } = saved;
  const refuse = (what: string): never => {
    throw new ConfigError(`${where}: task "${name}" ${what}, which an adapter of llama.cpp cannot hold`, {
      hint: "--to peft writes it as it is; --to merged makes a model of it, which llama.cpp converts.",
    });
  };
  if (adapter.kind !== "lora") return refuse("has a tuned prompt");
  const { dora, bias, replaced } = adapter.spec;
  if (dora === true) return refuse("was trained with DoRA");
  if (bias !== "none") return refuse("has trained biases");
  if (replaced !== undefined) return refuse("has word embeddings of its own");
  return adapter;
}

/** A and B of every adapted layer. llama.cpp scales by alpha / R: what an adapter scales otherwise goes into B. */
function tensorsOf({ spec, tensors }: LoraAdapter, backbone: DecoderBackbone, where: string): GgufTensor[] {
  const { config } = backbone;
  const family = ggufFamilies[config.architecture];
  return loraSites(spec, backbone).flatMap((site) => {
    const [a, b] = [tensors.get(`${site}.lora_A.weight`)!, tensors.get(`${site}.lora_B.weight`)!];
    const { name, order } = placeOf(family, site, where);
    const factor = loraScaling(spec, site) / (spec.alpha / siteRank(spec, site));
    const rows = order === undefined ? (row: number) => row : order(config, b.dims[0] ?? 0);
    return [
      { name: `${name}.lora_a`, ...a },
      { name: `${name}.lora_b`, ...turned(b, factor, rows) },
    ];
  });
}

/** An adapter's file. @throws ConfigError for what llama.cpp has no place for @param where names the store */
export function encodeGgufLora(task: AdaptedTask, backbone: DecoderBackbone, where: string): Uint8Array {
  const adapter = requirePlain(task, where);
  const text = (value: string): GgufValue => ({ type: "string", value });
  const values = new Map<string, GgufValue>([
    ["general.architecture", text(ggufFamilies[backbone.config.architecture].architecture)],
    ["general.type", text("adapter")],
    ["general.name", text(task.name)],
    ["adapter.type", text("lora")],
    ["adapter.lora.alpha", { type: "float32", value: adapter.spec.alpha }],
  ]);
  return encodeGguf(values, tensorsOf(adapter, backbone, where));
}

export const exportGguf: Exporter = (source) => {
  const { where, model } = source;
  const { backbone } = model.loaded;
  if (backbone.kind === "encoder")
    throw new ConfigError(
      `${where}: its backbone is an encoder (${backbone.config.architecture}), and llama.cpp adapts decoders alone`,
      { hint: "--to merged or --to peft exports a task of an encoder." },
    );
  const files = new Map<string, Uint8Array>();
  const taken = new Set<string>();
  const notes = readingNotes(source);
  for (const task of adaptedTasks(source)) {
    const slug = slugFor(task.name, taken);
    taken.add(slug);
    files.set(`${slug}.gguf`, encodeGgufLora(task, backbone, where));
    const { head, labels, pooling } = task.saved;
    if (head === undefined) continue;
    files.set(
      `${slug}.head.safetensors`,
      encodeSafetensors(head.tensors, { labels: JSON.stringify(labels) }),
    );
    notes.push(
      `${task.name}: llama.cpp has no place for its head, which reads a text's ${pooling} state; it lies in ${slug}.head.safetensors.`,
    );
  }
  return Promise.resolve({ files, notes });
};
