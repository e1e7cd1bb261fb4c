import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/overrides.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { acquireLock } from "../../src/io/lock.ts";
import { readModelSettings } from "../../src/model/settings/settings.ts";
import { mergeStores } from "../../src/store/mergeStores.ts";
import { openStore } from "../../src/store/store.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { deadOwner, temporaryFolder } from "../support/folders.ts";
import { questions, statisticsOnly, unversioned, workshop } from "../support/stores.ts";
import { texts, writeTinyExperiment } from "../support/tinyStreams.ts";

type Workshop = Awaited<ReturnType<typeof workshop>>;

/** A store with one task of two classes, without an adapter. */
async function teach({ open }: Workshop, name: string, labels: readonly string[], changes: object = {}) {
  await using store = await open(name, changes);
  await store.learn({ name: `task of ${name}`, train: texts(labels) }, statisticsOnly);
}

async function locked(folder: string): Promise<void> {
  while (!existsSync(join(folder, "lock.json"))) await setTimeout(1);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readStore(folder)).tasks.map(({ name }) => name);
}

describe("the place of a union", () => {
  test("is locked while it is built: nobody begins a store there, and no other union", async () => {
    const shop = await workshop();
    const { at, open, folder } = shop;
    await teach(shop, "a", ["aa", "bb"]);
    await teach(shop, "b", ["cc", "dd"]);
    const merging = mergeStores(at("a"), at("b"), at("out"));
    await locked(at("out"));
    const held = { exitCode: 2, message: expect.stringMatching(/is being written by process|holds a store/) };
    await expect(open("out")).rejects.toMatchObject(held);
    await expect(mergeStores(at("b"), at("a"), at("out"))).rejects.toMatchObject(held);
    await merging;
    expect(await namesIn(at("out"))).toEqual(["task of a", "task of b"]);
    expect((await readdir(folder)).sort()).toEqual(["a", "b", "model", "out"]);
    expect(await readdir(at("out"))).not.toContain("lock.json");
    await using store = await openStore(at("out"));
    expect((await store.learnClass("ee", ["e e"])).version).toBe(4);
  });

  test("keeps what somebody puts there without asking for the lock; the union is given up", async () => {
    const shop = await workshop();
    const { at, folder } = shop;
    await teach(shop, "a", ["aa", "bb"]);
    const merging = mergeStores(at("a"), at("a"), at("out"));
    await locked(at("out"));
    await writeFile(join(at("out"), "precious.txt"), "kept");
    await expect(merging).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/out: exists and is not empty/),
    });
    expect(await readdir(at("out"))).toEqual(["precious.txt"]);
    expect((await readdir(folder)).sort()).toEqual(["a", "model", "out"]);
  });

  test("is tidied of what a killed process left, and of nothing that a living one builds", async () => {
    const shop = await workshop();
    const { at, folder } = shop;
    await teach(shop, "a", ["aa", "bb"]);
    const dead = deadOwner();
    const { pid } = dead;
    for (const name of ["out", `.tmp-build-out-${pid}-0123abcd`, `.tmp-build-far-${pid}-0123abcd`, "here"])
      await mkdir(at(name));
    for (const name of ["out", `.tmp-build-far-${pid}-0123abcd`])
      await writeFile(join(at(name), "lock.json"), JSON.stringify(dead));
    await using _ = await acquireLock(at("here"));
    const living = `.tmp-build-here-${process.pid}-0123abcd`;
    await mkdir(at(living));
    await mergeStores(at("a"), at("a"), at("out"));
    expect((await readdir(folder)).sort()).toEqual([living, "a", "here", "model", "out"]);
    expect(await namesIn(at("out"))).toEqual(["task of a"]);
  });
});

describe("what does not go together", () => {
  test("is told by the stores' names: lengths of texts, seeds", async () => {
    const shop = await workshop();
    const { at, folder } = shop;
    await teach(shop, "plain", ["aa", "bb"]);
    await teach(shop, "short", ["cc", "dd"], { training: { maxLength: 8 } });
    await teach(shop, "seeded", ["cc", "dd"], { seed: 2 });
    const refused = [
      ["plain", "short", /short: cuts texts at 8 tokens, \S*plain at 32 \(training\.maxLength/],
      ["short", "plain", /plain: cuts texts at 32 tokens, \S*short at 8 /],
      ["plain", "seeded", /\/plain and \S*\/seeded: statistics of other features .*: seed 1 against 2$/],
    ] as const;
    for (const [first, second, message] of refused) {
      const error = await mergeStores(at(first), at(second), at("no")).catch((each: unknown) => each);
      expect(error).toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(message),
        hint: expect.stringMatching(/[Ll]earn the tasks/),
      });
      expect(String(error)).not.toMatch(/\.tmp-/);
    }
    expect(await readdir(folder)).not.toContain("no");
  });

  test("of adapters names what differs, and nothing else", async () => {
    const { open, at } = await workshop();
    const prompts = { method: { adapter: "prompt-tuning", virtualTokens: 3 }, training: { maxLength: 16 } };
    for (const [name, method] of [
      ["a", { training: { maxLength: 16, epochs: 1 } }],
      ["b", { training: { maxLength: 16, epochs: 1 }, method: { rank: 2, alpha: 4 } }],
      ["c", prompts],
    ] as const) {
      await using store = await open(name, method);
      await store.learn({ name: "one", train: texts(["aa", "bb"], "train", 2), validation: [] });
    }
    const refusal = async (first: string, second: string) => {
      const error = await mergeStores(at(first), at(second), at("no")).catch((each: unknown) => each);
      return error instanceof Error ? error.message : "";
    };
    const otherRank = await refusal("a", "b");
    expect(otherRank).toMatch(/\/b: the adapter of task "one" is built otherwise than those of \S*\/a: /);
    expect(otherRank).toMatch(
      /: encoder\.layer\.0\.attention\.self\.query and \d+ more: lora rank 2, scaling 2, not lora rank \d+, scaling \d+$/,
    );
    expect(await refusal("a", "c")).toMatch(
      /: promptTuning virtualTokens: 3, not nothing; bias: nothing, not none; encoder\S+ and \d+ more: nothing, not lora rank/,
    );
  });
});

