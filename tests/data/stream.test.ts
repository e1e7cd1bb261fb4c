import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AccreteError, ConfigError, DataError } from "../../src/core/errors.ts";
import type { LabelledExample, TaskStream } from "../../src/data/files/types.ts";
import { loadStream } from "../../src/data/stream.ts";
import { resolveStreamPaths, type StreamSpec, streamSchema } from "../../src/data/streamSpec.ts";
import { failureOf } from "../support/errors.ts";
import { folderWith } from "../support/folders.ts";
import { jsonl, rowsOf } from "../support/tinyStreams.ts";

const trainRows = rowsOf("train", { d: 10, b: 10, a: 10, c: 10, e: 10 });
const testRows = rowsOf("test", { a: 4, b: 4, c: 4, d: 4, e: 4 });

interface Files {
  readonly train?: readonly LabelledExample[];
  readonly validation?: readonly LabelledExample[];
  readonly test?: readonly LabelledExample[];
}

function stream(extra: Record<string, unknown>, files: Files = {}, seed = 1): Promise<TaskStream> {
  const folder = folderWith({
    "train.jsonl": jsonl(files.train ?? trainRows),
    "test.jsonl": jsonl(files.test ?? testRows),
    ...(files.validation === undefined ? {} : { "dev.jsonl": jsonl(files.validation) }),
  });
  return loadStream(streamSchema.parse({ path: folder, ...extra }), seed);
}

async function failure(promise: Promise<unknown>): Promise<AccreteError> {
  const error = await failureOf(promise);
  expect(error.exitCode).toBe(2);
  return error;
}

const labelsByTask = (s: TaskStream) => s.tasks.map(({ labels }) => labels);

describe("the division into tasks", () => {
  it("is of equal class counts, the first tasks taking the remainder", async () => {
    const s = await stream({ tasks: 2 });
    expect(s.tasks.map(({ name }) => name)).toEqual(["task-0", "task-1"]);
    expect(labelsByTask(s)).toEqual([
      ["d", "b", "a"],
      ["c", "e"],
    ]);
    expect(s.tasks[1]?.test.map(({ text }) => text)).toEqual(
      testRows.filter(({ label }) => label === "c" || label === "e").map(({ text }) => text),
    );
  });

  it("can end after the first tasks, which are those of the whole stream", async () => {
    const all = await stream({ tasks: 2, classOrder: "shuffled" });
    const first = await stream({ tasks: 2, classOrder: "shuffled", firstTasks: 1 });
    expect(first.tasks).toEqual(all.tasks.slice(0, 1));
    const error = await failure(stream({ tasks: 2, firstTasks: 3 }));
    expect(error).toMatchObject({ issues: [{ path: "stream.firstTasks", expected: "at most 2" }] });
  });

  it("can draw a few test texts a task, by the seed", async () => {
    const texts = (s: TaskStream) => s.tasks.map(({ test }) => test.map(({ text }) => text));
    const all = texts(await stream({ tasks: 2 }));
    const few = texts(await stream({ tasks: 2, testTexts: 5 }));
    expect(few.map(({ length }) => length)).toEqual([5, 5]);
    few.forEach((some, i) => {
      expect(some).toEqual(all[i]?.filter((text) => some.includes(text)));
    });
    expect(texts(await stream({ tasks: 2, testTexts: 5 }))).toEqual(few);
    expect(texts(await stream({ tasks: 2, testTexts: 5 }, {}, 2))).not.toEqual(few);
    expect(texts(await stream({ tasks: 2, testTexts: 99 }))).toEqual(all);
  });

  it("follows the class order asked for", async () => {
    expect(labelsByTask(await stream({ tasks: 1, classOrder: "file" }))[0]).toEqual([
      "d",
      "b",
      "a",
      "c",
      "e",
    ]);
    expect(labelsByTask(await stream({ tasks: 1, classOrder: "alphabetical" }))[0]).toEqual([..."abcde"]);
    expect(labelsByTask(await stream({ tasks: 1, classOrder: [..."ecabd"] }))[0]).toEqual([..."ecabd"]);
    const shuffles = await Promise.all(
      [1, 2, 3, 4].map((seed) => stream({ tasks: 1, classOrder: "shuffled" }, {}, seed)),
    );
    expect(new Set(shuffles.map((s) => labelsByTask(s).join())).size).toBeGreaterThan(2);
  });

  it("follows stream.seed before the run's", async () => {
    const own = await stream({ tasks: 2, classOrder: "shuffled", seed: 7 }, {}, 1);
    const run = await stream({ tasks: 2, classOrder: "shuffled" }, {}, 7);
    expect(own.tasks).toEqual(run.tasks);
  });

  it("follows a task list", async () => {
    const taskList = [
      { name: "second", labels: ["e", "a"] },
      { name: "first", labels: ["b", "d", "c"] },
    ];
    const s = await stream({ taskList });
    expect(s.tasks.map(({ name, labels }) => ({ name, labels }))).toEqual(taskList);
  });

  it("follows a domain map, inline or in a file that counts into the hash", async () => {
    const domains = { small: ["a", "b"], large: ["e", "d", "c"] };
    const folder = folderWith({ "domains.json": JSON.stringify(domains) });
    const [inline, file] = await Promise.all([
      stream({ domains }),
      stream({ domains: join(folder, "domains.json") }),
    ]);
    expect(inline.tasks.map(({ name, labels }) => ({ name, labels }))).toEqual([
      { name: "small", labels: ["a", "b"] },
      { name: "large", labels: ["e", "d", "c"] },
    ]);
    expect(file.tasks).toEqual(inline.tasks);
    expect(file.dataHash).not.toBe(inline.dataHash);
  });

  it("says which texts train has under several labels", async () => {
    const train = [
      ...rowsOf("train", { a: 3, b: 3 }),
      { text: "Twice", label: "a" },
      { text: "twice ", label: "b" },
    ];
    const { notes } = await stream(
      { tasks: 1, validationFraction: 0 },
      { train, test: rowsOf("test", { a: 1, b: 1 }) },
    );
    expect(notes).toEqual(['Train has 1 text under several labels, e.g. "Twice" as "a", "b".']);
  });

  it("shares a label of several tasks out evenly, in every split", async () => {
    const taskList = [
      { name: "one", labels: ["a", "b"] },
      { name: "two", labels: ["c", "a", "d", "e"] },
    ];
    const validation = rowsOf("validation", { a: 5, b: 2, c: 2, d: 2, e: 2 });
    const s = await stream({ taskList }, { validation });
    const of = (split: "train" | "validation" | "test") =>
      s.tasks.map((task) => task[split].filter(({ label }) => label === "a"));
    expect(of("train").map((rows) => rows.length)).toEqual([5, 5]);
    expect(of("validation").map((rows) => rows.length)).toEqual([3, 2]);
    expect(of("test").map((rows) => rows.length)).toEqual([2, 2]);
    const texts = of("train")
      .flat()
      .map(({ text }) => text);
    expect(texts.toSorted()).toEqual(trainRows.filter(({ label }) => label === "a").map(({ text }) => text));
  });
});

