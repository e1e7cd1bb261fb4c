import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { EngineError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import { type ChangeEvent, createLearner, type ModelConfig } from "../../src/index.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import type { LoraSpec } from "../../src/peft/types.ts";
import { dropoutFeeds } from "../../src/train/dropout.ts";
import { buildTrainingGraph } from "../../src/train/graphs.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { goldenBackbone } from "../support/goldens.ts";
import { writeTinyModel } from "../support/tinyModels.ts";
import { digits } from "../support/tolerances.ts";

const folder = folderOfTestFile("train");

beforeAll(async () => {
  await writeTinyModel(join(folder, "model"));
});

const examples = (split: string, count: number) =>
  ["aa", "bb"].flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({
      text: `${label[0]} ${split} number ${i} ${label[0]}`,
      label,
    })),
  );

const task = { name: "letters", train: examples("train", 16), validation: examples("validation", 4) };

async function learn(training: ModelConfig["training"]): Promise<{ events: ChangeEvent[]; loss: number }> {
  await using learner = await createLearner({ backbone: join(folder, "model"), training, threads: 1 });
  const events: ChangeEvent[] = [];
  const { loss = Number.NaN } = await learner.learn(task, { onEvent: (event) => events.push(event) });
  return { events, loss };
}

const base = { epochs: 3, minSteps: 0, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 };

describe("training", () => {
  it("stops at a loss that is not finite, naming the batch, and keeps nothing of the task", async () => {
    await using learner = await createLearner({
      backbone: join(folder, "model"),
      training: { ...base, learningRate: 1e38, headLearningRate: 1e38, gradientClipping: 0 },
      threads: 1,
    });
    const failure = await learner.learn(task).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(EngineError);
    expect(String(failure)).toMatch(
      /loss became (NaN|Infinity|-Infinity) in epoch \d, step \d+ of 24, on a batch of 4 beginning with "[ab] train/,
    );
    expect(learner.tasks).toEqual([]);
  });

  it("stops early and keeps the best epoch's values", async () => {
    const { events } = await learn({ ...base, epochs: 12, earlyStopping: { patience: 2 } });
    const epochs = events.filter((event) => event.type === "epoch");
    const accuracies = epochs.map((event) => event.validationAccuracy ?? Number.NaN);
    const best = accuracies.indexOf(Math.max(...accuracies));
    expect(epochs.length).toBe(best + 3);
    expect(epochs.length).toBeLessThan(12);
  });

  it("draws the backbone's own dropout only where asked", async () => {
    const [off, offAgain, on] = [
      await learn(base),
      await learn(base),
      await learn({ ...base, backboneDropout: true }),
    ];
    expect(offAgain.loss).toBe(off.loss);
    expect(on.loss).not.toBe(off.loss);
  });

  it("warms the learning rate up and lets it fall", async () => {
    const { events } = await learn({ ...base, warmup: 0.25, schedule: "linear" });
    const rates = events.filter((event) => event.type === "step").map((event) => event.learningRate);
    expect(rates.length).toBe(24);
    expect(rates[0]).toBe(0);
    expect(Math.max(...rates)).toBeCloseTo(1e-2, digits.float64Long);
    expect(rates.indexOf(Math.max(...rates))).toBe(6);
    expect(rates.at(-1)).toBeLessThan(1e-3);
  });
});

describe("what is differentiated", () => {
  const lora = (targetModules: string): LoraSpec => ({
    rank: 2,
    alpha: 4,
    dropout: 0,
    bias: "none",
    targetModules,
    rslora: false,
  });

  it("nothing below the lowest adapter", async () => {
    const backbone = await goldenBackbone("bert");
    const sizeOf = (targets: string) =>
      buildTrainingGraph(
        {
          backbone,
          adapter: { kind: "lora", spec: lora(targets) },
          feature: { pooling: "mean", normalize: false },
          head: defaultHeads.linear,
        },
        false,
      ).graph.nodes.filter(({ kind }) => kind === "softmax" || kind === "exp").length;
    // Every layer whose GELU is differentiated has an exp of its own; three softmaxes belong to the forward pass.
    expect(sizeOf(".*layer\\.0\\..*query")).toBe(3 + 3 + 1);
    expect(sizeOf(".*layer\\.1\\..*query")).toBe(3 + 2 + 1);
    expect(sizeOf(".*layer\\.2\\..*query")).toBe(3 + 1 + 1);
  });

  it("the same masks for the same place and step, others for others, at the asked rate", () => {
    const masks = [
      { input: "dropout/a", site: "a", shape: ["B", 1000], rate: 0.1 },
      { input: "dropout/b", site: "b", shape: ["B", 1000], rate: 0.1 },
    ];
    const draw = (step: number) => dropoutFeeds(masks, new Map([["B", 50]]), createRng(3).fork("step", step));
    const [first, again, later] = [draw(0), draw(0), draw(1)];
    expect(again).toEqual(first);
    expect(later["dropout/a"]).not.toEqual(first["dropout/a"]);
    expect(first["dropout/b"]?.data).not.toEqual(first["dropout/a"]?.data);
    const kept =
      Array.from(first["dropout/a"]?.data ?? [], Number).reduce((sum, bit) => sum + bit, 0) / 50_000;
    // Four standard deviations of a binomial with n = 50,000.
    expect(Math.abs(kept - 0.9)).toBeLessThan(0.0054);
  });
});
