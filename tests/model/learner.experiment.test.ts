/** A learner in memory without a head, and at word level: it learns, answers, saves, and takes in what was saved. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CheckpointError, ConfigError, DataError, StoreError } from "../../src/core/errors.ts";
import { readConll } from "../../src/data/files/conll.ts";
import { maskTypes } from "../../src/data/wordStream.ts";
import {
  createLearner,
  type LabelledExample,
  type Learner,
  loadAdapter,
  type ModelConfig,
  type TaggedSentence,
} from "../../src/index.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { writeTinyDecoder } from "../support/tinyModels.ts";
import { writeTinyWords } from "../support/tinyStreams.ts";

const root = folderOfTestFile("learner");
let sentences: readonly TaggedSentence[] = [];
let heldOut: readonly TaggedSentence[] = [];

beforeAll(async () => {
  await writeTinyDecoder(join(root, "decoder"));
  await writeTinyWords(root);
  sentences = (await readConll(join(root, "train.conll"))).sentences;
  heldOut = (await readConll(join(root, "test.conll"))).sentences;
});

function rows(from: number, count: number, words: Readonly<Record<string, string>>): LabelledExample[] {
  return Object.entries(words).flatMap(([label, word]) =>
    Array.from({ length: count }, (_, i) => ({ text: `${word} ${from + i} ${word}`, label })),
  );
}

const letters = { turn_on: "lamp", off: "stop" };
const signs = { play_song: "music", call_mum: "phone" };
const texts = (words: Readonly<Record<string, string>>) => rows(500, 4, words);

const inWords: ModelConfig = {
  backbone: join(root, "decoder"),
  method: { rank: 4, alpha: 8, targetModules: "all-linear" },
  head: "none",
  training: { epochs: 20, batchSize: 4, learningRate: 1e-2, maxLength: 64 },
  threads: 1,
};

const ofWords: ModelConfig = {
  backbone: join(root, "model"),
  level: "word",
  training: { epochs: 3, batchSize: 8, learningRate: 1e-2, headLearningRate: 5e-2 },
  threads: 1,
};

function labelsOf(predictions: readonly { readonly label: string | null }[]): (string | null)[] {
  return predictions.map(({ label }) => label);
}

/** What a learner wrote, taken in by another. */
async function copyOf(learner: Learner, config: ModelConfig, name: string): Promise<Learner> {
  const folders = await learner.save(join(root, name));
  const copy = await createLearner(config);
  for (const [i, folder] of folders.entries()) await copy.loadAdapter(learner.tasks[i]?.name ?? "", folder);
  return copy;
}

describe("without a head", () => {
  let learner: Learner;
  beforeAll(async () => {
    learner = await createLearner(inWords);
    await learner.learn({ name: "letters", train: rows(0, 12, letters) });
    await learner.learn({ name: "signs", train: rows(0, 12, signs) });
  });
  afterAll(() => learner[Symbol.asyncDispose]());

  test("it answers with labels it was not told of when it was made", async () => {
    expect(learner.level).toBe("sentence");
    expect(learner.tasks.map(({ labels }) => labels)).toEqual([Object.keys(letters), Object.keys(signs)]);
    for (const [task, words] of Object.entries({ letters, signs })) {
      const predictions = await learner.predict(texts(words), { task });
      const right = predictions.filter(({ label }, i) => label === texts(words)[i]?.label);
      expect(right.length, task).toBeGreaterThanOrEqual(7);
    }
    const [newest] = await learner.predict(["music 1 music"], { top: 4, exact: true });
    expect(newest).toMatchObject({ task: "signs", passes: 1 });
    expect(newest?.top.map(({ label }) => label).sort()).toEqual(
      [...Object.keys(letters), ...Object.keys(signs)].sort(),
    );
    await expect(learner.findEntities(["a"])).rejects.toThrow(StoreError);
  });

  test("what it saves answers the same in another learner and by itself", async () => {
    await using copy = await copyOf(learner, inWords, "answers");
    const asked = [...texts(letters), ...texts(signs)];
    // What is saved are adapters: what routes among them stays with the learner.
    expect(await copy.predict(asked)).toEqual(await learner.predict(asked, { exact: true }));
    await using alone = await loadAdapter(join(root, "answers", "letters"), { maxLength: 64, threads: 1 });
    const own = await learner.predict(texts(letters), { task: "letters" });
    expect(labelsOf(await alone.predict(texts(letters)))).toEqual(labelsOf(own));
    await using another = await createLearner({ ...inWords, prompt: "qa" });
    await expect(another.loadAdapter("letters", join(root, "answers", "letters"))).rejects.toThrow(
      /is built otherwise/,
    );
    await using headed = await createLearner({ ...inWords, head: "linear" });
    await expect(headed.loadAdapter("letters", join(root, "answers", "letters"))).rejects.toThrow(
      CheckpointError,
    );
  });

  test("a label with the words of a known one is refused, and nothing is kept of its task", async () => {
    const train = rows(0, 2, { Turn_On: "c", third_letter: "d" });
    await expect(learner.learn({ name: "again", train })).rejects.toThrow(/have the same words/);
    expect(learner.tasks).toHaveLength(2);
    const other = rows(0, 2, { third_letter: "c", fourth_letter: "d" });
    const training = { ...inWords.training, epochs: 1 };
    await using fresh = await createLearner({ ...inWords, training });
    await expect(fresh.learn({ name: "again", train: rows(0, 2, { "": "c", x: "d" }) })).rejects.toThrow(
      DataError,
    );
    expect((await fresh.learn({ name: "again", train: other })).labels).toEqual(
      Object.keys({ third_letter: 0, fourth_letter: 0 }),
    );
  });
});

