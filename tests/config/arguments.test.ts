/** Calls as plain JavaScript may make them: every wrong argument is refused with a code and a message that says what it is. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AccreteError } from "../../src/core/errors.ts";
import * as api from "../../src/index.ts";
import { failureOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { writeTinyModel } from "../support/tinyModels.ts";

const train = [
  { text: "one", label: "a" },
  { text: "two", label: "b" },
];

/** Calls a method without its types. */
async function call(target: object, method: string, args: readonly unknown[]): Promise<unknown> {
  return await Reflect.apply(Reflect.get(target, method), target, args);
}

async function drain(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

async function learner(settings: object = {}) {
  const folder = await temporaryFolder();
  await writeTinyModel(join(folder, "model"));
  return await api.createLearner({ backbone: join(folder, "model"), threads: 1, ...settings });
}

type Case = readonly [method: string, args: readonly unknown[], says: string];

const ofModels: readonly Case[] = [
  ["predict", ["a text"], 'texts: expected a list of texts, got "a text"'],
  ["predict", [undefined], "texts: expected a list of texts, got nothing"],
  ["predict", [[5]], "texts.0: expected a text, or { text }, got 5"],
  ["predict", [[{ label: "a" }]], "texts.0.text: expected a text, got nothing"],
  ["predict", [[{ text: 5 }]], "texts.0.text: expected a text, got 5"],
  ["predict", [["a"], null], "options: expected a mapping, got null"],
  ["predict", [["a"], { taks: "b" }], "options.taks: expected the key task (did you mean it?)"],
  ["predict", [["a"], { top: 0 }], "options.top: expected at least 1, got 0"],
  ["predict", [["a"], { exact: "yes" }], 'options.exact: expected true or false, got "yes"'],
  ["predict", [["a"], { signal: {} }], "options.signal: expected an AbortSignal, got {}"],
  ["predict", [["a"], { onFitting: 3 }], "options.onFitting: expected a function, got 3"],
  ["findEntities", ["a text"], 'texts: expected a list of texts, got "a text"'],
  ["generate", ["a text"], 'prompts: expected a list of texts, got "a text"'],
  ["generate", [["a"], { maxNewTokens: 1.5 }], "options.maxNewTokens: expected a whole number, got 1.5"],
  ["embed", [[null]], "texts.0: expected a text, or { text }, got null"],
  ["evaluate", [[{ text: "a" }]], "items.0.label: expected a text, got nothing"],
  ["evaluate", [[{ words: ["a"] }]], "items.0.tags: expected a list, got nothing"],
  ["evaluate", [["a"]], 'items.0: expected { text, label }, or { words, tags }, got "a"'],
  ["learn", [], "task: expected a mapping, got nothing"],
  ["learn", [{ name: "t", train: "data.jsonl" }], "task.train: expected a list of { text, label }"],
  ["learn", [{ name: "t", train: [{ label: "a" }] }], "task.train.0.text: expected a text, got nothing"],
  ["learn", [{ name: "t", train: [{ text: "a", label: 3 }] }], "task.train.0.label: expected a text, got 3"],
  ["learn", [{ name: "t", train: [{ text: "a", label: true }] }], "label: expected a text, got true"],
  ["learn", [{ name: "t", train: [{ text: 5, label: "a" }] }], "task.train.0.text: expected a text, got 5"],
  ["learn", [{ name: "t", trian: train }], "task.trian: expected the key train (did you mean it?)"],
  [
    "learn",
    [{ name: "t", train }, { statistics: true }],
    "options.statistics: expected the key statisticsOnly",
  ],
  ["learnClass", ["a", "text"], 'examples: expected a list of texts, got "text"'],
  ["learnClass", [1, ["text"]], "label: expected a text, got 1"],
  ["forget", ["a"], 'target: expected { class: name } or { task: name }, got "a"'],
  [
    "forget",
    [{ label: "a" }],
    "target.label: expected one of the keys class, task, got the unknown key label",
  ],
  ["saveAdapter", ["a"], "folder: expected a text, got nothing"],
  ["save", [], "folder: expected a text, got nothing"],
  ["loadAdapter", ["a"], "folder: expected a text, got nothing"],
  ["merge", ["folder"], 'other: expected a learner, got "folder"'],
  ["rollback", ["1"], 'version: expected a number, got "1"'],
];

const ofThePackage: readonly Case[] = [
  ["createLearner", [], "config: expected a mapping, got nothing"],
  ["createLearner", ["model"], 'config: expected a mapping, got "model"'],
  ["openStore", [], "folder: expected a text, got nothing"],
  ["openStore", ["store", { creat: {} }], "options.creat: expected the key create (did you mean it?)"],
  ["openStore", ["store", { create: "model" }], 'options.create: expected a mapping, got "model"'],
  ["openRun", [5], "folder: expected a text, got 5"],
  ["openRun", ["run", { task: "a" }], "options.task: expected one of the keys backbone, background, signal"],
  ["openGenerator", ["run", { treads: 1 }], "options.treads: expected the key threads (did you mean it?)"],
  ["loadAdapter", ["adapter", { maxLength: "8" }], 'options.maxLength: expected a number, got "8"'],
  ["loadAdapter", ["adapter", { pooling: "median" }], "options.pooling: expected one of cls"],
  ["mergeStores", ["a", "b"], "out: expected a text, got nothing"],
  ["describeStore", [{}], "folder: expected a text, got {}"],
  ["loadBackbone", [undefined], "source: expected a text, got nothing"],
  ["loadConfig", [undefined], "path: expected a text, got nothing"],
  ["loadConfig", ["run.yaml", ["seed=1"]], 'overrides.0: expected a mapping, got "seed=1"'],
  ["resolveConfig", [{}], "baseDir: expected a text, got nothing"],
  ["readRun", [undefined], "folder: expected a text, got nothing"],
  ["computeMetrics", ["words", [], []], 'level: expected one of sentence, word, got "words"'],
];

describe("a wrong argument", () => {
  test.for(ofModels)("of %s: %j", async ([method, args, says]) => {
    await using model = await learner();
    const error = await failureOf(call(model, method, args));
    expect(error.message).toContain(says);
    expect(error.message).toContain(`${method}: wrong arguments`);
    expect(error.code).toBe("ARGUMENT");
  });

  test.for(ofThePackage)("of %s: %j", async ([method, args, says]) => {
    const error = await failureOf(call(api, method, args));
    expect(error.message).toContain(says);
    expect(error.code).toBe("ARGUMENT");
  });

  test("is named with every other one, but for rows that are wrong alike by the thousand", async () => {
    await using model = await learner();
    const rows = Array.from({ length: 1000 }, () => ({ text: "a", label: 1 }));
    const error = await failureOf(call(model, "learn", [{ name: "t", train: rows }, { signal: 1 }]));
    expect(error.message).toContain("(the first 5 of 1001)");
    expect(error.message).toContain("task.train.4.label");
    expect(error.message.length).toBeLessThan(500);
  });

  test("of an experiment is refused before anything is read", async () => {
    const ofRun = (...args: readonly unknown[]) =>
      failureOf(
        call(
          { run: (...given: Parameters<typeof api.runExperiment>) => drain(api.runExperiment(...given)) },
          "run",
          args,
        ),
      );
    expect((await ofRun("run.yaml")).message).toContain('config: expected a mapping, got "run.yaml"');
    const raw = { backbone: "model", stream: { train: "a.jsonl", test: "b.jsonl", tasks: 2 }, out: "run" };
    expect(await ofRun({ ...raw, stream: {} })).toMatchObject({ code: "CONFIG" });
    const unresolved = await ofRun(raw);
    expect(unresolved.message).toContain("the configuration is not resolved");
    expect(unresolved.hint).toContain("resolveConfig(config, folder)");
    const config = api.resolveConfig(raw, await temporaryFolder());
    expect((await ofRun(config, { resum: true })).message).toContain(
      "options.resum: expected the key resume",
    );
  });
});

describe("a task that cannot be learned from", () => {
  const texts: readonly (readonly [task: object, says: string])[] = [
    [{ name: " ", train }, "a task needs a name"],
    [{ name: "t", train: [] }, 'task "t": has no training examples'],
    [
      { name: "t", train: [{ words: ["a"], tags: ["O"] }] },
      "number 1: has tagged words, but this model gives",
    ],
    [{ name: "t", train, labels: ["a", "b", "a"] }, 'task "t": names a label twice: a, b, a'],
    [{ name: "t", train, labels: ["a"] }, 'label "b" is none of the task\'s: a'],
    [{ name: "t", train, labels: ["a", "b", "c"] }, 'has no training example of "c"'],
    [{ name: "t", train: train.slice(1) }, 'has a single class, "b"'],
    [{ name: "t", train: [...train, { text: "three", label: " " }] }, 'task "t": has a label without a name'],
  ];
  const words: readonly (readonly [task: object, says: string])[] = [
    [{ name: "t", train }, "sentence 1: has no tags, and this model tags words"],
    [{ name: "t", train: [{ words: ["a"], tags: [] }] }, "sentence 1: has 1 words, but 0 tags"],
    [{ name: "t", train: [{ words: ["a"], tags: ["X"] }] }, 'sentence 1, word 1: "X" is not a tag'],
    [{ name: "t", train: [{ words: ["a"], tags: ["O"] }] }, 'task "t": has no entities to learn'],
    [{ name: "t", types: ["y"], train: [{ words: ["a"], tags: ["B-x"] }] }, 'has no training entity of "y"'],
  ];

  test.each([
    ["texts", {}, texts],
    ["words", { level: "word" }, words],
  ] as const)("of %s is refused, and says why", async (_, settings, cases) => {
    await using model = await learner(settings);
    for (const [task, says] of cases) {
      const error = await failureOf(call(model, "learn", [task]));
      expect(error.message).toContain(says);
      expect(error.code).toBe("DATA");
    }
    expect(model.tasks).toEqual([]);
  });
});

describe("a setting", () => {
  const create = (settings: object) => failureOf(call(api, "createLearner", [settings]));

  test("that is wrong, misspelt or missing is named", async () => {
    const error = await create({ training: { batchSize: Number.NaN, epoch: 3 }, method: { rank: "8" } });
    expect(error).toMatchObject({ code: "CONFIG" });
    for (const says of [
      "backbone: expected a text, got nothing",
      "training.batchSize: expected a number, got NaN",
      "training.epoch: expected the key epochs (did you mean it?)",
      'method.rank: expected a number, got "8"',
    ])
      expect(error.message).toContain(says);
  });

  test("that is undefined counts as not given", async () => {
    const undefinedEverywhere = {
      method: { adapter: undefined, rank: undefined, targetModules: undefined, selector: undefined },
      training: { epochs: undefined, earlyStopping: undefined },
      ...Object.fromEntries(
        ["router", "head", "level", "outside", "feature", "prompt", "seed"].map((key) => [key, undefined]),
      ),
    };
    await using model = await learner(undefinedEverywhere);
    expect(model.taskType).toBe("text-classification");
    await using plain = await learner({ method: undefined, training: undefined, threads: undefined });
    expect(plain.level).toBe("sentence");
  });
});

describe("a store that is there", () => {
  test("is opened with the settings it was begun with, or with some of them, and refuses others", async () => {
    const folder = await temporaryFolder();
    await writeTinyModel(join(folder, "model"));
    const at = join(folder, "store");
    const backbone = join(folder, "model");
    const open = async (create: api.ModelConfig) => {
      await using store = await api.openStore(at, { create });
      return store.version;
    };
    await open({ backbone, head: "cosine", method: { rank: 2 }, router: "lda", threads: 1 });
    expect(await open({ backbone })).toBe(1);
    expect(await open({ backbone, head: { kind: "cosine" }, seed: undefined })).toBe(1);
    expect(await open({ backbone, router: "lda" })).toBe(1);
    const error = await failureOf(open({ backbone, head: "linear", method: { rank: 3 }, seed: 7 }));
    expect(error.message).toBe(
      `${at}: was begun with other settings: head.kind: expected "cosine", got "linear"; head.scale: expected "learnable", got nothing; method.rank: expected 2, got 3; seed: expected 1, got 7`,
    );
    expect(error).toMatchObject({ code: "CONFIG" });
  });
});

describe("after it was disposed of", () => {
  test("a learner refuses every call, and may be disposed of again", async () => {
    const model = await learner();
    await model[Symbol.asyncDispose]();
    await model[Symbol.asyncDispose]();
    const calls: readonly (readonly [string, readonly unknown[]])[] = [
      ["learn", [{ name: "t", train }]],
      ["learnClass", ["a", ["b"]]],
      ["forget", [{ class: "a" }]],
      ["predict", [["a"]]],
      ["findEntities", [["a"]]],
      ["generate", [["a"]]],
      ["embed", [["a"]]],
      ["evaluate", [train]],
      ["saveAdapter", ["t", "folder"]],
      ["save", ["folder"]],
      ["loadAdapter", ["t", "folder"]],
      ["rollback", []],
      ["merge", [model]],
    ];
    for (const [method, args] of calls) {
      const error = await failureOf(call(model, method, args), AccreteError);
      expect({ method, message: error.message, code: error.code }).toEqual({
        method,
        message: "this learner was disposed of",
        code: "STORE",
      });
    }
  });

  test("a store refuses every call", async () => {
    const folder = await temporaryFolder();
    await writeTinyModel(join(folder, "model"));
    const store = await api.openStore(join(folder, "store"), { create: { backbone: join(folder, "model") } });
    await store[Symbol.asyncDispose]();
    for (const method of ["refresh", "purge", "rollback", "merge"])
      expect((await failureOf(call(store, method, []))).message).toContain("this store was disposed of");
  });
});
