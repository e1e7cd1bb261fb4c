/** What adapters are trained on. */
import type { Tokenizer } from "../../data/encoding/tokenizer.ts";
import type { Graph } from "../../graph/types.ts";
import type { Executable } from "../../runtime/types.ts";
import type { TrainingGraph, TrainingGraphOptions } from "../../train/graphs.ts";
import type { FedModel, TrainingData } from "../../train/trainer.ts";
import type { TrunkRows } from "./trunkRows.ts";

/** A frozen model on which every task trains an adapter, and a head where the model's structure has one. */
export interface TrainedModel {
  readonly structure: FedModel;
  readonly tokenizer: Tokenizer;
  /** @param often whether the graph runs again and again, as a training step does */
  compile(graph: Graph, often?: boolean): Promise<Executable>;
  /** The graph of a training step. */
  trainingGraph(backboneDropout: boolean, options: TrainingGraphOptions): TrainingGraph;
  /** Layers at the bottom of the backbone that no adapter changes; absent: none. */
  readonly trunkLayers?: number;
  /** What those layers give for the training texts; undefined where it is not kept, and each step computes it. */
  trunkRows?(encodings: TrainingData["encodings"], signal?: AbortSignal): Promise<TrunkRows | undefined>;
}
