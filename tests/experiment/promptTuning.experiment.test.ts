/** Prompt tuning from the configuration on: run, resume, predict, save and load. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import { fromSavedAdapter } from "../../src/continual/taskTypes/savedTask.ts";
import { ConfigError } from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { asFloat32, float32, type HostTensor, zeros } from "../../src/core/tensor.ts";
import { readRows } from "../../src/io/safetensors.ts";
import { createLearner } from "../../src/model/learner.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { promptTaskOf, settingsOf } from "../../src/model/settings/settings.ts";
import { resolveStructure, trainableParameters } from "../../src/model/settings/structure.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { autoPromptText, PROMPT_EMBEDDINGS, promptTextIds } from "../../src/peft/promptTuning.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { openRun } from "../../src/store/openRun.ts";
import { configWith, isA, TinyRuns } from "../support/runs.ts";
import { writeTinyExperiment } from "../support/tinyStreams.ts";
import { relativeDifference, tolerances } from "../support/tolerances.ts";

const prompt = {
  "method.adapter": "prompt-tuning",
  "method.virtualTokens": 5,
  "feature.pooling": "mean",
  "training.learningRate": 5e-2,
} as const;

const runs = new TinyRuns(prompt);
const { root } = runs;
let events: RunEvent[] = [];

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
  events = await runs.run("run");
});

function lossesOf(task: number): number[] {
  return events.flatMap((event) => (event.type === "epoch" && event.task === task ? [event.meanLoss] : []));
}

describe("a run", () => {
  test("learns every task, in folders of peft's", async () => {
    for (const task of [0, 1, 2]) {
      const losses = lossesOf(task);
      expect(losses.at(-1) ?? Number.POSITIVE_INFINITY).toBeLessThan(0.5 * (losses[0] ?? 0));
    }
    const finished = events.find((event) => event.type === "run-finished");
    if (finished?.type !== "run-finished") throw new Error("the run did not finish");
    const { til } = finished.metrics;
    if (!("averageAccuracy" in til)) throw new Error("these are no sentences' metrics");
    // Two classes a task: chance is 0.5.
    expect(til.averageAccuracy).toBeGreaterThan(0.9);
    const { adapter, pooling } = await readPeftFolder(join(root, "run", "adapters", "task-1"));
    expect(adapter).toMatchObject({
      kind: "prompt-tuning",
      spec: { virtualTokens: 5, init: "text", text: autoPromptText("sentence") },
    });
    expect(pooling).toBe("mean");
    expect([...adapter.tensors].map(([name, { dims }]) => [name, dims])).toEqual([
      [PROMPT_EMBEDDINGS, [5, 16]],
    ]);
  });

  test("predicts from its folder, the same alone as in company", async () => {
    await using run = await openRun(join(root, "run"));
    const texts = Array.from(
      { length: 40 },
      (_, i) => `${"abcdef"[i % 6]} test ${"word ".repeat(i % 9)}${i}`,
    );
    const together = await run.predict(texts.map((text) => ({ text })));
    for (const i of [0, 7, 20, 39]) {
      const [alone] = await run.predict([{ text: texts[i] ?? "" }]);
      expect(alone?.label).toBe(together[i]?.label);
      expect(Math.abs((alone?.score ?? 0) - (together[i]?.score ?? 1))).toBeLessThanOrEqual(
        tolerances.float32,
      );
    }
  });

  test("reads texts longer than the prompt leaves room for, cut", async () => {
    await using run = await openRun(join(root, "run"));
    const [long] = await run.predict([{ text: `a ${"word ".repeat(200)}` }]);
    expect(Number.isFinite(long?.score)).toBe(true);
  });

  test("goes on after an interruption and ends with the same bytes", async () => {
    await runs.abort("cut", {}, isA("step", 1));
    expect(Object.keys(await runs.adapterBytes("cut")).some((path) => path.startsWith("task-1"))).toBe(false);
    await runs.run("cut", {}, { resume: true });
    const whole = await runs.adapterBytes("run");
    expect(Object.keys(whole)).toHaveLength(15);
    expect(await runs.adapterBytes("cut")).toEqual(whole);
  });

  test("without its prompt a task is learned no longer", async () => {
    const loaded = await loadBackbone(join(root, "model"));
    const folder = join(root, "run", "adapters", "task-0");
    const { task, structure } = fromSavedAdapter("task-0", await readPeftFolder(folder), loaded, folder);
    await using model = new AdaptedBackbone({
      structure,
      tokenizer: loaded.tokenizer,
      runtime: nodeRuntime,
      maxLength: 128,
      threads: 1,
    });
    const { encodings } = model.encode([{ text: "a test number 1 a" }, { text: "b test number 1 b" }]);
    const logits = async (adapter: ReadonlyMap<string, HostTensor<"float32">>) => {
      const { values, rows, classes } = await model.logits({ ...task, adapter }, encodings);
      return float32(values, [rows, classes]);
    };
    const zero = new Map([...task.adapter].map(([name, { dims }]) => [name, zeros(dims)] as const));
    const learned = await logits(task.adapter);
    expect(relativeDifference(await logits(task.adapter), learned)).toBe(0);
    expect(relativeDifference(await logits(zero), learned)).toBeGreaterThan(0.01);
  });
});

describe("first values", () => {
  /** A rate of 0 leaves them as they were drawn. */
  async function firstPrompt(out: string, init: unknown): Promise<HostTensor<"float32">> {
    await runs.run(out, { "method.init": init, "training.learningRate": 0, "training.epochs": 1 });
    const { adapter } = await readPeftFolder(join(root, out, "adapters", "task-0"));
    return asFloat32(adapter.tensors.get(PROMPT_EMBEDDINGS), "prompt");
  }

  test("of a text are its words", async () => {
    const text = "the sentence is about";
    const { backbone, tokenizer } = await loadBackbone(join(root, "model"));
    const ids = promptTextIds(tokenizer.encode({ text }, 30).ids, 5);
    const table = backbone.weights.get(backbone.wordEmbeddings);
    if (table === undefined) throw new Error("no word embeddings");
    expect(await firstPrompt("text", { text })).toEqual(await readRows(table, ids));
  });

  test("drawn by chance differ from task to task", async () => {
    const first = await firstPrompt("random", "random");
    const second = (await readPeftFolder(join(root, "random", "adapters", "task-1"))).adapter.tensors;
    expect(second.get(PROMPT_EMBEDDINGS)).not.toEqual(first);
  });
});

