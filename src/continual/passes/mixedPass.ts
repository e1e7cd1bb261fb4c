// Dimensions: n texts, B batch, T tokens, C classes.
/** The pass in which every text goes through its own task's adapter and head. */

import { asFloat32, int64 } from "../../core/tensor.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import { featureWidth } from "../../nn/features.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import type { Tensors } from "../../runtime/types.ts";
import type { ModelStructure } from "../../train/graphs.ts";
import { buildMixedGraph, TASK_OF } from "../../train/mixedGraph.ts";
import type { BatchView } from "../../train/trainer.ts";
import type { LearnedTask, Logits } from "../types.ts";
import { type Pass, type Passes, scatterRows } from "./passes.ts";
import { TaskStacks, tasksOfTexts } from "./taskStack.ts";
import type { TrunkRows } from "./trunkRows.ts";

type MixedOutputs = BatchView & {
  /** (B, C), at word level (B·T, C), C the largest head's classes. */
  readonly output: Float32Array;
  readonly classes: number;
  readonly outputs: Tensors;
};

/** Keeps the stacked parameters of tasks from call to call. */
export class MixedPass {
  private readonly passes: Passes;
  private readonly structure: ModelStructure;
  private readonly stacks = new TaskStacks();

  constructor(passes: Passes, structure: ModelStructure) {
    this.passes = passes;
    this.structure = structure;
  }

  /** @throws GraphError if `taskOf` does not name a task for each text */
  async logits(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
    trunk?: TrunkRows,
  ): Promise<readonly Float32Array[]> {
    const own = tasksOfTexts(tasks, taskOf, encodings.length);
    const texts = own.map(({ labels }) => new Float32Array(labels.length));
    for await (const { output, classes, indices } of this.run(tasks, own, encodings, signal, trunk))
      indices.forEach((index, row) => {
        const logits = texts[index]!;
        logits.set(output.subarray(row * classes, row * classes + logits.length));
      });
    return texts;
  }

  /**
   * What the heads read.
   * @returns (n, F)
   * @throws GraphError if `taskOf` does not name a task for each text
   */
  async features(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const own = tasksOfTexts(tasks, taskOf, encodings.length);
    const width = featureWidth(this.structure.backbone, this.structure.feature);
    const rows = new Float32Array(encodings.length * width);
    for await (const { outputs, indices } of this.run(tasks, own, encodings, signal, undefined, true))
      scatterRows(rows, asFloat32(outputs.feature, "feature").data, indices, width);
    return rows;
  }

  /** @throws GraphError if `taskOf` does not name a task for each sentence */
  async tokenLogits(
    tasks: readonly LearnedTask[],
    taskOf: Int32Array,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
    trunk?: TrunkRows,
  ): Promise<readonly Logits[]> {
    const own = tasksOfTexts(tasks, taskOf, encodings.length);
    const { virtualTokens } = adapterMethod(this.structure.adapter);
    const sentences = encodings.map(({ ids }, i): Logits => {
      const classes = own[i]!.labels.length;
      return { rows: ids.length, classes, values: new Float32Array(ids.length * classes) };
    });
    for await (const { output, classes, indices, length } of this.run(tasks, own, encodings, signal, trunk))
      indices.forEach((index, row) => {
        const { rows, classes: slots, values } = sentences[index]!;
        const start = row * length + virtualTokens;
        for (let token = 0; token < rows; token++) {
          const at = (start + token) * classes;
          values.set(output.subarray(at, at + slots), token * slots);
        }
      });
    return sentences;
  }

  private async *run(
    tasks: readonly LearnedTask[],
    own: readonly LearnedTask[],
    encodings: readonly Encoding[],
    signal?: AbortSignal,
    trunk?: TrunkRows,
    withFeature = false,
  ): AsyncGenerator<MixedOutputs> {
    const { parameters, slots } = this.stacks.holding(own, tasks);
    const slotsOf = (indices: readonly number[]) => indices.map((index) => slots.get(own[index]!) ?? 0);
    const layers = trunk?.layers ?? 0;
    const pass: Pass = {
      key: `mixed above ${layers}${withFeature ? ", feature" : ""}`,
      graph: () => buildMixedGraph(this.structure, layers, withFeature),
      fed: this.structure,
      parameters,
      perBatch: (batch) => ({
        [TASK_OF]: int64(slotsOf(batch.indices), [batch.indices.length]),
        ...trunk?.feeds(batch),
      }),
    };
    for await (const { indices, length, outputs } of this.passes.run(pass, encodings, signal)) {
      const { data, dims } = asFloat32(outputs.logits, "logits");
      yield { indices, length, output: data, classes: dims[1] ?? 0, outputs };
    }
  }
}
