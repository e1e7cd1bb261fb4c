import { setImmediate as nextTick } from "node:timers/promises";
import { asFloat32 } from "../core/tensor.ts";
import { planEvaluationBatches } from "../data/batching.ts";
import { encodePrompted, type PromptTemplate } from "../data/prompts.ts";
import { type Encoding, encodeAll, encodeEach, type Tokenizer } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import { encodeAllWords, type WordEncoding } from "../data/wordEncoding.ts";
import type { Graph } from "../graph/types.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { Executable, Runtime } from "../runtime/types.ts";
import {
  buildFeatureGraph,
  buildInferenceGraph,
  buildTrainingGraph,
  type ModelStructure,
  type TrainingGraph,
  type TrainingGraphOptions,
} from "../train/graphs.ts";
import { type BatchView, modelFeeds, parameterFeeds, type TrainableState } from "../train/trainer.ts";

/** Texts of one forward pass in inference: about 500 tokens of short sentences, which fit the caches. */
const INFERENCE_BATCH = 32;

/** What learning a task leaves: the values of its adapter and head, and its labels in slot order. */
export interface LearnedTask extends TrainableState {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Logits of n texts, or of a text's n tokens, over one head's C slots, row-major (n, C). */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
  readonly values: Float32Array;
}

/** Vectors of n texts, row-major (n, width). */
export interface FeatureRows {
  readonly rows: number;
  readonly width: number;
  readonly values: Float32Array;
}

/** What a forward pass of texts through a task's adapter and head gives. */
export interface TaskOutputs {
  readonly logits: Logits;
  /** What the head reads: (n, D). */
  readonly features: FeatureRows;
}

export function rowOf(logits: Logits, row: number): Float32Array {
  return logits.values.subarray(row * logits.classes, (row + 1) * logits.classes);
}

/** The slot of the largest logit of a row; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export interface EncodedTexts {
  readonly encodings: readonly Encoding[];
  /** How many texts were cut. */
  readonly truncated: number;
}

export interface EncodedSentences {
  readonly encodings: readonly WordEncoding[];
  /** How many sentences were cut, and the words they lost. */
  readonly truncated: number;
  readonly cutWords: number;
}

export interface AdaptedBackboneOptions {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  /** Tokens a text may have, special tokens included; longer ones are cut. */
  readonly maxLength: number;
  /** What texts are put into; absent: they go in as they are. Words never are. */
  readonly template?: PromptTemplate;
  readonly threads?: number;
}

/** A frozen backbone with one compiled forward graph that serves every task: its adapter and head are fed. */
export class AdaptedBackbone implements AsyncDisposable {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  private readonly options: AdaptedBackboneOptions;
  private inference: Executable | undefined;
  private frozen: Executable | undefined;

  constructor(options: AdaptedBackboneOptions) {
    this.options = options;
    this.structure = options.structure;
    this.tokenizer = options.tokenizer;
  }

  /** What a configuration calls `prompt`; undefined where texts go in as they are. */
  get prompt(): string | undefined {
    return this.options.template?.source;
  }

  /** Positions that the adapter puts before every text. */
  get virtualTokens(): number {
    return adapterMethod(this.structure.adapter).virtualTokens;
  }

  /** Tokens that a text may have, special ones included. */
  get maxTextTokens(): number {
    return Math.min(this.options.maxLength, this.structure.backbone.maxTokens - this.virtualTokens);
  }

  /** @param what names the texts in messages */
  encode(examples: readonly Example[], what = "text"): EncodedTexts {
    const { template } = this.options;
    if (template === undefined) return encodeAll(this.tokenizer, examples, this.maxTextTokens, what);
    const encode = (example: Example) =>
      encodePrompted(this.tokenizer, template, example, this.maxTextTokens);
    return encodeEach(examples, encode, what);
  }

  /** @param what names the sentences in messages */
  encodeWords(
    sentences: readonly { readonly words: readonly string[] }[],
    what = "sentence",
  ): EncodedSentences {
    return encodeAllWords(this.tokenizer, sentences, this.maxTextTokens, what);
  }

