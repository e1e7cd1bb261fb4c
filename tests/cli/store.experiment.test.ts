import { readdir, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { classTable } from "../../src/cli/commands/store/ls.ts";
import { stoppable } from "../../src/cli/terminal/stoppable.ts";
import { DataError } from "../../src/core/errors.ts";
import { accrete, ask } from "../support/cli.ts";
import { folderOfTestFile, temporaryFolder } from "../support/folders.ts";
import { furnish } from "../support/stores.ts";

const fast = ["--set", "training.epochs=1", "--set", "threads=1"];

describe("a store from the command line", () => {
  test("is begun, taught, asked, made to forget, taken back, merged and listed", async () => {
    const at = await furnish(await temporaryFolder());
    const store = at("store");
    const [begun] = await ask("init", store, "--backbone", at("model"), ...fast);
    expect(begun).toMatchObject({ version: 1, settings: { training: { epochs: 1 }, threads: 1 } });

    const taught = await accrete("learn", store, "--task", "one", at("aabb.jsonl"));
    expect(taught.exitCode).toBe(0);
    expect(taught.out).toMatch(
      /^version 2: task one, 2 classes, learned in .*, .* of statistics\non 2 held-out texts of the task: [\d.]+ % by the adapter, [\d.]+ % by frozen features alone/,
    );
    // A small task is gone through until it has taken enough steps.
    expect(taught.err).toMatch(/^one: 2 labels, 18 train, 2 validation, 60 steps\nepoch 1: loss \d/);
    await ask("learn", store, "--task", "two", at("ccdd.jsonl"), "--statistics-only");
    const [added] = await ask("learn", store, "--class", "ee", "e train number 1 e", "e e");
    expect(added).toMatchObject({ version: 4, task: "ee", labels: ["ee"] });

    const predictions = await ask("predict", store, "a train number 3 a", "e train number 1 e", "--top", "9");
    for (const { top, passes, label, score } of predictions) {
      expect(top.map((each: { label: string }) => each.label).sort()).toEqual(["aa", "bb", "cc", "dd", "ee"]);
      expect(top[0]).toEqual({ label, score });
      expect([1, 2]).toContain(passes);
    }

    const forgotten = await accrete("forget", store, "--class", "aa");
    expect(forgotten.exitCode).toBe(0);
    expect(forgotten.out).toBe(
      "version 5: forgot 1 class (aa), 10 feature rows\n" +
        "adapters that saw it in training and stay, without a slot for it: one\n" +
        "kept and still holding it, for rollback: versions 1, 2, 3, 4; --purge deletes them\n",
    );
    const again = await ask("predict", store, "a train number 3 a", "--top", "9");
    expect(again[0].top.map((each: { label: string }) => each.label).sort()).toEqual([
      "bb",
      "cc",
      "dd",
      "ee",
    ]);
    expect((await accrete("rollback", store)).out).toBe("version 6: back to version 4, 3 tasks\n");
    expect(await ask("predict", store, "a train number 3 a", "e train number 1 e", "--top", "9")).toEqual(
      predictions.map((each) => ({ ...each, version: 6 })),
    );

    const other = at("other");
    const newStore = ["--backbone", at("model"), ...fast];
    await ask("learn", other, "--task", "one", at("ccdd.jsonl"), ...newStore, "--statistics-only", "--quiet");
    const merged = await accrete("merge", store, other, "--out", at("both"));
    expect(merged.exitCode).toBe(0);
    expect(merged.out).toMatch(/both: 4 tasks \(one is one\.2\)\n$/);
    const [info] = await ask("ls", at("both"));
    expect(info.tasks.map(({ name, kind, rows: n }: Record<string, unknown>) => [name, kind, n])).toEqual([
      ["one", "adapter", 20],
      ["two", "statistics", 20],
      ["ee", "statistics", 2],
      ["one.2", "statistics", 20],
    ]);
    const bare = await accrete("forget", other, "--task", "one");
    expect(bare.out).toMatch(/\ndeleted: one\n/);
    const listed = await accrete("ls", store);
    expect(listed.out).toMatch(
      /\nclass +rows +statistics +task\naa +10 +640 B +one\n(.*\n){3}ee +2 +128 B +ee\n/,
    );
    expect(listed.out).toMatch(/classes +5 in 3 tasks/);
    expect(listed.out).toMatch(/6 {2}\S+Z {2}back to version 4\n5 {2}\S+Z {2}forgot a class\n/);
  });
});

test("of very many classes ls says how much they keep, not each", () => {
  const perClass = Array.from({ length: 41 }, (_, i) => ({
    label: `c${i}`,
    tasks: ["one"],
    rows: i + 1,
    statisticsBytes: 64 * (i + 1),
  }));
  expect(classTable({ perClass: perClass.slice(1) })).toMatch(/\nc40 +41 +2.6 kB +one\n/);
  expect(classTable({ perClass })).toBe("\n64 B to 2.6 kB of statistics a class; --json lists all 41\n");
});

test("Ctrl-C stops a change of a store between two steps, and says that nothing was changed", async () => {
  const stopped = stoppable("merge", async (signal) => {
    process.emit("SIGINT");
    signal.throwIfAborted();
  });
  await expect(stopped).rejects.toMatchObject({
    message: "merge: stopped; nothing was changed",
    exitCode: 1,
  });
  const failed = stoppable("merge", () => Promise.reject(new DataError("of its own accord")));
  await expect(failed).rejects.toThrow("of its own accord");
});

describe("what goes wrong is said with what to do, and exits 2", () => {
  const folder = folderOfTestFile("test");
  let at: (name: string) => string;
  let known: string;
  let model: string;

  beforeAll(async () => {
    at = await furnish(folder);
    model = at("model");
    known = at("known");
    await accrete("init", known, "--backbone", model, ...fast);
    await accrete("learn", known, "--task", "one", at("aabb.jsonl"), "--statistics-only");
  });

  async function refusal(...args: readonly string[]): Promise<string> {
    const { exitCode, out, err } = await accrete(...args);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: "" });
    return err;
  }

  test("init", async () => {
    expect(await refusal("init", at("x"))).toContain("required option '--backbone <model>' not specified");
    expect(await refusal("init", known, "--backbone", model)).toMatch(
      /holds a store .* already.*accrete learn/s,
    );
    expect(await refusal("init", at("x"), "--backbone", model, "--set", "training.epoch=2")).toMatch(
      /training\.epoch.*epochs/s,
    );
    expect(await refusal("init", at("x"), "--backbone", at("nothing"))).toContain(at("nothing"));
    expect(await refusal("init", at("x"), "--backbone", model, "--set", "router.layers=[9]")).toContain(
      "router.layers",
    );
    const network = ["--set", "router.kind=newlora", "--set", "level=word"];
    expect(await refusal("init", at("x"), "--backbone", model, ...network)).toContain(
      "NewLoRA's network reads a sentence's vector",
    );
    const set = ["--set", "method.layers=1", "--set", "method.bias=all"];
    expect(await refusal("init", at("x"), "--backbone", model, ...set)).toContain("bias: all");
    const nothing = ["--task", "t", at("none.jsonl"), "--backbone", model];
    expect(await refusal("learn", at("x"), ...nothing)).toContain("none.jsonl");
    await writeFile(at("empty.jsonl"), "");
    const empty = ["--task", "t", at("empty.jsonl"), "--backbone", model];
    expect(await refusal("learn", at("x"), ...empty)).toContain("empty.jsonl: holds no examples");
    expect(await refusal("learn", at("x"), "--class", "ee", "--backbone", model)).toContain("no example");
    const single = ["--task", "t", at("ee.jsonl"), "--backbone", model];
    expect(await refusal("learn", at("x"), ...single)).toContain("single class");
    expect(await readdir(folder)).not.toContain("x");
    const short = ["--set", "router=lda", "--set", "router.rejectRate=0.1"];
    expect(await refusal("init", at("x"), "--backbone", model, ...short)).toContain("write router.kind");
    expect(await refusal("ls", at("x"))).toContain("no run there, and no store");
  });

  test("learn", async () => {
    expect(await refusal("learn", at("x"), "--task", "t", at("aabb.jsonl"))).toMatch(
      /no run there, and no store.*accrete init.*accrete learn <store> --backbone/s,
    );
    expect(await refusal("predict", at("x"), "a text")).toMatch(/no run there, and no store.*accrete init/s);
    expect(await refusal("learn", known, "--task", "one", at("ccdd.jsonl"))).toMatch(
      /"one" was learned already.*another name/s,
    );
    expect(await refusal("learn", known, at("aabb.jsonl"))).toContain("neither --task nor --class");
    expect(await refusal("learn", known, "--task", "t")).toContain("expected one data file, got 0");
    expect(await refusal("learn", known, "--task", "t", at("none.jsonl"))).toContain("none.jsonl");
    expect(await refusal("learn", known, "--task", "t", at("ee.jsonl"))).toMatch(/single class, "ee"/);
    expect(await refusal("learn", known, "--class", "ee")).toContain("no example to learn it from");
    expect(await refusal("learn", known, "--class", "ee", "x", "--statistics-only")).toContain(
      "trains nothing",
    );
    expect(await refusal("learn", known, "--class", "ee", "x", "--set", "seed=2")).toContain("were fixed");
    await writeFile(at("bad.jsonl"), '{"text": "no label"}\n');
    expect(await refusal("learn", known, "--task", "t", at("bad.jsonl"))).toMatch(
      /bad\.jsonl, line 1: label/,
    );
  });

  test("forget, ls and rollback", async () => {
    expect(await refusal("forget", at("x"), "--class", "aa")).toContain("no run there, and no store");
    expect(await refusal("forget", known)).toContain("either --class or --task");
    expect(await refusal("forget", known, "--class", "aaa")).toContain('did you mean "aa"?');
    expect(await refusal("forget", known, "--task", "oen")).toContain('did you mean "one"?');
    expect(await refusal("ls", at("x"))).toContain("no run there, and no store");
    expect(await refusal("rollback", at("x"))).toContain("no run there, and no store");
    expect(await refusal("rollback", known, "--to", "9")).toMatch(/version 9 is not kept.*kept: 1/s);
    expect(await refusal("rollback", known, "--to", "2")).toContain("is at version 2 already");
  });

  test("merge", async () => {
    expect(await refusal("merge", known, at("x"), "--out", at("m"))).toContain("no run there, and no store");
    expect(await refusal("merge", known, known, "--out", known)).toMatch(/holds a store .* already/);
    expect(await refusal("merge", known, known)).toContain("required option '--out <folder>' not specified");
    const layers = at("layers");
    await accrete("init", layers, "--backbone", model, "--set", "router.layers=[1]", "--set", "threads=1");
    await accrete("learn", layers, "--class", "aa", "a a a");
    expect(await refusal("merge", known, layers, "--out", at("m"))).toMatch(
      /known and \S+layers: statistics of other features cannot be joined: layers \[0,1\] against \[1\]/,
    );
  });
});
