import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeStore } from "../../src/store/info.ts";
import { mergeStores } from "../../src/store/mergeStores.ts";
import { openStore } from "../../src/store/store.ts";
import { readStore } from "../../src/workspace/reading.ts";
import {
  answers,
  questions,
  statisticsOf,
  statisticsOnly,
  unversioned,
  workshop,
} from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";
import { tolerances } from "../support/tolerances.ts";

describe("forgetting", () => {
  test("leaves the statistics and the answers of a store that never saw the class, bit for bit", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) }, statisticsOnly);
    await store.learnClass("ee", ["e train number 1 e", "e train number 2 e"]);
    await store.learn({ name: "two", train: texts(["bb", "dd"], "more") }, statisticsOnly);
    const forgotten = await store.forget({ class: "bb" });
    expect(forgotten).toMatchObject({ classes: ["bb"], rows: 24, deletedTasks: [], adaptersThatSaw: [] });

    await using never = await open("never");
    await never.learn({ name: "zwei", train: texts(["dd"], "more") }, statisticsOnly);
    await never.learnClass("ee", ["e train number 1 e", "e train number 2 e"]);
    await never.learn({ name: "eins", train: texts(["cc", "aa"]) }, statisticsOnly);
    expect(await statisticsOf(at("store"))).toEqual(await statisticsOf(at("never")));
    expect(answers(await store.predict(questions))).toEqual(answers(await never.predict(questions)));
    await using again = await openStore(at("store"));
    expect(answers(await again.predict(questions))).toEqual(answers(await never.predict(questions)));
  });

  test("takes the class out of a head, keeps the adapter's weights, and names who saw it", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) });
    await store.learn({ name: "two", train: texts(["dd", "ee"]) });
    const weights = await readFile(join(at("store"), "adapters/one/adapter_model.safetensors"));
    const within = await store.predict(questions, { task: "one" });
    const forgotten = await store.forget({ class: "bb" });
    expect(forgotten).toMatchObject({ adaptersThatSaw: ["one"], keptVersions: [1, 2, 3] });
    const [one] = (await readStore(at("store"))).tasks;
    expect(one).toMatchObject({ labels: ["aa", "cc"], forgotten: 1, adapter: { folder: "adapters/one-2" } });
    expect(await readFile(join(at("store"), "adapters/one-2/adapter_model.safetensors"))).toEqual(weights);
    // The head's other slots are as they were: their scores keep their proportion.
    const left = await store.predict(questions, { task: "one" });
    left.forEach(({ top }, i) => {
      const was = new Map(within[i]?.top.map(({ label, score }) => [label, score]));
      expect(top.map(({ label }) => label).sort()).toEqual(["aa", "cc"]);
      const [first, second] = top;
      const ratio = (was.get(second?.label ?? "") ?? 0) / (was.get(first?.label ?? "") ?? 0);
      const difference = Math.abs((second?.score ?? 0) / (first?.score ?? 1) - ratio);
      expect(difference).toBeLessThan(tolerances.float32);
    });
  });

  test("a task goes with its adapter, and with a purge every trace of it", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await store.learn({ name: "two", train: texts(["bb", "cc"]) });
    await store.predict(questions);
    expect(await store.forget({ task: "one" }, { purge: true })).toMatchObject({
      classes: ["aa"],
      deletedTasks: ["one"],
      deletedAdapters: ["one"],
      keptVersions: [],
    });
    const { tasks, versions } = await describeStore(at("store"));
    expect(tasks.map(({ name }) => name)).toEqual(["two"]);
    expect(versions).toHaveLength(1);
    await expect(readFile(join(at("store"), "adapters/one/head.safetensors"))).rejects.toThrow(/ENOENT/);
    await expect(store.rollback()).rejects.toThrow(/nothing to go back to/);
    await using never = await open("never");
    await never.learn({ name: "two", train: texts(["bb", "cc"]) });
    expect(await statisticsOf(at("store"))).toEqual(await statisticsOf(at("never")));
  });

  test("rolls back to a store that answers as before", async () => {
    const { open } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) });
    const before = await store.predict(questions);
    await store.forget({ class: "bb" });
    expect(await store.predict(questions)).not.toEqual(before);
    expect(await store.rollback()).toEqual({ version: 4 });
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(before));
  });
});

