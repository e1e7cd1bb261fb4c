import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/overrides.ts";
import type { Prediction } from "../../src/continual/answers.ts";
import { loadStream } from "../../src/data/stream.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import type { ChangeEvent, LearnedSummary } from "../../src/model/changes.ts";
import { createLearner } from "../../src/model/learner.ts";
import { describeStore } from "../../src/store/info.ts";
import { openRun } from "../../src/store/openRun.ts";
import { openStore } from "../../src/store/store.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { Workspace } from "../../src/workspace/workspace.ts";
import { bytesBelow, temporaryFolder } from "../support/folders.ts";
import {
  fittedFiles,
  questions,
  settings,
  statisticsOnly,
  unversioned,
  workshop,
} from "../support/stores.ts";
import { texts, writeTinyExperiment } from "../support/tinyStreams.ts";
import { tolerances } from "../support/tolerances.ts";

describe("learning", () => {
  test("a task's adapter is the one that a learner in memory trains, and later changes leave its bytes alone", async () => {
    const { open, at, folder } = await workshop();
    await using store = await open("store");
    const train = texts(["aa", "bb"]);
    const learned = await store.learn({ name: "one", train, validation: [] });
    await store.learn({ name: "held out", train });
    expect(learned).toMatchObject({ version: 2, task: "one", labels: ["aa", "bb"] });
    await using learner = await createLearner({ backbone: at("model"), ...settings });
    await learner.learn({ name: "one", train, validation: [] });
    await learner.learn({ name: "held out", train });
    const saved = await learner.save(join(folder, "saved"));
    expect(saved.map((path) => relative(join(folder, "saved"), path))).toEqual(["one", "held-out"]);
    for (const name of ["adapter_model.safetensors", "head.safetensors"])
      for (const task of ["one", "held-out"])
        expect(await readFile(join(at("store"), "adapters", task, name))).toEqual(
          await readFile(join(folder, "saved", task, name)),
        );
    const { tasks } = await readStore(at("store"));
    await store.learn({ name: "two", train: texts(["cc", "dd"]) });
    await store.learnClass("ee", ["e train number 1 e", "e train number 2 e"]);
    expect((await readStore(at("store"))).tasks.slice(0, 2)).toEqual(tasks);
    expect(store.classes).toEqual(["aa", "bb", "cc", "dd", "ee"]);
    expect((await describeStore(at("store"))).versions.map(({ change }) => change)).toEqual([
      "learned class ee from 2 examples",
      "learned task two",
      "learned task held out",
      "learned task one",
      "begun",
    ]);
  });

  test("answers alike whether it has just learned or is opened anew, and through openRun", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await store.learn({ name: "two", train: texts(["cc", "dd"]) }, statisticsOnly);
    await store.learnClass("ee", ["e train number 1 e", "e train number 2 e", "e train e"]);
    const now = await store.predict(questions);
    expect(now.map(({ task }) => task)).toContain("one");
    await using again = await openStore(at("store"));
    expect(await again.predict(questions)).toEqual(now);
    await using run = await openRun(at("store"));
    expect(await run.predict(questions.map((text) => ({ text })))).toEqual(now);
    // Every class of the tiny stream is told by its letter.
    const right = now.filter(({ label, text }) => label?.[0] === text[0]);
    expect(right.length).toBeGreaterThan(questions.length / 2);
  });

  test("what comes twice is there once, in the list as in the statistics", async () => {
    const { open, at } = await workshop();
    await using store = await open("store", { router: { kind: "lda" } });
    await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
    await store.learnClass("cc", ["c train 1", "c train 2"]);
    const before = await store.predict(questions);
    const { tasks, statisticsBytes } = await describeStore(at("store"));
    await store.learnClass("cc", ["c train 1", "c train 2"]);
    await store.learnClass("cc", ["c train 1", "c train 2"]);
    const now = await describeStore(at("store"));
    expect(now.tasks.map(({ rows }) => rows)).toEqual([24, 2]);
    expect(now.statisticsBytes).toBe(statisticsBytes);
    expect(now.tasks.map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(before));
  });

  test("within a task, its adapter answers, or where it has none, statistics among its classes", async () => {
    const { open } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await store.learn({ name: "two", train: texts(["cc", "dd"]) }, statisticsOnly);
    for (const [task, labels] of [
      ["one", ["aa", "bb"]],
      ["two", ["cc", "dd"]],
    ] as const) {
      const predictions = await store.predict(questions, { task });
      for (const { top, passes, task: named } of predictions) {
        expect(top.map(({ label }) => label).sort()).toEqual(labels);
        expect([passes, named]).toEqual([1, task]);
        const total = top.reduce((sum, { score }) => sum + score, 0);
        expect(Math.abs(total - 1)).toBeLessThan(tolerances.float64);
      }
    }
    await expect(store.predict(questions, { exact: true })).rejects.toThrow(/"two" has none/);
    await expect(store.predict(questions, { task: "tow" })).rejects.toThrow(/did you mean "two"/);
  });

  test("answers while it learns, with the version before; another change waits for its turn, and is seen when one looks", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await using reader = await openStore(at("store"));
    const before = await store.predict(questions);
    let steps = 0;
    let during: Promise<Prediction[]> | undefined;
    let second: Promise<LearnedSummary> | undefined;
    const learning = store.learn(
      { name: "two", train: texts(["cc", "dd"]) },
      {
        onEvent: ({ type }) => {
          if (type !== "step" || ++steps !== 2) return;
          during = store.predict(questions);
          second = reader.learnClass("ee", ["e e e"]);
        },
      },
    );
    await learning;
    expect(await during).toEqual(before);
    expect(store.version).toBe(3);
    // A change that was asked for meanwhile waited for its turn.
    expect(await second).toMatchObject({ version: 4, classes: ["ee"] });
    expect(reader.classes).toEqual(["aa", "bb", "cc", "dd", "ee"]);
    expect(await store.predict(questions)).not.toEqual(await reader.predict(questions));
    expect(await store.refresh()).toBe(4);
    expect(await reader.predict(questions)).toEqual(await store.predict(questions));
    expect(await store.predict(questions)).not.toEqual(before);
  });

  test("says unknown where it is asked to, and what comes nearest", async () => {
    const { open, at } = await workshop();
    await using store = await open("store", { router: { kind: "kernel-discriminant", rejectRate: 0.1 } });
    await store.learn({ name: "one", train: texts(["aa", "bb"], "train", 30) }, statisticsOnly);
    const strange = "the quick brown fox jumps over the lazy dog, and then some more words follow";
    const [known, unknown] = await store.predict(["a train number 3 a", strange]);
    expect(known?.label).toBe(known?.top[0]?.label);
    expect(known?.unknown).toBeLessThan(unknown?.unknown ?? 0);
    expect(unknown?.label).toBe(null);
    expect(["aa", "bb"]).toContain(unknown?.top[0]?.label);
    const files = ["router.safetensors", "routing.json", "totals.safetensors"];
    expect(await fittedFiles(at("store"))).toEqual(files.map((name) => `000002/consolidated/${name}`));
    await using other = await openStore(at("store"));
    expect(await other.predict([strange])).toEqual([unknown]);
    await store.forget({ class: "bb" });
    expect(await fittedFiles(at("store"))).toEqual(files.map((name) => `000003/consolidated/${name}`));
  });

  test("whoever waits for a router may stop waiting, and a store closes over one that is being fitted", async () => {
    const { open } = await workshop();
    const store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
    const controller = new AbortController();
    const stopped = store.predict(questions, { signal: controller.signal });
    const other = store.predict(questions);
    controller.abort();
    await expect(stopped).rejects.toThrow(/abort/);
    expect(await other).toHaveLength(questions.length);
    await store.learnClass("cc", ["c c c"]);
    const cut = expect(store.predict(questions)).rejects.toThrow();
    await store[Symbol.asyncDispose]();
    await cut;
  });

  test("stops between two steps, and leaves the store as it was", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    const controller = new AbortController();
    const learning = store.learn(
      { name: "one", train: texts(["aa", "bb"]) },
      { signal: controller.signal, onEvent: ({ type }) => type === "step" && controller.abort() },
    );
    await expect(learning).rejects.toThrow(/abort/);
    expect(store.version).toBe(1);
    expect((await describeStore(at("store"))).tasks).toEqual([]);
    expect((await store.learn({ name: "one", train: texts(["aa", "bb"]) })).version).toBe(2);
  });
});