describe("settings", () => {
  const settingsFor = async (changes = {}) => settingsOf(await runs.configFor("x", changes));

  test("each recipe has a text of its own, other streams a general one", async () => {
    const loaded = await loadBackbone(join(root, "model"));
    const textFor = async (recipe?: "clinc150" | "fewrel") => {
      const promptTask = promptTaskOf(recipe === undefined ? {} : { recipe }, "sentence");
      const { adapter } = resolveStructure({ ...(await settingsFor()), promptTask }, loaded);
      return adapter?.kind === "prompt-tuning" ? adapter.spec.text : undefined;
    };
    expect(await textFor("clinc150")).toBe("Classify the intent of this sentence:");
    expect(await textFor("fewrel")).toBe(autoPromptText("relation"));
    expect(await textFor()).toBe(autoPromptText("sentence"));
  });

  test("the prompt and the head are what is trained", async () => {
    const loaded = await loadBackbone(join(root, "model"));
    const structure = resolveStructure(await settingsFor(), loaded);
    expect(trainableParameters(structure, 2)).toBe(5 * 16 + 2 * 17);
  });

  test("a prompt that leaves no room, and features that it alone has, are refused", async () => {
    const loaded = await loadBackbone(join(root, "model"));
    const longest = await settingsFor({ "method.virtualTokens": 29 });
    expect(resolveStructure(longest, loaded).adapter).toMatchObject({ spec: { virtualTokens: 29 } });
    const tooLong = await settingsFor({ "method.virtualTokens": 30 });
    expect(() => resolveStructure(tooLong, loaded)).toThrow(ConfigError);
    expect(() => resolveStructure(tooLong, loaded)).toThrow(/30 leave no room .* takes 32 tokens/);
    const first = { "feature.pooling": "peft-first" };
    expect(resolveStructure(await settingsFor(first), loaded).feature.pooling).toBe("peft-first");
    const plain = await configWith(join(root, "tiny.yaml"), { "method.adapter": "lora", ...first });
    expect(() => resolveStructure(settingsOf(plain), loaded)).toThrow(
      /reads the first virtual token, but there is none/,
    );
  });
});

test("a learner in memory saves what another one loads", async () => {
  const settings = {
    backbone: join(root, "model"),
    method: { adapter: "prompt-tuning", virtualTokens: 4, init: "vocab" },
    training: { epochs: 4, minSteps: 0, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 },
    threads: 1,
  } as const;
  const train = ["a", "b"].flatMap((label) =>
    Array.from({ length: 30 }, (_, i) => ({ text: `${label} train number ${i} ${label}`, label })),
  );
  const texts = ["a test", "b test", "b other a"];
  await using learner = await createLearner(settings);
  await learner.learn({ name: "letters", train });
  await learner.saveAdapter("letters", join(root, "letters"));
  const expected = await learner.predict(texts, { exact: true });
  expect(expected.slice(0, 2).map(({ label }) => label)).toEqual(["a", "b"]);

  await using other = await createLearner(settings);
  await other.loadAdapter("letters", join(root, "letters"));
  expect(await other.predict(texts)).toEqual(expected);

  await using longer = await createLearner({ ...settings, method: { ...settings.method, virtualTokens: 6 } });
  await expect(longer.loadAdapter("letters", join(root, "letters"))).rejects.toThrow(/virtualTokens/);
});
