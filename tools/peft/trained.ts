/** Adapters that our engine trained for two steps on the golden models: the cases of the round trip through real peft. */
import { CheckpointError } from "../../src/core/errors.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { asFloat32 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import type { Encoding } from "../../src/data/encoding/tokenizer.ts";
import type { WeightSource } from "../../src/graph/types.ts";
import { readRows, readTensor } from "../../src/io/safetensors.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import type { TokenBatch } from "../../src/nn/features.ts";
import { defaultHeads, initHead } from "../../src/nn/heads.ts";
import type { InitSource } from "../../src/peft/adapterMethod.ts";
import { adapterMethod } from "../../src/peft/adapters.ts";
import type {
  AdapterSpec,
  HeadKind,
  LoraBias,
  LoraSpec,
  Pooling,
  PromptTuningSpec,
  SavedAdapter,
} from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildTrainingGraph, type ModelStructure } from "../../src/train/graphs.ts";
import { fitTask, sentenceTargets, type TrainingOptions } from "../../src/train/trainer.ts";

type Encoder = "bert" | "roberta";
type Decoder = "gpt2" | "gpt_neox" | "llama" | "qwen2";

export interface TrainedCase {
  readonly name: string;
  readonly architecture: Encoder | Decoder;
  readonly pooling: Pooling;
  readonly normalize: boolean;
  readonly head: HeadKind;
  readonly adapter: AdapterSpec;
  /** Some tokens are of type 1. peft drops types where a prompt has no head of Hugging Face's, and we do not. */
  readonly pairs: boolean;
  /** The head's bias is set to zero afterwards, as in decoders' own head. */
  readonly biasFree?: true;
  /** All texts are of one length: peft's decoders read a text behind a prompt at its last position, padding or not. */
  readonly unpadded?: true;
}

const plain: LoraSpec = {
  rank: 3,
  alpha: 6,
  dropout: 0.1,
  bias: "none",
  targetModules: ["query", "value"],
  rslora: false,
};

interface Change extends Partial<Omit<TrainedCase, "adapter">> {
  readonly lora?: Partial<LoraSpec>;
  /** In place of LoRA. */
  readonly prompt?: PromptTuningSpec;
}

function makeCase(
  architecture: Encoder | Decoder,
  name: string,
  { lora, prompt, ...change }: Change,
): TrainedCase {
  return {
    name: `${architecture}-${name}`,
    architecture,
    pooling: "mean",
    normalize: false,
    head: "linear",
    adapter: prompt ? { kind: "prompt-tuning", spec: prompt } : { kind: "lora", spec: { ...plain, ...lora } },
    pairs: prompt === undefined,
    ...change,
  };
}

const biases: readonly LoraBias[] = ["none", "lora_only", "all"];

/** The feature and head that Hugging Face's own classifier has, so that the head goes inside. */
const inside: { readonly [A in Encoder]: Change } = {
  bert: { pooling: "pooler", head: "linear" },
  roberta: { pooling: "cls", head: "dense" },
};

/** The same under peft's prompt tuning, where it reads the first virtual token. */
const insidePrompt: { readonly [A in Encoder]: Change } = {
  bert: { pooling: "peft-first-pooler", head: "linear", pairs: true },
  roberta: { pooling: "peft-first", head: "dense", pairs: true },
};

const byLayer: Partial<LoraSpec> = {
  rslora: true,
  rankPattern: { "^encoder.layer.0.attention.self.query": 2, "layer.2.*": 4 },
  alphaPattern: { "1.attention.self.value": 5 },
};

const textPrompt: PromptTuningSpec = { virtualTokens: 3, init: "text", text: "größe" };

function casesOf(architecture: Encoder): TrainedCase[] {
  const own = inside[architecture];
  const make = (name: string, change: Change) => makeCase(architecture, name, change);
  return [
    ...biases.flatMap((bias) => [
      make(`mean-linear-${bias}`, { lora: { bias } }),
      make(`own-head-${bias}`, { ...own, lora: { bias } }),
      make(`pooler-linear-${bias}`, { pooling: "pooler", normalize: true, lora: { bias } }),
    ]),
    make("mean-cosine", { head: "cosine", normalize: true }),
    make("last-cosine-all", { head: "cosine", pooling: "last", lora: { bias: "all" } }),
    make("cls-linear-dense", { pooling: "cls", lora: { targetModules: ["dense"], bias: "lora_only" } }),
    make("mean-linear-everywhere", { lora: { targetModules: "all-linear" } }),
    make("own-head-everywhere", { ...own, lora: { targetModules: "all-linear", bias: "all" } }),
    make("own-head-dense", { ...own, lora: { targetModules: ["dense"], bias: "lora_only" } }),
    make("own-head-regex", { ...own, lora: { targetModules: "encoder.*\\.(query|key)|nothing" } }),
    make("own-head-by-layer", { ...own, lora: byLayer }),
    make("pooler-linear-everywhere", {
      pooling: "pooler",
      normalize: true,
      lora: { targetModules: "all-linear" },
    }),
    make("mean-linear-by-layer", { lora: byLayer }),
    make("own-head-top", { ...own, lora: { layers: [2] } }),
    make("prompt-mean-linear", { prompt: { virtualTokens: 5, init: "random" } }),
    make("prompt-cls-cosine", {
      pooling: "cls",
      head: "cosine",
      prompt: { virtualTokens: 1, init: "vocab" },
    }),
    make("prompt-last-linear", { pooling: "last", normalize: true, prompt: textPrompt }),
    make("prompt-pooler-linear", { pooling: "pooler", prompt: textPrompt }),
    make("prompt-own-head", { ...insidePrompt[architecture], prompt: { virtualTokens: 4, init: "random" } }),
  ];
}

