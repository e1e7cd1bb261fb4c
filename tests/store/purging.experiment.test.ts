import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TrunkCache } from "../../src/continual/passes/trunkCache.ts";
import { describeStore } from "../../src/store/info.ts";
import { openStore } from "../../src/store/store.ts";
import { purgeStore } from "../../src/store/upkeep.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { temporaryFolder } from "../support/folders.ts";
import { fittedFiles, questions, statisticsOnly, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

let caches: string;

beforeEach(async () => {
  caches = await temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", caches);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

/** What a run with a trunk keeps of some texts. */
async function keepStates(backboneHash: string): Promise<void> {
  const encodings = Array.from({ length: 40 }, (_, i) => ({
    ids: [1, i],
    typeIds: [0, 0],
    truncated: false,
  }));
  await new TrunkCache({ backboneHash }).rows(encodings, 1, 2, async function* () {});
}

const states = () => readdir(join(caches, "accrete", "trunk"));

describe("a purge", () => {
  test("made up for later deletes earlier versions and what they alone held, and changes no answer", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) });
    await store.forget({ class: "bb" });
    const before = await store.predict(questions);
    expect(await readdir(join(at("store"), "adapters"))).toEqual(["one", "one-2"]);
    await expect(store.forget({ class: "bb" })).rejects.toMatchObject({
      message: expect.stringMatching(/no class called "bb"/),
      hint: expect.stringMatching(/accrete ls .*accrete forget <store> --purge/),
    });
    expect(await store.purge()).toEqual({
      version: 3,
      deletedVersions: [1, 2],
      deletedStates: 0,
      recordFiles: [],
    });
    expect(await readdir(join(at("store"), "adapters"))).toEqual(["one-2"]);
    expect((await describeStore(at("store"))).versions.map(({ version }) => version)).toEqual([3]);
    await expect(store.rollback()).rejects.toThrow(/nothing to go back to/);
    await using again = await openStore(at("store"));
    expect(await again.predict(questions)).toEqual(before);
    expect(await purgeStore(at("store"))).toMatchObject({ version: 3, deletedVersions: [] });
    expect((await store.learnClass("dd", ["d d"])).version).toBe(4);
  });

  test("deletes the states that runs on the same backbone kept of texts, and no others", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) }, statisticsOnly);
    const { hash } = (await readStore(at("store"))).backbone;
    await keepStates(hash);
    await keepStates("f".repeat(64));
    expect(await states()).toHaveLength(2);
    expect(await store.forget({ class: "aa" })).toMatchObject({ deletedStates: 0 });
    expect(await states()).toHaveLength(2);
    expect(await store.purge()).toMatchObject({ deletedStates: 1 });
    expect(await states()).toEqual([expect.stringMatching(/^f{16}-/)]);
    await keepStates(hash);
    expect(await store.forget({ class: "bb" }, { purge: true })).toMatchObject({ deletedStates: 1 });
    expect(await states()).toHaveLength(1);
  });
});

test("to forget deletes what was fitted once nothing can stop it, and tells what stays of the record", async () => {
  const { open, at } = await workshop();
  await using store = await open("store");
  await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) }, statisticsOnly);
  await store.predict(questions);
  const fitted = () => fittedFiles(at("store"));
  const routerOf = (version: number) =>
    ["router.safetensors", "routing.json", "totals.safetensors"].map(
      (name) => `00000${version}/immediate/${name}`,
    );
  expect(await fitted()).toEqual(routerOf(2));
  // As the record of an experiment.
  for (const name of ["events.jsonl", "report.html"]) await writeFile(join(at("store"), name), "");
  const { hash } = (await readStore(at("store"))).backbone;
  await keepStates(hash);
  const stop = new AbortController();
  const forgetting = store.forget({ class: "aa" }, { purge: true, signal: stop.signal });
  stop.abort();
  await expect(forgetting).rejects.toThrow(/abort/);
  expect(await fitted()).toEqual(routerOf(2));
  expect(await states()).toHaveLength(1);
  expect(await store.forget({ class: "aa" })).toMatchObject({
    recordFiles: ["config.resolved.yaml", "events.jsonl", "report.html"],
  });
  expect(await fitted()).toEqual(routerOf(3));
});
