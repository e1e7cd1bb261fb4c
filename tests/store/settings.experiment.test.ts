/** Settings change later, as a version of its own; what would change features or adapters does not. */
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { describeStore } from "../../src/store/info.ts";
import { openStore } from "../../src/store/store.ts";
import { failureOf } from "../support/errors.ts";
import { questions, statisticsOnly, unversioned, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

async function taught() {
  const { open, at } = await workshop();
  const store = await open("store", { router: { kind: "lda" } });
  await store.learn({ name: "one", train: texts(["aa", "bb"]) }, statisticsOnly);
  return { store, at };
}

describe("changing settings", () => {
  test("answers with them in every process, and rollback takes them back", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    const before = await store.predict(questions);
    expect(before[0]).not.toHaveProperty("set");
    expect(await store.set({ "router.kind": "kernel-discriminant" })).toEqual({ version: 3 });
    const after = await store.predict(questions);
    expect(after[0]).toMatchObject({ version: 3 });
    expect(after[0]?.unknown).toBeGreaterThan(0);
    expect((await describeStore(at("store"))).versions[0]?.change).toBe(
      'set router.kind="kernel-discriminant"',
    );
    await using other = await openStore(at("store"), { background: false });
    expect(await other.predict(questions)).toEqual(after);
    await store.rollback();
    expect(unversioned(await store.predict(questions))).toEqual(unversioned(before));
    // Who has it open sees the settings with the version.
    await other.refresh();
    expect(unversioned(await other.predict(questions))).toEqual(unversioned(before));
  });

  test("a later change keeps them", async () => {
    const { store: opened, at } = await taught();
    await using store = opened;
    await store.set({ "router.kind": "kernel-discriminant", "training.epochs": 2 });
    await store.learnClass("cc", ["c train number 1 c"]);
    await using other = await openStore(at("store"), { background: false });
    expect((await other.predict(questions))[0]?.unknown).toBeGreaterThanOrEqual(0);
  });

  test.each([
    [{ "router.layers": [0] }, "were read from these layers|was read from these layers"],
    [{ "method.rank": 2 }, "adapters that were learned"],
    [{ "training.maxLength": 9 }, "up to this length"],
    [{ "router.knd": "lda" }, "no setting of the router"],
    [{ colour: "red" }, "one of the settings that can change"],
    [{ "router.kind": "ldaa" }, "router.kind"],
    [{ "router.rejectRate": 3 }, "router.rejectRate"],
    [{}, "no setting to change"],
  ])("refuses %j, and changes nothing", async (settings, said) => {
    const { store: opened } = await taught();
    await using store = opened;
    const refusal = await failureOf(store.set(settings));
    expect(refusal).toBeInstanceOf(ConfigError);
    expect(refusal.message).toMatch(new RegExp(said));
    expect(store.version).toBe(2);
  });
});
