import { describe, expect, test } from "vitest";
import { createLearner } from "../../src/model/learner.ts";
import { SharedBackbones } from "../../src/store/shared.ts";
import { openStore } from "../../src/store/store.ts";
import { failureOf } from "../support/errors.ts";
import { answers, questions, settings, statisticsOnly, unversioned, workshop } from "../support/stores.ts";
import { texts } from "../support/tinyStreams.ts";

describe("stores that share a backbone", () => {
  test("answer and learn as they do alone, and outlive each other", async () => {
    const { open, at } = await workshop();
    for (const [name, labels] of [
      ["one", ["aa", "bb"]],
      ["two", ["cc", "dd"]],
    ] as const) {
      await using store = await open(name);
      await store.learn({ name: "letters", train: texts(labels) }, statisticsOnly);
    }
    const shared = new SharedBackbones();
    const options = { background: false, shared };
    await using alone = await openStore(at("two"), { background: false });
    await using two = await openStore(at("two"), options);
    {
      await using one = await openStore(at("one"), options);
      expect((await one.predict(questions)).map(({ label }) => label)).toEqual(
        expect.arrayContaining(["aa", "bb"]),
      );
      expect(await two.predict(questions)).toEqual(await alone.predict(questions));
    }
    await two.learnClass("ee", ["e train number 1 e", "e train number 2 e"]);
    await alone.refresh();
    expect(unversioned(await two.predict(questions))).toEqual(unversioned(await alone.predict(questions)));
    expect(shared.load(at("model"))).toBe(shared.load(at("model")));
  });
});

describe("correct", () => {
  const corrections = [
    { text: "c train number 1 c", label: "cc" },
    { text: "a train otherwise a", label: "aa" },
    { text: "c train number 2 c", label: "cc" },
  ];

  test("is one change, and leaves what its classes taught one after another leave", async () => {
    const { open, at } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "letters", train: texts(["aa", "bb"]) }, statisticsOnly);
    const corrected = await store.correct(corrections);
    expect(corrected).toEqual({
      version: 3,
      classes: [
        { label: "cc", task: "cc", texts: 2 },
        { label: "aa", task: "letters", texts: 1 },
      ],
    });
    await using learner = await createLearner({ backbone: at("model"), ...settings });
    await learner.learn({ name: "letters", train: texts(["aa", "bb"]) }, statisticsOnly);
    await learner.learnClass("cc", ["c train number 1 c", "c train number 2 c"]);
    await learner.learnClass("aa", ["a train otherwise a"]);
    expect(answers(await store.predict(questions))).toEqual(answers(await learner.predict(questions)));
  });

  test("changes nothing where one of them cannot be learned", async () => {
    const { open } = await workshop();
    await using store = await open("store");
    await store.learn({ name: "letters", train: texts(["aa", "bb"]) }, statisticsOnly);
    const before = await store.predict(questions);
    const empty = [...corrections, { text: "  ", label: "dd" }];
    expect((await failureOf(store.correct(empty))).message).toMatch(/class "dd": example 1 of 1 is empty/);
    expect((await failureOf(store.correct([]))).message).toMatch(/no text/);
    expect(store.version).toBe(2);
    expect(await store.predict(questions)).toEqual(before);
  });
});
