import { describe, expect, it } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { float64, type HostTensor } from "../../src/core/tensor.ts";
import { defaultHeads } from "../../src/nn/heads.ts";
import { referenceRuntime } from "../../src/runtime/reference.ts";
import { buildTrainingGraph, GRADIENT_PREFIX, type ModelStructure } from "../../src/train/graphs.ts";
import * as golden from "../support/goldens.ts";
import { tolerances } from "../support/tolerances.ts";

const STEP = 1e-5;

function moved(tensor: HostTensor, direction: Float64Array, step: number): HostTensor {
  return float64(
    direction.map((value, i) => Number(tensor.data[i]) + step * value),
    tensor.dims,
  );
}

function dot(a: ArrayLike<number | bigint>, b: Float64Array): number {
  return b.reduce((sum, value, i) => sum + value * Number(a[i]), 0);
}

describe.each(["bert", "roberta"])("the whole LoRA loss of %s against central differences", (model) => {
  it.each(["linear", "cosine"] as const)("%s head, every parameter", async (kind) => {
    const backbone = await golden.goldenBackbone(model);
    const info = golden.goldenInfo(model);
    const structure: ModelStructure = {
      backbone,
      adapter: { kind: "lora", spec: golden.loraOf(info, "all") },
      feature: golden.featureOf("mean"),
      head: { ...defaultHeads[kind], scaleLearnable: kind === "cosine" },
    };
    const tensors = await golden.goldenTensors(model, "golden-lora-bias-all", "f64");
    const cosine = await golden.goldenTensors(model, "golden-lora-mean-cosine", "f64");
    const parameters = golden.underPrefix(tensors, "param.");
    if (kind === "cosine") {
      for (const name of ["head.weight", "head.scale"])
        parameters.set(name, golden.underPrefix(cosine, "param.").get(name)!);
      parameters.delete("head.bias");
    }
    const feeds = {
      ...golden.batchFeeds(backbone, structure.feature, tensors),
      ...golden.labelFeeds(tensors),
    };
    await using executable = await referenceRuntime.compile(buildTrainingGraph(structure, false).graph);
    const run = (values: ReadonlyMap<string, HostTensor>) =>
      executable.run({ ...feeds, ...Object.fromEntries(values) });
    const outputs = await run(parameters);

    const rng = createRng(11);
    let checked = 0;
    for (const [name, tensor] of parameters) {
      const gradient = outputs[GRADIENT_PREFIX + name];
      if (gradient === undefined || name.endsWith("key.bias")) continue; // the gradient of a key's bias is exactly 0
      const draw = rng.fork(name);
      const direction = Float64Array.from({ length: tensor.data.length }, () => draw.normal());
      const loss = async (step: number) =>
        Number((await run(new Map(parameters).set(name, moved(tensor, direction, step)))).loss?.data[0]);
      const numeric = ((await loss(STEP)) - (await loss(-STEP))) / (2 * STEP);
      const analytic = dot(gradient.data, direction);
      expect(Math.abs(numeric - analytic) / Math.abs(analytic), name).toBeLessThanOrEqual(
        tolerances.gradient,
      );
      checked += 1;
    }
    expect(checked).toBeGreaterThan(30);
  });
});
