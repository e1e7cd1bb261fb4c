import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { choicesOf, labelOf } from "../../src/sweep/choices.ts";
import { bestOf, validationFigure } from "../../src/sweep/halving.ts";
import { planSweep } from "../../src/sweep/plan.ts";
import { parseShard, shardOf } from "../../src/sweep/shard.ts";
import { parseSweep, readSweep } from "../../src/sweep/sweepFile.ts";
import { refusalOf } from "../support/errors.ts";
import { folderWith } from "../support/folders.ts";

const base = join(packageRoot, "demo/demo.yaml");

describe("a sweep's file", () => {
  test.each([
    [{}, "base: expected a text, got nothing"],
    [{ base, grid: { "training.epochs": [] } }, "grid.training.epochs: expected a list of at least 1"],
    [{ base, grid: { seed: [1, 2] } }, "grid.seed: expected give seeds, a list, beside grid"],
    [{ base, grid: { out: ["a"] } }, "grid.out: expected give out"],
    [{ base, grid: {}, random: { trials: 2, keys: {} } }, "grid and random exclude each other"],
    [{ base, seeds: [1, 1] }, "seeds: expected each seed once"],
    [{ base, halving: { after: [3, 2] } }, "halving.after: expected rising numbers of tasks"],
    [
      { base, random: { trials: 2, keys: { "training.epochs": { from: 3, to: 1 } } } },
      "random.keys.training.epochs: expected from below to, got from 3, to 1",
    ],
    [{ base, seedz: [1] }, "the key seeds (did you mean it?)"],
    [{ backbone: "x", base }, "the unknown key backbone"],
  ])("%j is refused", (raw, message) => {
    expect(() => parseSweep(raw, "ranks.yaml")).toThrow(message);
  });

  test("paths are relative to it, and its name is the file's", () => {
    const { name, base: found, out } = parseSweep({ base: "demo.yaml" }, "/somewhere/ranks.yaml");
    expect({ name, found, out }).toEqual({
      name: "ranks",
      found: "/somewhere/demo.yaml",
      out: "/somewhere/sweeps/ranks",
    });
  });
});

describe("choices", () => {
  test("of a grid: every combination, the last key fastest", () => {
    const choices = choicesOf({ grid: { a: [1, 2], "b.c": ["x", "y"] } });
    expect(choices).toEqual([
      { a: 1, "b.c": "x" },
      { a: 1, "b.c": "y" },
      { a: 2, "b.c": "x" },
      { a: 2, "b.c": "y" },
    ]);
    expect(choices.map(labelOf)).toEqual(["a 1, c x", "a 1, c y", "a 2, c x", "a 2, c y"]);
  });

  test("at random: a function of the seed, within their ranges, and the first ones stay with more", () => {
    const keys = {
      rate: { from: 1e-4, to: 1e-1, scale: "log", whole: false } as const,
      rank: [2, 4, 8],
      epochs: { from: 1, to: 3, scale: "linear", whole: true } as const,
    };
    const few = choicesOf({ random: { trials: 4, seed: 3, keys } });
    const many = choicesOf({ random: { trials: 200, seed: 3, keys } });
    expect(many.slice(0, 4)).toEqual(few);
    expect(choicesOf({ random: { trials: 4, seed: 4, keys } })).not.toEqual(few);
    expect(new Set(many.map(({ rank }) => rank))).toEqual(new Set([2, 4, 8]));
    expect(new Set(many.map(({ epochs }) => epochs))).toEqual(new Set([1, 2, 3]));
    const rates = many.map(({ rate }) => Number(rate));
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-4);
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-1);
    // Evenly in their logarithm: about a third lies in each power of ten.
    expect(rates.filter((rate) => rate < 1e-3).length / 200).toBeCloseTo(1 / 3, 1);
  });
});

