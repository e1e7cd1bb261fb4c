import { asFloat32, float32 } from "../../core/tensor.ts";
import { encodePrompted, type PromptTemplate } from "../../data/encoding/prompts.ts";
import { type Encoding, encodeAll, encodeEach, type Tokenizer } from "../../data/encoding/tokenizer.ts";
import { encodeInWindows } from "../../data/encoding/windows.ts";
import { encodeAllWords, type WordEncoding } from "../../data/encoding/wordEncoding.ts";
import type { Example } from "../../data/files/types.ts";
import type { Graph } from "../../graph/types.ts";
import { featureWidth } from "../../nn/features.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import type { Executable, Runtime } from "../../runtime/types.ts";
import {
  buildFeatureGraph,
  buildHeadGraph,
  buildTrainingGraph,
  type ModelStructure,
  type TrainingGraph,
  type TrainingGraphOptions,
} from "../../train/graphs.ts";
import { parameterFeeds } from "../../train/trainer.ts";
import type { FeatureRows, LearnedTask, Logits, RoutingFeatureSpec, TaskOutputs } from "../types.ts";
import { MixedPass } from "./mixedPass.ts";
import { Passes, scatterRows } from "./passes.ts";
import { frozenModel, readRoutingFeatures, readRoutingTokenFeatures } from "./routingPass.ts";
import { TaskPasses } from "./taskPasses.ts";
import type { Trunks } from "./trunkCache.ts";
import { type TrunkRows, type TwoPassPart, twoPassParts } from "./trunkRows.ts";
import { normalizeRows, poolWindows, type Windows, windowsOf } from "./windows.ts";

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
  /** Longer ones are read in several windows in place of that. */
  readonly windows?: boolean;
  /** What texts are put into; absent: they go in as they are. Words never are. */
  readonly template?: PromptTemplate;
  readonly threads?: number;
  /** Whether nothing else computes beside its steps and passes, so that the engine's threads may spin between products. */
  readonly alone?: boolean;
  /** Where what the layers below all adapters give is kept; absent: it is computed whenever it is needed. */
  readonly trunkCache?: Trunks;
  /** Bytes that the trunk's states of texts may take that two passes go over together; default 64 MiB. */
  readonly twoPassBytes?: number;
}

const TWO_PASS_BYTES = 2 ** 26;

/** A frozen backbone with one compiled forward graph that serves every task: its adapter and head are fed. */
export class AdaptedBackbone implements AsyncDisposable {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  private readonly options: AdaptedBackboneOptions;
  private readonly passes: Passes;
  private readonly mixed: MixedPass;
  private readonly taskPasses: TaskPasses;

