import { setImmediate as nextTick } from "node:timers/promises";
import { DataError } from "../core/errors.ts";
import { createRng, type Rng } from "../core/random.ts";
import { asFloat32, type HostTensor } from "../core/tensor.ts";
import { planEvaluationBatches } from "../data/batching.ts";
import { type Encoding, encodeAll, type Tokenizer } from "../data/tokenizer.ts";
import type { Example, LabelledExample, Task } from "../data/types.ts";
import { readTensor } from "../io/safetensors.ts";
import type { Backbone } from "../nn/backbone.ts";
import type { FeatureSpec } from "../nn/features.ts";
import { type HeadSpec, initHead } from "../nn/heads.ts";
import { initLora } from "../peft/lora.ts";
import type { LoraSpec } from "../peft/types.ts";
import type { Executable, Runtime } from "../runtime/types.ts";
import { buildInferenceGraph, buildTrainingGraph, type ModelStructure, type TrainingGraph } from "../train/graphs.ts";
import {
  countSteps,
  type FitEvent,
  fit,
  modelFeeds,
  parameterFeeds,
  type TrainableState,
  type TrainingOptions,
} from "../train/trainer.ts";

/** Texts of one forward pass in inference: about 500 tokens of short sentences, which fit the caches. */
const INFERENCE_BATCH = 32;

export interface LearnerOptions {
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly lora: LoraSpec;
  readonly head: HeadSpec;
  readonly feature: FeatureSpec;
  readonly training: TrainingOptions;
  /** Tokens a text may have, special tokens included; longer ones are cut. */
  readonly maxLength: number;
  readonly seed: number;
  readonly threads?: number;
}

/** What learning a task leaves: the values of its adapter and head, and its labels in slot order. */
export interface LearnedTask extends TrainableState {
  readonly name: string;
  readonly labels: readonly string[];
}

export interface LearnResult {
  readonly learned: LearnedTask;
  /** Training texts that were cut at `maxLength`. */
  readonly truncatedTexts: number;
  readonly stoppedEarly: boolean;
}

/** Logits of n texts over one head's C slots, row-major (n, C). */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
  readonly values: Float32Array;
}

/** The slot of the largest logit of a row; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export function rowOf(logits: Logits, row: number): Float32Array {
  return logits.values.subarray(row * logits.classes, (row + 1) * logits.classes);
}

/**
 * Learns tasks one after another on a frozen backbone: each gets an adapter and a head of its own, so nothing
 * that was learned before can change. One compiled graph trains every task and one predicts with every task;
 * adapters and heads are what is fed.
 */
export class ContinualLearner implements AsyncDisposable {
  private readonly options: LearnerOptions;
  private readonly structure: ModelStructure;
  private readonly rng: Rng;
  private training: { readonly graph: TrainingGraph; readonly executable: Executable } | undefined;
  private inference: Executable | undefined;

  constructor(options: LearnerOptions) {
    this.options = options;
    const { backbone, lora, head, feature } = options;
    this.structure = { backbone, lora, head, feature };
    this.rng = createRng(options.seed);
  }

  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number {
    return countSteps(trainExamples, this.options.training);
  }

  encode(examples: readonly Example[]): { readonly encodings: readonly Encoding[]; readonly truncated: number } {
    const { tokenizer, maxLength, backbone } = this.options;
    return encodeAll(tokenizer, examples, Math.min(maxLength, backbone.maxTokens));
  }

  /**
   * Trains an adapter and a head for a task.
   * @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then.
   */
  async *learn(task: Task, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult> {
    const { labels, train } = task;
    const { encodings, truncated } = this.encode(train);
    const { graph, executable } = await this.trainingSession();
    const state = await this.freshState(graph, labels.length, this.rng.fork("task", task.name, "init"));
    const learned: LearnedTask = { ...state, name: task.name, labels };
    const validation = { examples: task.validation, encodings: this.encode(task.validation).encodings };
    const result = yield* fit(
      {
        structure: this.structure,
        training: graph,
        executable,
        padId: this.options.tokenizer.padId,
        rng: this.rng.fork("task", task.name, "fit"),
        describe: (index) => train[index]?.text ?? "",
        ...(validation.examples.length === 0 ? {} : { validate: () => this.accuracy(learned, validation) }),
        ...(signal === undefined ? {} : { signal }),
      },
      { encodings, labels: slotsOf(task.train, labels) },
      state,
      this.options.training,
    );
    return { learned, truncatedTexts: truncated, stoppedEarly: result.stoppedEarly };
  }

  private async freshState(graph: TrainingGraph, classes: number, rng: Rng): Promise<TrainableState> {
    const { backbone, head } = this.options;
    const readBias = async (name: string): Promise<HostTensor<"float32">> => {
      const entry = backbone.weights.get(name);
      if (entry === undefined) throw new DataError(`the backbone has no bias "${name}"`);
      return asFloat32(await readTensor(entry), name);
    };
    return {
      adapter: await initLora(graph.adapterShapes, rng.fork("adapter"), readBias),
      head: initHead(head, backbone.width, classes, rng.fork("head")),
    };
  }

  private async accuracy(
    learned: LearnedTask,
    data: { readonly examples: readonly LabelledExample[]; readonly encodings: readonly Encoding[] },
  ): Promise<number> {
    const logits = await this.logits(learned, data.encodings);
    const slots = slotsOf(data.examples, learned.labels);
    const correct = slots.filter((slot, row) => argmax(rowOf(logits, row)) === slot).length;
    return correct / data.examples.length;
  }

  /**
   * One forward pass of every text through a task's adapter and head.
   * @returns logits (n, C) in the order of the texts
   */
  async logits(task: LearnedTask, encodings: readonly Encoding[], signal?: AbortSignal): Promise<Logits> {
    const classes = task.labels.length;
    const values = new Float32Array(encodings.length * classes);
    const executable = await this.inferenceSession();
    const parameters = parameterFeeds(task);
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds } = modelFeeds(this.structure, batch, this.options.tokenizer.padId);
      const output = asFloat32((await executable.run({ ...feeds, ...parameters })).logits, "logits").data;
      indices.forEach((index, row) => {
        values.set(output.subarray(row * classes, (row + 1) * classes), index * classes);
      });
      await nextTick();
    }
    return { rows: encodings.length, classes, values };
  }

  private async trainingSession(): Promise<{ readonly graph: TrainingGraph; readonly executable: Executable }> {
    if (this.training === undefined) {
      const graph = buildTrainingGraph(this.structure, this.options.training.backboneDropout);
      this.training = { graph, executable: await this.compile(graph.graph) };
    }
    return this.training;
  }

  private async inferenceSession(): Promise<Executable> {
    this.inference ??= await this.compile(buildInferenceGraph(this.structure));
    return this.inference;
  }

  private compile(graph: TrainingGraph["graph"]): Promise<Executable> {
    const { runtime, threads } = this.options;
    return runtime.compile(graph, threads === undefined ? {} : { threads });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.training?.executable[Symbol.asyncDispose]();
    await this.inference?.[Symbol.asyncDispose]();
    this.training = undefined;
    this.inference = undefined;
  }
}

function slotsOf(examples: readonly LabelledExample[], labels: readonly string[]): number[] {
  const slots = new Map(labels.map((label, slot) => [label, slot]));
  return examples.map(({ label }) => {
    const slot = slots.get(label);
    if (slot === undefined) throw new DataError(`label "${label}" is none of the task's: ${labels.join(", ")}`);
    return slot;
  });
}
