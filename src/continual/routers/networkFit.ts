// Dimensions: n rows, D features read, H hidden units, C classes.
/** A network with one hidden layer on the rows that are kept. */
import { createRng, type Rng, shuffled } from "../../core/random.ts";
import { float32, type HostTensor } from "../../core/tensor.ts";
import type { Matrix32 } from "../../linalg/algebra.ts";
import { defaultAdamW } from "../../optim/adamw.ts";
import { scheduleFactor } from "../../optim/schedule.ts";
import { buildClassNetworkTraining } from "../../train/classNetwork.ts";
import { dropoutFeeds, type MaskRoom } from "../../train/dropout.ts";
import { type FeatureStep, fitOnFeatures } from "../../train/featureFit.ts";
import type { FeatureMapper } from "../statistics/featureMaps.ts";
import type { ChosenMember, FitContext } from "./fitContext.ts";
import { type RowList, toRowList, trainingRows } from "./heldOut.ts";
import { type NetworkMember, networkSettings, placesRead } from "./members.ts";
import { askNetwork, type NetworkReadout, standardizeInPlace, unitRows } from "./readouts/networkModel.ts";
import { eachChunk } from "./scatter.ts";
import { fitInverseTemperature } from "./scores/calibration.ts";

type Measured = Pick<NetworkReadout, "offset" | "factor">;

function measureScale({ rows, columns, values }: Matrix32): Measured {
  const sums = new Float64Array(columns);
  for (let start = 0; start < values.length; start += columns)
    for (let i = 0; i < columns; i++) sums[i]! += values[start + i]!;
  const offset = Float32Array.from(sums, (sum) => sum / rows);
  let squares = 0;
  for (let start = 0; start < values.length; start += columns)
    for (let i = 0; i < columns; i++) squares += (values[start + i]! - offset[i]!) ** 2;
  return { offset, factor: squares > 0 ? Math.sqrt(values.length / squares) : 1 };
}

/** Uniform within ±1/√inputs, as torch begins a linear layer. */
function drawUniform(length: number, inputs: number, rng: Rng): Float32Array {
  const bound = 1 / Math.sqrt(inputs);
  return Float32Array.from({ length }, () => (2 * rng.uniform() - 1) * bound);
}

/** What a network is trained on, and how. */
interface TrainingPlan {
  /** Standardised, (n, D). */
  readonly features: Matrix32;
  /** (n) */
  readonly targets: Int32Array;
  readonly epochs: number;
  readonly learningRate: number;
  /** Of the order of rows, and of dropout. */
  readonly rng: Rng;
}

function* stepsOf(
  { features, targets, epochs, rng }: TrainingPlan,
  columns: number,
  masks: Parameters<typeof dropoutFeeds>[0],
): Generator<FeatureStep> {
  const { batchSize, smoothing, warmup } = networkSettings;
  const { rows, columns: width, values } = features;
  const each = Math.ceil(rows / batchSize);
  const total = epochs * each;
  // The engine has read a batch before the next one is asked for.
  const room = {
    feature: new Float32Array(batchSize * width),
    target: new Float32Array(batchSize * columns),
  };
  const drawn: MaskRoom = new Map();
  for (let step = 0, order: number[] = []; step < total; step++) {
    if (step % each === 0) order = shuffled([...Array(rows).keys()], rng.fork("epoch", step / each));
    const chosen = order.slice((step % each) * batchSize, ((step % each) + 1) * batchSize);
    const feature = room.feature.subarray(0, chosen.length * width);
    const target = room.target.subarray(0, chosen.length * columns).fill(smoothing / columns);
    chosen.forEach((row, i) => {
      feature.set(values.subarray(row * width, (row + 1) * width), i * width);
      target[i * columns + targets[row]!]! += 1 - smoothing;
    });
    const bindings = new Map([["B", chosen.length]]);
    const feeds = {
      feature: float32(feature, [chosen.length, width]),
      targets: float32(target, [chosen.length, columns]),
      ...dropoutFeeds(masks, bindings, rng.fork("step", step), drawn),
    };
    yield { feeds, factor: scheduleFactor("cosine", step + 1, Math.ceil(warmup * total), total + 1) };
  }
}

