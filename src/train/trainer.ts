import { EngineError } from "../core/errors.ts";
import type { Rng } from "../core/random.ts";
import { asFloat32, float32, type HostTensor, int64 } from "../core/tensor.ts";
import { collate, planBatches } from "../data/encoding/batching.ts";
import type { Encoding } from "../data/encoding/tokenizer.ts";
import { poolingsOf, poolingWeights, tokenFeeds } from "../nn/features.ts";
import { HEAD_PREFIX } from "../nn/heads.ts";
import { AdamW, clipGradients, type Trainable } from "../optim/adamw.ts";
import { type ScheduleKind, scheduleFactor } from "../optim/schedule.ts";
import { adapterMethod } from "../peft/adapters.ts";
import { nextTick } from "../portable/nextTick.ts";
import type { Executable, Tensors } from "../runtime/types.ts";
import { dropoutFeeds, type MaskRoom } from "./dropout.ts";
import { GRADIENT_PREFIX, type ModelStructure, type TrainingGraph } from "./graphs.ts";
import { runInParts } from "./parts.ts";

export interface TrainingOptions {
  readonly epochs: number;
  /** Few examples are gone through more often, until there are so many steps; default 0. */
  readonly minSteps?: number | undefined;
  readonly batchSize: number;
  /** Peak learning rate of the adapter. */
  readonly learningRate: number;
  readonly headLearningRate: number;
  readonly weightDecay: number;
  /** AdamW's β₁ and β₂. */
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly schedule: ScheduleKind;
  /** Fraction of all steps over which the rate rises. */
  readonly warmup: number;
  /** Largest global norm of the gradients; absent: not clipped. */
  readonly gradientClipping?: number;
  /** Stop after this many epochs without a better validation accuracy, and keep the best epoch's values. */
  readonly earlyStopping?: { readonly patience: number } | undefined;
  readonly backboneDropout: boolean;
}

/** A batch as the targets see it: which examples, padded to how many tokens (virtual ones included). */
export interface BatchView {
  readonly indices: readonly number[];
  readonly length: number;
}

export interface TrainingData {
  readonly encodings: readonly Encoding[];
  /** What a batch feeds beside the model's inputs: the right answers, and how much each counts. */
  readonly targets: (batch: BatchView) => Record<string, HostTensor>;
}

/**
 * Targets of sentences, each with one label: `labels` (B) head slots, and `example_weights` (B) of 1/B.
 * @param shares how much each counts, in place of all alike; those of a batch are brought to a sum of 1
 */
export function sentenceTargets(
  labels: readonly number[],
  shares?: readonly number[],
): TrainingData["targets"] {
  return ({ indices }) => {
    const size = indices.length;
    const own = indices.map((index) => shares?.[index] ?? 1);
    const all = own.reduce((sum, share) => sum + share, 0);
    return {
      labels: int64(
        indices.map((index) => labels[index]!),
        [size],
      ),
      example_weights: float32(
        Float32Array.from(own, (share) => share / all),
        [size],
      ),
    };
  };
}

/** What is trained; changed in place. */
export interface TrainableState {
  readonly adapter: ReadonlyMap<string, HostTensor<"float32">>;
  readonly head: ReadonlyMap<string, HostTensor<"float32">>;
}

/** What of a fit is trained in place. */
export interface FitState extends TrainableState {
  /** By graph input: what goes on from task to task, at the head's learning rate. */
  readonly shared?: ReadonlyMap<string, HostTensor<"float32">>;
}

/** What of a model says how a batch is fed and what is trained. */
export interface FedModel extends Pick<ModelStructure, "backbone" | "adapter"> {
  /** Absent: no graph of the model pools. */
  readonly feature?: ModelStructure["feature"];
  /** Absent: the adapter alone is trained. */
  readonly head?: ModelStructure["head"];
}

export interface FitContext {
  readonly structure: FedModel;
  readonly training: TrainingGraph;
  readonly executable: Executable;
  readonly padId: number;
  /** The task's own generator. */
  readonly rng: Rng;
  /** Accuracy on the task's validation data; needed for early stopping. */
  readonly validate?: () => Promise<number>;
  /** The text of a training example, for the message of a failing batch. */
  readonly describe: (index: number) => string;
  readonly signal?: AbortSignal;
}

