// Dimensions: n rows, D width of the feature, N outputs, T tasks learned so far.
import { createRng, type Rng } from "../core/random.ts";
import type { Encoding } from "../data/tokenizer.ts";
import type { TrainingOptions } from "../train/trainer.ts";
import { type AdaptedBackbone, argmax, type FeatureRows } from "./adaptedBackbone.ts";
import type { JointSelection, TaskToLearn } from "./learner.ts";
import { measureClasses, mixRows } from "./selectorFrozen.ts";
import { SelectionNetwork } from "./selectorNetwork.ts";
import {
  decodeSelector,
  encodeSelector,
  growSelector,
  initSelector,
  type SelectorState,
  type SelectorTensors,
} from "./selectorState.ts";

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
  readonly foresees: boolean;
  /** Forward passes of one prediction among that many tasks, without caches. */
  readonly passes: { readonly [I in SelectorInference]: (tasks: number) => number };
}

/** Every kind. Weights through adapters need each task's pass, whoever answers then. */
export const selectorKinds: { readonly [K in SelectorKind]: KindOfSelector } = {
  newlora: {
    joint: true,
    frozen: false,
    foresees: true,
    passes: { soft: (tasks) => tasks, hard: (tasks) => tasks },
  },
  "newlora-frozen": {
    joint: false,
    frozen: true,
    foresees: false,
    passes: { soft: (tasks) => 1 + tasks, hard: () => 2 },
  },
};

export interface SelectorOptions {
  readonly kind: SelectorKind;
  /** As many outputs from the beginning, of a kind that foresees tasks; absent: one more with each task. */
  readonly tasks?: number;
  readonly training: TrainingOptions;
  readonly seed: number;
}

/** A task's network before it has learned the task. */
interface Pending {
  readonly index: number;
  readonly tensors: SelectorTensors;
}

/**
 * NewLoRA's selection network over a stream of tasks. One network serves all tasks and changes with each, so it is no
 * part of what a task freezes; its state after a task is saved with that task. Holds native memory: dispose of it.
 */
export class TaskSelector implements AsyncDisposable {
  readonly kind: SelectorKind;
  private readonly model: AdaptedBackbone;
  private readonly options: SelectorOptions;
  private readonly network: SelectionNetwork;
  private readonly rng: Rng;
  private state: SelectorState;

  constructor(model: AdaptedBackbone, options: SelectorOptions) {
    const width = model.structure.backbone.width;
    this.kind = options.kind;
    this.model = model;
    this.options = options;
    this.network = new SelectionNetwork((graph) => model.compile(graph), width);
    this.rng = createRng(options.seed).fork("selector");
    this.state = { tensors: initSelector(width, this.rng), statistics: [] };
  }

  /**
   * A copy of the network for the next task, with an output for it. It takes the old one's place with {@link finish}
   * alone, so that a task that fails leaves no trace.
   */
  begin(index: number): Pending {
    return { index, tensors: growSelector(this.state.tensors, this.outputsAt(index), this.rng) };
  }

  private outputsAt(index: number): number {
    const foreseen = selectorKinds[this.kind].foresees ? (this.options.tasks ?? 0) : 0;
    return Math.max(foreseen, index + 1);
  }

  /** What is trained along with the task's adapter; undefined where the network learns afterwards. */
  joint({ index, tensors }: Pending): JointSelection | undefined {
    if (!selectorKinds[this.kind].joint) return undefined;
    return { tensors, task: index, tasks: this.outputsAt(index) };
  }

  /** Takes the network over after its task; on frozen features it is trained only now. */
  async finish(pending: Pending, task: TaskToLearn, signal?: AbortSignal): Promise<void> {
    const { statistics } = this.state;
    const own = selectorKinds[this.kind].frozen ? await this.fitFrozen(pending, task, signal) : [];
    this.state = { tensors: pending.tensors, statistics: [...statistics, ...own] };
  }

