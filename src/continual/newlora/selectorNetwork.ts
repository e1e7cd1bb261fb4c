// Dimensions: n rows, D width of the feature, N outputs.

import { OpenedOnce } from "../../core/openedOnce.ts";
import type { Rng } from "../../core/random.ts";
import { asFloat32, float32 } from "../../core/tensor.ts";
import type { Graph } from "../../graph/types.ts";
import { nextTick } from "../../portable/nextTick.ts";
import type { Executable } from "../../runtime/types.ts";
import { type FeatureStep, fitOnFeatures } from "../../train/featureFit.ts";
import { GRADIENT_PREFIX } from "../../train/graphs.ts";
import { buildSelectorGraph, buildSelectorTrainingGraph, preferenceFeeds } from "../../train/selector.ts";
import type { TrainingOptions } from "../../train/trainer.ts";
import type { FeatureRows } from "../types.ts";
import type { OwnedRows } from "./selectorFrozen.ts";
import { countOutputs, type SelectorTensors } from "./selectorState.ts";

/** Rows that are weighed at once. */
const WEIGHING_BATCH = 1024;

/** Rows of a training step on frozen features, and rounds over them. */
const FROZEN_BATCH = 64;
/** Chosen on validation texts by `studies/selectorRounds.ts`; docs/newlora.md has its figures. */
const FROZEN_ROUNDS = 20;

function rowsOf({ width, values }: FeatureRows, start: number, end: number) {
  return float32(values.slice(start * width, end * width), [end - start, width]);
}

function* stepsOf(
  rowsOfRound: (rng: Rng) => OwnedRows,
  rounds: number,
  outputs: number,
  rng: Rng,
): Generator<FeatureStep> {
  for (let round = 0; round < rounds; round++) {
    const { features, owners } = rowsOfRound(rng.fork("epoch", round));
    for (let start = 0; start < features.rows; start += FROZEN_BATCH) {
      const end = Math.min(features.rows, start + FROZEN_BATCH);
      const feature = rowsOf(features, start, end);
      const done = (round + start / features.rows) / rounds;
      yield { feeds: { feature, ...preferenceFeeds(owners.slice(start, end), outputs) }, factor: 1 - done };
    }
  }
}

/** The selection network on features that are there already. Holds native memory: dispose of it. */
export class SelectionNetwork implements AsyncDisposable {
  private readonly weighing: OpenedOnce<Executable>;
  private readonly training: OpenedOnce<Executable>;

  /** @param width D */
  constructor(compile: (graph: Graph) => Promise<Executable>, width: number) {
    this.weighing = new OpenedOnce(() => compile(buildSelectorGraph(width)));
    this.training = new OpenedOnce(() => compile(buildSelectorTrainingGraph(width, GRADIENT_PREFIX)));
  }

  /**
   * How much each task claims each row.
   * @param features (n, D)
   * @returns (n, N), in (0, 1)
   */
  async weigh(tensors: SelectorTensors, features: FeatureRows): Promise<FeatureRows> {
    const network = await this.weighing.get();
    const outputs = countOutputs(tensors);
    const values = new Float32Array(features.rows * outputs);
    for (let start = 0; start < features.rows; start += WEIGHING_BATCH) {
      const end = Math.min(features.rows, start + WEIGHING_BATCH);
      const feature = rowsOf(features, start, end);
      const { weights } = await network.run({ ...Object.fromEntries(tensors), feature });
      values.set(asFloat32(weights, "weights").data, start * outputs);
      await nextTick();
    }
    return { rows: features.rows, width: outputs, values };
  }

  /**
   * Trains the network in place by the preference loss alone, at the head's learning rate falling to 0 along a line.
   * @param rowsOfRound the rows of each round, in the order in which they are taken
   * @param options the run's; `rounds` beside them says how often all rows are gone through
   * @throws EngineError if the loss leaves the finite numbers
   */
  async fit(
    tensors: SelectorTensors,
    rowsOfRound: (rng: Rng) => OwnedRows,
    options: TrainingOptions & { readonly rounds?: number },
    rng: Rng,
    signal?: AbortSignal,
  ): Promise<void> {
    const { betas, epsilon, weightDecay, headLearningRate, rounds = FROZEN_ROUNDS } = options;
    const fit = {
      executable: await this.training.get(),
      trained: tensors,
      learningRate: headLearningRate,
      optimizer: { beta1: betas[0], beta2: betas[1], epsilon, weightDecay },
      what: "selection network",
    };
    await fitOnFeatures(fit, stepsOf(rowsOfRound, rounds, countOutputs(tensors), rng), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.weighing[Symbol.asyncDispose]();
    await this.training[Symbol.asyncDispose]();
  }
}