/** Progress of training an adapter. */
export type FitEvent =
  | {
      readonly type: "step";
      readonly epoch: number;
      readonly step: number;
      readonly totalSteps: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly examples: number;
      readonly tokens: number;
    }
  | {
      readonly type: "epoch";
      readonly epoch: number;
      readonly meanLoss: number;
      readonly validationAccuracy?: number;
    };

export interface FitResult {
  readonly steps: number;
  readonly stoppedEarly: boolean;
}

/** How often the examples are gone through. */
function countEpochs(examples: number, { epochs, minSteps = 0, batchSize }: TrainingOptions): number {
  return Math.max(epochs, Math.ceil(minSteps / Math.ceil(examples / batchSize)));
}

/** Steps of a whole fit; known before it begins. */
export function countSteps(examples: number, options: TrainingOptions): number {
  return examples === 0 ? 0 : Math.ceil(examples / options.batchSize) * countEpochs(examples, options);
}

function headFeeds(head: ReadonlyMap<string, HostTensor<"float32">>): Record<string, HostTensor<"float32">> {
  return Object.fromEntries([...head].map(([name, tensor]) => [HEAD_PREFIX + name, tensor]));
}

/**
 * What a batch feeds into any graph of the model.
 * @returns `tokens` of the texts, padding and virtual ones aside; `length` T of the graph, with them
 */
export function modelFeeds(
  { backbone, adapter, feature }: FedModel,
  encodings: readonly Encoding[],
  padId: number,
): { readonly feeds: Record<string, HostTensor>; readonly tokens: number; readonly length: number } {
  const texts = collate(encodings, padId);
  const method = adapterMethod(adapter);
  const { batch, textMask, feeds } = method.adapt(texts, padId);
  return {
    feeds: {
      ...tokenFeeds(backbone.config, batch),
      ...feeds,
      ...(feature && {
        pooling_weights: poolingWeights(poolingsOf(backbone, feature), textMask, batch.attentionMask),
      }),
    },
    tokens: texts.lengths.reduce((sum, length) => sum + length, 0),
    length: texts.length + method.virtualTokens,
  };
}

export function parameterFeeds(state: TrainableState): Record<string, HostTensor<"float32">> {
  return { ...Object.fromEntries(state.adapter), ...headFeeds(state.head) };
}

function gradientsOf(outputs: Tensors): Map<string, Float32Array> {
  const gradients = new Map<string, Float32Array>();
  for (const [name, tensor] of Object.entries(outputs))
    if (name.startsWith(GRADIENT_PREFIX))
      gradients.set(name.slice(GRADIENT_PREFIX.length), asFloat32(tensor, name).data);
  return gradients;
}

function createOptimizer(context: FitContext, state: FitState, options: TrainingOptions): AdamW {
  const trainables: Trainable[] = [];
  const [beta1, beta2] = options.betas;
  for (const [name, { data }] of state.adapter)
    trainables.push({ name, values: data, learningRate: options.learningRate });
  for (const [name, { data }] of state.head)
    if (name !== "scale" || context.structure.head?.scaleLearnable === true)
      trainables.push({ name: HEAD_PREFIX + name, values: data, learningRate: options.headLearningRate });
  for (const [name, { data }] of state.shared ?? [])
    trainables.push({ name, values: data, learningRate: options.headLearningRate });
  return new AdamW(trainables, { beta1, beta2, epsilon: options.epsilon, weightDecay: options.weightDecay });
}

function snapshot(state: FitState): Map<string, Float32Array> {
  const tensors = [
    ...state.adapter,
    ...[...state.head].map(([name, tensor]) => [HEAD_PREFIX + name, tensor] as const),
    ...(state.shared ?? []),
  ];
  return new Map(tensors.map(([name, { data }]) => [name, data.slice()]));
}