describe("merging", () => {
  test("is a union: the same statistics and answers whichever comes first, and as learned in one place", async () => {
    const { open, at } = await workshop();
    const teach = async (name: string, tasks: Readonly<Record<string, readonly string[]>>) => {
      await using store = await open(name);
      for (const [task, labels] of Object.entries(tasks))
        await store.learn({ name: task, train: texts(labels) }, statisticsOnly);
    };
    await teach("a", { one: ["aa", "bb"], shared: ["cc", "dd"] });
    await teach("b", { shared: ["cc", "dd"], two: ["bb", "ee"] });
    await teach("all", { one: ["aa", "bb"], shared: ["cc", "dd"], two: ["bb", "ee"] });
    const { tasks } = await mergeStores(at("a"), at("b"), at("ab"));
    expect(tasks.map(({ name }) => name)).toEqual(["one", "shared", "two"]);
    await mergeStores(at("b"), at("a"), at("ba"));
    const expected = await statisticsOf(at("all"));
    expect(await statisticsOf(at("ab"))).toEqual(expected);
    expect(await statisticsOf(at("ba"))).toEqual(expected);
    const said = [];
    for (const name of ["ab", "ba", "all"]) {
      await using store = await openStore(at(name));
      said.push(answers(await store.predict(questions)));
    }
    expect(said[0]).toEqual(said[2]);
    expect(said[1]).toEqual(said[2]);
  });

  test("leaves nothing behind where it is stopped", async () => {
    const { open, at, folder } = await workshop();
    await using store = await open("a");
    await store.learn({ name: "one", train: texts(["aa"]) }, statisticsOnly);
    const before = await readdir(folder);
    const stopped = new AbortController();
    const merging = mergeStores(at("a"), at("a"), at("aa"), { signal: stopped.signal });
    stopped.abort();
    await expect(merging).rejects.toThrow(/abort/);
    expect(await readdir(folder)).toEqual(before);
    const change = store.forget({ class: "aa" }, { signal: stopped.signal });
    await expect(change).rejects.toThrow(/abort/);
    expect(store.version).toBe(2);
    expect(await readdir(join(at("a"), "adapters"))).toEqual(["one"]);
  });

  test("two tasks of one name keep their adapters, and the second gets a new name", async () => {
    const { open, at } = await workshop();
    for (const [name, labels] of [
      ["a", ["aa", "bb"]],
      ["b", ["cc", "dd"]],
    ] as const) {
      await using store = await open(name);
      await store.learn({ name: "task", train: texts(labels) });
    }
    const { tasks } = await mergeStores(at("a"), at("b"), at("ab"));
    expect(tasks).toEqual([
      { name: "task", was: "task" },
      { name: "task.2", was: "task" },
    ]);
    const ids = async (name: string) => (await readStore(at(name))).tasks.map(({ adapter }) => adapter.id);
    expect(await ids("ab")).toEqual([...(await ids("a")), ...(await ids("b"))]);
  });

  test("refuses another backbone, and adapters that are built otherwise, and leaves nothing behind", async () => {
    const { open, at, folder } = await workshop();
    await using a = await open("a");
    await a.learn({ name: "one", train: texts(["aa", "bb"]) });
    await using other = await open("b", { method: { rank: 2, alpha: 4 } });
    await other.learn({ name: "two", train: texts(["cc", "dd"]) });
    await expect(mergeStores(at("a"), at("b"), at("ab"))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/the adapter of task "two" is built otherwise/),
    });
    const mini = join(import.meta.dirname, "../../models/accrete-mini");
    await using foreign = await openStore(at("c"), { create: { backbone: mini, threads: 1 } });
    expect(foreign.version).toBe(1);
    await expect(mergeStores(at("a"), at("c"), at("ac"))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/has another backbone/),
      hint: expect.stringMatching(/same backbone/),
    });
    await expect(describeStore(join(folder, "ab"))).rejects.toThrow(/no run there, and no store/);
  });
});
