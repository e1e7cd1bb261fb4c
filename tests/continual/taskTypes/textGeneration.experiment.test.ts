import { describe, expect, it } from "vitest";
import { GenerativeEvaluator, isExactMatch } from "../../../src/continual/generativeEvaluation.ts";
import { GenerativeLearner } from "../../../src/continual/generativeLearner.ts";
import { bestLabel, GenerativeBackbone } from "../../../src/continual/passes/generativeBackbone.ts";
import type { LearnedTask } from "../../../src/continual/types.ts";
import { labelText, promptTemplate } from "../../../src/data/encoding/prompts.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizer.ts";
import type { Task } from "../../../src/data/files/types.ts";
import { openModelFolder } from "../../../src/io/modelFolder.ts";
import { createBackbone } from "../../../src/nn/backbone.ts";
import type { AdapterSpec } from "../../../src/peft/types.ts";
import { nodeRuntime } from "../../../src/runtime/node.ts";
import type { TrainingOptions } from "../../../src/train/trainer.ts";
import { plainTraining } from "../../support/openedModels.ts";
import { shared } from "../../support/shared.ts";
import { toyTasks } from "../../support/tinyStreams.ts";
import { untilEnd } from "../../support/untilEnd.ts";

const storyteller = shared("models/stories260k");

const tasks = toyTasks();
const training: TrainingOptions = {
  ...plainTraining,
  epochs: 4,
  learningRate: 5e-3,
  weightDecay: 0.01,
  schedule: "linear",
  warmup: 0.1,
  gradientClipping: 1,
};
const targetModules = ["q_proj", "v_proj"];
const lora: AdapterSpec = {
  kind: "lora",
  spec: { rank: 8, alpha: 16, dropout: 0.05, bias: "none", targetModules, rslora: false },
};
const prompt: AdapterSpec = { kind: "prompt-tuning", spec: { virtualTokens: 8, init: "vocab" } };

async function openToy(adapter: AdapterSpec): Promise<GenerativeBackbone> {
  const { config, weights, path } = await openModelFolder(storyteller.path);
  const backbone = createBackbone(config, weights, path);
  if (backbone.kind !== "decoder") throw new Error("no decoder");
  return untilEnd(
    new GenerativeBackbone({
      structure: { backbone, adapter },
      tokenizer: await loadTokenizer(path),
      runtime: nodeRuntime,
      template: promptTemplate("default"),
      labels: tasks.flatMap(({ labels }) => labels),
      endId: 2,
      stopIds: [2],
      maxLength: 128,
      threads: 1,
    }),
  );
}

interface Lesson {
  readonly learned: LearnedTask;
  readonly losses: readonly number[];
}

async function learn(model: GenerativeBackbone, task: Task, options = training): Promise<Lesson> {
  const learner = untilEnd(new GenerativeLearner(model, options, 1));
  const losses: number[] = [];
  const fitting = learner.learn(task);
  let next = await fitting.next();
  for (; !next.done; next = await fitting.next())
    if (next.value.type === "epoch") losses.push(next.value.meanLoss);
  return { learned: next.value.learned, losses };
}

/** Before anything is learned: a rate of zero leaves LoRA's B at zero, so this is the bare model. */
async function unlearned(model: GenerativeBackbone, task: Task): Promise<LearnedTask> {
  const few = { ...task, train: task.train.slice(0, 1) };
  return (await learn(model, few, { ...training, epochs: 1, learningRate: 0 })).learned;
}

async function labelAccuracy(model: GenerativeBackbone, learned: LearnedTask, task: Task): Promise<number> {
  const { prompts } = model.encode(task.test);
  const scores = await model.scores(learned, prompts, task.labels);
  const right = scores.filter((row, i) => bestLabel(row, task.labels) === task.test[i]?.label);
  return right.length / task.test.length;
}

describe("two toy tasks, learned as answers in words", () => {
  it.skipIf(storyteller.absent)(
    storyteller.titled("held-out prompts go from chance to above 90 %"),
    async () => {
      const model = await openToy(lora);
      const evaluator = new GenerativeEvaluator(model);
      for (const task of tasks) {
        expect(await labelAccuracy(model, await unlearned(model, task), task)).toBeLessThan(0.6);
        const { learned } = await learn(model, task);
        expect(await labelAccuracy(model, learned, task)).toBeGreaterThan(0.9);
        // This storyteller never saw </s>: it is embedded as all tokens it never saw are, which no adapter can tell
        // apart, so that texts do not end where they should. The words it says.
        const said = await model.generate(learned, model.encode(task.test).prompts);
        const begun = said.filter((text, i) => text.startsWith(labelText(task.test[i]?.label ?? "-")));
        expect(begun.length / said.length).toBeGreaterThan(0.9);
        evaluator.add(task, learned);
      }
      const row = await evaluator.evaluate();
      const counted = tasks.map(({ test }) => test.length);
      expect(row.counted).toEqual(counted);
      expect(row.passesPerExample).toBe(1);
      for (const accuracy of row.labelScored.til) expect(accuracy).toBeGreaterThan(0.9);
      // The newest adapter knows nothing of the first task.
      expect(row.labelScored.cil[0]).toBeLessThan(0.5);
      expect(row.labelScored.cil[1]).toBeGreaterThan(0.9);
      expect(row.labelScored.cilCorrect.map((count, j) => count / (counted[j] ?? 1))).toEqual(
        row.labelScored.cil,
      );
    },
  );

  it.skipIf(storyteller.absent)(
    storyteller.titled("the same seed gives the same bytes, and another task others"),
    async () => {
      const first = tasks[0] ?? { name: "", labels: [], train: [], validation: [], test: [] };
      const short = { ...training, epochs: 1 };
      for (const adapter of [lora, prompt]) {
        const [once, twice] = [await openToy(adapter), await openToy(adapter)];
        const { adapter: values } = (await learn(once, first, short)).learned;
        expect((await learn(twice, first, short)).learned.adapter).toEqual(values);
        const renamed = { ...first, name: "other" };
        expect((await learn(once, renamed, short)).learned.adapter).not.toEqual(values);
      }
    },
  );

  it.skipIf(storyteller.absent)(storyteller.titled("virtual tokens learn as well"), async () => {
    const model = await openToy(prompt);
    for (const task of tasks.slice(0, 1)) {
      const { losses, learned } = await learn(model, task, { ...training, learningRate: 3e-2 });
      expect(losses.at(-1)).toBeLessThan(0.6 * (losses[0] ?? 0));
      expect(learned.head.size).toBe(0);
    }
  });
});

describe("exact match", () => {
  it.each([
    [" Book flight\n", "book_flight", true],
    ["BOOK FLIGHT", "book_flight", true],
    ["book flights", "book_flight", false],
    ["book  flight", "book_flight", false],
    ["", "book_flight", false],
  ])("%j for %s: %s", (said, label, expected) => {
    expect(isExactMatch(said, label)).toBe(expected);
  });
});
