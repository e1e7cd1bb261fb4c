import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { parseOverride } from "../../src/app/overrides.ts";
import { describeStore } from "../../src/app/store/info.ts";
import { mergeStores, openStore } from "../../src/app/store/store.ts";
import { kindsOfTotals } from "../../src/continual/routing/classTotals.ts";
import { answers, questions, statisticsOnly, workshop } from "../support/stores.ts";
import { texts, writeTinyExperiment } from "../support/tinyStreams.ts";

const totals = { router: { kind: "lda", contributions: "none" } } as const;

describe("a store that keeps totals alone", () => {
  test.each(["nearest-mean", "lda", "ranpac"] as const)(
    "answers as one that keeps the rows, to the last bit: %s",
    async (kind) => {
      const { open, at } = await workshop();
      const said = [];
      for (const contributions of ["kept", "none"] as const) {
        await using store = await open(contributions, { router: { kind, contributions } });
        await store.learn({ name: "one", train: texts(["aa", "bb", "cc"], "train", 20) }, statisticsOnly);
        // Ridge has a Gram matrix of 144 MB, so that a change more takes its time.
        if (kind !== "ranpac") await store.learnClass("dd", ["d train 1 d", "d train 2 d"], { task: "one" });
        const now = await store.predict(questions, { top: 9 });
        await using again = await openStore(at(contributions));
        expect(await again.predict(questions, { top: 9 })).toEqual(now);
        said.push(answers(now));
      }
      expect(said[1]).toEqual(said[0]);
      const [rows, sums] = [await describeStore(at("kept")), await describeStore(at("none"))];
      expect([rows.contributions, sums.contributions]).toEqual(["kept", "none"]);
      expect(sums.tasks.map((task) => task.rows)).toEqual(rows.tasks.map((task) => task.rows));
      // What is left of rows are those held out.
      expect(sums.statisticsBytes).toBeGreaterThan(0);
      const files = await readdir(join(at("none"), "adapters", "one"));
      expect(files.sort()).toEqual(["counted.json"]);
    },
    // A Gram matrix of 6,000 features, and equations in as many unknowns, twice.
    600_000,
  );

  test("tells the bytes of every class, and those that all share", async () => {
    const { open, at } = await workshop();
    const listed = [];
    for (const contributions of ["kept", "none"] as const) {
      await using store = await open(contributions, { router: { kind: "lda", contributions, layers: [1] } });
      await store.learn({ name: "one", train: texts(["bb", "aa"], "train", 20) }, statisticsOnly);
      await store.learn({ name: "two", train: texts(["cc", "aa"], "other", 10) }, statisticsOnly);
      listed.push(await describeStore(at(contributions)));
    }
    const classes = [
      ["aa", ["one", "two"], 30],
      ["bb", ["one"], 20],
      ["cc", ["two"], 10],
    ];
    for (const { perClass } of listed)
      expect(perClass.map(({ label, tasks, rows }) => [label, tasks, rows])).toEqual(classes);
    const bytes = listed.map(({ perClass }) => perClass.map(({ statisticsBytes }) => statisticsBytes));
    // A row is 16 numbers of two bytes; a sum 16 of eight, beside the rows held out, which are some of all.
    expect(bytes[0]).toEqual([960, 640, 320]);
    const heldOut = (bytes[1] ?? []).map((each) => (each - 128) / 32);
    expect(heldOut.every((n, i) => Number.isInteger(n) && n >= 0 && n < Number(classes[i]?.[2]))).toBe(true);
    // The second moment is a triangle of 16 by 16.
    expect(listed.map(({ sharedBytes }) => sharedBytes)).toEqual([0, 8 * 136]);
    for (const [i, { statisticsBytes, sharedBytes }] of listed.entries())
      expect(statisticsBytes).toBe(sharedBytes + (bytes[i] ?? []).reduce((sum, each) => sum + each, 0));
  });

  test("trains adapters and asks them as one that keeps the rows does", async () => {
    const { open } = await workshop();
    const said = [];
    for (const contributions of ["kept", "none"] as const) {
      const router = { kind: "lda", secondPass: "always", contributions };
      await using store = await open(contributions, { router });
      await store.learn({ name: "one", train: texts(["aa", "bb"]) });
      await store.learn({ name: "two", train: texts(["cc", "dd"]) });
      said.push(await store.predict(questions));
    }
    expect(said[1]).toEqual(said[0]);
    expect(said[0]?.[0]?.passes).toBe(2);
  });

  test("serves the closed forms, and with auto those that it chooses among", () => {
    expect(kindsOfTotals("auto")).toEqual(["lda", "ranpac"]);
    expect(kindsOfTotals("kernel-lda")).toEqual(["kernel-lda"]);
    for (const kind of ["softmax", "network", "ensemble"] as const) expect(kindsOfTotals(kind)).toEqual([]);
  });

  test("cannot forget, says why and what to do, and stays as it was", async () => {
    const { open, at } = await workshop();
    await using store = await open("store", totals);
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    const before = await describeStore(at("store"));
    for (const target of [{ class: "aa" }, { task: "one" }, { class: "nobody" }])
      await expect(store.forget(target)).rejects.toMatchObject({
        exitCode: 2,
        message: /cannot forget: it keeps sums .*router\.contributions: none/,
        hint: /accrete rollback.*keeps contributions/,
      });
    expect(await describeStore(at("store"))).toEqual(before);
  });

  test("keeps the version before and its totals alone, goes back to it, and refuses damaged ones", async () => {
    const { open, at } = await workshop();
    await using store = await open("store", totals);
    await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
    const before = answers(await store.predict(questions));
    await store.learnClass("cc", ["c train number 1 c"]);
    expect(await readdir(join(at("store"), "totals"))).toEqual(["000002.safetensors", "000003.safetensors"]);
    await store.learnClass("dd", ["d train number 1 d"]);
    expect(await readdir(join(at("store"), "totals"))).toEqual(["000003.safetensors", "000004.safetensors"]);
    expect(await readdir(join(at("store"), "versions"))).toEqual(["000003.json"]);
    await store.rollback();
    expect(store.classes).toEqual(["aa", "bb", "cc"]);
    await expect(store.rollback()).rejects.toThrow(/version 2 is not kept/);
    await using fresh = await open("fresh", totals);
    await fresh.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
    expect(answers(await fresh.predict(questions))).toEqual(before);
    await fresh.learnClass("cc", ["c train number 1 c"]);
    expect(answers(await store.predict(questions))).toEqual(answers(await fresh.predict(questions)));

    const path = join(at("store"), "totals/000003.safetensors");
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(path, bytes);
    await expect(openStore(at("store"))).rejects.toThrow(
      /000003\.safetensors: the store's totals are damaged/,
    );
  });

  test("merges where the union is exact, and only there", async () => {
    const { open, at } = await workshop();
    const teach = async (name: string, tasks: Readonly<Record<string, string>>, how: object = totals) => {
      await using store = await open(name, how);
      for (const [task, label] of Object.entries(tasks))
        await store.learn({ name: task, train: texts([label]) }, statisticsOnly);
      return answers(await store.predict(questions));
    };
    await teach("a", { one: "aa", two: "bb" });
    await teach("b", { two: "cc" });
    await teach("rows", { three: "dd" }, { router: { kind: "lda" } });
    const expected = await teach("all", { one: "aa", two: "bb", three: "cc" });
    const { tasks } = await mergeStores(at("a"), at("b"), at("ab"));
    expect(tasks.map(({ name }) => name)).toEqual(["one", "two", "two.2"]);
    await mergeStores(at("b"), at("a"), at("ba"));
    for (const name of ["ab", "ba"]) {
      await using store = await openStore(at(name));
      expect(answers(await store.predict(questions))).toEqual(expected);
    }
    const refused = [
      ["ab", "a", /both sides have learned the same rows/],
      ["a", "rows", /rows: keeps the rows of its classes, \S*a totals alone/],
      ["rows", "a", /a: keeps totals alone .*, \S*rows the rows of its classes/],
    ] as const;
    for (const [first, second, message] of refused)
      await expect(mergeStores(at(first), at(second), at("no"))).rejects.toMatchObject({
        exitCode: 2,
        message,
        hint: /learn/i,
      });
    await expect(describeStore(at("no"))).rejects.toThrow(/no store there/);
  });

  test("is refused together with what needs rows, before anything is written, and in a run by name", async () => {
    const { open, at, folder } = await workshop();
    for (const kind of ["softmax", "network", "ensemble"])
      await expect(open("store", { router: { kind, contributions: "none" } })).rejects.toMatchObject({
        issues: [
          { path: "router", expected: /trained on rows: take auto, nearest-mean, lda, kernel-lda, ranpac/ },
        ],
      });
    await expect(open("store", { router: { ...totals.router, rejectRate: 0.05 } })).rejects.toMatchObject({
      issues: [{ path: "router", expected: /unknown texts.*leave one of the two out/ }],
    });
    await expect(describeStore(at("store"))).rejects.toThrow(/no store there/);
    const experiment = await writeTinyExperiment(join(folder, "run"));
    const set = [parseOverride("router={ kind: lda, contributions: none }")];
    await expect(loadConfig(experiment, set)).rejects.toMatchObject({
      issues: [{ path: "router", expected: /contributions: none is for a store/ }],
    });
  });
});
