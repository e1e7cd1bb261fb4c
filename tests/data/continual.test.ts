import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/errors.ts";
import { loadStream } from "../../src/data/stream.ts";
import { streamSchema } from "../../src/data/streamSpec.ts";
import { folderWith } from "../support/folders.ts";

const config = {
  NUM_TASK: 2,
  NUM_CLASS: 5,
  LABEL_LIST: [0, 1, 2, 3, 4],
  CUR_NUM_CLASS: [3, 2],
  CUR_CLASS: [
    [0, 1, 2],
    [3, 4],
  ],
  ACCUM_NUM_CLASS: [3, 5],
  PRE_ACCUM_NUM_CLASS: [0, 3],
  label2idx: { "pay bill": 0, travel: 1, weather: 2, music: 3, alarm: 4 },
  idx2label: ["pay bill", "travel", "weather", "music", "alarm"],
};

function split(prefix: string, first: number, classes: number) {
  const cil = Array.from({ length: 2 * classes }, (_, i) => first + (i % classes));
  return {
    input: cil.map((c, i) => `${prefix} ${c} ${i}`),
    target: cil.map((c) => config.idx2label[c]),
    label_idx_cil: cil,
    label_idx_til: cil.map((c) => c - first),
  };
}

function data() {
  const task = (first: number, classes: number) => ({
    train: split("train", first, classes),
    dev: split("dev", first, classes),
    test: split("test", first, classes),
  });
  return { "0": task(0, 3), "1": task(3, 2) };
}

function load(files: { config?: unknown; data?: unknown }, extra: Record<string, unknown> = {}) {
  const folder = folderWith({
    ...(files.config === undefined ? {} : { "continual_config.json": JSON.stringify(files.config) }),
    ...(files.data === undefined ? {} : { "continual_data.json": JSON.stringify(files.data) }),
  });
  return loadStream(streamSchema.parse({ path: folder, ...extra }), 1);
}

describe("the two-file layout", () => {
  it("brings its own tasks, classes and splits", async () => {
    const stream = await load({ config, data: data() });
    expect(stream.tasks.map(({ name, labels }) => [name, labels])).toEqual([
      ["task-0", ["pay bill", "travel", "weather"]],
      ["task-1", ["music", "alarm"]],
    ]);
    expect(stream.tasks[1]).toMatchObject({
      train: [
        { text: "train 3 0", label: "music" },
        { text: "train 4 1", label: "alarm" },
        { text: "train 3 2", label: "music" },
        { text: "train 4 3", label: "alarm" },
      ],
      validation: [{ text: "dev 3 0" }, { text: "dev 4 1" }, { text: "dev 3 2" }, { text: "dev 4 3" }],
      test: [{ text: "test 3 0" }, { text: "test 4 1" }, { text: "test 3 2" }, { text: "test 4 3" }],
    });
  });

  it("takes names from idx2label where target holds other words", async () => {
    const renamed = data();
    renamed["1"].train.target = ["7", "8", "7", "8"];
    expect((await load({ config, data: renamed })).tasks[1]?.train[0]?.label).toBe("music");
  });

  it("may be divided anew", async () => {
    const one = await load({ config, data: data() }, { tasks: 1, classOrder: "alphabetical" });
    expect(one.tasks.map(({ labels }) => labels)).toEqual([
      ["alarm", "music", "pay bill", "travel", "weather"],
    ]);
    const reordered = await load({ config, data: data() }, { classOrder: "alphabetical" });
    expect(reordered.tasks.map(({ labels }) => labels.length)).toEqual([3, 2]);
  });

  const changed = (change: (d: ReturnType<typeof data>) => void) => {
    const d = data();
    change(d);
    return d;
  };
  it.each<readonly [string, { config?: unknown; data?: unknown }, RegExp]>([
    ["a missing data file", { config }, /continual_data\.json does not exist/],
    ["a missing config file", { data: data() }, /continual_config\.json does not exist/],
    ["a missing key", { config: { ...config, ACCUM_NUM_CLASS: undefined }, data: data() }, /ACCUM_NUM_CLASS/],
    [
      "sums that disagree",
      { config: { ...config, ACCUM_NUM_CLASS: [3, 6] }, data: data() },
      /disagree at task 1/,
    ],
    ["too few names", { config: { ...config, idx2label: ["a"] }, data: data() }, /idx2label names 1 classes/],
    [
      "names that disagree",
      { config: { ...config, label2idx: { ...config.label2idx, music: 1 } }, data: data() },
      /idx2label\[3\] is "music"/,
    ],
    ["a missing task", { config, data: { "0": data()["0"] } }, /has no task 1/],
    [
      "a class of another task",
      {
        config,
        data: changed((d) => {
          d["1"].test.label_idx_cil[1] = 0;
        }),
      },
      /task 1, test\[1\]: label_idx_cil 0/,
    ],
    [
      "numbers that disagree",
      {
        config,
        data: changed((d) => {
          d["1"].dev.label_idx_til[2] = 1;
        }),
      },
      /task 1, dev\[2\]/,
    ],
    [
      "arrays of unequal length",
      {
        config,
        data: changed((d) => {
          d["0"].train.input.pop();
        }),
      },
      /task 0, train: 5 inputs, 6 label_idx_cil/,
    ],
    [
      "a text that is no string",
      {
        config,
        data: { ...data(), "1": { ...data()["1"], test: { ...data()["1"].test, input: [1, 2, 3, 4] } } },
      },
      /continual_data\.json: .*expected string/,
    ],
  ])("refuses %s", async (_, files, message) => {
    const error = await load(files).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DataError);
    expect(error).toMatchObject({ message: expect.stringMatching(message), exitCode: 2 });
  });
});