describe("what cannot be learned is refused:", () => {
  const six = rowsOf("train", { a: 3, b: 3, c: 3, d: 3, e: 3, f: 3 });
  const cases: readonly (readonly [string, Record<string, unknown>, Files, RegExp, RegExp])[] = [
    [
      "a label in test unseen in train",
      { tasks: 2 },
      { test: [...testRows, { text: "x", label: "aa" }] },
      /test has a label that train has not: "aa"/,
      /Did you mean "a"/,
    ],
    [
      "a label in validation unseen in train",
      { tasks: 2 },
      { validation: [{ text: "x", label: "zz" }] },
      /validation has a label that train has not/,
      /./,
    ],
    ["more tasks than classes", { tasks: 6 }, {}, /single class|empty/, /fewer tasks/],
    [
      "an empty task of a list",
      {
        taskList: [
          { name: "t", labels: [..."abcde"] },
          { name: "u", labels: ["dd"] },
        ],
      },
      {},
      /task u is empty/,
      /Did you mean "d"/,
    ],
    ["a task of a single class", { tasks: 3 }, {}, /task task-2 has a single class, "e"/, /two classes/],
    [
      "a single class in all",
      { tasks: 1 },
      { train: rowsOf("train", { a: 3 }), test: rowsOf("test", { a: 3 }) },
      /single class/,
      /two classes/,
    ],
    [
      "a listed label without data",
      { taskList: [{ name: "t", labels: ["a", "b", "cc", "d", "e", "c"] }] },
      {},
      /task t lists "cc", which has no training examples/,
      /Did you mean "c"/,
    ],
    ["a label in no task", { domains: { t: ["a", "b", "c"] } }, {}, /in no task: "d", "e"/, /Add them/],
    [
      "a label twice in a task",
      { taskList: [{ name: "t", labels: ["a", "a"] }] },
      {},
      /task t lists "a" twice/,
      /^$/,
    ],
    [
      "two tasks of a name",
      {
        taskList: [
          { name: "t", labels: ["a", "b"] },
          { name: "t", labels: ["c", "d", "e"] },
        ],
      },
      {},
      /two tasks are called "t"/,
      /^$/,
    ],
    [
      "a class order with a stranger",
      { tasks: 1, classOrder: ["a", "b", "c", "d", "ee"] },
      {},
      /classOrder lists "ee", which has no data/,
      /Did you mean "e"/,
    ],
    [
      "a class order with a gap",
      { tasks: 1, classOrder: ["a", "b"] },
      {},
      /classOrder leaves out "d", "c", "e"/,
      /every label/,
    ],
    [
      "a class order with a repetition",
      { tasks: 1, classOrder: ["a", "b", "a"] },
      {},
      /classOrder lists "a" twice/,
      /^$/,
    ],
    [
      "train rows whose text is in test",
      { tasks: 2 },
      { train: [...trainRows, { text: " TEST a 1\n", label: "b" }, { text: "Test b 1", label: "b" }] },
      /2 rows, e\.g\. " TEST a 1\\n" \(b\)/,
      /allowOverlap/,
    ],
    [
      "a label with fewer examples than tasks",
      {
        taskList: [
          { name: "t", labels: ["a", "b"] },
          { name: "u", labels: ["a", "c"] },
        ],
      },
      { train: rowsOf("train", { a: 1, b: 3, c: 3 }), test: rowsOf("test", { a: 2, b: 2, c: 2 }) },
      /task u has no training example of "a"/,
      /fewer tasks/,
    ],
    [
      "a task without test examples",
      { tasks: 3 },
      { train: six, test: rowsOf("test", { a: 1, c: 1 }) },
      /task task-2 has no test examples/,
      /test rows/,
    ],
    ["no training examples at all", { tasks: 1 }, { train: [] }, /has no examples/, /./],
  ];

  it.each(cases)("%s", async (_, spec, files, message, hint) => {
    const error = await failure(stream(spec, files));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(message);
    expect(error.hint ?? "").toMatch(hint);
  });

  it("no word on tasks", async () => {
    const error = await failure(stream({}));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ issues: [{ path: "stream.tasks" }] });
  });
});

