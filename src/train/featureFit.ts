// Dimensions: B batch, D width of the feature, C classes.
/** Training small networks on features that are there already. */
import { gradients } from "../autodiff/gradients.ts";
import { EngineError } from "../core/errors.ts";
import { asFloat32, type HostTensor } from "../core/tensor.ts";
import { createGraph } from "../graph/graph.ts";
import * as op from "../graph/ops.ts";
import type { Graph, Value } from "../graph/types.ts";
import { declareHead, HEAD_PREFIX, type HeadKind } from "../nn/heads.ts";
import { AdamW, type AdamWOptions } from "../optim/adamw.ts";
import { nextTick } from "../portable/nextTick.ts";
import type { Executable } from "../runtime/types.ts";
import { crossEntropy, GRADIENT_PREFIX } from "./graphs.ts";

/**
 * The loss of a head on features, and its gradients but for a scale's. Inputs `feature` (B, D), `labels` int64 (B),
 * `example_weights` (B) and the head's; outputs `loss` and `gradient/<input>`.
 */
export function buildHeadTrainingGraph(kind: HeadKind, width: number): Graph {
  const head = declareHead(kind, width);
  const weights = op.input("example_weights", "float32", ["B"]);
  const logits = head.logits(op.input("feature", "float32", ["B", width])); // (B, C)
  const loss = crossEntropy(logits, op.input("labels", "int64", ["B"]), weights);
  const trained = [...head.inputs].filter(([name]) => name !== "scale");
  const outputs: Record<string, Value> = { loss };
  gradients(
    loss,
    trained.map(([, value]) => value),
  ).forEach((gradient, i) => {
    outputs[`${GRADIENT_PREFIX}${HEAD_PREFIX}${trained[i]?.[0]}`] = gradient;
  });
  return createGraph(outputs);
}

export interface FeatureFit {
  /** Gives `loss`, and `gradient/<input>` for everything that is trained. */
  readonly executable: Executable;
  /** By graph input; changed in place. */
  readonly trained: ReadonlyMap<string, HostTensor<"float32">>;
  readonly learningRate: number;
  readonly optimizer: AdamWOptions;
  /** Names what is trained in messages. */
  readonly what: string;
}

export interface FeatureStep {
  readonly feeds: Readonly<Record<string, HostTensor>>;
  /** Of the learning rate; default 1. */
  readonly factor?: number;
}

/**
 * AdamW, a step for each of `steps`.
 * @throws EngineError if the loss leaves the finite numbers
 */
export async function fitOnFeatures(
  { executable, trained, learningRate, optimizer: options, what }: FeatureFit,
  steps: Iterable<FeatureStep>,
  signal?: AbortSignal,
): Promise<void> {
  const trainables = [...trained].map(([name, { data }]) => ({ name, values: data, learningRate }));
  const optimizer = new AdamW(trainables, options);
  const fed = Object.fromEntries(trained);
  let count = 0;
  for (const { feeds, factor } of steps) {
    signal?.throwIfAborted();
    count += 1;
    const results = await executable.run({ ...fed, ...feeds });
    const loss = asFloat32(results.loss, "loss").data[0] ?? Number.NaN;
    if (!Number.isFinite(loss))
      throw new EngineError(`${what}: the loss became ${loss} in step ${count}`, {
        hint: "lower the learning rate",
      });
    const found = trainables.map(({ name }) => {
      const output = GRADIENT_PREFIX + name;
      return [name, asFloat32(results[output], output).data] as const;
    });
    optimizer.step(new Map(found), factor);
    // The engine runs synchronously; let the caller's event loop breathe between steps.
    await nextTick();
  }
}