  constructor(options: AdaptedBackboneOptions) {
    this.options = options;
    this.structure = options.structure;
    this.tokenizer = options.tokenizer;
    this.passes = new Passes((graph) => this.compile(graph, true), options.tokenizer.padId);
    this.taskPasses = new TaskPasses(this.passes, options.structure, options.trunkCache);
    this.mixed = new MixedPass(this.passes, options.structure);
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
    const { template, windows = false } = this.options;
    if (windows) {
      const encode = (example: Example) =>
        encodeInWindows(this.tokenizer, template, example, this.maxTextTokens);
      return encodeEach(examples, encode, what);
    }
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

  compile(graph: Graph, often = false): Promise<Executable> {
    const { runtime, threads, alone = false } = this.options;
    const spin = often && alone && { spin: true };
    return runtime.compile(graph, { ...(threads !== undefined && { threads }), ...spin });
  }

  /** Layers at the bottom of the backbone that compute the same for every task. */
  get trunkLayers(): number {
    return this.taskPasses.trunkLayers;
  }

  /**
   * Forward passes that a text costs by that many tasks' adapters: the trunk that they share counts once. With m of L
   * layers adapted, (L − m)/L + T·m/L.
   */
  passesOf(tasks: number): number {
    const { layers } = this.structure.backbone.config;
    const shared = tasks === 0 ? 0 : this.trunkLayers;
    return (shared + tasks * (layers - this.trunkLayers)) / layers;
  }

  /**
   * Forward passes that a text costs whose first pass features are read from and whose second asks k tasks' adapters:
   * those go on from the first one's trunk. With m of L layers adapted, 1 + k·m/L.
   */
  routedPassesOf(asked: number): number {
    const { layers } = this.structure.backbone.config;
    return 1 + (asked * (layers - this.twoPassLayers)) / layers;
  }

  /** Layers whose states a second pass takes from the first: of windows none, so that parts hold whole texts. */
  private get twoPassLayers(): number {
    return this.options.windows === true ? 0 : this.trunkLayers;
  }

  /**
   * Texts in the parts in which two passes go over them: the first fills a part's room for what the trunk gives, the
   * second goes on from there. Without a trunk, or where no second follows, all texts are one part.
   * @param asked tasks that a second pass asks at most
   */
  *twoPassParts<E extends Encoding>(encodings: readonly E[], asked: number): Generator<TwoPassPart<E>> {
    const trunkLayers = asked === 0 ? 0 : this.twoPassLayers;
    const { width } = this.structure.backbone;
    const { twoPassBytes = TWO_PASS_BYTES } = this.options;
    if (trunkLayers > 0) yield* twoPassParts(encodings, trunkLayers, width, twoPassBytes);
    else if (encodings.length > 0) yield { encodings };
  }

  /** What the trunk gives for texts, kept on the disk; undefined without a trunk or a place to keep it. */
  async trunkRows(encodings: readonly Encoding[], signal?: AbortSignal): Promise<TrunkRows | undefined> {
    return windowsOf(encodings) === undefined
      ? await this.taskPasses.trunkRows(encodings, signal)
      : undefined;
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
    const [outputs] = await this.outputsOfTasks([task], encodings, signal);
    return outputs!;
  }

  /**
   * As {@link outputs}, by each of the tasks: the trunk that they share is computed once.
   * @returns one a task
   */
  async outputsOfTasks(
    tasks: readonly LearnedTask[],
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<readonly TaskOutputs[]> {
    const windows = windowsOf(encodings);
    if (windows !== undefined) return await this.outputsOfWindows(tasks, windows, encodings.length, signal);
    const all = tasks.map((task) => this.emptyOutputs(task, encodings.length));
    for await (const batch of this.taskPasses.run(tasks, encodings, signal)) {
      const { logits, features } = all[batch.task]!;
      scatterRows(logits.values, batch.output, batch.indices, logits.classes);
      scatterRows(features.values, batch.feature, batch.indices, features.width);
    }
    return all;
  }

  /** The same of texts of which some are read in several windows: a head reads the mean of its text's. */
  private async outputsOfWindows(
    tasks: readonly LearnedTask[],
    windows: Windows,
    texts: number,
    signal?: AbortSignal,
  ): Promise<readonly TaskOutputs[]> {
    const each = await this.outputsOfTasks(tasks, windows.encodings, signal);
    const outputs: TaskOutputs[] = [];
    for (const [i, task] of tasks.entries()) {
      const features = this.textFeatures(windows, each[i]!.features.values, texts);
      outputs.push({ features, logits: await this.headLogits(task, features) });
    }
    return outputs;
  }

  /** (w, F) → (n, F) */
  private textFeatures(windows: Windows, rows: Float32Array, texts: number): FeatureRows {
    const { featureWidth: width } = this;
    const values = poolWindows(windows, rows, width, texts);
    if (this.structure.feature.normalize) normalizeRows(values, width);
    return { rows: texts, width, values };
  }

  /** A task's head alone, on features that are there. */
  private async headLogits(
    { head, labels: { length: classes } }: LearnedTask,
    { rows, width, values }: FeatureRows,
  ): Promise<Logits> {
    if (rows === 0) return { rows, classes, values: new Float32Array() };
    const executable = await this.passes.executable({
      key: "head",
      graph: () => buildHeadGraph(this.structure),
    });
    const feature = float32(values, [rows, width]);
    const { logits } = await executable.run({ feature, ...parameterFeeds({ adapter: new Map(), head }) });
    return { rows, classes, values: asFloat32(logits, "logits").data };
  }

  /** F, of the vector that a head reads. */
  get featureWidth(): number {
    return featureWidth(this.structure.backbone, this.structure.feature);
  }

  private emptyOutputs({ labels }: LearnedTask, rows: number): TaskOutputs {
    const classes = labels.length;
    const { featureWidth: width } = this;
    return {
      logits: { rows, classes, values: new Float32Array(rows * classes) },
      features: { rows, width, values: new Float32Array(rows * width) },
    };
  }

  /**
   * One forward pass of every text through the backbone alone, its adapters off.
   * @returns features (n, F) in the order of the texts
   */
  async frozenFeatures(encodings: readonly Encoding[], signal?: AbortSignal): Promise<FeatureRows> {
    const windows = windowsOf(encodings);
    if (windows !== undefined) {
      const { values } = await this.frozenFeatures(windows.encodings, signal);
      return this.textFeatures(windows, values, encodings.length);
    }
    const fed = frozenModel(this.structure);
    const pass = { key: "feature", graph: () => buildFeatureGraph(fed), fed };
    const rows = { rows: encodings.length, width: this.featureWidth };
    const values = new Float32Array(rows.rows * rows.width);
    for await (const { indices, outputs } of this.passes.run(pass, encodings, signal))
      scatterRows(values, asFloat32(outputs.feature, "feature").data, indices, rows.width);
    return { ...rows, values };
  }

  /**
   * What routers read: one forward pass of every text, its adapters off.
   * @param spec the layers whose pooled states stand side by side, each brought to length 1
   * @param trunk takes in what the trunk gives for the texts
   * @returns features (n, D · layers) in the order of the texts; other texts of the call do not change a text's
   * @throws ConfigError if the backbone has no such layer
   */
  async routingFeatures(
    encodings: readonly Encoding[],
    spec: RoutingFeatureSpec,
    signal?: AbortSignal,
    trunk?: TrunkRows,
  ): Promise<FeatureRows> {
    const windows = windowsOf(encodings);
    if (windows === undefined)
      return await readRoutingFeatures(this.passes, this.structure, encodings, { spec, signal, trunk });
    const { width, values: each } = await this.routingFeatures(windows.encodings, spec, signal);
    const values = poolWindows(windows, each, width, encodings.length);
    normalizeRows(values, width / spec.layers.length);
    return { rows: encodings.length, width, values };
  }

  /**
   * As {@link routingFeatures}, of every token.
   * @param featureAdapter reads through this task's adapter in place of the frozen backbone
   * @param trunk takes in what the trunk gives for the texts; it is the same through any adapter
   * @returns for each text the features of its own tokens (ids, D · layers), virtual ones and padding cut off
   * @throws ConfigError if the backbone has no such layer
   */
  async routingTokenFeatures(
    encodings: readonly Encoding[],
    spec: RoutingFeatureSpec,
    signal?: AbortSignal,
    featureAdapter?: LearnedTask,
    trunk?: TrunkRows,
  ): Promise<readonly FeatureRows[]> {
    const read = { spec, signal, featureAdapter, trunk };
    return await readRoutingTokenFeatures(this.passes, this.structure, encodings, read);
  }

  /**
   * As {@link logits}, each text through its own task's adapter and head, all tasks in one pass: what a text costs does
   * not depend on how many tasks there are. The tasks' parameters are copied side by side once and kept; a task must not
   * change afterwards.
   *
   * @param taskOf (n), each text's task as an index into `tasks`
   * @param trunk what the trunk gave for these very texts: the pass goes on from there
   * @returns each text's logits over its own task's slots, in the order of the texts
   * @throws GraphError if `taskOf` does not name a task for each text
   */
  async mixedLogits(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
    trunk?: TrunkRows,
  ): Promise<readonly Float32Array[]> {
    const windows = windowsOf(encodings);
    if (windows === undefined) return await this.mixed.logits(tasks, taskOf, encodings, signal, trunk);
    const tasksOf = Int32Array.from(windows.owners, (text) => taskOf[text]!);
    const rows = await this.mixed.features(tasks, tasksOf, windows.encodings, signal);
    const { width, values } = this.textFeatures(windows, rows, encodings.length);
    const logits: Float32Array[] = [];
    for (let text = 0; text < encodings.length; text++) {
      const feature = { rows: 1, width, values: values.slice(text * width, (text + 1) * width) };
      logits.push((await this.headLogits(tasks[taskOf[text]!]!, feature)).values);
    }
    return logits;
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
    trunk?: TrunkRows,
  ): Promise<readonly Logits[]> {
    return await this.mixed.tokenLogits(tasks, taskOf, encodings, signal, trunk);
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
    const [logits] = await this.tokenLogitsOfTasks([task], encodings, signal);
    return logits!;
  }

  /**
   * As {@link tokenLogits}, by each of the tasks: the trunk that they share is computed once.
   * @returns one a task
   */
  async tokenLogitsOfTasks(
    tasks: readonly LearnedTask[],
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<readonly (readonly Logits[])[]> {
    const all = tasks.map(({ labels: { length: classes } }) =>
      encodings.map(
        ({ ids }): Logits => ({ rows: ids.length, classes, values: new Float32Array(ids.length * classes) }),
      ),
    );
    for await (const { task, output, indices, length } of this.taskPasses.run(tasks, encodings, signal))
      indices.forEach((index, row) => {
        const { rows, classes, values } = all[task]![index]!;
        const start = row * length + this.virtualTokens;
        values.set(output.subarray(start * classes, (start + rows) * classes));
      });
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.passes[Symbol.asyncDispose]();
  }
}
