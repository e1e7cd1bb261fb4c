// Dimensions: n rows, D width of the feature, N outputs, T tasks learned so far.
/**
 * NewLoRA's selection network over tasks. One network serves all tasks and changes with each, so its state after a task is
 * a part of what the task leaves.
 */
import { createRng, type Rng } from "../../core/random.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { preferenceFeeds, selectorHidden } from "../../train/selector.ts";
import type { TrainingOptions } from "../../train/trainer.ts";
import type { AdaptedBackbone } from "../passes/adaptedBackbone.ts";
import type { TaskData } from "../taskTypes/taskTrainer.ts";
import type { TaskToLearn } from "../taskTypes/taskType.ts";
import type { EncodedTexts } from "../taskTypes/textClassification.ts";
import { goldOf } from "../taskTypes/textScores.ts";
import type { FeatureRows } from "../types.ts";
import { measureClasses, mixRows } from "./selectorFrozen.ts";
import { SelectionNetwork } from "./selectorNetwork.ts";
import { growSelector, initSelector, type SelectorState, type SelectorTensors } from "./selectorState.ts";

/** `newlora`: reads features through adapters, trained with them; `newlora-frozen`: the backbone's own, with negatives. */
export type SelectorKind = "newlora" | "newlora-frozen";

/** `soft`: every head's probabilities count by its task's weight; `hard`: the heaviest task answers. */
export type SelectorInference = "soft" | "hard";

interface KindOfSelector {
  /** Whether the network learns with the adapter; else afterwards, on frozen features. */
  readonly joint: boolean;
  /** Whether it reads features of the backbone with adapters off. */
  readonly frozen: boolean;
  /** Whether it may have an output for each task to come from the beginning, as the original does. */
  readonly fixedTaskCount: boolean;
  /** Forward passes of one prediction among that many tasks, without caches. */
  readonly passes: { readonly [I in SelectorInference]: (tasks: number) => number };
}

/** Every kind. Weights through adapters need each task's pass, whoever answers then. */
export const selectorKinds: { readonly [K in SelectorKind]: KindOfSelector } = {
  newlora: {
    joint: true,
    frozen: false,
    fixedTaskCount: true,
    passes: { soft: (tasks) => tasks, hard: (tasks) => tasks },
  },
  "newlora-frozen": {
    joint: false,
    frozen: true,
    fixedTaskCount: false,
    passes: { soft: (tasks) => 1 + tasks, hard: () => 2 },
  },
};

export interface SelectorOptions {
  readonly kind: SelectorKind;
  /** As many outputs from the beginning, of a kind that knows the number of tasks; absent: one more with each task. */
  readonly tasks?: number | undefined;
  readonly training: TrainingOptions;
  readonly seed: number;
}

/** A copy of the network that is being trained, with an output for the task. */
interface Pending {
  readonly before: SelectorState;
  readonly index: number;
  readonly tensors: SelectorTensors;
}

/** Holds native memory: dispose of it. */
export class Selection implements AsyncDisposable {
  readonly kind: SelectorKind;
  private readonly model: AdaptedBackbone;
  private readonly options: SelectorOptions;
  private readonly network: SelectionNetwork;
  private readonly rng: Rng;

  constructor(model: AdaptedBackbone, options: SelectorOptions) {
    this.kind = options.kind;
    this.model = model;
    this.options = options;
    this.network = new SelectionNetwork((graph) => model.compile(graph), model.featureWidth);
    this.rng = createRng(options.seed).fork("selector");
  }

  /** Before the first task. */
  initial(): SelectorState {
    return { tensors: initSelector(this.model.featureWidth, this.rng), statistics: [] };
  }

  /** The network for the next task, with an output for it. */
  begin(before: SelectorState, index: number): Pending {
    return { before, index, tensors: growSelector(before.tensors, this.outputsAt(index), this.rng) };
  }

  private outputsAt(index: number): number {
    const fixed = selectorKinds[this.kind].fixedTaskCount ? (this.options.tasks ?? 0) : 0;
    return Math.max(fixed, index + 1);
  }

  /** The task's data with what trains the network along; as it is where the network learns afterwards. */
  withJoint(data: TaskData, { index, tensors }: Pending): TaskData {
    if (!selectorKinds[this.kind].joint) return data;
    const outputs = this.outputsAt(index);
    const preference = (rows: readonly unknown[]) =>
      preferenceFeeds(
        rows.map(() => index),
        outputs,
      );
    return {
      ...data,
      selector: tensors,
      targets: (batch): Record<string, HostTensor> => ({
        ...data.targets(batch),
        ...preference(batch.indices),
      }),
    };
  }

  /** The state after the task; on frozen features the network is trained only now. */
  async finish(
    pending: Pending,
    task: TaskToLearn,
    train: EncodedTexts,
    signal?: AbortSignal,
  ): Promise<SelectorState> {
    const { statistics } = pending.before;
    const own = selectorKinds[this.kind].frozen ? await this.fitFrozen(pending, task, train, signal) : [];
    return { tensors: pending.tensors, statistics: [...statistics, ...own] };
  }

  private async fitFrozen(
    { before, index, tensors }: Pending,
    task: TaskToLearn,
    { encodings }: EncodedTexts,
    signal?: AbortSignal,
  ) {
    const features = await this.model.frozenFeatures(encodings, signal);
    const owners = task.train.map(() => index);
    const classes = task.labels.length;
    const { normalize } = this.model.structure.feature;
    await this.network.fit(
      tensors,
      (rng) => mixRows({ features, owners, classes }, before.statistics, normalize, rng),
      this.options.training,
      this.rng.fork("task", task.name),
      signal,
    );
    const slots = task.train.map((item) => task.labels.indexOf(goldOf(item) ?? ""));
    return measureClasses(features, slots, index);
  }

  /**
   * How much each learned task claims each text: s_t(f_t(x)), the output of task t for the feature through task t's own
   * adapter; on frozen features s_t(f₀(x)).
   * @param tasks T
   * @param featuresOf the features (n, D) that task t's weight is read from
   * @returns (n, T), in (0, 1)
   */
  async weigh(
    state: SelectorState,
    tasks: number,
    featuresOf: (task: number) => FeatureRows,
  ): Promise<FeatureRows> {
    const [first] = tasks === 0 ? [] : [featuresOf(0)];
    const rows = first?.rows ?? 0;
    const values = new Float32Array(rows * tasks);
    let weights: FeatureRows | undefined;
    let weighed: FeatureRows | undefined;
    for (let task = 0; task < tasks; task++) {
      const features = featuresOf(task);
      if (weights === undefined || weighed !== features)
        weights = await this.network.weigh(state.tensors, features);
      weighed = features;
      for (let row = 0; row < rows; row++)
        values[row * tasks + task] = weights.values[row * weights.width + task]!;
    }
    return { rows, width: tasks, values };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.network[Symbol.asyncDispose]();
  }
}

/** Linear(D, D/2), Linear(D/2, N) and their biases. @param outputs N */
export function selectorParameters(width: number, outputs: number): number {
  const hidden = selectorHidden(width);
  return hidden * width + hidden + outputs * hidden + outputs;
}