  private async fitFrozen({ index, tensors }: Pending, task: TaskToLearn, signal?: AbortSignal) {
    const { encodings } = this.model.encode(task.train, `train of ${task.name}`);
    const features = await this.model.frozenFeatures(encodings, signal);
    const owners = task.train.map(() => index);
    const classes = task.labels.length;
    const earlier = this.state.statistics;
    const { normalize } = this.model.structure.feature;
    await this.network.fit(
      tensors,
      (rng) => mixRows({ features, owners, classes }, earlier, normalize, rng),
      this.options.training,
      this.rng.fork("task", task.name),
      signal,
    );
    const slots = task.train.map(({ label }) => task.labels.indexOf(label));
    return measureClasses(features, slots, index);
  }

  /**
   * How much each learned task claims each text: s_t(f_t(x)), the output of task t for the feature through task t's own
   * adapter; on frozen features s_t(f₀(x)).
   * @param tasks T
   * @param featuresOf the features (n, D) that task t's weight is read from
   * @returns (n, T), in (0, 1)
   */
  async weigh(tasks: number, featuresOf: (task: number) => FeatureRows): Promise<FeatureRows> {
    const [first] = tasks === 0 ? [] : [featuresOf(0)];
    const rows = first?.rows ?? 0;
    const values = new Float32Array(rows * tasks);
    let weights: FeatureRows | undefined;
    let weighed: FeatureRows | undefined;
    for (let task = 0; task < tasks; task++) {
      const features = featuresOf(task);
      if (weights === undefined || weighed !== features)
        weights = await this.network.weigh(this.state.tensors, features);
      weighed = features;
      for (let row = 0; row < rows; row++)
        values[row * tasks + task] = weights.values[row * weights.width + task]!;
    }
    return { rows, width: tasks, values };
  }

  /** The backbone's features of texts, for a kind that reads them. */
  frozenFeatures(encodings: readonly Encoding[], signal?: AbortSignal): Promise<FeatureRows> {
    return this.model.frozenFeatures(encodings, signal);
  }

  /** The bytes that a task's folder keeps of the network as it is now. */
  encode(): Uint8Array {
    return encodeSelector(this.state);
  }

  /**
   * Takes up what {@link encode} gave.
   * @throws CheckpointError if it does not fit the backbone
   */
  restore(bytes: Uint8Array, where: string): void {
    this.state = decodeSelector(bytes, this.model.structure.backbone.width, where);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.network[Symbol.asyncDispose]();
  }
}

/** A routed answer: which head and which of its slots, and the task that the network would have chosen. */
export interface RoutedChoice {
  readonly task: number;
  readonly slot: number;
  readonly selected: number;
}

/** softmax(z)_c of the largest logit, and its slot. */
function topProbability(logits: Float32Array): { readonly slot: number; readonly probability: number } {
  const slot = argmax(logits);
  const peak = logits[slot] ?? 0;
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - peak);
  return { slot, probability: 1 / total };
}

const choosers: {
  readonly [I in SelectorInference]: (
    perTask: readonly Float32Array[],
    weights: Float32Array,
  ) => Omit<RoutedChoice, "selected">;
} = {
  // argmax over t and c of w_t · softmax(z_t)_c
  soft: (perTask, weights) => {
    let best = { task: 0, slot: 0, score: Number.NEGATIVE_INFINITY };
    perTask.forEach((logits, task) => {
      const { slot, probability } = topProbability(logits);
      const score = weights[task]! * probability;
      if (score > best.score) best = { task, slot, score };
    });
    return { task: best.task, slot: best.slot };
  },
  // argmax over c of z_t, t = argmax w
  hard: (perTask, weights) => {
    const task = argmax(weights);
    return { task, slot: argmax(perTask[task] ?? new Float32Array()) };
  },
};

/**
 * The answer to one text.
 * @param perTask its logits by each task's adapter and head, in the order of learning
 * @param weights how much each task claims it, (T)
 */
export function chooseRouted(
  perTask: readonly Float32Array[],
  weights: Float32Array,
  inference: SelectorInference,
): RoutedChoice {
  return { ...choosers[inference](perTask, weights), selected: argmax(weights) };
}