test("a type that comes back in a later task is found better, not worse", async () => {
  await using learner = await createLearner({ ...ofWords, outside: "own", seed: 2 });
  const gold = maskTypes(heldOut, ["animal"]);
  const f1 = async () => {
    const figures = await learner.evaluate(gold);
    return "perType" in figures ? (figures.perType.animal?.f1 ?? 0) : Number.NaN;
  };
  await learner.learn({ name: "few", train: sentences.slice(0, 8), types: ["animal"] });
  const few = await f1();
  // Animals are there in these sentences too, without tags.
  await learner.learn({ name: "dishes", train: sentences.slice(8, 68), types: ["dish"] });
  const between = await f1();
  await learner.learn({ name: "more", train: sentences.slice(68, 148), types: ["animal"] });
  const after = await f1();
  expect(after).toBeGreaterThanOrEqual(Math.max(few, between));
  expect(after).toBeGreaterThan(0.9);
});

describe.each(["own", "first"] as const)("at word level, outside: %s", (outside) => {
  const config: ModelConfig = { ...ofWords, outside };
  let learner: Learner;
  beforeAll(async () => {
    learner = await createLearner(config);
    await learner.learn({ name: "animals", train: sentences, types: ["animal", "building"] });
    await learner.learn({ name: "colours", train: maskTypes(sentences, ["colour"]) });
  });
  afterAll(() => learner[Symbol.asyncDispose]());

  test("it finds entities of every task", async () => {
    expect(learner.level).toBe("word");
    expect(learner.tasks.map(({ labels }) => labels)).toEqual([
      ["O", "B-animal", "I-animal", "B-building", "I-building"],
      [...(outside === "own" ? ["O"] : []), "B-colour", "I-colour"],
    ]);
    const kept = maskTypes(heldOut, ["animal", "building", "colour"]);
    const asked = kept.map(({ words }) => ({ text: words.join(" "), words }));
    const found = await learner.findEntities(asked, { exact: true });
    const expected = kept.map(({ tags }) =>
      tags.filter((tag) => tag.startsWith("B-")).map((tag) => tag.slice(2)),
    );
    const right = found.filter(
      ({ entities }, i) => entities.map(({ type }) => type).join() === expected[i]?.join(),
    );
    expect(right.length / kept.length).toBeGreaterThan(0.8);
    expect(new Set(found.flatMap(({ entities }) => entities.map(({ type }) => type)))).toEqual(
      new Set(["animal", "building", "colour"]),
    );
    await expect(learner.predict(["a"])).rejects.toThrow(StoreError);
  });

  test("what it saves finds the same in another learner", async () => {
    await using copy = await copyOf(learner, config, `words ${outside}`);
    const asked = heldOut.slice(0, 8).map(({ words }) => words.join(" "));
    expect(await copy.findEntities(asked)).toEqual(await learner.findEntities(asked, { exact: true }));
    await using colours = await createLearner(config);
    const loaded = colours.loadAdapter("colours", join(root, `words ${outside}`, "colours"));
    if (outside === "own") await loaded;
    else await expect(loaded).rejects.toThrow(/slots: B-colour, I-colour, not O, B-colour, I-colour/);
    expect(colours.tasks.map(({ name }) => name)).toEqual(outside === "own" ? ["colours"] : []);
  });

  test("names what cannot be learned", async () => {
    const learn = (train: readonly TaggedSentence[], types?: readonly string[]) =>
      learner.learn({ name: "new", train, ...(types && { types }) });
    await expect(learn([{ words: ["a", "b"], tags: ["O"] }])).rejects.toThrow(
      /task "new", train, sentence 1: has 2 words, but 1 tags/,
    );
    await expect(learn([{ words: ["a"], tags: ["X-a"] }])).rejects.toThrow(
      /sentence 1, word 1: "X-a" is not a tag/,
    );
    await expect(learn([{ words: ["a"], tags: ["O"] }])).rejects.toThrow(/has no entities to learn/);
    // Where every head has its own O, a type may come again.
    if (outside === "first")
      await expect(learn(sentences)).rejects.toThrow(/learned already: animal, building, colour/);
    await expect(learner.learn({ name: "new", train: rows(0, 1, letters) })).rejects.toThrow(/tags words/);
    expect(learner.tasks).toHaveLength(2);
  });
});

describe("settings that go together nowhere", () => {
  test.each<[string, Partial<ModelConfig>, RegExp]>([
    ["a prompt around words", { level: "word", prompt: "qa" }, /there is none/],
    ["a feature of words", { level: "word", feature: { pooling: "mean" } }, /classified by its own/],
    ["a feature without a head", { head: "none", feature: { pooling: "last" } }, /there is none/],
    ["no head over words", { level: "word", head: "none" }, /classified by a head/],
    ["an encoder that answers in words", { head: "none" }, /an encoder writes none/],
  ])("%s", async (_, settings, message) => {
    const learner = createLearner({ backbone: join(root, "model"), ...settings });
    await expect(learner).rejects.toThrow(ConfigError);
    await expect(learner).rejects.toThrow(message);
  });

  test("tagged words where texts are labelled", async () => {
    await using learner = await createLearner({ backbone: join(root, "model"), threads: 1 });
    await expect(learner.learn({ name: "new", train: sentences })).rejects.toThrow(/has tagged words/);
  });
});
