/** A random one-layer Llama that lives in a test's folder, with a byte-level tokenizer. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../src/app/packageInfo.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";

const tokenizer = join(packageRoot, "tests/goldens/tokenizers/roberta");
const width = 32;
const intermediate = 48;

const modelConfig = {
  model_type: "llama",
  hidden_size: width,
  intermediate_size: intermediate,
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

function modelTensors(vocabularySize: number): Map<string, HostTensor> {
  const rng = createRng(11);
  const tensors = new Map<string, HostTensor>();
  const add = (name: string, dims: readonly number[], mean = 0) => {
    const own = rng.fork(name);
    const values = Float32Array.from({ length: sizeOf(dims) }, () => mean + 0.3 * own.normal());
    tensors.set(name, float32(values, dims));
  };
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

/** @param changes to config.json */
export async function writeTinyDecoder(
  folder: string,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const config = { ...modelConfig, ...changes };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const tensors = modelTensors(config.vocab_size);
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(tokenizer, name), join(folder, name));
}