describe("the folder of an experiment", () => {
  test("goes on learning: exactly at first, routed when its tasks' statistics are added", async () => {
    const folder = await temporaryFolder();
    const { config } = await loadConfig(await writeTinyExperiment(folder));
    const short = { ...config, training: { ...config.training, epochs: 1 } };
    for await (const _ of runExperiment(short));
    await using store = await openStore(config.out);
    expect(store.version).toBe(1);
    await using run = await openRun(config.out);
    const examples = questions.map((text) => ({ text }));
    expect(await store.predict(examples)).toEqual(await run.predict(examples));

    await store.learn({ name: "new", train: texts(["gg", "hh"]) });
    const [answer] = await store.predict(["g train number 1 g"]);
    expect(answer?.passes).toBe(4);
    const notes: string[] = [];
    const onEvent = (event: ChangeEvent) => event.type === "note" && notes.push(event.message);
    await store.learn({ name: "class", train: texts(["ii"]) }, { ...statisticsOnly, onEvent });
    expect(notes).toEqual([
      expect.stringMatching(
        /no answer now: task "task-0" has an adapter and no statistics.*--task "task-0" <its data> --statistics-only/,
      ),
    ]);
    await expect(store.predict(examples)).rejects.toMatchObject({
      message: expect.stringMatching(/task "task-0" has an adapter and no statistics/),
      hint: expect.stringMatching(/accrete learn <store> --task "task-0" <its data> --statistics-only/),
    });
    const all = [
      ["aa", "bb"],
      ["cc", "dd"],
      ["ee", "ff"],
    ];
    for (const [i, labels] of all.entries())
      await store.learn({ name: `task-${i}`, train: texts(labels) }, { ...statisticsOnly, onEvent });
    // Each but the last leaves one without; the note says which.
    expect(notes.map((note) => /task "(.*?)" has an adapter/.exec(note)?.[1])).toEqual([
      "task-0",
      "task-1",
      "task-2",
    ]);
    expect((await store.predict(examples))[0]?.passes).toBeLessThanOrEqual(2);
    expect((await describeStore(config.out)).tasks.map(({ kind }) => kind)).toEqual([
      "adapter",
      "adapter",
      "adapter",
      "adapter",
      "statistics",
    ]);
  });
});

