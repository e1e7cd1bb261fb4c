// Dimensions: n texts, B batch, T tokens, D width, C classes.
/** Passes of texts through tasks' adapters and heads, above a trunk that the tasks share where there is one. */
import { asFloat32 } from "../../core/tensor.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import type { Tensors } from "../../runtime/types.ts";
import {
  buildInferenceGraph,
  buildTrunkGraph,
  countTrunkLayers,
  type ModelStructure,
  TRUNK_STATE,
} from "../../train/graphs.ts";
import { type BatchView, parameterFeeds, type TrainableState } from "../../train/trainer.ts";
import { type Pass, type Passes, yieldToEventLoop } from "./passes.ts";
import { frozenModel } from "./routingPass.ts";
import type { TrunkBatches, Trunks } from "./trunkCache.ts";
import type { TrunkRows } from "./trunkRows.ts";

/** What one task makes of a batch. */
export interface TaskBatch extends BatchView {
  /** Its place among the tasks that were asked for. */
  readonly task: number;
  /** Logits (B, C), at word level (B·T, C). */
  readonly output: Float32Array;
  /** The texts' features, (B, D). */
  readonly feature: Float32Array;
}

export class TaskPasses {
  private readonly passes: Passes;
  private readonly structure: ModelStructure;
  private readonly trunkCache: Trunks | undefined;
  private countedTrunkLayers: number | undefined;

  constructor(passes: Passes, structure: ModelStructure, trunkCache: Trunks | undefined) {
    this.passes = passes;
    this.structure = structure;
    this.trunkCache = trunkCache;
  }

  /** Counted when it is first asked, since a spec that fits nothing throws. */
  get trunkLayers(): number {
    this.countedTrunkLayers ??= countTrunkLayers(this.structure);
    return this.countedTrunkLayers;
  }

  /** What the trunk gives for texts, kept on the disk; undefined without a trunk or a place to keep it. */
  async trunkRows(encodings: readonly Encoding[], signal?: AbortSignal): Promise<TrunkRows | undefined> {
    const { trunkLayers } = this;
    if (trunkLayers === 0) return undefined;
    const { width } = this.structure.backbone;
    const compute = () => this.trunkStates(encodings, signal);
    return await this.trunkCache?.rows(encodings, trunkLayers, width, compute);
  }

  /** Batch by batch, every task's outputs in turn; the trunk is read from the disk, or computed once a batch. */
  async *run(
    tasks: readonly TrainableState[],
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): AsyncGenerator<TaskBatch> {
    if (tasks.length === 0) return;
    const trunk = await this.openTrunk(tasks.length, encodings, signal);
    const layers = trunk === undefined ? 0 : this.trunkLayers;
    const executable = await this.passes.executable({
      key: `inference above ${layers}`,
      graph: () => buildInferenceGraph(this.structure, layers),
    });
    const each = tasks.map(parameterFeeds);
    for await (const { feeds, ...batch } of this.passes.batches(this.structure, encodings, signal)) {
      const state = await trunk?.(batch, feeds);
      for (const [task, parameters] of each.entries()) {
        const { logits, feature } = await executable.run({ ...feeds, ...state, ...parameters });
        const output = asFloat32(logits, "logits").data;
        yield { ...batch, task, output, feature: asFloat32(feature, "feature").data };
        await yieldToEventLoop(signal);
      }
    }
  }

  /** Gives each batch what the trunk feeds; undefined where sharing one would save nothing. */
  private async openTrunk(
    tasks: number,
    encodings: readonly Encoding[],
    signal?: AbortSignal,
  ): Promise<((batch: BatchView, feeds: Tensors) => Promise<Tensors>) | undefined> {
    const rows = await this.trunkRows(encodings, signal);
    if (rows !== undefined) return (batch) => Promise.resolve(rows.feeds(batch));
    if (this.trunkLayers === 0 || tasks < 2) return undefined;
    const executable = await this.passes.executable(this.trunkPass);
    return async (_, feeds) => ({ [TRUNK_STATE]: asFloat32((await executable.run(feeds)).state, "state") });
  }

  private get trunkPass(): Pass {
    const fed = frozenModel(this.structure);
    return { key: "trunk", graph: () => buildTrunkGraph(fed, this.trunkLayers), fed };
  }

  private async *trunkStates(encodings: readonly Encoding[], signal?: AbortSignal): TrunkBatches {
    for await (const { indices, length, outputs } of this.passes.run(this.trunkPass, encodings, signal))
      yield { indices, length, state: asFloat32(outputs.state, "state").data };
  }
}
