/** Adapters that our engine trained for two steps on the golden models: the cases of the round trip through real peft. */
import { CheckpointError } from "../../src/core/errors.ts";
import { createRng, type Rng } from "../../src/core/random.ts";
import { asFloat32, type HostTensor } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/batching.ts";
import type { Encoding } from "../../src/data/tokenizer.ts";
import { readTensor } from "../../src/io/safetensors.ts";
import type { Backbone } from "../../src/nn/backbone.ts";
import type { TokenBatch } from "../../src/nn/features.ts";
import { defaultHeads, initHead } from "../../src/nn/heads.ts";
import { initLora } from "../../src/peft/lora.ts";
import type {
  Architecture,
  HeadKind,
  LoraBias,
  LoraSpec,
  Pooling,
  SavedAdapter,
} from "../../src/peft/types.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { buildTrainingGraph, type ModelStructure } from "../../src/train/graphs.ts";
import { fitTask, sentenceTargets, type TrainingOptions } from "../../src/train/trainer.ts";

export interface TrainedCase {
  readonly name: string;
  readonly architecture: Architecture;
  readonly pooling: Pooling;
  readonly normalize: boolean;
  readonly head: HeadKind;
  readonly lora: LoraSpec;
}

const plain: LoraSpec = {
  rank: 3,
  alpha: 6,
  dropout: 0.1,
  bias: "none",
  targetModules: ["query", "value"],
  rslora: false,
};

type Change = Partial<Omit<TrainedCase, "lora">> & { readonly lora?: Partial<LoraSpec> };

function makeCase(architecture: Architecture, name: string, { lora, ...change }: Change): TrainedCase {
  return {
    name: `${architecture}-${name}`,
    architecture,
    pooling: "mean",
    normalize: false,
    head: "linear",
    lora: { ...plain, ...lora },
    ...change,
  };
}

const biases: readonly LoraBias[] = ["none", "lora_only", "all"];

/** The feature and head that Hugging Face's own classifier has, so that the head goes inside. */
const inside: { readonly [A in Architecture]: Change } = {
  bert: { pooling: "pooler", head: "linear" },
  roberta: { pooling: "cls", head: "dense" },
};

const byLayer: Partial<LoraSpec> = {
  rslora: true,
  rankPattern: { "^encoder.layer.0.attention.self.query": 2, "layer.2.*": 4 },
  alphaPattern: { "1.attention.self.value": 5 },
};

function casesOf(architecture: Architecture): TrainedCase[] {
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
  ];
}

export const trainedCases: readonly TrainedCase[] = [...casesOf("bert"), ...casesOf("roberta")];

const classes = 4;
const texts = 8;

/** Random tokens of unlike lengths, above the special ids. */
function makeEncodings({ config }: Backbone, rng: Rng): Encoding[] {
  const token = () => 5 + Math.floor(rng.uniform() * (config.vocabularySize - 5));
  return Array.from({ length: texts }, (_, i) => {
    const ids = Array.from({ length: 3 + i }, token);
    const typeIds = ids.map((_, t) => (t > 2 && config.typeVocabularySize > 1 ? 1 : 0));
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
  const { pooling, normalize, lora } = one;
  const head = defaultHeads[one.head];
  const adapter = { kind: "lora", spec: lora } as const;
  const structure: ModelStructure = { backbone, adapter, feature: { pooling, normalize }, head };
  const rng = createRng(3).fork(one.name);
  const training = buildTrainingGraph(structure, false);
  const readBias = async (name: string): Promise<HostTensor<"float32">> => {
    const entry = backbone.weights.get(name);
    if (entry === undefined) throw new CheckpointError(`the backbone has no bias "${name}"`);
    return asFloat32(await readTensor(entry), name);
  };
  const state = {
    adapter: await initLora(training.adapterShapes, rng.fork("adapter"), readBias),
    head: initHead(head, backbone.width, classes, rng.fork("head")),
  };
  const encodings = makeEncodings(backbone, rng.fork("texts"));
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
  const saved: SavedAdapter = {
    adapter: { ...adapter, tensors: state.adapter },
    head: { kind: one.head, tensors: state.head },
    labels: Array.from({ length: classes }, (_, slot) => `label ${slot}`),
    pooling,
    normalize,
    architecture: one.architecture,
    baseModel: one.architecture,
    backboneHash: "",
    tokenizerHash: "",
  };
  return { saved, batch: collate(encodings, padId) };
}