describe("the folder of an experiment that is not finished", () => {
  test("answers, and changes nothing yet: it is to be finished first", async () => {
    const folder = await temporaryFolder();
    const { config } = await loadConfig(await writeTinyExperiment(folder));
    const short = { ...config, training: { ...config.training, epochs: 1 } };
    for await (const { type } of runExperiment(short)) if (type === "task-learned") break;
    const refusal = {
      exitCode: 2,
      message: expect.stringMatching(/the run is not finished: it has learned \d tasks? so far/),
      hint: expect.stringMatching(/--resume/),
    };
    const before = await bytesBelow(config.out);
    await using run = await openStore(config.out);
    expect(await run.predict(questions)).toHaveLength(questions.length);
    for (const change of [
      () => run.learn({ name: "new", train: texts(["gg", "hh"]) }),
      () => run.learn({ name: "new", train: texts(["gg", "hh"]) }, statisticsOnly),
      () => run.forget({ class: "aa" }),
      () => run.purge(),
    ])
      await expect(change()).rejects.toMatchObject(refusal);
    expect(await bytesBelow(config.out)).toEqual(before);
    const { open, at } = await workshop();
    await using store = await open("store");
    await expect(store.merge(config.out)).rejects.toMatchObject(refusal);
    await expect(run.merge(at("store"))).rejects.toMatchObject(refusal);
    expect(await describeStore(at("store"))).toMatchObject({ version: 1, tasks: [] });
  });
});

describe("the folder of an experiment with a router", () => {
  test("answers as the run does, goes on learning, and forgets what the run had fitted", async () => {
    const folder = await temporaryFolder();
    const { config } = await loadConfig(
      await writeTinyExperiment(folder),
      [
        "training.epochs=1",
        "router={ kind: lda, secondPass: always }",
        // Other than the texts come: the file of a task's statistics follows the task's labels.
        "stream.classOrder=[bb, aa, dd, cc, ff, ee]",
      ].map((each) => parseOverride(each)),
    );
    for await (const _ of runExperiment(config));
    await using run = await openRun(config.out);
    await using taught = await openStore(join(folder, "taught"), {
      create: {
        backbone: config.backbone,
        // As in a run: a store goes on with a small task for 60 steps.
        training: { epochs: 1, minSteps: 0, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 },
        router: { kind: "lda" },
        threads: 1,
      },
    });
    const { tasks } = await loadStream(config.stream, config.seed);
    for (const task of tasks) await taught.learn(task);
    // The same tasks one by one are the same adapters and statistics, byte for byte.
    const adaptersOf = async (path: string) => (await readStore(path)).tasks.map(({ adapter }) => adapter);
    expect(await adaptersOf(taught.path)).toEqual(await adaptersOf(config.out));
    await using store = await openStore(config.out);
    const before = await run.predict(questions.map((text) => ({ text })));
    expect(await store.predict(questions)).toEqual(before);
    expect(before[0]?.passes).toBe(2);
    const routerOf = (version: number) =>
      ["router.safetensors", "routing.json"].map((name) => `00000${version}/consolidated/${name}`);
    expect(await fittedFiles(config.out)).toEqual(routerOf(1));
    await store.learnClass("gg", ["g train number 1 g", "g train number 2 g"]);
    expect(await fittedFiles(config.out)).toEqual(routerOf(2));
    await store.forget({ class: "gg" });
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(before));
    const forgotten = await store.forget({ class: "aa" });
    expect(forgotten).toMatchObject({ adaptersThatSaw: ["task-0"] });
    const tops = await store.predict(questions, { top: 9 });
    for (const { top } of tops)
      expect(top.map(({ label }) => label).sort()).toEqual(["bb", "cc", "dd", "ee", "ff"]);
  });
});

