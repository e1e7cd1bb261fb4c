/** The random backbones of the goldens, one a family, made fit for a real tokenizer. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { packageRoot } from "../../src/app/packageInfo.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor } from "../../src/core/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import type { Architecture } from "../../src/nn/backbone.ts";

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
  await mkdir(folder, { recursive: true });
  const changed = { ...config, model_type: family, vocab_size: vocabularySize };
  await writeFile(join(folder, "config.json"), JSON.stringify(changed));
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(new Map(widened), { format: "pt" }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(packageRoot, "tests/goldens/tokenizers", tokenizer, name), join(folder, name));
}
