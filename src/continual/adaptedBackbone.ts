import { setImmediate as nextTick } from "node:timers/promises";
import { asFloat32 } from "../core/tensor.ts";
import { planEvaluationBatches } from "../data/batching.ts";
import { type Encoding, encodeAll, type Tokenizer } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import type { Graph } from "../graph/types.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { Executable, Runtime } from "../runtime/types.ts";
import { buildInferenceGraph, type ModelStructure } from "../train/graphs.ts";
import { modelFeeds, parameterFeeds, type TrainableState } from "../train/trainer.ts";

/** Texts of one forward pass in inference: about 500 tokens of short sentences, which fit the caches. */
const INFERENCE_BATCH = 32;

/** What learning a task leaves: the values of its adapter and head, and its labels in slot order. */
export interface LearnedTask extends TrainableState {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Logits of n texts over one head's C slots, row-major (n, C). */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
  readonly values: Float32Array;
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

export interface AdaptedBackboneOptions {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  /** Tokens a text may have, special tokens included; longer ones are cut. */
  readonly maxLength: number;
  readonly threads?: number;
}

/** A frozen backbone with one compiled forward graph that serves every task: its adapter and head are fed. */
export class AdaptedBackbone implements AsyncDisposable {
  readonly structure: ModelStructure;
  readonly tokenizer: Tokenizer;
  private readonly options: AdaptedBackboneOptions;
  private inference: Executable | undefined;

  constructor(options: AdaptedBackboneOptions) {
    this.options = options;
    this.structure = options.structure;
    this.tokenizer = options.tokenizer;
  }

  /** @param what names the texts in messages */
  encode(examples: readonly Example[], what = "text"): EncodedTexts {
    const { maxLength, structure } = this.options;
    const room = structure.backbone.maxTokens - adapterMethod(structure.adapter).virtualTokens;
    return encodeAll(this.tokenizer, examples, Math.min(maxLength, room), what);
  }

  compile(graph: Graph): Promise<Executable> {
    const { runtime, threads } = this.options;
    return runtime.compile(graph, threads === undefined ? {} : { threads });
  }

  /**
   * One forward pass of every text through a task's adapter and head.
   * @returns logits (n, C) in the order of the texts
   */
  async logits(task: LearnedTask, encodings: readonly Encoding[], signal?: AbortSignal): Promise<Logits> {
    const classes = task.labels.length;
    const values = new Float32Array(encodings.length * classes);
    this.inference ??= await this.compile(buildInferenceGraph(this.structure));
    const parameters = parameterFeeds(task);
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds } = modelFeeds(this.structure, batch, this.tokenizer.padId);
      const output = asFloat32((await this.inference.run({ ...feeds, ...parameters })).logits, "logits").data;
      indices.forEach((index, row) => {
        values.set(output.subarray(row * classes, (row + 1) * classes), index * classes);
      });
      await nextTick();
    }
    return { rows: encodings.length, classes, values };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const executable = this.inference;
    this.inference = undefined;
    await executable?.[Symbol.asyncDispose]();
  }
}
