/** Settings that scenarios share; a scenario changes what it is about. */
import type { Settings, StatisticsRouter } from "../scenario.ts";

type Lora = Extract<Settings["method"], { adapter: "lora" }>;

export const lora: Lora = {
  adapter: "lora",
  rank: 4,
  alpha: 8,
  dropout: 0.1,
  bias: "none",
  targetModules: ["query", "value"],
  rslora: false,
};

export const prompt = {
  adapter: "prompt-tuning",
  virtualTokens: 5,
  init: { text: "number of a text" },
} satisfies Settings["method"];

export const linear = { kind: "linear" } satisfies Settings["head"];
export const cosine = { kind: "cosine", scale: "learnable" } satisfies Settings["head"];

export const training = {
  epochs: 2,
  batchSize: 4,
  learningRate: 1e-2,
  headLearningRate: 5e-2,
  weightDecay: 0.01,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  schedule: "linear",
  warmup: 0.1,
  gradientClipping: 1,
  maxLength: 32,
  backboneDropout: false,
} satisfies Settings["training"];

/** LoRA and linear heads on the random one-layer BERT. */
export const tiny = {
  method: lora,
  head: linear,
  level: "sentence",
  feature: { pooling: "mean", normalize: false },
  training,
  threads: 1,
  seed: 1,
} satisfies Settings;

/** The same on the shipped model. */
export const mini = {
  ...tiny,
  training: { ...training, batchSize: 8, learningRate: 2e-3, headLearningRate: 1e-2 },
} satisfies Settings;

export function router(kind: StatisticsRouter["kind"], layers: number[]): StatisticsRouter {
  return { kind, topTasks: 1, secondPass: "off", layers };
}

const splits = { validationFraction: 0.1, allowOverlap: false, seed: 1 };

/** Six letters in tasks of six, three or two. */
export const oneTask = { ...splits, tasks: 1, classOrder: "file" };
export const twoTasks = { ...splits, tasks: 2, classOrder: "file" };
export const threeTasks = { ...splits, tasks: 3, classOrder: "file" };

/** The tasks of the demo's part, by name. */
export const named = {
  ...splits,
  taskList: [
    { name: "travel", labels: ["book_flight", "find_hotel"] },
    { name: "kitchen", labels: ["find_recipe", "reserve_table"] },
    { name: "music", labels: ["play_music", "adjust_volume"] },
  ],
};

/** Entity types: two and two. */
export const types = { ...splits, base: 2, increment: 2, typeOrder: "alphabetical", sampling: "all" };