type Weights = Map<string, HostTensor<"float32">>;

function beginWeights(width: number, columns: number, rng: Rng): Weights {
  const { hidden } = networkSettings;
  const draw = (name: string, dims: number[], inputs: number) => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    return [name, float32(drawUniform(size, inputs, rng.fork(name)), dims)] as const;
  };
  return new Map([
    draw("hidden.weight", [hidden, width], width),
    draw("hidden.bias", [hidden], width),
    draw("head.weight", [columns, hidden], hidden),
  ]);
}

/** Trains weights in place. */
async function train({ compile, signal }: FitContext, trained: Weights, plan: TrainingPlan): Promise<void> {
  const { hidden, scale, inputDropout, hiddenDropout, weightDecay } = networkSettings;
  const [columns = 0] = trained.get("head.weight")?.dims ?? [];
  const options = { width: plan.features.columns, hidden, scale, inputDropout, hiddenDropout };
  const { graph, masks } = buildClassNetworkTraining(options);
  await using executable = await compile(graph);
  const optimizer = { ...defaultAdamW, weightDecay };
  const fit = { executable, trained, learningRate: plan.learningRate, optimizer, what: "router network" };
  await fitOnFeatures(fit, stepsOf(plan, columns, masks), signal);
}

function readoutOf(trained: Weights, measured: Measured): NetworkReadout {
  const { hidden, scale } = networkSettings;
  const [weight, bias, head] = [...trained.values()].map(({ data }) => data);
  return {
    ...measured,
    hidden: { rows: hidden, columns: weight!.length / hidden, values: weight! },
    bias: bias!,
    head: { rows: head!.length / hidden, columns: hidden, values: unitRows(head!.slice(), hidden) },
    scale,
  };
}

/** What a member's network reads, and what it draws by chance. */
export function networkOf({ seed, statistics }: FitContext, { reads }: Pick<NetworkMember, "reads">) {
  const layers = placesRead(reads, statistics.constants.layers);
  return {
    expansion: { kind: "identity", layers },
    rng: createRng(seed).fork("router", "network", reads),
  } as const;
}

/** Trains a network on rows in a canonical order. */
export async function fitNetwork(
  context: FitContext,
  expander: FeatureMapper,
  rows: RowList,
  rng: Rng,
): Promise<NetworkReadout> {
  const { statistics, algebra, signal } = context;
  const { learningRate, batchSize, leastSteps } = networkSettings;
  const { targets } = rows;
  const each = Math.ceil(targets.length / batchSize);
  const epochs = Math.max(networkSettings.epochs, Math.ceil(leastSteps / each));
  const { size } = expander;
  const features = { rows: targets.length, columns: size, values: new Float32Array(targets.length * size) };
  await eachChunk(algebra, expander, rows, signal, ({ values }, _, start) => {
    features.values.set(values, start * size);
  });
  const measured = measureScale(features);
  standardizeInPlace(features, measured);
  const trained = beginWeights(size, statistics.labels.length, rng);
  await train(context, trained, { features, targets, epochs, learningRate, rng });
  return readoutOf(trained, measured);
}

export async function chooseNetwork(context: FitContext, member: NetworkMember): Promise<ChosenMember> {
  const { algebra, statistics, split } = context;
  const { expansion, rng } = networkOf(context, member);
  const expander = context.expander(expansion);
  const readout = await fitNetwork(context, expander, toRowList(trainingRows(statistics, "fit")), rng);
  const logits = await askNetwork(algebra, readout, await expander.expand(algebra, split.judges));
  const beta = fitInverseTemperature(logits, split.targets);
  const { weight } = member;
  return {
    settings: { temperature: 1 / beta },
    logits,
    beta,
    weight,
    finish: async () => ({
      type: "network",
      expansion,
      // Without a row more the same training would give the same.
      readout:
        split.heldOut.length === 0
          ? readout
          : await fitNetwork(context, expander, toRowList(trainingRows(statistics, "all")), rng),
      beta,
      weight,
    }),
  };
}
