import { describe, expect, test } from "vitest";
import { type ProbeRows, probeFeatures } from "../../../src/continual/metrics/probe.ts";
import { probeTasks } from "../../../src/continual/metrics/probeTasks.ts";
import { AdaptedBackbone } from "../../../src/continual/passes/adaptedBackbone.ts";
import { TextClassification } from "../../../src/continual/taskTypes/textClassification.ts";
import { DataError } from "../../../src/core/errors.ts";
import { createRng } from "../../../src/core/random.ts";
import { loadStream } from "../../../src/data/stream.ts";
import type { Graph } from "../../../src/graph/types.ts";
import { loadBackbone } from "../../../src/model/settings/backbone.ts";
import { settingsOf } from "../../../src/model/settings/settings.ts";
import { resolveStructure, resolveTraining } from "../../../src/model/settings/structure.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { fitTasks } from "../../support/learning.ts";
import { configWith } from "../../support/runs.ts";
import { writeTinyExperiment } from "../../support/tinyStreams.ts";

const compile = (graph: Graph) => nodeRuntime.compile(graph, { threads: 1 });

function rowsOf(points: readonly (readonly number[])[], slots: readonly number[]): ProbeRows {
  const width = points[0]?.length ?? 0;
  return { features: { rows: points.length, width, values: Float32Array.from(points.flat()) }, slots };
}

/** The mean of class 0 is (1, 0), that of class 1 (10, 0.5); class 2 has no row. */
const train = rowsOf(
  [
    [0, 0],
    [2, 0],
    [10, 0.25],
    [10, 0.75],
  ],
  [0, 0, 1, 1],
);

describe("probes of class means", () => {
  test.each([
    // Nearer to (10, 0.5), in the direction of (1, 0).
    ["by distance, not angle", [6, 0], { prototype: 1, "cosine-prototype": 0 }],
    // Were the missing class's mean (0, 0), it would be nearest, and its angle the best.
    ["never the class without a row", [-1, 0], { prototype: 0, "cosine-prototype": 1 }],
  ])("answer %s", async (_, point, expected) => {
    const right = async (slot: number) => {
      const result = await probeFeatures(compile, train, [rowsOf([point], [slot])], 3, {
        seed: 1,
        epochs: 1,
      });
      return { prototype: result.prototype?.[0], "cosine-prototype": result["cosine-prototype"]?.[0] };
    };
    const answers = [await right(0), await right(1), await right(2)];
    const answer = (kind: "prototype" | "cosine-prototype") => answers.findIndex((each) => each[kind] === 1);
    expect({ prototype: answer("prototype"), "cosine-prototype": answer("cosine-prototype") }).toEqual(
      expected,
    );
  });
});

describe("trained probes", () => {
  const rng = createRng(5);
  const slots = Array.from({ length: 90 }, (_, i) => i % 3);
  /** Class c lies around 3 in direction c. */
  const cluster = (name: string): ProbeRows => {
    const draw = rng.fork(name);
    return rowsOf(
      slots.map((slot) => [0, 1, 2].map((d) => (d === slot ? 3 : 0) + 0.3 * draw.normal())),
      slots,
    );
  };

  test("learn what can be learned, the same values each time", async () => {
    const options = { seed: 1, epochs: 60, batchSize: 16, learningRate: 1e-2 };
    const probe = () => probeFeatures(compile, cluster("train"), [cluster("test")], 3, options);
    const [first, second] = [await probe(), await probe()];
    expect(first).toEqual({ linear: [1], cosine: [1], prototype: [1], "cosine-prototype": [1] });
    expect(second).toEqual(first);
  });

  test("are not right on labels that say nothing", async () => {
    const data = cluster("train");
    const rotated = { ...data, slots: slots.map((slot) => (slot + 1) % 3) };
    const options = { seed: 1, batchSize: 16, kinds: ["linear", "cosine"] as const };
    const { linear, cosine, ...others } = await probeFeatures(compile, data, [rotated], 3, options);
    expect(linear?.[0]).toBeLessThan(0.4);
    expect(cosine?.[0]).toBeLessThan(0.4);
    expect(others).toEqual({});
  });
});

test.each([
  ["a class that is none", rowsOf([[1, 1]], [3])],
  ["another width", rowsOf([[1, 1, 1]], [0])],
  ["no rows", rowsOf([], [])],
])("%s is refused", async (_, rows) => {
  await expect(probeFeatures(compile, train, [rows], 3, { seed: 1 })).rejects.toThrow(DataError);
});

test("of a model: an accuracy for every task, among all classes, before and after learning one", async () => {
  const config = await configWith(await writeTinyExperiment(await temporaryFolder()));
  const loaded = await loadBackbone(config.backbone);
  const { tasks } = await loadStream(config.stream, 1);
  const structure = resolveStructure(settingsOf(config), loaded);
  await using model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: 32,
    threads: 1,
  });
  const type = new TextClassification(model, loaded);
  const [learned] = await fitTasks(type, resolveTraining(config), tasks.slice(0, 1));
  const options = { seed: 1, batchSize: 16 };
  const before = await probeTasks(model, undefined, tasks, options);
  const after = await probeTasks(model, learned, tasks, options);
  expect(Object.values(before).map((accuracies) => accuracies.length)).toEqual([3, 3, 3, 3]);
  expect(after).not.toEqual(before);
  // The task that was learned stands out in the features that its adapter makes.
  expect(after.prototype?.[0]).toBeGreaterThan(before.prototype?.[0] ?? 1);
});
