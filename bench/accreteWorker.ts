/**
 * Our side of the side-by-side benchmark: a process that speaks the same JSON lines as `bench/peers/peft_worker.py`.
 * A train step is: dropout masks, forward, cross-entropy, backward, AdamW; an eval step: forward to logits.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createRng } from "../src/core/random.ts";
import { asFloat32, float32, type HostTensor, int64, zeros } from "../src/core/tensor.ts";
import { sha256File } from "../src/io/hash.ts";
import { readSafetensorsHeader } from "../src/io/safetensors.ts";
import { quantizeBackbone, quantizedHash } from "../src/model/settings/quantizedBackbone.ts";
import { createBackbone } from "../src/nn/backbone.ts";
import { poolingWeights, tokenFeeds } from "../src/nn/features.ts";
import { defaultHeads, HEAD_PREFIX, initHead } from "../src/nn/heads.ts";
import { AdamW, defaultAdamW } from "../src/optim/adamw.ts";
import { initLora } from "../src/peft/lora.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { dropoutFeeds } from "../src/train/dropout.ts";
import {
  buildInferenceGraph,
  buildTrainingGraph,
  GRADIENT_PREFIX,
  type ModelStructure,
} from "../src/train/graphs.ts";
import { serve } from "./serve.ts";

const CLASSES = 10;
const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "" },
    batch: { type: "string", default: "4" },
    length: { type: "string", default: "16" },
    mode: { type: "string", default: "train" },
    precision: { type: "string", default: "fp32" },
    threads: { type: "string", default: "2" },
  },
});
const [B, T] = [Number(flags.batch), Number(flags.length)];

const file = await readSafetensorsHeader(`${flags.model}/model.safetensors`);
const config: unknown = JSON.parse(readFileSync(`${flags.model}/config.json`, "utf8"));
const plain = createBackbone(config, file.tensors, flags.model);
const backbone =
  flags.precision === "int8"
    ? await quantizeBackbone(plain, quantizedHash(await sha256File(file.path)), flags.model)
    : plain;
const structure: ModelStructure = {
  backbone,
  adapter: {
    kind: "lora",
    spec: { rank: 4, alpha: 8, dropout: 0.1, bias: "none", targetModules: ["query", "value"], rslora: false },
  },
  feature: { pooling: "mean", normalize: false },
  head: defaultHeads.linear,
};

const rng = createRng(1);
const training = buildTrainingGraph(structure, false);
const executable = await nodeRuntime.compile(
  flags.mode === "train" ? training.graph : buildInferenceGraph(structure),
  { threads: Number(flags.threads) },
);
const adapter = await initLora(training.adapterShapes, rng, async () => zeros([1]));
const head = initHead(structure.head, backbone.width, CLASSES, rng);
const parameters = new Map([
  ...adapter,
  ...[...head].map(([name, tensor]) => [HEAD_PREFIX + name, tensor] as const),
]);
const optimizer = new AdamW(
  [...parameters].map(([name, { data }]) => ({ name, values: data, learningRate: 5e-4 })),
  defaultAdamW,
);

const vocabulary = backbone.config.vocabularySize;
const ids = int64(
  Array.from({ length: B * T }, () => 5 + rng.integer(vocabulary - 5)),
  [B, T],
);
const ones = int64(new BigInt64Array(B * T).fill(1n), [B, T]);
const batch = { inputIds: ids, attentionMask: ones, tokenTypeIds: int64(new BigInt64Array(B * T), [B, T]) };
const feeds: Record<string, HostTensor> = {
  ...tokenFeeds(backbone.config, batch),
  pooling_weights: poolingWeights(["mean"], ones),
  labels: int64(
    Array.from({ length: B }, (_, i) => i % CLASSES),
    [B],
  ),
  example_weights: float32(new Float32Array(B).fill(1 / B), [B]),
};
const bindings = new Map([
  ["B", B],
  ["T", T],
]);
let steps = 0;

async function trainStep(): Promise<number> {
  const masks = dropoutFeeds(training.masks, bindings, rng.fork("step", steps++));
  const outputs = await executable.run({ ...feeds, ...masks, ...Object.fromEntries(parameters) });
  optimizer.step(
    new Map(
      [...parameters.keys()].map((name) => [name, asFloat32(outputs[GRADIENT_PREFIX + name], name).data]),
    ),
  );
  return asFloat32(outputs.loss, "loss").data[0] ?? Number.NaN;
}

async function evalStep(): Promise<undefined> {
  await executable.run({ ...feeds, ...Object.fromEntries(parameters) });
}

await serve(flags.mode === "train" ? trainStep : evalStep);
await executable[Symbol.asyncDispose]();
process.exit(0);
