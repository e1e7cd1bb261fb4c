import { CheckpointError, DataError } from "../core/errors.ts";
import { createRng, type Rng } from "../core/random.ts";
import { asFloat32 } from "../core/tensor.ts";
import type { Encoding, Tokenizer } from "../data/tokenizer.ts";
import type { LabelledExample, Task } from "../data/types.ts";
import type { WeightSource } from "../graph/types.ts";
import { readRows, readTensor } from "../io/safetensors.ts";
import type { Backbone } from "../nn/backbone.ts";
import { initHead } from "../nn/heads.ts";
import type { InitSource } from "../peft/adapterMethod.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { Executable } from "../runtime/types.ts";
import { buildTrainingGraph, type TrainingGraph } from "../train/graphs.ts";
import {
  countSteps,
  type FitEvent,
  fitTask,
  sentenceTargets,
  type TrainableState,
  type TrainingOptions,
} from "../train/trainer.ts";
import { type AdaptedBackbone, argmax, type LearnedTask, rowOf } from "./adaptedBackbone.ts";

/** What of a task is learned from; its test set is nobody's business here. */
export type TaskToLearn = Omit<Task, "test">;

export interface LearnResult {
  readonly learned: LearnedTask;
  /** Training texts that were cut at the maximal length. */
  readonly truncatedTexts: number;
  readonly stoppedEarly: boolean;
}

interface TrainingSession {
  readonly graph: TrainingGraph;
  readonly executable: Executable;
}

/** The head slot of every example. @throws DataError if a label is none of the task's. */
function slotsOf(examples: readonly LabelledExample[], labels: readonly string[]): number[] {
  const slots = new Map(labels.map((label, slot) => [label, slot]));
  return examples.map(({ label }) => {
    const slot = slots.get(label);
    if (slot === undefined)
      throw new DataError(`label "${label}" is none of the task's: ${labels.join(", ")}`);
    return slot;
  });
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

/**
 * Learns tasks one after another on a frozen backbone: each gets an adapter and a head of its own, so nothing
 * that was learned before can change. One compiled graph trains every task.
 */
export class ContinualLearner implements AsyncDisposable {
  private readonly model: AdaptedBackbone;
  private readonly training: TrainingOptions;
  private readonly rng: Rng;
  private session: TrainingSession | undefined;

  /** @param seed every random choice is a function of it, the task's name, the step and the place. */
  constructor(model: AdaptedBackbone, training: TrainingOptions, seed: number) {
    this.model = model;
    this.training = training;
    this.rng = createRng(seed);
  }

  /** Optimisation steps a task of that many training examples takes at most. */
  plannedSteps(trainExamples: number): number {
    return countSteps(trainExamples, this.training);
  }

  /**
   * Trains an adapter and a head for a task.
   * @throws EngineError if the loss leaves the finite numbers; nothing of the task is kept then.
   */
  async *learn(task: TaskToLearn, signal?: AbortSignal): AsyncGenerator<FitEvent, LearnResult> {
    const { labels, train } = task;
    const { encodings, truncated } = this.model.encode(train, `train of ${task.name}`);
    const session = await this.trainingSession();
    const state = await this.freshState(
      session.graph,
      labels.length,
      this.rng.fork("task", task.name, "init"),
    );
    const learned: LearnedTask = { ...state, name: task.name, labels };
    const validation = this.model.encode(task.validation, `validation of ${task.name}`).encodings;
    const context = {
      structure: this.model.structure,
      training: session.graph,
      executable: session.executable,
      padId: this.model.tokenizer.padId,
      rng: this.rng.fork("task", task.name, "fit"),
      describe: (index: number) => train[index]?.text ?? "",
      ...(validation.length === 0
        ? {}
        : { validate: () => this.accuracy(learned, task.validation, validation) }),
      ...(signal === undefined ? {} : { signal }),
    };
    const result = yield* fitTask(
      context,
      { encodings, targets: sentenceTargets(slotsOf(train, labels)) },
      state,
      this.training,
    );
    return { learned, truncatedTexts: truncated, stoppedEarly: result.stoppedEarly };
  }

  private async freshState(graph: TrainingGraph, classes: number, rng: Rng): Promise<TrainableState> {
    const { backbone, head, adapter } = this.model.structure;
    const source = initSource(backbone, this.model.tokenizer);
    return {
      adapter: await adapterMethod(adapter).init(graph.adapterShapes, rng.fork("adapter"), source),
      head: initHead(head, backbone.width, classes, rng.fork("head")),
    };
  }

  private async accuracy(
    learned: LearnedTask,
    examples: readonly LabelledExample[],
    encodings: readonly Encoding[],
  ): Promise<number> {
    const logits = await this.model.logits(learned, encodings);
    const slots = slotsOf(examples, learned.labels);
    return slots.filter((slot, row) => argmax(rowOf(logits, row)) === slot).length / examples.length;
  }

  private async trainingSession(): Promise<TrainingSession> {
    if (this.session === undefined) {
      const graph = buildTrainingGraph(this.model.structure, this.training.backboneDropout);
      this.session = { graph, executable: await this.model.compile(graph.graph) };
    }
    return this.session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.session;
    this.session = undefined;
    await session?.executable[Symbol.asyncDispose]();
  }
}
