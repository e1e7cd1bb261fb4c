import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { multipliesBytes } from "../../src/io/processor.ts";
import { openStore } from "../../src/store/store.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { questions, unversioned, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

vi.stubEnv("XDG_CACHE_HOME", join(folderOfTestFile("precision"), "cache"));

const able = multipliesBytes();
const reason = able ? "" : " (skipped: this processor does not multiply bytes)";

describe.skipIf(!able)(`a store in 8 bits${reason}`, () => {
  test("trains, answers alike when it is opened anew without being told, and alone as among others", async () => {
    const { open, at } = await workshop();
    const store = await open("store", { precision: "int8" });
    await store.learn({ name: "one", train: texts(["aa", "bb"]) });
    await store.learn({ name: "two", train: texts(["cc", "dd"]) });
    const answered = await store.predict(questions);
    // Of four classes a quarter would be right by chance; the last three questions are of none of them.
    const right = answered.filter(({ label }, i) => label?.[0] === questions[i]?.[0]).length;
    expect(right).toBeGreaterThan((questions.length - 3) / 2 - 1);
    const exact = await store.predict(questions, { exact: true });
    for (const [i, question] of questions.entries()) {
      const [alone] = await store.predict([question], { exact: true });
      expect(alone?.label).toBe(exact[i]?.label);
      expect(Math.abs((alone?.score ?? 0) - (exact[i]?.score ?? 0))).toBeLessThan(1e-6);
    }
    await store[Symbol.asyncDispose]();
    await using again = await openStore(at("store"));
    expect(unversioned(await again.predict(questions))).toEqual(unversioned(answered));
  });

  test("takes in nothing that was learned in float32", async () => {
    const { open, at } = await workshop();
    const plain = await open("plain");
    await plain.learnClass("aa", ["a a a", "a b a"]);
    await plain[Symbol.asyncDispose]();
    await using store = await open("store", { precision: "int8" });
    await store.learnClass("bb", ["b b b", "b a b"]);
    await expect(store.merge(at("plain"))).rejects.toThrow(/backbone/);
    expect(store.classes).toEqual(["bb"]);
  });
});
