/** Two routers, one answer: the immediate one that a change is committed with, and the one that takes over. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { describeStore } from "../../src/store/info.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { rollbackStore } from "../../src/store/upkeep.ts";
import { fittedFiles, questions, statisticsOnly, unversioned, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

/** Fitted by iterations, so that another router answers first. */
const slow = { router: { kind: "network" } } as const;

const stages = async (store: Store) => [
  ...new Set((await store.predict(questions)).map(({ router }) => router)),
];

async function taught(changes: object = slow, background = false) {
  const { open, at } = await workshop();
  const store = await open("store", changes, background);
  await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
  return { store, at };
}

describe("a change", () => {
  test("is committed with the router that answers it, in this process and in the next", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    expect(await fittedFiles(at("store"))).toEqual(
      ["router.safetensors", "routing.json", "totals.safetensors"].map((name) => `000002/immediate/${name}`),
    );
    const answers = await store.predict(questions);
    expect(answers[0]).toMatchObject({ version: 2, router: "immediate" });
    await using other = await openStore(at("store"), { background: false });
    expect(other.status()).toMatchObject({ version: 2, router: "immediate", consolidated: "pending" });
    expect(await other.predict(questions)).toEqual(answers);
  });

  test("leaves no older router to answer: what is forgotten is not named, what is new can be", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    await store.consolidate();
    expect(await stages(store)).toEqual(["consolidated"]);
    await store.learnClass("cc", ["c train number 1 c", "c train number 2 c"]);
    expect(await stages(store)).toEqual(["immediate"]);
    const [found] = await store.predict(["c train number 1 c"]);
    expect(found).toMatchObject({ label: "cc", version: 3 });
    await store.forget({ class: "cc" });
    const named = (await store.predict(questions, { top: 9 })).flatMap(({ top }) => top);
    expect(new Set(named.map(({ label }) => label))).toEqual(new Set(["aa", "bb"]));
    const kept = await fittedFiles(at("store"));
    expect(kept.every((name) => name.startsWith("000004/immediate/"))).toBe(true);
  });

  test("a rollback needs neither backbone nor router: the next answer makes the router, and keeps it", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    const before = await store.predict(questions);
    await store.learnClass("cc", ["c train number 1 c"]);
    await rename(at("model"), at("moved"));
    await rollbackStore(at("store"));
    await rename(at("moved"), at("model"));
    expect((await describeStore(at("store"))).router).toBeUndefined();
    expect(await store.refresh()).toBe(4);
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(before));
    expect((await describeStore(at("store"))).router).toBe("immediate");
  });

  test("a kind in closed form takes over at once", async () => {
    const { store: opened } = await taught({ router: { kind: "lda" } });
    await using store = opened;
    expect(store.status()).toMatchObject({ router: "consolidated", consolidated: "stands" });
  });
});

describe("consolidating", () => {
  test("is a function of the state: the same files in every process, taken up by all that look", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    await using reader = await openStore(at("store"), { background: false });
    const stagesHeard: string[] = [];
    const status = await store.consolidate({ onFitting: ({ stage }) => stagesHeard.push(stage) });
    expect(status).toMatchObject({ version: 2, router: "consolidated", consolidated: "stands" });
    expect(stagesHeard).toEqual(["choose", "fit"]);
    expect(await stages(reader)).toEqual(["immediate"]);
    await reader.refresh();
    expect(await reader.predict(questions)).toEqual(await store.predict(questions));
    expect((await describeStore(at("store"))).router).toBe("consolidated");
    const file = join(at("store"), "router/000002/consolidated/router.safetensors");
    const bytes = await readFile(file);
    // Another process, which finds it damaged, fits the same one.
    await writeFile(file, "nothing");
    await using other = await openStore(at("store"), { background: false });
    expect(await stages(other)).toEqual(["immediate"]);
    await other.consolidate();
    expect(await readFile(file)).toEqual(bytes);
  });

  test("goes on in a worker thread once nothing changes, and answers do not wait for it", async () => {
    const { store: opened, at } = await taught(slow, true);
    await using store = opened;
    expect(store.status().consolidated).toBe("waiting");
    expect(await stages(store)).toEqual(["immediate"]);
    await vi.waitFor(() => expect(store.status().consolidated).toBe("stands"), {
      timeout: 60_000,
      interval: 100,
    });
    expect(await stages(store)).toEqual(["consolidated"]);
    expect((await describeStore(at("store"))).router).toBe("consolidated");
  }, 90_000);

  test("of a store where nothing was learned is nothing", async () => {
    const { open } = await workshop();
    await using store = await open("store", slow);
    expect(await store.consolidate()).toEqual({ version: 1, tasks: 0, classes: 0 });
  });
});
