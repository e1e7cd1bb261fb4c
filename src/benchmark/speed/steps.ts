// Dimensions: B texts, T tokens, C classes.
/** One training step and one evaluation pass of a backbone with LoRA, on tokens drawn at random. */
import { createRng } from "../../core/random.ts";
import { asFloat32, float32, type HostTensor, int64, zeros } from "../../core/tensor.ts";
import type { Backbone } from "../../nn/backbone.ts";
import { poolingWeights, tokenFeeds } from "../../nn/features.ts";
import { defaultHeads, HEAD_PREFIX, initHead } from "../../nn/heads.ts";
import { AdamW, defaultAdamW } from "../../optim/adamw.ts";
import { initLora } from "../../peft/lora.ts";
import { defaultTargetModules } from "../../peft/targets.ts";
import { nodeRuntime } from "../../runtime/node.ts";
import { dropoutFeeds, type MaskRoom } from "../../train/dropout.ts";
import {
  buildInferenceGraph,
  buildTrainingGraph,
  GRADIENT_PREFIX,
  type ModelStructure,
} from "../../train/graphs.ts";
import { runInParts } from "../../train/parts.ts";

const CLASSES = 10;

export interface StepOptions {
  readonly batch: number;
  readonly tokens: number;
  readonly threads: number;
}

/** Something that is measured. */
export interface Step extends AsyncDisposable {
  /** @returns the loss of a training step */
  run(): Promise<number | undefined>;
  /** Multiplications and additions with frozen weights; a training step goes through them forward and backward. */
  readonly operations: number;
}

function structureOf(backbone: Backbone): ModelStructure {
  const targetModules = defaultTargetModules(backbone.config.architecture);
  return {
    backbone,
    adapter: {
      kind: "lora",
      spec: { rank: 4, alpha: 8, dropout: 0.1, bias: "none", targetModules, rslora: false },
    },
    feature: { pooling: "mean", normalize: false },
    head: defaultHeads.linear,
  };
}

function feedsOf(backbone: Backbone, { batch: B, tokens: T }: StepOptions): Record<string, HostTensor> {
  const rng = createRng(1).fork("texts");
  const vocabulary = backbone.config.vocabularySize;
  const ids = Array.from({ length: B * T }, () => rng.integer(vocabulary));
  const ones = int64(new BigInt64Array(B * T).fill(1n), [B, T]);
  const tokenTypeIds = int64(new BigInt64Array(B * T), [B, T]);
  return {
    ...tokenFeeds(backbone.config, { inputIds: int64(ids, [B, T]), attentionMask: ones, tokenTypeIds }),
    pooling_weights: poolingWeights(["mean"], ones),
    labels: int64(
      Array.from({ length: B }, (_, i) => i % CLASSES),
      [B],
    ),
    example_weights: float32(new Float32Array(B).fill(1 / B), [B]),
  };
}

/** A step: dropout masks, forward, cross-entropy, backward, AdamW; or an evaluation pass: forward to logits. */
export async function openStep(
  backbone: Backbone,
  mode: "train" | "eval",
  options: StepOptions,
): Promise<Step> {
  const { batch: B, tokens: T, threads } = options;
  const structure = structureOf(backbone);
  const rng = createRng(1);
  const training = buildTrainingGraph(structure, false);
  const graph = mode === "train" ? training.graph : buildInferenceGraph(structure);
  const executable = await nodeRuntime.compile(graph, { threads, spin: true });
  const adapter = await initLora(training.adapterShapes, rng, async () => zeros([1]));
  const head = initHead(structure.head, backbone.width, CLASSES, rng);
  const parameters = new Map([
    ...adapter,
    ...[...head].map(([name, tensor]) => [HEAD_PREFIX + name, tensor] as const),
  ]);
  const groups = [...parameters].map(([name, { data }]) => ({ name, values: data, learningRate: 5e-4 }));
  const optimizer = new AdamW(groups, defaultAdamW);
  const [texts, values] = [feedsOf(backbone, options), Object.fromEntries(parameters)];
  const bindings = new Map([
    ["B", B],
    ["T", T],
  ]);
  const room: MaskRoom = new Map();
  let steps = 0;
  const train = async () => {
    const masks = dropoutFeeds(training.masks, bindings, rng.fork("step", steps++), room);
    const feeds = { parameters: values, batch: { ...texts, ...masks } };
    const outputs = await runInParts(graph, executable, feeds, { size: B, length: T, width: backbone.width });
    const gradientOf = (name: string) => asFloat32(outputs[GRADIENT_PREFIX + name], name).data;
    optimizer.step(new Map([...parameters.keys()].map((name) => [name, gradientOf(name)])));
    return asFloat32(outputs.loss, "loss").data[0];
  };
  const evaluate = async () => {
    await executable.run({ ...texts, ...values });
    return undefined;
  };
  const weights = [...backbone.sites.values()].reduce((sum, [k, o]) => sum + k * o, 0);
  return {
    run: mode === "train" ? train : evaluate,
    operations: 2 * B * T * weights * (mode === "train" ? 2 : 1),
    [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
  };
}
