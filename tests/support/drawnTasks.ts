/** Adapters in the uppermost of three layers, and tasks that have them. */
import { type LearnedTask } from "../../src/continual/types.ts";
import { expect } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { float32, type HostTensor, sizeOf } from "../../src/core/tensor.ts";
import type { Architecture } from "../../src/nn/backbone.ts";
import { defaultHeads, initHead } from "../../src/nn/heads.ts";
import { noDropout } from "../../src/nn/layers.ts";
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

/** Tasks of 3, 4 and 5 classes with adapters that are far from zero. */
export function drawTasks(structure: ModelStructure): LearnedTask[] {
  const { shapes } = adapterMethod(structure.adapter).build(adapterHost(structure), noDropout);
  return [3, 4, 5].map((classes, i) => {
    const rng = createRng(7).fork("task", i);
    const draw = (name: string, dims: readonly number[]) => {
      const own = rng.fork(name);
      return float32(
        Float32Array.from({ length: sizeOf(dims) }, () => 0.3 * own.normal()),
        dims,
      );
    };
    return {
      name: `task ${i}`,
      labels: Array.from({ length: classes }, (_, c) => `${i}/${c}`),
      adapter: new Map(shapes.map(({ name, dims }) => [name, draw(name, dims)])),
      head: initHead(structure.head, structure.backbone.width, classes, rng),
    };
  });
}

export function expectClose(actual: readonly HostTensor[], expected: readonly HostTensor[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, tensor] of actual.entries())
    expect(relativeDifference(tensor, expected[i] ?? expect.unreachable())).toBeLessThan(tolerances.float32);
}
