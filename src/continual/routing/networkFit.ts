// Dimensions: n rows, D features read, H hidden units, C classes.
/** A network with one hidden layer on the rows that are kept. */
import { createRng, type Rng, shuffled } from "../../core/random.ts";
import { float32 } from "../../core/tensor.ts";
import type { Matrix32 } from "../../linalg/algebra.ts";
import { defaultAdamW } from "../../optim/adamw.ts";
import { scheduleFactor } from "../../optim/schedule.ts";
import { buildClassNetworkTraining } from "../../train/classNetwork.ts";
import { dropoutFeeds } from "../../train/dropout.ts";
import { type FeatureStep, fitOnFeatures } from "../../train/featureFit.ts";
import { fitInverseTemperature } from "./calibration.ts";
import type { Expander } from "./expansions.ts";
import type { ChosenMember, FitGround } from "./ground.ts";
import { type TargetedRows, trainingRows } from "./heldOut.ts";
import { type NetworkMember, networkSettings, placesRead } from "./members.ts";
import { askNetwork, type NetworkReadout, standardize, unitRows } from "./networkModel.ts";

function measureScale({ rows, columns, values }: Matrix32): Pick<NetworkReadout, "offset" | "factor"> {
  const sums = new Float64Array(columns);
  for (let place = 0; place < values.length; place++) sums[place % columns]! += values[place]!;
  const offset = Float32Array.from(sums, (sum) => sum / rows);
  let squares = 0;
  for (let place = 0; place < values.length; place++)
    squares += (values[place]! - offset[place % columns]!) ** 2;
  return { offset, factor: squares > 0 ? Math.sqrt(values.length / squares) : 1 };
}

/** Uniform within ±1/√inputs, as torch begins a linear layer. */
function drawUniform(length: number, inputs: number, rng: Rng): Float32Array {
  const bound = 1 / Math.sqrt(inputs);
  return Float32Array.from({ length }, () => (2 * rng.uniform() - 1) * bound);
}

function* stepsOf(
  features: Matrix32,
  targets: Int32Array,
  columns: number,
  masks: Parameters<typeof dropoutFeeds>[0],
  rng: Rng,
): Generator<FeatureStep> {
  const { batchSize, epochs, smoothing, warmup } = networkSettings;
  const { rows, columns: width, values } = features;
  const each = Math.ceil(rows / batchSize);
  const total = epochs * each;
  for (let step = 0, order: number[] = []; step < total; step++) {
    if (step % each === 0) order = shuffled([...Array(rows).keys()], rng.fork("epoch", step / each));
    const chosen = order.slice((step % each) * batchSize, ((step % each) + 1) * batchSize);
    const feature = new Float32Array(chosen.length * width);
    const target = new Float32Array(chosen.length * columns).fill(smoothing / columns);
    chosen.forEach((row, i) => {
      feature.set(values.subarray(row * width, (row + 1) * width), i * width);
      target[i * columns + targets[row]!]! += 1 - smoothing;
    });
    const bindings = new Map([["B", chosen.length]]);
    const feeds = {
      feature: float32(feature, [chosen.length, width]),
      targets: float32(target, [chosen.length, columns]),
      ...dropoutFeeds(masks, bindings, rng.fork("step", step)),
    };
    yield { feeds, factor: scheduleFactor("cosine", step + 1, Math.ceil(warmup * total), total + 1) };
  }
}

async function fitNetwork(
  ground: FitGround,
  expander: Expander,
  { rows, targets }: TargetedRows,
): Promise<NetworkReadout> {
  const { algebra, compile, statistics, seed, signal } = ground;
  const { hidden, scale, inputDropout, hiddenDropout, learningRate, weightDecay } = networkSettings;
  const expanded = await expander.expand(algebra, rows);
  const measured = measureScale(expanded);
  const features = standardize(expanded, measured);
  const [width, columns] = [expanded.columns, statistics.labels.length];
  const rng = createRng(seed).fork("router", "network");
  const trained = new Map([
    [
      "hidden.weight",
      float32(drawUniform(hidden * width, width, rng.fork("hidden.weight")), [hidden, width]),
    ],
    ["hidden.bias", float32(drawUniform(hidden, width, rng.fork("hidden.bias")), [hidden])],
    [
      "head.weight",
      float32(drawUniform(columns * hidden, hidden, rng.fork("head.weight")), [columns, hidden]),
    ],
  ]);
  const { graph, masks } = buildClassNetworkTraining({ width, hidden, scale, inputDropout, hiddenDropout });
  await using executable = await compile(graph);
  const optimizer = { ...defaultAdamW, weightDecay };
  const fit = { executable, trained, learningRate, optimizer, what: "router network" };
  await fitOnFeatures(fit, stepsOf(features, targets, columns, masks, rng), signal);
  const [weight, bias, head] = [...trained.values()].map(({ data }) => data);
  return {
    ...measured,
    hidden: { rows: hidden, columns: width, values: weight! },
    bias: bias!,
    head: { rows: columns, columns: hidden, values: unitRows(head!, hidden) },
    scale,
  };
}

export async function chooseNetwork(ground: FitGround, member: NetworkMember): Promise<ChosenMember> {
  const { algebra, statistics, split } = ground;
  const expansion = {
    kind: "identity",
    layers: placesRead(member.reads, statistics.constants.layers),
  } as const;
  const expander = ground.expander(expansion);
  const readout = await fitNetwork(ground, expander, trainingRows(statistics, "fit"));
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
      readout: await fitNetwork(ground, expander, trainingRows(statistics, "all")),
      beta,
      weight,
    }),
  };
}
