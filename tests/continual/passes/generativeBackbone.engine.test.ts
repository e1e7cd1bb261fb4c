import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { bestLabel } from "../../../src/continual/passes/generativeBackbone.ts";
import { KeptContinuations } from "../../../src/continual/passes/keptContinuations.ts";
import type { TextGeneration } from "../../../src/continual/taskTypes/textGeneration.ts";
import type { LearnedTask } from "../../../src/continual/types.ts";
import { float32, float64 } from "../../../src/core/tensor.ts";
import type { Task } from "../../../src/data/files/types.ts";
import { multipliesBytes } from "../../../src/io/processor.ts";
import { loadBackbone } from "../../../src/model/settings/backbone.ts";
import { folderOfTestFile } from "../../support/folders.ts";
import { fitTasks, openGeneration } from "../../support/learning.ts";
import { plainTraining } from "../../support/openedModels.ts";
import { writeTinyDecoder } from "../../support/tinyModels.ts";
import { relativeDifference, tolerances } from "../../support/tolerances.ts";
import { untilEnd } from "../../support/untilEnd.ts";

const folder = folderOfTestFile("likeliest");
vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
afterAll(() => vi.unstubAllEnvs());

const labels = ["cat", "dog", "bird"];
const other = ["fish", "cat fish"];
const rows = Array.from({ length: 12 }, (_, i) => ({
  text: `${"meow woof peep".split(" ")[i % 3]} ${i}`,
  label: labels[i % 3] ?? "",
}));
const task: Task = { name: "sounds", labels, train: rows, validation: [], test: rows };

const end = 7;

async function openTiny(
  kind: "lora" | "prompt-tuning" = "lora",
  precision: "fp32" | "int8" = "fp32",
): Promise<TextGeneration> {
  await writeTinyDecoder(folder);
  const loaded = await loadBackbone(folder, { precision });
  const { backbone } = loaded;
  if (backbone.kind !== "decoder") throw new Error("no decoder");
  const targetModules = ["q_proj", "v_proj", "o_proj", "down_proj"];
  const spec = { rank: 4, alpha: 8, dropout: 0, bias: "none", targetModules, rslora: false } as const;
  const answering = { prompt: "{text}:", labels: [...labels, ...other], end, maxLength: 64 };
  const adapter =
    kind === "lora" ? { kind, spec } : { kind, spec: { virtualTokens: 3, init: "vocab" as const } };
  return untilEnd(openGeneration(loaded, { backbone, adapter }, answering));
}

async function learn(type: TextGeneration, epochs: number): Promise<LearnedTask> {
  const training = { ...plainTraining, epochs, batchSize: 4, learningRate: 2e-2 };
  const [learned] = await fitTasks(type, training, [task]);
  return learned ?? expect.unreachable();
}

const precisions = multipliesBytes() ? (["fp32", "int8"] as const) : (["fp32"] as const);
const ways = precisions.flatMap((precision) =>
  (["lora", "prompt-tuning"] as const).map((kind) => [kind, precision] as const),
);

describe.each(ways)("texts of several tasks in one batch, %s, %s", (kind, precision) => {
  it("are continued as each is by its own adapter alone", async () => {
    const type = await openTiny(kind, precision);
    const model = type.trained;
    const training = { ...plainTraining, epochs: 8, batchSize: 4, learningRate: 2e-2 };
    const second: Task = {
      ...task,
      name: "fishes",
      labels: other,
      train: rows.map(({ text }, i) => ({ text, label: other[i % 2] ?? "" })),
    };
    const [first, next] = await fitTasks(type, training, [task, second]);
    if (first === undefined || next === undefined) return expect.unreachable();
    const { prompts } = model.encode(task.test);
    const alone = [await model.speak(first, prompts), await model.speak(next, prompts)];
    expect(alone[0]?.map(({ ids }) => ids)).not.toEqual(alone[1]?.map(({ ids }) => ids));
    const mixed = await model.speakEach(
      prompts.map((_, i) => (i % 3 === 0 ? next : first)),
      prompts,
    );
    mixed.forEach(({ ids, stopped }, i) => {
      const own = alone[i % 3 === 0 ? 1 : 0]?.[i];
      expect({ ids, stopped }).toEqual({ ids: own?.ids, stopped: own?.stopped });
    });
    const kept = new KeptContinuations();
    const some = prompts.map((_, i) => (i < 4 ? first : undefined));
    const said = await kept.speak(model, prompts, some);
    expect(said.map((each) => each?.ids)).toEqual(
      prompts.map((_, i) => (i < 4 ? alone[0]?.[i]?.ids : undefined)),
    );
    const again = await kept.speak(
      model,
      prompts,
      prompts.map(() => first),
    );
    expect(again[0]).toBe(said[0]);
    expect(again.map((each) => each?.ids)).toEqual(alone[0]?.map(({ ids }) => ids));
  });
});