describe("a plan", () => {
  const planOf = async (yaml: string) => {
    const folder = folderWith({ "ranks.yaml": `base: ${base}\n${yaml}` });
    return await planSweep(await readSweep(join(folder, "ranks.yaml")));
  };

  test("has a trial for each configuration and seed, each in a folder of its own", async () => {
    const plan = await planOf("grid: { method.rank: [2, 4] }\nseeds: [1, 2]\n");
    expect(plan.trials.map(({ name, seed, config }) => [name, seed, config.seed, config.out])).toEqual(
      ["c0/seed-1", "c0/seed-2", "c1/seed-1", "c1/seed-2"].map((name) => [
        name,
        Number(name.at(-1)),
        Number(name.at(-1)),
        join(plan.out, name),
      ]),
    );
    expect(new Set(plan.trials.map(({ hash }) => hash)).size).toBe(4);
  });

  test("leaves out what is there already", async () => {
    const plan = await planOf("grid: { method.rank: [2, 2] }\n");
    expect(plan.configurations.map(({ name }) => name)).toEqual(["c0"]);
    expect(plan.notes).toEqual(["c1 (rank 2) is c0 again, and is left out."]);
  });

  test("paths that are tried are relative to the sweep's file", async () => {
    const plan = await planOf("grid: { backbone: [./one, ./two] }\n");
    expect(plan.trials.map(({ config }) => config.backbone.split("/").at(-1))).toEqual(["one", "two"]);
    expect(plan.trials[0]?.config.backbone).toBe(join(plan.out, "../../one"));
  });

  test("a whole section may be tried", async () => {
    const streams =
      "[{ train: a.jsonl, test: b.jsonl, tasks: 2 }, { train: c.jsonl, test: d.jsonl, tasks: 3 }]";
    const { trials } = await planOf(`grid: { stream: ${streams}, method.rank: [2, 4] }\n`);
    const found = trials.map(({ config }) => config.stream.train?.split("/").at(-1));
    expect(found).toEqual(["a.jsonl", "a.jsonl", "c.jsonl", "c.jsonl"]);
    expect(new Set(trials.map(({ hash }) => hash)).size).toBe(4);
  });

  test.each([
    ["grid: { method.rnk: [2] }", "method.rnk: expected the key rank (did you mean it?)"],
    ["grid: { method.rank: [0] }", "method.rank: expected at least 1, got 0"],
    ["grid: { method.rank.deep: [2] }", "method.rank"],
    ["halving: { after: [1] }", "there is one alone"],
  ])("%s is refused", async (yaml, message) => {
    expect(await refusalOf(planOf(yaml))).toContain(message);
  });

  test("shards share its trials out, each to one", async () => {
    const plan = await planOf("grid: { method.rank: [2, 4, 8] }\nseeds: [1, 2, 3]\n");
    const parts = [1, 2, 3, 4].map((index) => shardOf(plan, { index, count: 4 }).trials);
    expect(parts.map(({ length }) => length)).toEqual([3, 2, 2, 2]);
    expect(new Set(parts.flat())).toEqual(new Set(plan.trials));
  });

  test.each(["0/2", "3/2", "1", "a/b", "1/0"])("--shard %s is refused", (text) => {
    expect(() => parseShard(text)).toThrow("expected i/n");
  });

  test("shards cannot compare on the way", async () => {
    const plan = await planOf("grid: { method.rank: [2, 4] }\nhalving: { after: [2] }\n");
    expect(() => shardOf(plan, { index: 1, count: 2 })).toThrow("halving compares all trials");
  });
});

describe("halving", () => {
  test("keeps the best share, at least one, and of equal ones the earlier", () => {
    expect(bestOf({ a: 0.5, b: 0.7, c: 0.7, d: 0.9 }, 0.5)).toEqual(["b", "d"]);
    expect(bestOf({ a: 0.5, b: 0.7 }, 0.01)).toEqual(["b"]);
    expect(bestOf({ a: 0.5, b: 0.7, c: 0.1 }, 0.5)).toEqual(["a", "b"]);
  });

  test("what was given up does not go on", () => {
    expect(bestOf({ a: null, b: 0.1 }, 0.9)).toEqual(["b"]);
    expect(bestOf({ a: null, b: null }, 0.5)).toEqual([]);
  });

  const progress = (validation: readonly (number | undefined)[]) => ({
    evaluated: validation.length,
    tasks: 5,
    validation,
    secondsLeft: undefined,
    examplesPerSecond: undefined,
    time: undefined,
  });

  test("compares means over tasks and seeds, of the first tasks alone", () => {
    expect(validationFigure([progress([0.2, 0.4, 1]), progress([0.6, 0.8])], 2)).toBeCloseTo(0.5, 12);
  });

  test("needs validation data", () => {
    expect(() => validationFigure([progress([0.2, undefined])], 2)).toThrow("validation data");
  });
});