describe("overlap of train and test", () => {
  it("is kept where allowed, with a note", async () => {
    const train = [...trainRows, { text: "TEST a 1", label: "b" }];
    const s = await stream({ tasks: 1, allowOverlap: true, validationFraction: 0 }, { train });
    expect(s.tasks[0]?.train).toHaveLength(51);
    expect(s.notes).toEqual([expect.stringContaining("1 row whose text is in test")]);
  });

  it("compares composed and decomposed accents as equal", async () => {
    const train = [...trainRows, { text: "cafe\u0301", label: "b" }];
    const test = [...testRows, { text: "Caf\u00e9", label: "b" }];
    expect((await failure(stream({ tasks: 1 }, { train, test }))).message).toContain("1 row");
  });
});

describe("validation", () => {
  it("is read where there is one", async () => {
    const validation = rowsOf("validation", { a: 1, b: 2 });
    const s = await stream({ tasks: 1 }, { validation });
    expect(s.tasks[0]?.validation).toEqual(validation);
    expect(s.tasks[0]?.train).toEqual(trainRows);
    expect(s.notes).toEqual([]);
  });

  it("is split off train where there is none, the same part of every class", async () => {
    const train = rowsOf("train", { a: 20, b: 31, c: 1 });
    const s = await stream({ tasks: 1, validationFraction: 0.2 }, { train, test: rowsOf("test", { a: 1 }) });
    const count = (label: string) => s.tasks[0]?.validation.filter((row) => row.label === label).length;
    expect([count("a"), count("b"), count("c")]).toEqual([4, 6, 0]);
    expect(s.notes).toEqual([expect.stringMatching(/no validation file.*10 train rows.*42 stay/)]);
  });

  it("is disjoint from train, complete with it, and leaves every class something", async () => {
    const counts = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 8 });
    const fraction = fc.double({ min: 0, max: 0.99, noNaN: true });
    await fc.assert(
      fc.asyncProperty(counts, fraction, fc.nat({ max: 1000 }), async (sizes, validationFraction, seed) => {
        const perLabel = Object.fromEntries(sizes.map((size, i) => [`l${i}`, size]));
        const files = { train: rowsOf("train", perLabel), test: rowsOf("test", perLabel) };
        const count = Math.floor(sizes.length / 2);
        const spec = { tasks: count, classOrder: "shuffled", validationFraction };
        const s = await stream(spec, files, seed);
        const train = s.tasks.flatMap((task) => task.train);
        const texts = [...train, ...s.tasks.flatMap((task) => task.validation)].map(({ text }) => text);
        expect(texts.toSorted()).toEqual(files.train.map(({ text }) => text).toSorted());
        expect(new Set(train.map(({ label }) => label)).size).toBe(sizes.length);
        expect(s.tasks.flatMap(({ test }) => test)).toHaveLength(files.test.length);
        const widths = s.tasks.map(({ labels }) => labels.length);
        expect(widths).toHaveLength(count);
        expect(Math.max(...widths) - Math.min(...widths)).toBeLessThanOrEqual(1);
        expect(widths).toEqual(widths.toSorted((a, b) => b - a));
        for (const task of s.tasks)
          for (const row of [...task.train, ...task.validation, ...task.test])
            expect(task.labels).toContain(row.label);
        expect(await stream(spec, files, seed)).toEqual(s);
      }),
      { numRuns: 30 },
    );
  });
});