function restore(state: FitState, saved: ReadonlyMap<string, Float32Array>): void {
  for (const [name, { data }] of state.adapter) data.set(saved.get(name) ?? data);
  for (const [name, { data }] of state.head) data.set(saved.get(HEAD_PREFIX + name) ?? data);
  for (const [name, { data }] of state.shared ?? []) data.set(saved.get(name) ?? data);
}

/**
 * Trains a task's adapter and head, and what goes on from task to task, in place. Every random choice is a function of the task's generator and the
 * step, so the same seed and machine give the same bytes.
 * @throws EngineError if a loss is not finite, naming the batch; the values are then those of the last good step.
 */
export async function* fitTask(
  context: FitContext,
  data: TrainingData,
  state: FitState,
  options: TrainingOptions,
): AsyncGenerator<FitEvent, FitResult> {
  const { structure, training, executable, padId, rng } = context;
  const { width } = structure.backbone;
  const optimizer = createOptimizer(context, state, options);
  const room: MaskRoom = new Map();
  const lengths = data.encodings.map(({ ids }) => ids.length);
  const totalSteps = countSteps(data.encodings.length, options);
  const warmupSteps = Math.round(options.warmup * totalSteps);
  let step = 0;
  let best: { accuracy: number; epoch: number; values: Map<string, Float32Array> } | undefined;

  const epochs = countEpochs(data.encodings.length, options);
  for (let epoch = 0; epoch < epochs; epoch++) {
    let lossSum = 0;
    for (const indices of planBatches(lengths, options.batchSize, rng.fork("batches", epoch))) {
      context.signal?.throwIfAborted();
      const encodings = indices.map((index) => data.encodings[index]!);
      const { feeds, tokens, length } = modelFeeds(structure, encodings, padId);
      const size = indices.length;
      const bindings = new Map([
        ["B", size],
        ["T", length],
      ]);
      const masks = dropoutFeeds(training.masks, bindings, rng.fork("step", step), room);
      const fed = {
        parameters: { ...parameterFeeds(state), ...Object.fromEntries(state.shared ?? []) },
        batch: { ...feeds, ...masks, ...data.targets({ indices, length }) },
      };
      const outputs = await runInParts(training.graph, executable, fed, { size, length, width });
      const loss = asFloat32(outputs.loss, "loss").data[0] ?? Number.NaN;
      if (!Number.isFinite(loss)) {
        const texts = indices
          .slice(0, 3)
          .map((index) => JSON.stringify(context.describe(index).slice(0, 80)));
        throw new EngineError(
          `the loss became ${loss} in epoch ${epoch + 1}, step ${step + 1} of ${totalSteps}, on a batch of ${size} beginning with ${texts.join(", ")}`,
          { hint: "lower training.learningRate, or set training.gradientClipping" },
        );
      }
      const gradients = gradientsOf(outputs);
      if (options.gradientClipping !== undefined) clipGradients(gradients, options.gradientClipping);
      const factor = scheduleFactor(options.schedule, step, warmupSteps, totalSteps);
      optimizer.step(gradients, factor);
      step += 1;
      lossSum += loss * size;
      const learningRate = options.learningRate * factor;
      yield { type: "step", epoch, step, totalSteps, loss, learningRate, examples: size, tokens };
      // The engine runs synchronously; let the caller's event loop breathe between steps.
      await nextTick();
    }
    const meanLoss = lossSum / data.encodings.length;
    const validationAccuracy = options.earlyStopping === undefined ? undefined : await context.validate?.();
    yield {
      type: "epoch",
      epoch,
      meanLoss,
      ...(validationAccuracy === undefined ? {} : { validationAccuracy }),
    };
    if (options.earlyStopping === undefined || validationAccuracy === undefined) continue;
    if (best === undefined || validationAccuracy > best.accuracy)
      best = { accuracy: validationAccuracy, epoch, values: snapshot(state) };
    else if (epoch - best.epoch >= options.earlyStopping.patience) {
      restore(state, best.values);
      return { steps: step, stoppedEarly: true };
    }
  }
  if (best !== undefined) restore(state, best.values);
  return { steps: step, stoppedEarly: false };
}