describe("a store without adapters", () => {
  test("takes the method of the other, whichever comes first", async () => {
    const shop = await workshop();
    const { open, at } = shop;
    const training = { maxLength: 16, epochs: 1 };
    await teach(shop, "bare", ["aa", "bb"], { training });
    const method = { adapter: "prompt-tuning", virtualTokens: 3 };
    {
      await using store = await open("prompts", { method, training: { ...training, batchSize: 2 } });
      await store.learn({ name: "one", train: texts(["cc", "dd"], "train", 4) });
    }
    const said = [];
    for (const [first, second] of [
      ["bare", "prompts"],
      ["prompts", "bare"],
    ] as const) {
      await mergeStores(at(first), at(second), at(`${first} first`));
      const settings = await readModelSettings(at(`${first} first`));
      expect(settings).toMatchObject({ method, training: { batchSize: 2 } });
      await using store = await openStore(at(`${first} first`));
      const predictions = await store.predict(questions);
      said.push(predictions.map(({ label, score, passes }) => ({ label, score, passes })));
    }
    expect(said[0]).toEqual(said[1]);
  });
});

describe("what all tasks share", () => {
  test("keeps a run from being merged, from either side and before anything is made, and from forgetting", async () => {
    const shop = await workshop();
    const { at, folder } = shop;
    await teach(shop, "store", ["aa", "bb"]);
    const run = await temporaryFolder();
    const { config } = await loadConfig(
      await writeTinyExperiment(run),
      ["training.epochs=1", "method.selector=newlora-frozen"].map((each) => parseOverride(each)),
    );
    for await (const _ of runExperiment(config));
    const before = await readFile(join(config.out, "manifest.json"), "utf8");
    const network = /all tasks share a selection network \(method\.selector\)/;
    const refusal = {
      exitCode: 2,
      message: expect.stringMatching(new RegExp(`^${config.out}: cannot be merged: ${network.source}`)),
      hint: expect.stringMatching(/learn the tasks of one anew/),
    };
    await expect(mergeStores(config.out, at("store"), at("out"))).rejects.toMatchObject(refusal);
    await expect(mergeStores(at("store"), config.out, at("out"))).rejects.toMatchObject(refusal);
    {
      await using store = await openStore(at("store"));
      await expect(store.merge(config.out)).rejects.toMatchObject(refusal);
    }
    await using opened = await openStore(config.out);
    await expect(opened.merge(at("store"))).rejects.toMatchObject(refusal);
    for (const target of [{ class: "aa" }, { task: "task-0" }])
      await expect(opened.forget(target)).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(new RegExp(`^nothing can be forgotten: ${network.source}`)),
        hint: expect.stringMatching(/accrete rollback/),
      });
    expect((await readdir(folder)).sort()).toEqual(["model", "store"]);
    expect(await readFile(join(config.out, "manifest.json"), "utf8")).toBe(before);
  });

  test("leaves such a run to answer and to go on learning", async () => {
    const run = await temporaryFolder();
    const { config } = await loadConfig(
      await writeTinyExperiment(run),
      ["training.epochs=1", "router=newlora-frozen"].map((each) => parseOverride(each)),
    );
    for await (const _ of runExperiment(config));
    await using store = await openStore(config.out);
    const asked = await store.predict(questions);
    expect(asked.map(({ passes }) => passes)).toContain(4);
    await store.learn({ name: "new", train: texts(["gg", "hh"]) });
    const [grown] = await store.predict(["g train number 1 g"], { top: 9 });
    expect(grown?.top.map(({ label }) => label)).toHaveLength(8);
    const answered = await store.predict(questions);
    await using again = await openStore(config.out);
    expect(await again.predict(questions)).toEqual(answered);
    await store.rollback();
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(asked));
  });
});
