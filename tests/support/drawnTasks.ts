/** Adapters in the uppermost of three layers, and tasks that have them. */
import { expect } from "vitest";
import type { LearnedTask } from "../../src/continual/types.ts";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultHeads, initHead } from "../../src/nn/heads.ts";
import { noDropout } from "../../src/nn/layers/layers.ts";
import { adapterMethod } from "../../src/peft/adapters.ts";
import type { LoraSpec } from "../../src/peft/types.ts";
import { adapterHost, type ModelStructure } from "../../src/train/graphs.ts";
import { randomEncodings, type TinyModels } from "./openedModels.ts";
import { relativeDifference, tolerances } from "./tolerances.ts";

export const families = ["bert", "gpt2", "llama"] as const satisfies readonly Architecture[];

export const all: LoraSpec = {
  rank: 2,
  alpha: 4,
  dropout: 0.1,
  bias: "lora_only",
  targetModules: "all-linear",
  rslora: false,
};
/** Of three. */
export const top: LoraSpec = { ...all, layers: [2] };

/** More than a batch of them, of different lengths. */
export const encodings = randomEncodings(Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 11)));

export function structureOf(
  models: TinyModels,
  family: Architecture,
  spec: LoraSpec,
  level: "sentence" | "word" = "sentence",
): ModelStructure {
  return {
    backbone: models.of(family).backbone,
    adapter: { kind: "lora", spec },
    feature: { pooling: "mean", normalize: false },
    head: defaultHeads.linear,
    level,
  };
}

/** A task whose adapter and head are far from zero. */
export function drawTask(
  structure: ModelStructure,
  {
    name,
    labels,
    seed,
  }: { readonly name: string; readonly labels: readonly string[]; readonly seed: number },
): LearnedTask {
  const { shapes } = adapterMethod(structure.adapter).build(adapterHost(structure), noDropout);
  const rng = createRng(seed).fork(name);
  const draw = (parameter: string, dims: readonly number[]) => {
    const own = rng.fork(parameter);
    const values = Float32Array.from({ length: sizeOf(dims) }, () => 0.3 * own.normal());
    return [parameter, float32(values, dims)] as const;
  };
  return {
    name,
    labels,
    adapter: new Map(shapes.map((shape) => draw(shape.name, shape.dims))),
    head: initHead(structure.head, structure.backbone.width, labels.length, rng),
  };
}

/** Tasks of so many classes each. */
export function drawTasks(structure: ModelStructure, classes: readonly number[] = [3, 4, 5]): LearnedTask[] {
  return classes.map((count, i) => {
    const labels = Array.from({ length: count }, (_, c) => `${i}/${c}`);
    return drawTask(structure, { name: `task ${i}`, labels, seed: 7 });
  });
}

export function expectClose(actual: readonly HostTensor[], expected: readonly HostTensor[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, tensor] of actual.entries())
    expect(relativeDifference(tensor, expected[i] ?? expect.unreachable())).toBeLessThan(tolerances.float32);
}
