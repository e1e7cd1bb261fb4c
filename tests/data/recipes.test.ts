import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/errors.ts";
import { textKey } from "../../src/data/checks.ts";
import type { TaskStream } from "../../src/data/files/types.ts";
import { markEntities } from "../../src/data/recipes.ts";
import { loadStream } from "../../src/data/stream.ts";
import { streamSchema } from "../../src/data/streamSpec.ts";
import { refusalOf } from "../support/errors.ts";
import { folderWith } from "../support/folders.ts";
import { shared } from "../support/shared.ts";

function load(recipe: string, path: string, extra: Record<string, unknown> = {}, seed = 1) {
  return loadStream(streamSchema.parse({ recipe, path, ...extra }), seed);
}

const message = (promise: Promise<unknown>) => refusalOf(promise, DataError);

describe("recipes on small files", () => {
  const clinc = {
    train: [
      ["how much", "pay"],
      ["pay up", "pay"],
      ["Same  text ", "pay"],
      ["sunny", "weather"],
      ["rain", "weather"],
    ],
    val: [["costs", "pay"]],
    test: [
      ["the bill", "pay"],
      ["same  TEXT", "pay"],
      ["snow", "weather"],
    ],
    oos_train: [["x", "oos"]],
    oos_val: [["y", "oos"]],
    oos_test: [["z", "oos"]],
  };

  it("clinc150: drops train rows that are in test, and keeps out-of-scope texts apart", async () => {
    const s = await load("clinc150", folderWith({ "data_full.json": JSON.stringify(clinc) }), { tasks: 1 });
    expect(s.tasks[0]).toMatchObject({
      labels: ["pay", "weather"],
      validation: [{ text: "costs", label: "pay" }],
    });
    expect(s.tasks[0]?.train.map(({ text }) => text)).toEqual(["how much", "pay up", "sunny", "rain"]);
    expect(s.outOfScope).toEqual({ validation: [{ text: "y" }], test: [{ text: "z" }] });
    expect(s.notes).toEqual([expect.stringContaining("Dropped 1 train row whose text is in test")]);
  });

  it("names the files expected where they are missing, and what is wrong with them", async () => {
    expect(await message(load("clinc150", folderWith({})))).toMatch(
      /data_full\.json does not exist.*holds data_full\.json/,
    );
    expect(await message(load("banking77", folderWith({ "train.csv": "" })))).toMatch(
      /test\.csv.*train\.csv and test\.csv/,
    );
    expect(await message(load("fewrel", folderWith({})))).toMatch(/val_wiki\.json and pid2name\.json/);
    const odd = { ...clinc, val: [["only text"]] };
    expect(await message(load("clinc150", folderWith({ "data_full.json": JSON.stringify(odd) })))).toMatch(
      /val/,
    );
  });

  it("fewrel: marks entities, names relations, splits each three, one and one fifths by seed", async () => {
    const instance = (i: number) => ({
      tokens: ["Ann", `n${i}`, "married", "Bob", "Lee", "."],
      h: ["bob lee", "Q1", [[3, 4]]],
      t: ["ann", "Q2", [[0], [1]]],
    });
    const ten = (base: number) => Array.from({ length: 10 }, (_, i) => instance(base + i));
    const folder = folderWith({
      "val_wiki.json": JSON.stringify({ P26: ten(0), P40: ten(10) }),
      "pid2name.json": JSON.stringify({ P26: ["spouse", "…"], P40: ["child", "…"], P1: ["other", "…"] }),
    });
    const s = await load("fewrel", folder, { tasks: 1 });
    expect(s.tasks[0]?.labels).toEqual(["spouse", "child"]);
    const task = s.tasks[0];
    expect([task?.train.length, task?.validation.length, task?.test.length]).toEqual([12, 4, 4]);
    expect(task?.train[0]?.text).toMatch(/^\[E21\] Ann \[E22\] n\d married \[E11\] Bob Lee \[E12\] \.$/);
    const other = await load("fewrel", folder, { tasks: 1 }, 2);
    expect(other.tasks[0]?.test).not.toEqual(task?.test);
    expect((await load("fewrel", folder, { tasks: 1 })).tasks).toEqual(s.tasks);
    const nameless = folderWith({
      "val_wiki.json": JSON.stringify({ P26: ten(0) }),
      "pid2name.json": JSON.stringify({ P40: ["child"] }),
    });
    expect(await message(load("fewrel", nameless))).toContain("no name for relation P26");
  });

  it("marks an entity inside another", () => {
    const marked = markEntities({
      tokens: ["New", "York", "City"],
      h: ["", "", [[0, 1, 2]]],
      t: ["", "", [[1]]],
    });
    expect(marked).toBe("[E11] New [E21] York [E22] City [E12]");
  });
});

const clinc = shared("data/clinc150");
const data = join(clinc.path, "..");

describe.skipIf(clinc.absent)(clinc.titled("recipes on the real files"), () => {
  const sizes = (s: TaskStream) =>
    (["train", "validation", "test"] as const).map((split) =>
      s.tasks.reduce((sum, task) => sum + task[split].length, 0),
    );
  const shareTest = (s: TaskStream) => {
    const test = new Set(s.tasks.flatMap((task) => task.test).map(textKey));
    return s.tasks.flatMap((task) => task.train).filter((row) => test.has(textKey(row))).length;
  };

  it("clinc150: 15 × 10, two train rows dropped", async () => {
    const s = await load("clinc150", join(data, "clinc150"), { classOrder: "shuffled" });
    expect(s.tasks.map(({ labels }) => labels.length)).toEqual(Array(15).fill(10));
    expect(sizes(s)).toEqual([14_998, 3_000, 4_500]);
    expect(shareTest(s)).toBe(0);
    expect(s.outOfScope?.validation).toHaveLength(100);
    expect(s.outOfScope?.test).toHaveLength(1_000);
    expect(s.notes).toEqual([expect.stringContaining("Dropped 2 train rows")]);
  });

  it("clinc150 by domain: 10 × 15", async () => {
    const folder = join(data, "clinc150");
    const s = await load("clinc150", folder, { domains: join(folder, "domains.json") });
    expect(s.tasks.map(({ labels }) => labels.length)).toEqual(Array(10).fill(15));
    expect(s.tasks[0]?.name).toBe("banking");
  });

  it("banking77: 7 × 11, six train rows dropped, validation split off", async () => {
    const s = await load("banking77", join(data, "banking77"));
    expect(s.tasks.map(({ labels }) => labels.length)).toEqual(Array(7).fill(11));
    const [train = 0, validation = 0, test] = sizes(s);
    expect(train + validation).toBe(10_003 - 6);
    expect(Math.abs(validation / (train + validation) - 0.1)).toBeLessThan(0.005);
    expect(test).toBe(3_080);
    expect(shareTest(s)).toBe(0);
    expect(s.notes).toEqual([
      expect.stringContaining("Dropped 6 train rows"),
      expect.stringContaining("no validation"),
    ]);
  });

  it("fewrel: 8 × 2, 420/140/140 a relation", async () => {
    const s = await load("fewrel", join(data, "fewrel16"));
    expect(s.tasks.map(({ labels }) => labels.length)).toEqual(Array(8).fill(2));
    expect(sizes(s)).toEqual([6_720, 2_240, 2_240]);
    for (const { text } of s.tasks.flatMap((task) => task.train))
      expect(text).toMatch(/^(?=.*\[E11\] .+ \[E12\])(?=.*\[E21\] .+ \[E22\])/s);
  });
});