const decoderTargets: { readonly [A in Decoder]: readonly string[] } = {
  gpt2: ["c_attn"],
  gpt_neox: ["query_key_value"],
  llama: ["q_proj", "v_proj"],
  qwen2: ["q_proj", "v_proj"],
};

function decoderCases(architecture: Decoder): TrainedCase[] {
  const lora = { targetModules: decoderTargets[architecture] };
  const prompt: PromptTuningSpec = { virtualTokens: 4, init: "random" };
  const make = (name: string, change: Change) =>
    makeCase(architecture, name, { pooling: "last", pairs: false, ...change });
  return [
    make("last-linear", { lora }),
    make("mean-cosine", { lora, pooling: "mean", head: "cosine" }),
    make("score", { lora, biasFree: true }),
    make("prompt-last-linear", { prompt }),
    make("prompt-score", { prompt, biasFree: true, unpadded: true }),
  ];
}

/** Adapters in the top layers, as peft must be told of them by kind of model and of targets. */
const topLayers: readonly TrainedCase[] = [
  makeCase("bert", "mean-linear-top", { lora: { layers: [1, 2], bias: "lora_only" } }),
  makeCase("bert", "mean-linear-top-regex", { lora: { layers: [2], targetModules: ".*\\.(query|key)" } }),
  makeCase("bert", "own-head-top-everywhere", {
    ...inside.bert,
    lora: { layers: [2], targetModules: "all-linear" },
  }),
  makeCase("gpt2", "last-linear-top", {
    pooling: "last",
    pairs: false,
    lora: { targetModules: decoderTargets.gpt2, layers: [1, 2] },
  }),
  makeCase("llama", "score-top", {
    pooling: "last",
    pairs: false,
    biasFree: true,
    lora: { targetModules: decoderTargets.llama, layers: [2] },
  }),
];

const decoders: readonly Decoder[] = ["gpt2", "gpt_neox", "llama", "qwen2"];

export const trainedCases: readonly TrainedCase[] = [
  ...casesOf("bert"),
  ...casesOf("roberta"),
  ...decoders.flatMap(decoderCases),
  ...topLayers,
];

const classes = 4;
const texts = 8;

/** Random tokens, of unlike lengths where not said otherwise, above the special ids. */
function makeEncodings({ config }: Backbone, { pairs, unpadded }: TrainedCase, rng: Rng): Encoding[] {
  const token = () => 5 + Math.floor(rng.uniform() * (config.vocabularySize - 5));
  return Array.from({ length: texts }, (_, i) => {
    const ids = Array.from({ length: unpadded ? 6 : 3 + i }, token);
    const typeIds = ids.map((_, t) => (t > 2 && pairs && config.typeVocabularySize > 1 ? 1 : 0));
    return { ids, typeIds, truncated: false };
  });
}

/** Rates so large that two steps leave no tensor near where it began. */
const options: TrainingOptions = {
  epochs: 1,
  batchSize: texts / 2,
  learningRate: 0.1,
  headLearningRate: 0.1,
  weightDecay: 0.01,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  schedule: "constant",
  warmup: 0,
  backboneDropout: false,
};

export interface TrainedAdapter {
  readonly saved: SavedAdapter;
  /** What it was trained on, as one padded batch. */
  readonly batch: TokenBatch;
}

/** Trains a case's adapter and head; the same bytes every time. */
export async function trainCase(one: TrainedCase, backbone: Backbone): Promise<TrainedAdapter> {
  const { pooling, normalize, adapter } = one;
  const head = defaultHeads[one.head];
  const structure: ModelStructure = { backbone, adapter, feature: { pooling, normalize }, head };
  const rng = createRng(3).fork(one.name);
  const training = buildTrainingGraph(structure, false);
  const find = (name: string): WeightSource => {
    const entry = backbone.weights.get(name);
    if (entry === undefined) throw new CheckpointError(`the backbone has no tensor "${name}"`);
    return entry;
  };
  const { wordEmbeddings } = backbone;
  const source: InitSource = {
    readBias: async (name) => asFloat32(await readTensor(find(name)), name),
    readWords: async (ids) => asFloat32(await readRows(find(wordEmbeddings), ids), wordEmbeddings),
    vocabularySize: backbone.config.vocabularySize,
    // The golden models have no tokenizer.
    tokenize: (text) => [...text].map((_, i) => 5 + i),
  };
  const state = {
    adapter: await adapterMethod(adapter).init(training.adapterShapes, rng.fork("adapter"), source),
    head: initHead(head, backbone.width, classes, rng.fork("head")),
  };
  const encodings = makeEncodings(backbone, one, rng.fork("texts"));
  await using executable = await nodeRuntime.compile(training.graph, { threads: 1 });
  const { padId } = backbone.config;
  const context = { structure, training, executable, padId, rng: rng.fork("fit"), describe: String };
  const fit = fitTask(
    context,
    { encodings, targets: sentenceTargets(encodings.map((_, i) => i % classes)) },
    state,
    options,
  );
  for await (const _ of fit);
  if (one.biasFree) state.head.get("bias")?.data.fill(0);
  const saved: SavedAdapter = {
    adapter: { ...adapter, tensors: state.adapter },
    head: { kind: one.head, tensors: state.head },
    labels: Array.from({ length: classes }, (_, slot) => `label ${slot}`),
    pooling,
    normalize,
    architecture: one.architecture,
    depth: { layers: backbone.config.layers, heads: backbone.config.heads },
    baseModel: one.architecture,
    backboneHash: "",
    tokenizerHash: "",
  };
  return { saved, batch: collate(encodings, padId) };
}
