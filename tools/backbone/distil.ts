/**
 * Pretrains the embedded backbone on our own engine, every parameter of it, by distilling a teacher's sentence
 * vectors: `npx tsx tools/backbone/distil.ts --corpus …/corpus.txt --vectors …/vectors.f32
 * --entries …/entries.f32 --steps 8000`. `--entries` holds the teacher's vectors of the vocabulary (teach.ts on
 * entries.txt); without it the embeddings start at random.
 * Reads the tokenizer from and writes the model to models/accrete-mini (or --out).
 */
import { openSync, readFileSync, readSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError, EngineError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { asFloat32, float32, type HostTensor } from "../../src/core/tensor.ts";
import { collate, planBatches } from "../../src/data/encoding/batching.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import { writeFileAtomic } from "../../src/io/atomic.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { openBert } from "../../src/nn/encoders/bert.ts";
import { poolingWeights, tokenFeeds } from "../../src/nn/features.ts";
import { AdamW, clipGradients } from "../../src/optim/adamw.ts";
import { scheduleFactor } from "../../src/optim/schedule.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { GRADIENT_PREFIX } from "../../src/train/graphs.ts";
import { buildStudentGraph, initStudent, PROJECTION } from "./student.ts";
import { warmStart } from "./warmStart.ts";
import { specialTokens } from "./wordpiece.ts";

const { values: flags } = parseArgs({
  options: {
    corpus: { type: "string" },
    vectors: { type: "string" },
    entries: { type: "string" },
    out: { type: "string", default: fileURLToPath(new URL("../../models/accrete-mini/", import.meta.url)) },
    steps: { type: "string", default: "8000" },
    batch: { type: "string", default: "128" },
    rate: { type: "string", default: "1e-3" },
    similarity: { type: "string", default: "1" },
    width: { type: "string", default: "256" },
    layers: { type: "string", default: "4" },
  },
});
if (flags.corpus === undefined || flags.vectors === undefined)
  throw new ConfigError("give --corpus and --vectors");

const TEACHER_WIDTH = 384;
const MAX_TOKENS = 48;
const HELD_OUT = 1024;
const WORD_EMBEDDINGS = "embeddings.word_embeddings.weight";
const totalSteps = Number(flags.steps);
const batchSize = Number(flags.batch);
const rng = createRng(1);

const tokenizer = await loadTokenizer(flags.out);
const width = Number(flags.width);
const hfConfig = {
  architectures: ["BertModel"],
  model_type: "bert",
  vocab_size: tokenizer.vocabularySize,
  hidden_size: width,
  num_hidden_layers: Number(flags.layers),
  num_attention_heads: width / 32,
  intermediate_size: 4 * width,
  hidden_act: "gelu",
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  max_position_embeddings: 128,
  type_vocab_size: 2,
  initializer_range: 0.02,
  layer_norm_eps: 1e-12,
  pad_token_id: tokenizer.padId,
  position_embedding_type: "absolute",
  dtype: "float16",
};
const poolingConfig = {
  word_embedding_dimension: width,
  pooling_mode_cls_token: false,
  pooling_mode_mean_tokens: true,
  pooling_mode_max_tokens: false,
  pooling_mode_mean_sqrt_len_tokens: false,
};
const network = openBert(hfConfig, "the student");
const { config } = network;

const sentences = readFileSync(flags.corpus, "utf8")
  .split("\n")
  .filter((line) => line !== "");
const encodings = sentences.map((text) => tokenizer.encode({ text }, MAX_TOKENS));
const vectorFile = openSync(flags.vectors, "r");

function teacherRows(indices: readonly number[]): HostTensor<"float32"> {
  const rows = new Float32Array(indices.length * TEACHER_WIDTH);
  const bytes = new Uint8Array(rows.buffer);
  const rowBytes = TEACHER_WIDTH * 4;
  indices.forEach((index, i) => {
    readSync(vectorFile, bytes, i * rowBytes, rowBytes, index * rowBytes);
  });
  return float32(rows, [indices.length, TEACHER_WIDTH]);
}

const { graph, shapes } = buildStudentGraph(network, TEACHER_WIDTH, Number(flags.similarity));
await using executable = await nodeRuntime.compile(graph);
const parameters = initStudent(shapes, rng.fork("init"));
if (flags.entries !== undefined) startFromEntries(flags.entries);
const learningRate = Number(flags.rate);
const optimizer = new AdamW(
  [...parameters].map(([name, { data }]) => ({ name, values: data, learningRate })),
  { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.01 },
);

/** Special tokens stay where chance put them: the teacher has no one-word sentence for them. */
function startFromEntries(file: string): void {
  const bytes = readFileSync(file);
  const rows = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const start = warmStart(float32(rows, [tokenizer.vocabularySize, TEACHER_WIDTH]), width);
  const embeddings = asFloat32(parameters.get(WORD_EMBEDDINGS), WORD_EMBEDDINGS);
  const kept = specialTokens.length * width;
  embeddings.data.set(start.embeddings.data.subarray(kept), kept);
  parameters.set(PROJECTION, start.projection);
}

function feedsOf(indices: readonly number[]): Record<string, HostTensor> {
  const batch = collate(
    indices.map((index) => encodings[index]!),
    tokenizer.padId,
  );
  const size = indices.length;
  return {
    ...tokenFeeds(config, batch),
    ...Object.fromEntries(parameters),
    pooling_weights: poolingWeights(["mean"], batch.attentionMask),
    teacher: teacherRows(indices),
    example_weights: float32(new Float32Array(size).fill(1 / size), [size]),
  };
}

/** Mean cosine to the teacher on sentences that are never trained on. */
async function heldOutCosine(): Promise<number> {
  let sum = 0;
  for (let from = 0; from < HELD_OUT; from += 128) {
    const indices = Array.from({ length: 128 }, (_, i) => from + i);
    sum += asFloat32((await executable.run(feedsOf(indices))).cosine, "cosine").data[0] ?? 0;
  }
  return sum / (HELD_OUT / 128);
}

async function save(): Promise<void> {
  const model = new Map([...parameters].filter(([name]) => name !== PROJECTION));
  const bytes = encodeSafetensors(model, { format: "pt" }, { storage: "float16" });
  await writeFileAtomic(join(flags.out, "model.safetensors"), bytes);
  await writeFileAtomic(join(flags.out, "config.json"), `${JSON.stringify(hfConfig, null, 2)}\n`);
  await mkdir(join(flags.out, "1_Pooling"), { recursive: true });
  await writeFileAtomic(
    join(flags.out, "1_Pooling/config.json"),
    `${JSON.stringify(poolingConfig, null, 2)}\n`,
  );
}

const lengths = encodings.slice(HELD_OUT).map(({ ids }) => ids.length);
const start = performance.now();
let step = 0;
let lossSum = 0;
for (let epoch = 0; step < totalSteps; epoch++) {
  for (const chosen of planBatches(lengths, batchSize, rng.fork("epoch", epoch))) {
    if (step >= totalSteps) break;
    const outputs = await executable.run(feedsOf(chosen.map((index) => index + HELD_OUT)));
    const loss = asFloat32(outputs.loss, "loss").data[0] ?? Number.NaN;
    if (!Number.isFinite(loss)) throw new EngineError(`the loss became ${loss} at step ${step}`);
    const gradients = new Map(
      shapes.map(({ name }) => [name, asFloat32(outputs[GRADIENT_PREFIX + name], name).data]),
    );
    clipGradients(gradients, 1);
    optimizer.step(
      gradients,
      scheduleFactor("linear", step + 1, Math.round(0.04 * totalSteps), totalSteps + 1),
    );
    step += 1;
    lossSum += loss;
    if (step % 100 === 0) {
      const seconds = (performance.now() - start) / 1000;
      process.stderr.write(
        `step ${step}/${totalSteps}, epoch ${epoch}, loss ${(lossSum / 100).toFixed(4)}, ${Math.round(seconds)} s\n`,
      );
      lossSum = 0;
    }
    if (step % 1000 === 0) {
      process.stderr.write(`held-out cosine ${(await heldOutCosine()).toFixed(4)}\n`);
      await save();
    }
  }
}
await save();
const minutes = (performance.now() - start) / 60_000;
process.stdout.write(
  `${JSON.stringify({ steps: step, batchSize, sentences: sentences.length, minutes: Number(minutes.toFixed(1)), heldOutCosine: await heldOutCosine() })}\n`,
);
