/** What must hold whatever is learned. All of it on adapters that were really trained: with B = 0 it would say nothing. */

import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import { fromSavedAdapter } from "../../src/continual/taskTypes/savedTask.ts";
import type { LearnedTask } from "../../src/continual/types.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { float32, type HostTensor } from "../../src/core/tensor.ts";
import type { Example, LabelledExample } from "../../src/data/files/types.ts";
import { readPredictions } from "../../src/experiment/predictions.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import type { Pooling } from "../../src/nn/features.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { loraScaling } from "../../src/peft/lora.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { openRun } from "../../src/store/openRun.ts";
import type { ModelStructure } from "../../src/train/graphs.ts";
import { bytesBelow } from "../support/folders.ts";
import { TinyRuns } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

const learned = ["task-0", "task-1", "task-2"] as const;
/** Texts of many lengths, more than one batch of them, the longest longer than the model reads. */
const texts = Array.from({ length: 45 }, (_, i) => `${"abcdef"[i % 6]} ${"word ".repeat((i * 7) % 38)}${i}`);

const runs = new TinyRuns();
const { root } = runs;
let events: RunEvent[] = [];

const runFolder = () => runs.at("run");

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
  events = await runs.run("run");
});

interface Restored {
  readonly task: LearnedTask;
  readonly structure: ModelStructure;
}

async function restore(name: string, model = join(root, "model")): Promise<Restored> {
  const folder = join(runFolder(), "adapters", name);
  return fromSavedAdapter(name, await readPeftFolder(folder), await loadBackbone(model), folder);
}

async function openModel(structure: ModelStructure, model = join(root, "model")): Promise<AdaptedBackbone> {
  const { tokenizer } = await loadBackbone(model);
  return new AdaptedBackbone({ structure, tokenizer, runtime: nodeRuntime, maxLength: 128, threads: 1 });
}

async function logitsOf(
  model: AdaptedBackbone,
  task: LearnedTask,
  asked: readonly string[],
): Promise<HostTensor> {
  const { encodings } = model.encode(asked.map((text) => ({ text })));
  const { values, rows, classes } = await model.logits(task, encodings);
  return float32(values, [rows, classes]);
}

function withoutLora({ backbone, feature, head }: ModelStructure): ModelStructure {
  return { backbone, feature, head };
}

/** The same task with every B set to 0. */
function withZeroB(task: LearnedTask): LearnedTask {
  const adapter = [...task.adapter].map(([name, tensor]) => {
    const values = name.endsWith("lora_B.weight") ? new Float32Array(tensor.data.length) : tensor.data;
    return [name, float32(values, tensor.dims)] as const;
  });
  return { ...task, adapter: new Map(adapter) };
}

/** W + s·B·A, by hand and in float64: W (out, in), B (out, R), A (R, in). */
function mergeInto(w: HostTensor, a: HostTensor, b: HostTensor, scaling: number): HostTensor {
  const [outFeatures = 0, inFeatures = 0] = w.dims;
  const rank = a.dims[0] ?? 0;
  const merged = Float32Array.from(w.data, Number);
  for (let o = 0; o < outFeatures; o++)
    for (let i = 0; i < inFeatures; i++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += Number(b.data[o * rank + r]) * Number(a.data[r * inFeatures + i]);
      merged[o * inFeatures + i] = Number(w.data[o * inFeatures + i]) + scaling * sum;
    }
  return float32(merged, w.dims);
}

/** A copy of the model with a task's adapter merged into its weights. */
async function writeMergedModel(folder: string, { task, structure }: Restored): Promise<void> {
  await cp(join(root, "model"), folder, { recursive: true });
  const file = join(folder, "model.safetensors");
  const tensors = new Map(decodeSafetensors(await readFile(file), file).tensors);
  for (const [name, a] of task.adapter) {
    if (!name.endsWith(".lora_A.weight")) continue;
    const site = name.slice(0, -".lora_A.weight".length);
    const [w, b] = [tensors.get(`${site}.weight`), task.adapter.get(`${site}.lora_B.weight`)];
    if (w === undefined || b === undefined || structure.adapter?.kind !== "lora")
      throw new TypeError(`nothing to merge at ${site}`);
    tensors.set(`${site}.weight`, mergeInto(w, a, b, loraScaling(structure.adapter.spec, site)));
  }
  await writeFile(file, encodeSafetensors(tensors));
}

describe("LoRA", () => {
  test.each(learned)("%s with zero B is the base model, and as it was learned it is not", async (name) => {
    const { task, structure } = await restore(name);
    await using adapted = await openModel(structure);
    await using base = await openModel(withoutLora(structure));
    const plain = await logitsOf(base, task, texts);
    expect(relativeDifference(await logitsOf(adapted, withZeroB(task), texts), plain)).toBeLessThanOrEqual(
      tolerances.float32,
    );
    expect(relativeDifference(await logitsOf(adapted, task, texts), plain)).toBeGreaterThan(
      100 * tolerances.float32,
    );
  });

  test.each(learned)(
    "%s merged into the weights gives the logits of the adapter beside them",
    async (name) => {
      const restored = await restore(name);
      const folder = join(root, `merged-${name}`);
      await writeMergedModel(folder, restored);
      const merged = { ...withoutLora(restored.structure), backbone: (await loadBackbone(folder)).backbone };
      await using beside = await openModel(restored.structure);
      await using within = await openModel(merged, folder);
      const difference = relativeDifference(
        await logitsOf(within, restored.task, texts),
        await logitsOf(beside, restored.task, texts),
      );
      expect(difference).toBeLessThanOrEqual(tolerances.float32);
    },
  );
});