  compile(graph: Graph): Promise<Executable> {
    const { runtime, threads } = this.options;
    return runtime.compile(graph, threads === undefined ? {} : { threads });
  }

  /** The graph of a training step. */
  trainingGraph(backboneDropout: boolean, options: TrainingGraphOptions): TrainingGraph {
    return buildTrainingGraph(this.structure, backboneDropout, options);
  }

  /**
   * One forward pass of every text through a task's adapter and head.
   * @returns logits (n, C) in the order of the texts
   */
  async logits(task: LearnedTask, encodings: readonly Encoding[], signal?: AbortSignal): Promise<Logits> {
    return (await this.outputs(task, encodings, signal)).logits;
  }

  /** As {@link logits}, with the features that the head reads. */
  async outputs(
    task: LearnedTask,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<TaskOutputs> {
    const rows = encodings.length;
    const classes = task.labels.length;
    const width = this.structure.backbone.width;
    const logits = { rows, classes, values: new Float32Array(rows * classes) };
    const features = { rows, width, values: new Float32Array(rows * width) };
    for await (const { output, feature, indices } of this.forward(task, encodings, signal))
      indices.forEach((index, row) => {
        logits.values.set(output.subarray(row * classes, (row + 1) * classes), index * classes);
        features.values.set(feature.subarray(row * width, (row + 1) * width), index * width);
      });
    return { logits, features };
  }

  /**
   * One forward pass of every text through the backbone alone, its adapters off.
   * @returns features (n, D) in the order of the texts
   */
  async frozenFeatures(encodings: readonly Encoding[], signal?: AbortSignal): Promise<FeatureRows> {
    const { backbone, feature } = this.structure;
    this.frozen ??= await this.compile(buildFeatureGraph({ backbone, feature }));
    const width = backbone.width;
    const values = new Float32Array(encodings.length * width);
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds } = modelFeeds({ backbone, feature }, batch, this.tokenizer.padId);
      const { data } = asFloat32((await this.frozen.run(feeds)).feature, "feature");
      indices.forEach((index, row) => {
        values.set(data.subarray(row * width, (row + 1) * width), index * width);
      });
      await nextTick();
    }
    return { rows: encodings.length, width, values };
  }

  /**
   * As {@link logits}, for a structure of level `word`.
   * @returns for each sentence the logits of its own tokens (ids, C), virtual ones and padding cut off
   */
  async tokenLogits(
    task: LearnedTask,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<readonly Logits[]> {
    const classes = task.labels.length;
    const sentences = encodings.map(
      ({ ids }): Logits => ({ rows: ids.length, classes, values: new Float32Array(ids.length * classes) }),
    );
    for await (const { output, indices, length } of this.forward(task, encodings, signal))
      indices.forEach((index, row) => {
        const { rows, values } = sentences[index]!;
        const start = row * length + this.virtualTokens;
        values.set(output.subarray(start * classes, (start + rows) * classes));
      });
    return sentences;
  }

  /** The engine's logits, batch by batch: (B, C), at word level (B·T, C), and the texts' features (B, D). */
  private async *forward(
    task: LearnedTask,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): AsyncGenerator<BatchView & { readonly output: Float32Array; readonly feature: Float32Array }> {
    this.inference ??= await this.compile(buildInferenceGraph(this.structure));
    const parameters = parameterFeeds(task);
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds, length } = modelFeeds(this.structure, batch, this.tokenizer.padId);
      const { logits, feature } = await this.inference.run({ ...feeds, ...parameters });
      const output = asFloat32(logits, "logits").data;
      yield { indices, length, output, feature: asFloat32(feature, "feature").data };
      await nextTick();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = [this.inference, this.frozen];
    this.inference = undefined;
    this.frozen = undefined;
    for (const executable of held) await executable?.[Symbol.asyncDispose]();
  }
}