describe("the files of a stream", () => {
  it("may be named one by one, of either kind, out-of-scope texts with them", async () => {
    const folder = folderWith({
      "a.jsonl": jsonl(trainRows),
      "b.csv": `text,category\n${testRows.map(({ text, label }) => `${text},${label}\n`).join("")}`,
      "oos.jsonl": '{"text": "what"}\n',
    });
    const names = { train: "a.jsonl", test: "b.csv", outOfScope: "oos.jsonl" };
    const spec = resolveStreamPaths(streamSchema.parse({ ...names, tasks: 1 }), folder);
    const s = await loadStream(spec, 1);
    expect(s.tasks[0]?.test).toEqual(testRows);
    expect(s.outOfScope).toEqual({ validation: [], test: [{ text: "what" }] });
    const hash = createHash("sha256");
    for (const name of Object.values(names)) hash.update(readFileSync(join(folder, name)));
    expect(s.dataHash).toBe(hash.digest("hex"));
  });

  it("may lie in a folder named as train", async () => {
    const folder = folderWith({
      "train.jsonl": jsonl(trainRows),
      "val.csv": "text,label\nq,a\n",
      "test.ndjson": jsonl(testRows),
    });
    const s = await loadStream(streamSchema.parse({ train: folder, tasks: 1 }), 1);
    expect(s.tasks[0]?.validation).toEqual([{ text: "q", label: "a" }]);
    expect(s.tasks[0]?.test).toEqual(testRows);
  });

  it("are refused where they are missing or doubled", async () => {
    const load = (spec: Record<string, unknown>) =>
      failure(loadStream(streamSchema.parse({ tasks: 1, ...spec }), 1));
    const folder = folderWith({
      "train.jsonl": jsonl(trainRows),
      "train.csv": "text,label\n",
      "t.jsonl": "",
    });
    expect((await load({ path: folder })).message).toContain("several train files: train.csv, train.jsonl");
    expect((await load({ path: folder, format: "jsonl" })).message).toContain("no test file");
    expect((await load({ path: join(folder, "nowhere") })).message).toContain("does not exist");
    expect((await load({ path: join(folder, "train.jsonl") })).message).toContain("a folder was expected");
    expect(await load({ train: join(folder, "train.jsonl") })).toMatchObject({
      issues: [{ path: "stream.test" }],
    });
  });
});

describe("streamSchema", () => {
  it("fills defaults in", () => {
    expect(streamSchema.parse({ path: "x" })).toEqual({
      path: "x",
      validationFraction: 0.1,
      allowOverlap: false,
    });
  });

  it("reads numeric labels as text", () => {
    const spec = streamSchema.parse({ path: "x", taskList: [{ name: "t", labels: [0, "one"] }] });
    expect(spec.taskList?.[0]?.labels).toEqual(["0", "one"]);
  });

  it.each<readonly [string, Record<string, unknown>, string]>([
    ["nothing to read", {}, "train"],
    ["a recipe without path", { recipe: "clinc150" }, "path"],
    ["path beside train", { path: "x", train: "y" }, "path"],
    ["two divisions", { path: "x", tasks: 2, domains: "y" }, "tasks"],
    ["a class order without tasks", { path: "x", domains: "y", classOrder: "shuffled" }, "classOrder"],
    ["a recipe with a format", { path: "x", recipe: "fewrel", format: "csv" }, "recipe"],
    ["an unknown recipe", { path: "x", recipe: "clink" }, "recipe"],
    ["no task", { path: "x", tasks: 0 }, "tasks"],
    ["a fraction of all", { path: "x", validationFraction: 1 }, "validationFraction"],
  ])("refuses %s", (_, spec, key) => {
    const result = streamSchema.safeParse(spec);
    expect(result.error?.issues.map((issue) => issue.path[0])).toContain(key);
  });

  it("refuses unknown keys", () => {
    expect(streamSchema.safeParse({ path: "x", task: 2 }).error?.issues[0]?.code).toBe("unrecognized_keys");
  });

  it("resolves paths, and leaves inline domains and absolute paths", () => {
    const spec: StreamSpec = streamSchema.parse({
      train: "a.jsonl",
      test: "/b.jsonl",
      domains: { t: ["x"] },
    });
    expect(resolveStreamPaths(spec, "/base")).toEqual({ ...spec, train: "/base/a.jsonl" });
  });
});
