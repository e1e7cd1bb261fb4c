import { setImmediate as nextTick } from "node:timers/promises";
import { asFloat32, int64 } from "../core/tensor.ts";
import { planEvaluationBatches } from "../data/batching.ts";
import { encodePrompted, type PromptTemplate } from "../data/prompts.ts";
import { type Encoding, encodeAll, encodeEach, type Tokenizer } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import { encodeAllWords, type WordEncoding } from "../data/wordEncoding.ts";
import type { Graph } from "../graph/types.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { Executable, Runtime, Tensors } from "../runtime/types.ts";
import {
  buildFeatureGraph,
  buildInferenceGraph,
  buildTrainingGraph,
  type ModelStructure,
  type TrainingGraph,
  type TrainingGraphOptions,
} from "../train/graphs.ts";
import { buildMixedGraph, TASK_OF } from "../train/mixedGraph.ts";
import { buildRoutingGraph } from "../train/routingGraph.ts";
import {
  type BatchView,
  type FedModel,
  modelFeeds,
  parameterFeeds,
  type TrainableState,
} from "../train/trainer.ts";
import type { RoutingFeatureSpec } from "./routing/types.ts";
import { TaskStacks, tasksOfTexts } from "./taskStack.ts";

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

/** Puts the rows of a batch, (indices, width), where its texts stand among all. */
function scatterRows(
  target: Float32Array,
  rows: Float32Array,
  indices: readonly number[],
  width: number,
): void {
  indices.forEach((index, row) => {
    target.set(rows.subarray(row * width, (row + 1) * width), index * width);
  });
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

/** A forward pass as the engine runs it: what is built, and who is fed. */
interface Pass {
  /** Compiled graphs are kept by this name. */
  readonly key: string;
  readonly graph: () => Graph;
  /** Default: the structure of the model itself. */
  readonly fed?: FedModel;
  /** What is fed beside the batch, the same to all. */
  readonly parameters?: Tensors;
  /** What is fed beside a batch of these texts. */
  readonly perBatch?: (indices: readonly number[]) => Tensors;
}

type BatchOutputs = BatchView & { readonly outputs: Tensors };

/** A frozen backbone with one compiled forward graph that serves every task: its adapter and head are fed. */
export class AdaptedBackbone implements AsyncDisposable {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  private readonly options: AdaptedBackboneOptions;
  private readonly stacks = new TaskStacks();
  private readonly compiled = new Map<string, Promise<Executable>>();

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
    for await (const { output, feature, indices } of this.forward(task, encodings, signal)) {
      scatterRows(logits.values, output, indices, classes);
      scatterRows(features.values, feature, indices, width);
    }
    return { logits, features };
  }

  /**
   * One forward pass of every text through the backbone alone, its adapters off.
   * @returns features (n, D) in the order of the texts
   */
  async frozenFeatures(encodings: readonly Encoding[], signal?: AbortSignal): Promise<FeatureRows> {
    const fed = this.frozenModel;
    const pass = { key: "feature", graph: () => buildFeatureGraph(fed), fed };
    const rows = { rows: encodings.length, width: this.structure.backbone.width };
    const values = new Float32Array(rows.rows * rows.width);
    for await (const { indices, outputs } of this.run(pass, encodings, signal))
      scatterRows(values, asFloat32(outputs.feature, "feature").data, indices, rows.width);
    return { ...rows, values };
  }

  /**
   * What routers read: one forward pass of every text, its adapters off.
   * @param spec the layers whose pooled states stand side by side, each brought to length 1
   * @param session reads through this task's adapter in place of the frozen backbone
   * @returns features (n, D · layers) in the order of the texts; other texts of the call do not change a text's
   * @throws ConfigError if the backbone has no such layer
   */
  async routingFeatures(
    encodings: readonly Encoding[],
    spec: RoutingFeatureSpec,
    signal?: AbortSignal,
    session?: LearnedTask,
  ): Promise<FeatureRows> {
    const width = this.structure.backbone.width * spec.layers.length;
    const values = new Float32Array(encodings.length * width);
    const pass = this.routingPass(spec, "sentence", session);
    for await (const { indices, outputs } of this.run(pass, encodings, signal))
      scatterRows(values, asFloat32(outputs.features, "features").data, indices, width);
    return { rows: encodings.length, width, values };
  }

  /**
   * As {@link routingFeatures}, of every token.
   * @returns for each text the features of its own tokens (ids, D · layers), virtual ones and padding cut off
   * @throws ConfigError if the backbone has no such layer
   */
  async routingTokenFeatures(
    encodings: readonly Encoding[],
    spec: RoutingFeatureSpec,
    signal?: AbortSignal,
    session?: LearnedTask,
  ): Promise<readonly FeatureRows[]> {
    const width = this.structure.backbone.width * spec.layers.length;
    const texts = encodings.map(
      ({ ids }): FeatureRows => ({
        rows: ids.length,
        width,
        values: new Float32Array(ids.length * width),
      }),
    );
    const virtualTokens = session === undefined ? 0 : this.virtualTokens;
    const pass = this.routingPass(spec, "word", session);
    for await (const { indices, length, outputs } of this.run(pass, encodings, signal)) {
      const { data } = asFloat32(outputs.features, "features");
      indices.forEach((index, row) => {
        const { rows, values } = texts[index]!;
        const start = row * length + virtualTokens;
        values.set(data.subarray(start * width, (start + rows) * width));
      });
    }
    return texts;
  }

  /**
   * As {@link logits}, each text through its own task's adapter and head, all tasks in one pass: what a text costs does
   * not depend on how many tasks there are. The tasks' parameters are copied side by side once and kept; a task must not
   * change afterwards.
   *
   * @param taskOf (n), each text's task as an index into `tasks`
   * @returns each text's logits over its own task's slots, in the order of the texts
   * @throws GraphError if `taskOf` does not name a task for each text
   */
  async mixedLogits(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<readonly Float32Array[]> {
    const own = tasksOfTexts(tasks, taskOf, encodings.length);
    const texts = own.map(({ labels }) => new Float32Array(labels.length));
    for await (const { output, classes, indices } of this.mixed(tasks, own, encodings, signal))
      indices.forEach((index, row) => {
        const logits = texts[index]!;
        logits.set(output.subarray(row * classes, row * classes + logits.length));
      });
    return texts;
  }

  /**
   * As {@link mixedLogits}, for a structure of level `word`.
   * @returns for each sentence the logits of its own tokens over its own task's slots, (ids, C)
   * @throws GraphError if `taskOf` does not name a task for each sentence
   */
  async mixedTokenLogits(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<readonly Logits[]> {
    const own = tasksOfTexts(tasks, taskOf, encodings.length);
    const sentences = encodings.map(({ ids }, i): Logits => {
      const classes = own[i]!.labels.length;
      return { rows: ids.length, classes, values: new Float32Array(ids.length * classes) };
    });
    for await (const { output, classes, indices, length } of this.mixed(tasks, own, encodings, signal))
      indices.forEach((index, row) => {
        const { rows, classes: slots, values } = sentences[index]!;
        const start = row * length + this.virtualTokens;
        for (let token = 0; token < rows; token++) {
          const at = (start + token) * classes;
          values.set(output.subarray(at, at + slots), token * slots);
        }
      });
    return sentences;
  }

  /** The engine's logits, batch by batch: (B, C), at word level (B·T, C), C the largest head's classes. */
  private async *mixed(
    tasks: readonly LearnedTask[],
    own: readonly LearnedTask[],
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): AsyncGenerator<BatchView & { readonly output: Float32Array; readonly classes: number }> {
    const { parameters, slots } = this.stacks.holding(own, tasks);
    const pass: Pass = {
      key: "mixed",
      graph: () => buildMixedGraph(this.structure),
      parameters,
      perBatch: (indices) => ({
        [TASK_OF]: int64(
          indices.map((index) => slots.get(own[index]!) ?? 0),
          [indices.length],
        ),
      }),
    };
    for await (const { indices, length, outputs } of this.run(pass, encodings, signal)) {
      const { data, dims } = asFloat32(outputs.logits, "logits");
      yield { indices, length, output: data, classes: dims[1] ?? 0 };
    }
  }

  /** The backbone with its adapters off. */
  private get frozenModel(): Pick<ModelStructure, "backbone" | "feature"> {
    const { backbone, feature } = this.structure;
    return { backbone, feature };
  }

  private routingPass(
    { layers }: RoutingFeatureSpec,
    per: "sentence" | "word",
    session: LearnedTask | undefined,
  ): Pass {
    const fed = session === undefined ? this.frozenModel : this.structure;
    return {
      key: ["routing", per, session === undefined ? "frozen" : "adapted", layers.join()].join(" "),
      graph: () => buildRoutingGraph(fed, layers, per),
      fed,
      ...(session !== undefined && { parameters: parameterFeeds(session) }),
    };
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
    const pass = {
      key: "inference",
      graph: () => buildInferenceGraph(this.structure),
      parameters: parameterFeeds(task),
    };
    for await (const { indices, length, outputs } of this.run(pass, encodings, signal)) {
      const output = asFloat32(outputs.logits, "logits").data;
      yield { indices, length, output, feature: asFloat32(outputs.feature, "feature").data };
    }
  }

  /** Runs a pass over all texts, batch by batch; each graph is compiled once. */
  private async *run(
    { key, graph, fed = this.structure, parameters = {}, perBatch }: Pass,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): AsyncGenerator<BatchOutputs> {
    const executable = await this.executable(key, graph);
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds, length } = modelFeeds(fed, batch, this.tokenizer.padId);
      const outputs = await executable.run({ ...feeds, ...parameters, ...perBatch?.(indices) });
      yield { indices, length, outputs };
      // The engine runs synchronously; let the caller's event loop breathe between batches.
      await nextTick();
    }
  }

  private async executable(key: string, graph: () => Graph): Promise<Executable> {
    const compiling = this.compiled.get(key) ?? this.compile(graph());
    this.compiled.set(key, compiling);
    try {
      return await compiling;
    } catch (error) {
      // Whoever asks next tries anew.
      this.compiled.delete(key);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = [...this.compiled.values()];
    this.compiled.clear();
    for (const executable of held) await (await executable)[Symbol.asyncDispose]();
  }
}
