/** Texts longer than `maxLength` whose class is said at their end: what is cut there cannot be told apart. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLearner, openStore } from "../../src/index.ts";
import { resolveModelSettings } from "../../src/model/settings/settings.ts";
import { createStore } from "../../src/store/create.ts";
import { issuesOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";

const filler =
  "I would like to ask something, if you have a moment, since nobody else could answer me so far:";
const said = {
  weather: [
    "will it rain",
    "is it sunny",
    "how cold is it",
    "is snow coming",
    "what is the forecast",
    "any storm tonight",
  ],
  money: [
    "pay my bill",
    "transfer money",
    "what is my balance",
    "close my account",
    "open a savings account",
    "raise my card limit",
  ],
};
const rows = (texts: readonly string[], label: string) =>
  texts.map((text) => ({ text: `${filler} ${text}`, label }));
const split = (from: number, to: number) =>
  Object.entries(said).flatMap(([label, texts]) => rows(texts.slice(from, to), label));
const task = { name: "ends", train: split(0, 4) };
const asked = split(4, 6);

const settings = {
  backbone: "accrete-mini",
  feature: { pooling: "mean" },
  training: { epochs: 12, maxLength: 16, longText: "window", learningRate: 2e-3 },
  seed: 1,
  threads: 1,
} as const;
const truncated = { ...settings, training: { ...settings.training, longText: "truncate" } } as const;

describe("longText", () => {
  it.each([
    ["window", settings, 1, 0],
    ["truncate", truncated, 0.5, 8],
  ] as const)("%s", async (_, config, accuracy, cut) => {
    await using learner = await createLearner(config);
    const { truncatedTexts } = await learner.learn({ ...task, validation: [] });
    expect(truncatedTexts).toBe(cut);
    const right = async (options: object) => {
      const answers = await learner.predict(
        asked.map(({ text }) => text),
        options,
      );
      return answers.filter(({ label }, i) => label === asked[i]?.label).length / asked.length;
    };
    expect(await right({ exact: true })).toBe(accuracy);
    expect(await right({})).toBe(accuracy);
  });

  it("answers of a store are the same from the disk, of the router, of its second pass and of exact ones", async () => {
    const folder = join(await temporaryFolder(), "store");
    const router = { kind: "lda", secondPass: "always" } as const;
    await createStore(folder, { ...settings, training: { ...settings.training, epochs: 1 }, router });
    const texts = asked.map(({ text }) => text);
    const ask = async () => {
      await using store = await openStore(folder);
      return [
        await store.predict(texts),
        await store.predict(texts, { exact: true }),
        await store.embed(texts),
      ];
    };
    {
      await using store = await openStore(folder);
      await store.learn(task);
      await store.learn({
        name: "again",
        train: task.train.map(({ text, label }) => ({ text, label: `no ${label}` })),
      });
      await expect(store.set({ "training.longText": "truncate" })).rejects.toThrow(/longText/);
    }
    const first = await ask();
    expect(await ask()).toEqual(first);
  });

  it("goes with sentences and heads alone", async () => {
    const issues = (config: object) =>
      issuesOf(() => resolveModelSettings({ ...settings, ...config }, "test"));
    expect(await issues({ level: "word", feature: {} })).toContainEqual(
      expect.objectContaining({
        path: "training.longText",
        expected: expect.stringContaining("level: word"),
      }),
    );
    expect(await issues({ head: "none", feature: {} })).toContainEqual(
      expect.objectContaining({ path: "training.longText", expected: expect.stringContaining("head: none") }),
    );
    expect((await issues({ training: { longText: "windows" } }))[0]?.path).toBe("training.longText");
  });

  it("a pair that is too long is an error that names it", async () => {
    await using learner = await createLearner(settings);
    const pairs = task.train.map((row) => ({ ...row, textPair: "what do you say?" }));
    await expect(learner.learn({ ...task, train: pairs })).rejects.toThrow(
      /number 1: the pair of texts that begins with .* pairs are not cut into windows/,
    );
  });
});