describe("what cannot be learned", () => {
  test("is refused before anything is written", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await expect(store.predict(["a text"])).rejects.toThrow(/no task has been learned yet/);
    await store.learn({ name: "one", train: texts(["aa", "bb"], "train", 2) }, statisticsOnly);
    const before = await describeStore(at("store"));
    const refused = [
      [() => store.learn({ name: "one", train: texts(["cc", "dd"]) }), /"one" was learned already/],
      [() => store.learn({ name: "two", train: texts(["cc"]) }), /has a single class, "cc"/],
      [() => store.learn({ name: "two", train: [] }), /has no training examples/],
      [() => store.learn({ name: " ", train: texts(["cc", "dd"]) }), /needs a name/],
      [
        () => store.learn({ name: "two", train: texts(["cc", "dd"]), validation: texts(["ee"]) }),
        /validation has the label "ee"/,
      ],
      [() => store.learnClass("cc", []), /no example to learn it from/],
      [() => store.learnClass(" ", ["a text"]), /needs a name/],
      [() => store.learnClass("", ["a text"]), /wrong arguments: label: /],
      [() => store.learnClass("cc", [""]), /class "cc": example 1 of 1 is empty/],
      [() => store.learnClass("cc", ["c c", " \n", "c"]), /class "cc": example 2 of 3 is empty/],
      [() => store.forget({ class: "ab" }), /no class called "ab"; did you mean "aa"/],
      [() => store.forget({ task: "noe" }), /no task called "noe"; did you mean "one"/],
    ] as const;
    for (const [change, message] of refused)
      await expect(change()).rejects.toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
    expect(await describeStore(at("store"))).toEqual(before);
  });

  test("a class does not join a task whose adapter has no slot for it", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"], "train", 3) });
    await expect(store.learnClass("cc", ["c c"], { task: "one" })).rejects.toThrow(
      /has an adapter that was not trained on the class "cc"/,
    );
    expect(await store.learnClass("aa", ["a a"])).toMatchObject({ task: "one", labels: ["aa", "bb"] });
    expect((await describeStore(at("store"))).versions[0]?.change).toBe("learned class aa from 1 example");
  });

  test("a backbone that was moved is given by its place, and another one is refused by its hash", async () => {
    const { open, at } = await workshop();
    {
      await using store = await open("store");
      await store.learnClass("aa", ["a a a"]);
    }
    await rename(at("model"), at("elsewhere"));
    await expect(openStore(at("store"))).rejects.toMatchObject({ exitCode: 2 });
    await using store = await openStore(at("store"), { backbone: at("elsewhere") });
    expect((await store.predict(["a"]))[0]?.label).toBe("aa");
    const mini = join(import.meta.dirname, "../../models/accrete-mini");
    await expect(openStore(at("store"), { backbone: mini })).rejects.toThrow(
      /is not the backbone that was learned with/,
    );
  });

  test("a damaged file is told, with the version to go back to; where there is none, that it is to be learned anew", async () => {
    const { open, at } = await workshop();
    {
      await using store = await open("store");
      await store.learnClass("aa", ["a a a"]);
      await store.learnClass("aa", ["a a"]);
    }
    await writeFile(join(at("store"), "adapters/aa-2/statistics.safetensors"), "other bytes");
    await expect(openStore(at("store"))).rejects.toMatchObject({
      message: expect.stringMatching(/aa-2\/statistics\.safetensors: the file of task aa is damaged/),
      hint: expect.stringMatching(/accrete rollback, to version 2/),
    });
    {
      await using folder = await Workspace.open(at("store"));
      await folder.rollback();
      await folder.purge();
    }
    {
      await using store = await openStore(at("store"));
      expect((await store.predict(["a"]))[0]?.label).toBe("aa");
    }
    await rm(join(at("store"), "adapters/aa/statistics.safetensors"));
    await expect(openStore(at("store"))).rejects.toMatchObject({
      message: expect.stringMatching(/is missing/),
      hint: expect.stringMatching(/^Restore it from a copy, or learn anew/),
    });
  });

  test("settings that no store can have, and a folder where nothing was begun, are told", async () => {
    const { open, folder } = await workshop();
    await expect(open("first", { level: "word", outside: "first" })).rejects.toThrow(/^outside: first/);
    await expect(open("key", { stream: {} })).rejects.toMatchObject({ issues: [{ path: "stream" }] });
    await expect(openStore(join(folder, "nowhere"))).rejects.toMatchObject({
      hint: expect.stringMatching(/accrete init/),
    });
    expect(await readdir(folder)).toEqual(["model"]);
  });
});
