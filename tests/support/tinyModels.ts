/** Tiny random models in folders of their own: a BERT, a Llama, and one of every family. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultConfig, shapesOf } from "./defaultConfigs.ts";

/** Writes a model folder with a copy of a golden tokenizer. */
async function writeModel(
  folder: string,
  config: object,
  tensors: ReadonlyMap<string, HostTensor>,
  tokenizer: string,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(packageRoot, "tests/goldens/tokenizers", tokenizer, name), join(folder, name));
}

/** Draws normal tensors of spread 0.3, each by its name. */
function drawnWeights(seed: number) {
  const rng = createRng(seed);
  const tensors = new Map<string, HostTensor>();
  const add = (name: string, dims: readonly number[], mean = 0) => {
    const own = rng.fork(name);
    const values = Float32Array.from({ length: sizeOf(dims) }, () => mean + 0.3 * own.normal());
    tensors.set(name, float32(values, dims));
  };
  return { tensors, add };
}

const bert = {
  model_type: "bert",
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 32,
  vocab_size: 480,
  max_position_embeddings: 32,
  type_vocab_size: 2,
};

function bertTensors(): ReadonlyMap<string, HostTensor> {
  const { hidden_size: width, intermediate_size: intermediate } = bert;
  const { tensors, add } = drawnWeights(7);
  const linear = (name: string, outFeatures: number, inFeatures: number) => {
    add(`${name}.weight`, [outFeatures, inFeatures]);
    add(`${name}.bias`, [outFeatures]);
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 1);
    add(`${name}.bias`, [width]);
  };
  add("embeddings.word_embeddings.weight", [bert.vocab_size, width]);
  add("embeddings.position_embeddings.weight", [bert.max_position_embeddings, width]);
  add("embeddings.token_type_embeddings.weight", [bert.type_vocab_size, width]);
  norm("embeddings.LayerNorm");
  for (const name of ["query", "key", "value"])
    linear(`encoder.layer.0.attention.self.${name}`, width, width);
  linear("encoder.layer.0.attention.output.dense", width, width);
  norm("encoder.layer.0.attention.output.LayerNorm");
  linear("encoder.layer.0.intermediate.dense", intermediate, width);
  linear("encoder.layer.0.output.dense", width, intermediate);
  norm("encoder.layer.0.output.LayerNorm");
  return tensors;
}

/** Writes a random one-layer BERT. */
export async function writeTinyModel(folder: string): Promise<void> {
  await writeModel(folder, bert, bertTensors(), "bert-uncased");
}

const llama = {
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 480,
  max_position_embeddings: 96,
  rms_norm_eps: 1e-5,
  hidden_act: "silu",
  tie_word_embeddings: true,
  eos_token_id: 7,
};

function llamaTensors(vocabularySize: number): ReadonlyMap<string, HostTensor> {
  const { hidden_size: width, intermediate_size: intermediate } = llama;
  const { tensors, add } = drawnWeights(11);
  add("model.embed_tokens.weight", [vocabularySize, width]);
  const layer = "model.layers.0";
  for (const name of ["input_layernorm", "post_attention_layernorm"])
    add(`${layer}.${name}.weight`, [width], 1);
  add(`${layer}.self_attn.q_proj.weight`, [width, width]);
  for (const name of ["k_proj", "v_proj"]) add(`${layer}.self_attn.${name}.weight`, [width / 2, width]);
  add(`${layer}.self_attn.o_proj.weight`, [width, width]);
  for (const name of ["gate_proj", "up_proj"]) add(`${layer}.mlp.${name}.weight`, [intermediate, width]);
  add(`${layer}.mlp.down_proj.weight`, [width, intermediate]);
  add("model.norm.weight", [width], 1);
  return tensors;
}

/** Writes a random one-layer Llama with a byte-level tokenizer. @param changes to config.json */
export async function writeTinyDecoder(
  folder: string,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const config = { ...llama, ...changes };
  await writeModel(folder, config, llamaTensors(config.vocab_size), "roberta");
}

/** The random backbones of the goldens, one a family, made fit for a real tokenizer. */
interface Origin {
  readonly golden: string;
  readonly tokenizer: string;
}

