import { CheckpointError } from "../../core/errors.ts";
import { createRng, type Rng } from "../../core/random.ts";
import { asFloat32, type HostTensor } from "../../core/tensor.ts";
import type { Tokenizer } from "../../data/encoding/tokenizer.ts";
import type { WeightSource } from "../../graph/types.ts";
import { readRows, readTensor } from "../../io/safetensors.ts";
import type { Backbone } from "../../nn/backbone.ts";
import { featureWidth } from "../../nn/features.ts";
import { initHead } from "../../nn/heads.ts";
import type { InitSource } from "../../peft/adapterMethod.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import type { Executable } from "../../runtime/types.ts";
import type { TrainingGraph, TrainingGraphOptions } from "../../train/graphs.ts";
import {
  countSteps,
  type FitEvent,
  fitTask,
  type TrainableState,
  type TrainingData,
  type TrainingOptions,
} from "../../train/trainer.ts";
import type { TrainedModel } from "../passes/trainedModel.ts";
import type { TrunkRows } from "../passes/trunkRows.ts";
import type { LearnedTask } from "../types.ts";

/** What learning a task of any level gives. */
export interface LearnResult {
  readonly learned: LearnedTask;
  /** Training texts that were cut at the maximal length. */
  readonly truncatedTexts: number;
  readonly stoppedEarly: boolean;
}

/** What a new adapter and head are trained on. */
export interface TaskData extends TrainingData {
  readonly name: string;
  /** In the slot order of the task's own head. */
  readonly labels: readonly string[];
  /** The text of a training example, for the message of a failing batch. */
  readonly describe: (index: number) => string;
  /** How well the task is known by now, in [0, 1]; absent without validation data. */
  readonly validate?: (learned: LearnedTask) => Promise<number>;
  /** Whether the targets bring slot 0's logit along, as `buildTrainingGraph` says. */
  readonly outsideLogits?: boolean;
  /** A selection network's parameters by graph input, trained along in place. */
  readonly selector?: ReadonlyMap<string, HostTensor<"float32">>;
}

interface TrainingSession {
  readonly options: Required<TrainingGraphOptions>;
  readonly graph: TrainingGraph;
  readonly executable: Executable;
}

function sameOptions(a: TrainingSession["options"], b: TrainingSession["options"]): boolean {
  return a.outsideLogits === b.outsideLogits && a.selector === b.selector && a.trunkLayers === b.trunkLayers;
}

function withTrunk(data: TrainingData, trunk: TrunkRows | undefined): TrainingData {
  if (trunk === undefined) return data;
  return { ...data, targets: (batch) => ({ ...data.targets(batch), ...trunk.feeds(batch) }) };
}

function initSource(backbone: Backbone, tokenizer: Tokenizer): InitSource {
  const find = (name: string): WeightSource => {
    const entry = backbone.weights.get(name);
    if (entry === undefined) throw new CheckpointError(`the backbone has no tensor "${name}"`);
    return entry;
  };
  const { wordEmbeddings } = backbone;
  return {
    readBias: async (name) => asFloat32(await readTensor(find(name)), name),
    readWords: async (ids) => asFloat32(await readRows(find(wordEmbeddings), ids), wordEmbeddings),
    vocabularySize: backbone.config.vocabularySize,
    tokenize: (text) => tokenizer.encode({ text }, backbone.maxTokens).ids,
  };
}

/** Trains a fresh adapter and head a task on a frozen backbone. One compiled graph serves task after task. */
export class TaskTrainer implements AsyncDisposable {
  private readonly model: TrainedModel;
  private readonly training: TrainingOptions;
  private readonly rng: Rng;
  private session: TrainingSession | undefined;

  /** @param seed every random choice is a function of it, the task's name, the step and the place. */
  constructor(model: TrainedModel, training: TrainingOptions, seed: number) {
    this.model = model;
    this.training = training;
    this.rng = createRng(seed);
  }

  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number {
    return countSteps(trainExamples, this.training);
  }

  /** @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then. */
  async *fit(
    task: TaskData,
    signal?: AbortSignal,
  ): AsyncGenerator<FitEvent, Omit<LearnResult, "truncatedTexts">> {
    const { name, labels, validate, outsideLogits = false, selector } = task;
    // Dropout in the trunk gives it another value at every step.
    const trunk = this.training.backboneDropout
      ? undefined
      : await this.model.trunkRows?.(task.encodings, signal);
    const session = await this.trainingSession({
      outsideLogits,
      selector: selector !== undefined,
      trunkLayers: trunk === undefined ? 0 : (this.model.trunkLayers ?? 0),
    });
    const state = await this.freshState(session.graph, labels.length, this.rng.fork("task", name, "init"));
    const learned: LearnedTask = { ...state, name, labels };
    const context = {
      structure: this.model.structure,
      training: session.graph,
      executable: session.executable,
      padId: this.model.tokenizer.padId,
      rng: this.rng.fork("task", name, "fit"),
      describe: task.describe,
      ...(validate === undefined ? {} : { validate: () => validate(learned) }),
      ...(signal === undefined ? {} : { signal }),
    };
    const trained = { ...state, ...(selector && { shared: selector }) };
    const { stoppedEarly } = yield* fitTask(context, withTrunk(task, trunk), trained, this.training);
    return { learned, stoppedEarly };
  }

  /** A task as it begins: an adapter that has learned nothing, and a fresh head where the structure has one. */
  async untrained(name: string, labels: readonly string[]): Promise<LearnedTask> {
    const graph = this.session?.graph ?? this.model.trainingGraph(this.training.backboneDropout, {});
    const state = await this.freshState(graph, labels.length, this.rng.fork("task", name, "init"));
    return { ...state, name, labels };
  }

  private async freshState(graph: TrainingGraph, classes: number, rng: Rng): Promise<TrainableState> {
    const { backbone, head, adapter, feature } = this.model.structure;
    const width = feature === undefined ? backbone.width : featureWidth(backbone, feature);
    const source = initSource(backbone, this.model.tokenizer);
    return {
      adapter: await adapterMethod(adapter).init(graph.adapterShapes, rng.fork("adapter"), source),
      head: head === undefined ? new Map() : initHead(head, width, classes, rng.fork("head")),
    };
  }

  private async trainingSession(options: TrainingSession["options"]): Promise<TrainingSession> {
    if (this.session === undefined || !sameOptions(this.session.options, options)) {
      await this[Symbol.asyncDispose]();
      const graph = this.model.trainingGraph(this.training.backboneDropout, options);
      this.session = { options, graph, executable: await this.model.compile(graph.graph, true) };
    }
    return this.session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.session;
    this.session = undefined;
    await session?.executable[Symbol.asyncDispose]();
  }
}
