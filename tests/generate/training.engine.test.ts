import { describe, expect, it } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, int64, isFloat32 } from "../../src/core/tensor.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { answerFeeds } from "../../src/generate/feeds.ts";
import { buildCausalTrainingGraph, type CausalStructure } from "../../src/generate/graphs.ts";
import { generateGreedy, openCausalModel } from "../../src/generate/greedy.ts";
import { tokenFeeds } from "../../src/nn/features.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { dropoutFeeds } from "../../src/train/dropout.ts";
import { GRADIENT_PREFIX, type TrainingGraph } from "../../src/train/graphs.ts";
import { goldenBackbone, goldenTensors, need } from "../support/goldens.ts";
import { compileUntilEnd, untilEnd } from "../support/untilEnd.ts";

interface Lesson {
  readonly texts: readonly { readonly prompt: readonly number[]; readonly answer: readonly number[] }[];
  readonly stop: number;
}

/**
 * Three prompts and answers. The answers are made of tokens that the model says of itself: a random head over a
 * normalised state has tokens that no state makes the likeliest.
 */
async function lessonFor(model: string): Promise<Lesson> {
  const { data } = need(await goldenTensors(model, "golden-forward", "f32"), "greedy");
  const [stop = 0, a = 0, b = 0, c = 0, d = 0] = [...new Set(Array.from(data, Number))];
  const texts = [
    { prompt: [5, 9, 11], answer: [a, b, stop] },
    { prompt: [6, 9], answer: [c, stop] },
    { prompt: [7, 9, 12, 14], answer: [b, d, a, stop] },
  ];
  return { texts, stop };
}

async function structureOf(model: string, dropout: number): Promise<CausalStructure> {
  const backbone = await goldenBackbone(model);
  if (backbone.kind !== "decoder") throw new Error(`${model} is no decoder`);
  const targetModules = "all-linear";
  const spec = { rank: 4, alpha: 8, dropout, bias: "none", targetModules, rslora: false } as const;
  return { backbone, adapter: { kind: "lora", spec } };
}

function batchFeeds({ backbone }: CausalStructure, { texts }: Lesson): Record<string, HostTensor> {
  const encodings = texts.map(({ prompt, answer }) => {
    const ids = [...prompt, ...answer];
    return { ids, typeIds: ids.map(() => 0), truncated: false };
  });
  const batch = collate(encodings, 0, "left");
  const labels = texts.flatMap(({ answer }) => [
    ...new Array<number>(batch.length - answer.length).fill(-100),
    ...answer,
  ]);
  return { ...tokenFeeds(backbone.config, batch), ...answerFeeds(int64(labels, [batch.size, batch.length])) };
}

function initialise({ adapterShapes }: TrainingGraph): Map<string, HostTensor<"float32">> {
  const rng = createRng(3);
  return new Map(
    adapterShapes.map(({ name, dims }) => {
      const size = dims.reduce((a, b) => a * b, 1);
      const scale = name.endsWith("lora_A.weight") ? 0.3 : 0;
      return [
        name,
        float32(
          Float32Array.from({ length: size }, () => scale * rng.normal()),
          dims,
        ),
      ];
    }),
  );
}

describe("learning answers", () => {
  it.each(["gpt2", "gpt_neox", "llama", "qwen2"])(
    "%s learns three of them by heart and says them",
    async (model) => {
      const structure = await structureOf(model, 0);
      const lesson = await lessonFor(model);
      const { texts, stop } = lesson;
      const training = buildCausalTrainingGraph(structure, false);
      const executable = await compileUntilEnd(nodeRuntime, training.graph);
      const causal = untilEnd(await openCausalModel(structure, nodeRuntime));
      const values = initialise(training);
      const trainables = [...values].map(([name, { data }]) => ({ name, values: data, learningRate: 0.02 }));
      const optimizer = new AdamW(trainables, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
      const feeds = batchFeeds(structure, lesson);
      const losses: number[] = [];
      for (let step = 0; step < 100; step++) {
        const outputs = await executable.run({ ...feeds, ...Object.fromEntries(values) });
        losses.push(Number(outputs.loss?.data[0]));
        const grads = new Map<string, Float32Array>();
        for (const name of values.keys()) {
          const gradient = outputs[GRADIENT_PREFIX + name];
          if (gradient !== undefined && isFloat32(gradient)) grads.set(name, gradient.data);
        }
        optimizer.step(grads, 1);
      }
      expect(losses.at(-1)).toBeLessThan(0.2 * (losses[0] ?? 0));
      const prompts = texts.map(({ prompt }) => prompt);
      const options = { maxNewTokens: 6, stopIds: [stop], parameters: Object.fromEntries(values) };
      const said = await generateGreedy(causal, prompts, options);
      expect(said).toEqual(texts.map(({ answer }) => ({ ids: answer.slice(0, -1), stopped: true })));
      const unlearned = await generateGreedy(causal, prompts, {
        ...options,
        parameters: Object.fromEntries(initialise(training)),
      });
      expect(unlearned).not.toEqual(said);
    },
  );

  it("drops out where GPT-2 does, by masks that are fed", async () => {
    const structure = await structureOf("gpt2", 0.1);
    const training = buildCausalTrainingGraph(structure, true);
    const executable = await compileUntilEnd(nodeRuntime, training.graph);
    const sites = training.masks.map(({ site }) => site);
    for (const site of [
      "drop",
      "h.0.attn",
      "h.2.attn.resid_dropout",
      "h.1.mlp.dropout",
      "h.0.attn.c_attn.lora_dropout",
    ])
      expect(sites).toContain(site);
    const feeds = {
      ...batchFeeds(structure, await lessonFor("gpt2")),
      ...Object.fromEntries(initialise(training)),
    };
    const [batch = 0, tokens = 0] = feeds.input_ids?.dims ?? [];
    const bindings = new Map([
      ["B", batch],
      ["T", tokens],
    ]);
    const losses: number[] = [];
    for (const seed of [1, 1, 2]) {
      const masks = dropoutFeeds(training.masks, bindings, createRng(seed));
      losses.push(Number((await executable.run({ ...feeds, ...masks })).loss?.data[0]));
    }
    expect(losses[1]).toBe(losses[0]);
    expect(losses[2]).not.toBe(losses[0]);
  });
});
