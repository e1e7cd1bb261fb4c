// Dimensions: n texts, B batch, T tokens.
/** Forward passes of one frozen model over any number of texts. */
import { planEvaluationBatches } from "../../data/encoding/batching.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { Graph } from "../../graph/types.ts";
import { nextTick } from "../../portable/nextTick.ts";
import type { Executable, Tensors } from "../../runtime/types.ts";
import { type BatchView, type FedModel, modelFeeds } from "../../train/trainer.ts";

/** Texts of one forward pass in inference: about 500 tokens of short sentences, which fit the caches. */
const INFERENCE_BATCH = 32;

/** A forward pass as the engine runs it: what is built, and who is fed. */
export interface Pass {
  /** Compiled graphs are kept by this name. */
  readonly key: string;
  readonly graph: () => Graph;
  readonly fed: FedModel;
  /** What is fed beside the batch, the same to all. */
  readonly parameters?: Tensors;
  /** What is fed beside a batch of these texts. */
  readonly perBatch?: (batch: BatchView) => Tensors;
}

export type BatchOutputs = BatchView & { readonly outputs: Tensors };

/** Puts the rows of a batch, (indices, width), where its texts stand among all. */
export function scatterRows(
  target: Float32Array,
  rows: Float32Array,
  indices: readonly number[],
  width: number,
): void {
  indices.forEach((index, row) => {
    target.set(rows.subarray(row * width, (row + 1) * width), index * width);
  });
}

/** The engine runs synchronously: between two runs the caller's event loop gets its turn, and may have given up. */
export async function yieldToEventLoop(signal?: AbortSignal): Promise<void> {
  await nextTick();
  signal?.throwIfAborted();
}

/** Compiles each graph once, and runs it batch by batch. Holds native memory: dispose of it. */
export class Passes implements AsyncDisposable {
  private readonly compile: (graph: Graph) => Promise<Executable>;
  private readonly padId: number;
  private readonly compiled = new Map<string, Promise<Executable>>();

  constructor(compile: (graph: Graph) => Promise<Executable>, padId: number) {
    this.compile = compile;
    this.padId = padId;
  }

  /** Texts of like length share a batch. */
  async *batches(
    fed: FedModel,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): AsyncGenerator<BatchView & { readonly feeds: Tensors }> {
    const lengths = encodings.map(({ ids }) => ids.length);
    for (const indices of planEvaluationBatches(lengths, INFERENCE_BATCH)) {
      signal?.throwIfAborted();
      const batch = indices.map((index) => encodings[index]!);
      const { feeds, length } = modelFeeds(fed, batch, this.padId);
      yield { indices, length, feeds };
      await yieldToEventLoop(signal);
    }
  }

  /** Runs a pass over all texts. */
  async *run(pass: Pass, encodings: readonly Encoding[], signal?: AbortSignal): AsyncGenerator<BatchOutputs> {
    const { fed, parameters, perBatch } = pass;
    const executable = await this.executable(pass);
    for await (const { feeds, ...batch } of this.batches(fed, encodings, signal))
      yield { ...batch, outputs: await executable.run({ ...feeds, ...parameters, ...perBatch?.(batch) }) };
  }

  async executable({ key, graph }: Pick<Pass, "key" | "graph">): Promise<Executable> {
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