test("learning a task leaves the backbone and every earlier adapter as they were, byte for byte", async () => {
  const out = runs.at("watched");
  const model = await bytesBelow(join(root, "model"));
  const seen: Record<string, string>[] = [];
  for await (const event of runExperiment(await runs.configFor("watched"))) {
    if (event.type !== "task-learned" && event.type !== "run-finished") continue;
    const now = await bytesBelow(join(out, "adapters"));
    for (const before of seen) expect(now).toMatchObject(before);
    seen.push(now);
    expect(await bytesBelow(join(root, "model"))).toEqual(model);
  }
  expect(
    seen.map((files) => Object.keys(files).filter((name) => name.endsWith("/head.safetensors")).length),
  ).toEqual([1, 2, 3, 3]);
});

describe("an example's logits do not depend on its company", () => {
  const poolings: readonly Pooling[] = ["cls", "mean", "last"];
  test.each(poolings)("alone, in a batch, in any order, beside any padding (%s)", async (pooling) => {
    const { task, structure } = await restore("task-1");
    await using model = await openModel({ ...structure, feature: { pooling, normalize: false } });
    const together = await logitsOf(model, task, texts);
    const classes = task.labels.length;
    const rowsOf = (tensor: HostTensor, order: readonly number[]) =>
      float32(
        order.flatMap((row) => Array.from(tensor.data.slice(row * classes, (row + 1) * classes), Number)),
        [order.length, classes],
      );
    const everyone = [...texts.keys()];
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(everyone, { minLength: 1 }),
        fc.integer({ min: 1, max: 60 }),
        async (order, words) => {
          const company = [...order.map((index) => texts[index] ?? ""), "pad ".repeat(words)];
          const here = await logitsOf(model, task, company);
          const expected = rowsOf(together, order);
          const found = rowsOf(here, [...order.keys()]);
          expect(relativeDifference(found, expected)).toBeLessThanOrEqual(tolerances.float32);
        },
      ),
      { numRuns: 12, seed: 1 },
    );
    const alone: number[] = [];
    for (const text of texts) alone.push(...Array.from((await logitsOf(model, task, [text])).data, Number));
    expect(relativeDifference(float32(alone, [texts.length, classes]), together)).toBeLessThanOrEqual(
      tolerances.float32,
    );
  });
});

describe("the seed", () => {
  test("the same twice gives the same adapters byte for byte; another does not, in any task", async () => {
    await runs.run("again");
    await runs.run("other", { seed: 2 });
    const first = await runs.adapterBytes("run");
    expect(await runs.adapterBytes("again")).toEqual(first);
    const other = await runs.adapterBytes("other");
    expect(Object.keys(other)).toEqual(Object.keys(first));
    const tensors = Object.keys(first).filter((name) => name.endsWith(".safetensors"));
    expect(tensors).toHaveLength(6);
    for (const name of tensors) expect(other[name]).not.toBe(first[name]);
  });
});

describe("a class-incremental prediction", () => {
  async function testRows(): Promise<LabelledExample[]> {
    const lines = (await readFile(join(root, "test.jsonl"), "utf8")).trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  test("has no way to be told the task or the label", () => {
    expectTypeOf<Example>().not.toHaveProperty("label");
    expectTypeOf<Example>().not.toHaveProperty("task");
  });

  test("is the same whatever the rows say of their label and task, and in whatever order they come", async () => {
    const rows = await testRows();
    await using predictor = await openRun(runFolder());
    const answers = async (examples: readonly Example[]) =>
      new Map((await predictor.predict(examples)).map(({ text, label, task }) => [text, { label, task }]));
    const bare = await answers(rows.map(({ text }) => ({ text })));
    expect(new Set([...bare.values()].map(({ task }) => task)).size).toBeGreaterThan(1);
    expect(await answers(rows)).toEqual(bare);
    const lying = rows.map(({ text }) => ({ text, label: "aa", task: "task-0" }));
    expect(await answers(lying)).toEqual(bare);
    expect(await answers(rows.toReversed())).toEqual(new Map([...bare].reverse()));
  });

  test("counts to the last row of the reported matrix", async () => {
    const rows = await testRows();
    await using predictor = await openRun(runFolder());
    const predictions = await predictor.predict(rows.map(({ text }) => ({ text })));
    const accuracies = predictor.tasks.map(({ labels }) => {
      const own = rows.flatMap(({ label }, i) =>
        labels.includes(label) ? [predictions[i]?.label === label] : [],
      );
      return own.filter(Boolean).length / own.length;
    });
    const last = events.findLast((event) => event.type === "evaluated");
    expect(last?.cil).toEqual(accuracies);
  });

  test("is recorded with the run, item by item", async () => {
    await using predictor = await openRun(runFolder());
    const rows = await testRows();
    const lines = await readPredictions(runFolder());
    const recorded = lines.filter(({ protocol, learned: count }) => protocol === "cil" && count === 3);
    expect(recorded).toHaveLength(rows.length);
    for (const { name, labels } of predictor.tasks) {
      const own = rows.filter(({ label }) => labels.includes(label));
      const predictions = await predictor.predict(own);
      expect(recorded.filter(({ task }) => task === name)).toEqual(
        own.map(({ label: gold }, index) => ({
          protocol: "cil",
          learned: 3,
          task: name,
          index,
          gold,
          label: predictions[index]?.label,
          score: expect.closeTo(predictions[index]?.score ?? -1, 4),
        })),
      );
    }
    const counts = [1, 2, 3].map((count) => lines.filter((line) => line.learned === count).length);
    // Of six test texts a label, two labels a task, by both protocols.
    expect(counts).toEqual([24, 48, 72]);
  });
});