describe("the likeliest label", () => {
  it("is what scoring every label finds, whether what was said settles it or not", async () => {
    const type = await openTiny();
    const model = type.trained;
    const { prompts } = model.encode(task.test);
    const settledBy: number[] = [];
    for (const epochs of [1, 60]) {
      const learned = await learn(type, epochs);
      const said = await model.speak(learned, prompts);
      settledBy.push(
        said.filter(
          ({ ids, likelihood }) =>
            (likelihood?.logProbability ?? -99) > Math.log(0.501) &&
            labels.some((label) => model.answer(label).join() === [...ids, likelihood?.end].join()),
        ).length,
      );
      for (const among of [labels, [...labels, ...other], other]) {
        const scores = await model.scores(learned, prompts, among);
        const expected = scores.map((row) => bestLabel(row, among));
        expect(await model.likeliest(learned, prompts, said, among)).toEqual(expected);
      }
    }
    // Neither way alone was put to the test.
    expect(settledBy[0]).toBeLessThan(rows.length);
    expect(settledBy[1]).toBeGreaterThan(0);
  });

  it("believes what was said only with more than half of all probability, its end included", async () => {
    const type = await openTiny();
    const model = type.trained;
    const learned = await learn(type, 60);
    const { prompts } = model.encode(task.test.slice(0, 1));
    const [truth] = await model.likeliest(learned, prompts, await model.speak(learned, prompts), labels);
    const wrong = labels.find((label) => label !== truth) ?? "";
    const ids = model.answer(wrong).slice(0, -1);
    const claim = (likelihood: { readonly logProbability: number; readonly end?: number }) =>
      model.likeliest(learned, prompts, [{ ids, stopped: true, likelihood }], labels);
    expect(await claim({ logProbability: Math.log(0.6), end })).toEqual([wrong]);
    expect(await claim({ logProbability: Math.log(0.4), end })).toEqual([truth]);
    expect(await claim({ logProbability: Math.log(0.6) })).toEqual([truth]);
    expect(await claim({ logProbability: Math.log(0.6), end: end + 1 })).toEqual([truth]);
  });

  it("says how likely a continuation was as label scoring does", async () => {
    const type = await openTiny();
    const model = type.trained;
    const learned = await learn(type, 60);
    const { prompts } = model.encode(task.test);
    const said = await model.speak(learned, prompts);
    const scores = await model.scores(learned, prompts, labels);
    const pairs = said.flatMap(({ ids, likelihood }, i) => {
      const at = labels.findIndex((label) => model.answer(label).join() === [...ids, likelihood?.end].join());
      return at < 0
        ? []
        : [[Math.exp(likelihood?.logProbability ?? 0), Math.exp(scores[i]?.[at] ?? 0)] as const];
    });
    expect(pairs.length).toBeGreaterThan(rows.length / 2);
    const dims = [pairs.length];
    const ours = float32(
      Float32Array.from(pairs, ([x]) => x),
      dims,
    );
    const theirs = float64(
      Float64Array.from(pairs, ([, y]) => y),
      dims,
    );
    expect(relativeDifference(ours, theirs)).toBeLessThan(tolerances.float32);
  });
});