/** Mistral's layers are Llama's. */
const origins: { readonly [A in Architecture]: Origin } = {
  bert: { golden: "bert", tokenizer: "bert-uncased" },
  roberta: { golden: "roberta", tokenizer: "roberta" },
  gpt2: { golden: "gpt2", tokenizer: "roberta" },
  gpt_neox: { golden: "gpt_neox", tokenizer: "roberta" },
  llama: { golden: "llama", tokenizer: "roberta" },
  mistral: { golden: "llama", tokenizer: "roberta" },
  qwen2: { golden: "qwen2", tokenizer: "roberta" },
  "xlm-roberta": { golden: "xlm-roberta", tokenizer: "roberta" },
  camembert: { golden: "camembert", tokenizer: "roberta" },
  distilbert: { golden: "distilbert", tokenizer: "bert-uncased" },
  electra: { golden: "electra", tokenizer: "bert-uncased" },
  mpnet: { golden: "mpnet", tokenizer: "bert-uncased" },
  modernbert: { golden: "modernbert", tokenizer: "roberta" },
  "deberta-v2": { golden: "deberta-v2", tokenizer: "roberta" },
  qwen3: { golden: "qwen3", tokenizer: "roberta" },
  smollm3: { golden: "smollm3", tokenizer: "roberta" },
  phi3: { golden: "phi3", tokenizer: "roberta" },
  gemma3_text: { golden: "gemma3_text", tokenizer: "roberta" },
};

/** At least as many as the tokenizers have. */
const vocabularySize = 480;

const configSchema = z.looseObject({ vocab_size: z.number() });

/** The same table with rows of the same spread behind its own. */
function widen(name: string, { data, dims }: HostTensor): HostTensor {
  const own = Float32Array.from(data, Number);
  const spread = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0) / own.length);
  const rng = createRng(3).fork(name);
  const [rows = 1] = dims;
  const width = own.length / rows;
  const values = Float32Array.from(
    { length: vocabularySize * width },
    (_, i) => own[i] ?? spread * rng.normal(),
  );
  return float32(values, [vocabularySize, ...dims.slice(1)]);
}

/** Writes a family's model folder. */
export async function writeTinyFamily(family: Architecture, folder: string): Promise<void> {
  const { golden, tokenizer } = origins[family];
  const from = join(packageRoot, "tests/goldens", golden);
  const config = configSchema.parse(JSON.parse(await readFile(join(from, "config.json"), "utf8")));
  const weights = join(from, "model.safetensors");
  const { tensors } = decodeSafetensors(await readFile(weights), weights);
  const widened = [...tensors].map(([name, tensor]) => {
    const overWords = tensor.dims[0] === config.vocab_size;
    return [name, overWords ? widen(name, tensor) : tensor] as const;
  });
  const changed = { ...config, model_type: family, vocab_size: vocabularySize };
  await writeModel(folder, changed, new Map(widened), tokenizer);
}

/** Values of spread 0.02, the same few thousand again and again: large models are written in no time. */
function repeated(dims: readonly number[], rng: Rng, ones: boolean): HostTensor<"float32"> {
  const values = new Float32Array(sizeOf(dims));
  if (ones) return float32(values.fill(1), dims);
  const block = Float32Array.from({ length: 4099 }, () => 0.02 * rng.normal());
  for (let at = 0; at < values.length; at += block.length)
    values.set(block.subarray(0, values.length - at), at);
  return float32(values, dims);
}

/** What makes a layer wide; a part of each gives a narrower model of the same make. */
const breadths = ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"] as const;

function defaultOf(family: Architecture, divisor: number): Record<string, unknown> {
  const config = { ...defaultConfig(family), vocab_size: vocabularySize, pad_token_id: 1 };
  const narrowed = breadths.flatMap((key) => {
    const breadth = Object.entries(config).find(([name]) => name === key)?.[1];
    return typeof breadth === "number" ? [[key, Math.max(1, breadth / divisor)] as const] : [];
  });
  return { ...config, ...Object.fromEntries(narrowed) };
}

function countParameters(family: Architecture, divisor: number): number {
  return shapesOf(family, defaultOf(family, divisor)).reduce((sum, { dims }) => sum + sizeOf(dims), 0);
}

/** By which power of two a family's widths must be divided to have no more parameters. */
export function divisorWithin(family: Architecture, mostParameters: number): number {
  let divisor = 1;
  while (countParameters(family, divisor) > mostParameters) divisor *= 2;
  return divisor;
}

/**
 * Writes a family's model of the size that transformers' own configuration class has by default, cut to two layers and to
 * the tokenizer's vocabulary, its widths divided.
 */
export async function writeDefaultModel(
  family: Architecture,
  folder: string,
  divisor: number,
): Promise<void> {
  const rng = createRng(9);
  const config = defaultOf(family, divisor);
  const tensors = shapesOf(family, config).map(({ name, dims }) => {
    const norm = /norm|ln_/i.test(name) && name.endsWith(".weight");
    return [name, repeated(dims, rng.fork(name), norm)] as const;
  });
  await writeModel(folder, config, new Map(tensors), origins[family].tokenizer);
}
