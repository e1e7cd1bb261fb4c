/** A whole experiment that runs in seconds: a random one-layer BERT, its tokenizer, and a stream of three tasks. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../src/app/packageInfo.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";

const tokenizer = join(packageRoot, "tests/goldens/tokenizers/bert-uncased");
const width = 16;
const intermediate = 32;

const modelConfig = {
  model_type: "bert",
  hidden_size: width,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: intermediate,
  vocab_size: 480,
  max_position_embeddings: 32,
  type_vocab_size: 2,
};

function modelTensors(): Map<string, HostTensor> {
  const rng = createRng(7);
  const tensors = new Map<string, HostTensor>();
  const add = (name: string, dims: readonly number[], mean = 0) => {
    const own = rng.fork(name);
    tensors.set(
      name,
      float32(
        Float32Array.from({ length: sizeOf(dims) }, () => mean + 0.3 * own.normal()),
        dims,
      ),
    );
  };
  const linear = (name: string, outFeatures: number, inFeatures: number) => {
    add(`${name}.weight`, [outFeatures, inFeatures]);
    add(`${name}.bias`, [outFeatures]);
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 1);
    add(`${name}.bias`, [width]);
  };
  add("embeddings.word_embeddings.weight", [modelConfig.vocab_size, width]);
  add("embeddings.position_embeddings.weight", [modelConfig.max_position_embeddings, width]);
  add("embeddings.token_type_embeddings.weight", [modelConfig.type_vocab_size, width]);
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

export async function writeTinyModel(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(modelConfig));
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(modelTensors(), { format: "pt" }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(join(tokenizer, name), join(folder, name));
  }
}

export const labels = ["aa", "bb", "cc", "dd", "ee", "ff"] as const;

/** Texts of a label all hold its letter, so that the tasks can be learned. */
function rows(split: string, count: number): string {
  const lines = labels.flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({
      text: `${label[0]} ${split} number ${i} ${label[0]}`,
      label,
    })),
  );
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Writes model, data and configuration. @returns the configuration's path; its `out` is `run` beside it. */
export async function writeTinyExperiment(folder: string): Promise<string> {
  await writeTinyModel(join(folder, "model"));
  await writeFile(join(folder, "train.jsonl"), rows("train", 40));
  await writeFile(join(folder, "validation.jsonl"), rows("validation", 4));
  await writeFile(join(folder, "test.jsonl"), rows("test", 6));
  const path = join(folder, "tiny.yaml");
  await writeFile(
    path,
    `backbone: ./model
stream: { train: train.jsonl, validation: validation.jsonl, test: test.jsonl, tasks: 3 }
training: { epochs: 6, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 }
threads: 1
out: run
`,
  );
  return path;
}
