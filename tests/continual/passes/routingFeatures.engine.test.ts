// Dimensions: T tokens, D width.

import { beforeAll, describe, expect, test } from "vitest";
import type { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import type { FeatureRows, LearnedTask } from "../../../src/continual/types.ts";
import { ConfigError } from "../../../src/core/errors.ts";
import { asFloat32, float32, type HostTensor } from "../../../src/core/tensor.ts";
import type { Encoding } from "../../../src/data/encoding/tokenizer.ts";
import type { Architecture } from "../../../src/nn/backbone.ts";
import type { AdapterSpec } from "../../../src/peft/types.ts";
import type { Executable } from "../../../src/runtime/types.ts";
import { buildFeatureGraph, type ModelStructure } from "../../../src/train/graphs.ts";
import { modelFeeds, parameterFeeds } from "../../../src/train/trainer.ts";
import { drawTask } from "../../support/drawnTasks.ts";
import { randomEncodings, TinyModels } from "../../support/openedModels.ts";
import { relativeDifference, tolerances } from "../../support/tolerances.ts";

const families = ["bert", "roberta", "gpt2", "gpt_neox", "llama"] as const satisfies readonly Architecture[];

/** Lengths in no order, so that a batch pads and rows come back where they belong. */
const encodings = randomEncodings([7, 3, 12, 5]);

let models: TinyModels;
beforeAll(async () => {
  models = await TinyModels.write(families);
});

const asTensor = ({ values, rows, width }: FeatureRows) => float32(values, [rows, width]);

function unit(vector: readonly number[]): number[] {
  const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / norm);
}

/** Every layer's states of a text alone: [layer][token][D], virtual tokens cut off. */
type States = readonly (readonly (readonly number[])[])[];

/** Every text run alone. */
async function hiddenStates(
  model: AdaptedBackbone,
  structure: Pick<ModelStructure, "backbone" | "feature" | "adapter">,
  task?: LearnedTask,
): Promise<States[]> {
  await using executable = await model.compile(buildFeatureGraph(structure, true));
  const all: States[] = [];
  for (const encoding of encodings)
    all.push(await statesOf({ model, structure, executable }, encoding, task));
  return all;
}

async function statesOf(
  {
    model,
    structure,
    executable,
  }: {
    readonly model: AdaptedBackbone;
    readonly structure: Pick<ModelStructure, "backbone" | "feature" | "adapter">;
    readonly executable: Executable;
  },
  encoding: Encoding,
  task?: LearnedTask,
): Promise<States> {
  const { feeds, length } = modelFeeds(structure, [encoding], model.tokenizer.padId);
  const outputs = await executable.run({ ...feeds, ...(task && parameterFeeds(task)) });
  const width = structure.backbone.width;
  const states: number[][][] = [];
  for (let layer = 0; outputs[`hidden.${layer}`] !== undefined; layer++) {
    const { data } = asFloat32(outputs[`hidden.${layer}`], "hidden");
    const rows = Array.from({ length }, (_, t) => [...data.subarray(t * width, (t + 1) * width)]);
    states.push(rows.slice(length - encoding.ids.length));
  }
  return states;
}

const poolings = {
  mean: (tokens: States[number]) =>
    (tokens[0] ?? []).map((_, d) => tokens.reduce((sum, row) => sum + (row[d] ?? 0), 0) / tokens.length),
  last: (tokens: States[number]) => tokens.at(-1) ?? [],
  cls: (tokens: States[number]) => tokens[0] ?? [],
};

/** Pools and joins by hand what the layers gave. */
function expectedRow(states: States, layers: readonly number[], pooling: keyof typeof poolings): number[] {
  return layers.flatMap((layer) => unit(poolings[pooling](states[layer] ?? [])));
}

function tokensOf(states: States, layers: readonly number[]): number[][] {
  const count = states[0]?.length ?? 0;
  return Array.from({ length: count }, (_, t) => layers.flatMap((layer) => unit(states[layer]?.[t] ?? [])));
}

function expectRows(actual: FeatureRows, rows: readonly (readonly number[])[]): void {
  const expected: HostTensor = float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
  expect(relativeDifference(asTensor(actual), expected)).toBeLessThan(tolerances.float32);
}

describe.each(families)("%s", (family) => {
  const cases = [
    { layers: [0, 1, 2], pooling: "mean" },
    { layers: [2, 0], pooling: "last" },
    { layers: [1], pooling: "cls" },
  ] as const;

  test.each(cases)(
    "layers $layers, $pooling: as each text's states, pooled by hand",
    async ({ layers, pooling }) => {
      await using model = models.open(family, { feature: { pooling, normalize: true } });
      const { backbone, feature } = model.structure;
      const states = await hiddenStates(model, { backbone, feature });
      const rows = states.map((text) => expectedRow(text, layers, pooling));
      expectRows(await model.routingFeatures(encodings, { layers }), rows);
    },
  );
});

const adapters: Readonly<Record<string, AdapterSpec>> = {
  lora: {
    kind: "lora",
    spec: { rank: 2, alpha: 4, dropout: 0, bias: "none", targetModules: "all-linear", rslora: false },
  },
  prompt: { kind: "prompt-tuning", spec: { virtualTokens: 3, init: "random" } },
};

describe.each(["lora", "prompt"])("with an adapter in the structure: %s", (name) => {
  const structure = (family: Architecture) => ({
    adapter: adapters[name] ?? expect.unreachable(),
    feature: { pooling: "mean", normalize: false } as const,
    backbone: models.of(family).backbone,
  });

  test("it is off, and in front of a text stands nothing", async () => {
    await using plain = models.open("bert");
    await using model = models.open("bert", structure("bert"));
    const layers = [0, 2];
    expect(await model.routingFeatures(encodings, { layers })).toEqual(
      await plain.routingFeatures(encodings, { layers }),
    );
  });

  test("it is on where tokens are to be read through a first task's", async () => {
    await using model = models.open("bert", structure("bert"));
    const task = {
      ...drawTask(model.structure, { name: "first", labels: ["a", "b"], seed: 5 }),
      head: new Map(),
    };
    const layers = [1, 2];
    const states = await hiddenStates(model, model.structure, task);
    const tokenRows = states.flatMap((text) => tokensOf(text, layers));
    const tokens = await model.routingTokenFeatures(encodings, { layers }, undefined, task);
    expect(tokens.map(({ rows: count }) => count)).toEqual(encodings.map(({ ids }) => ids.length));
    const values = Float32Array.from(tokens.flatMap((text) => [...text.values]));
    expectRows({ rows: tokenRows.length, width: tokens[0]?.width ?? 0, values }, tokenRows);
  });
});

test.each(["bert", "llama"] as const)("%s: features of every token are its states alone", async (family) => {
  await using model = models.open(family);
  const { backbone, feature } = model.structure;
  const layers = [2, 1];
  const tokens = await model.routingTokenFeatures(encodings, { layers });
  const states = await hiddenStates(model, { backbone, feature });
  for (const [i, text] of states.entries())
    expectRows(tokens[i] ?? expect.unreachable(), tokensOf(text, layers));
});

test.each([
  { layers: [4], says: "no layer 4" },
  { layers: [-1], says: "no layer -1" },
  { layers: [0.5], says: "no layer 0.5" },
  { layers: [], says: "at least one" },
  { layers: [1, 1], says: "each once" },
])("layers $layers are refused", async ({ layers, says }) => {
  await using model = models.open("bert");
  const asked = model.routingFeatures(encodings, { layers });
  await expect(asked).rejects.toThrow(ConfigError);
  await expect(asked).rejects.toThrow(says);
});
