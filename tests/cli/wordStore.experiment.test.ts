/** Stores of words and of generated answers, from the command line. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { accrete, ask, succeed } from "../support/cli.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { writeTinyDecoder } from "../support/tinyModels.ts";
import { jsonl, writeTinyWords } from "../support/tinyStreams.ts";

const root = folderOfTestFile("word-store");
const at = (name: string) => join(root, name);
const fast = [
  "--set",
  "threads=1",
  "--set",
  "training.batchSize=8",
  "--set",
  "training.learningRate=1e-2",
  "--set",
  "training.headLearningRate=5e-2",
];
const question = "text a g number 2004 c end";

beforeAll(async () => {
  await writeTinyWords(root);
  await writeTinyDecoder(at("decoder"));
});

/** The file's sentences with the tags of some types alone. */
async function writeTypes(name: string, types: readonly string[]): Promise<string> {
  const lines = (await readFile(at("train.conll"), "utf8")).split("\n").map((line) => {
    const [word = "", tag = ""] = line.split("\t");
    return word === "" ? "" : `${word} ${types.includes(tag.slice(2)) ? tag : "O"}`;
  });
  await writeFile(at(name), lines.join("\n"));
  return at(name);
}

describe("a store of words", () => {
  test("is begun, taught from CoNLL, asked, evaluated, made to forget, taken back, merged and listed", async () => {
    const store = at("store");
    const words = ["--backbone", at("model"), "--set", "level=word", "--set", "training.epochs=8", ...fast];
    const animals = await writeTypes("animals.conll", ["animal", "building"]);
    const dishes = await writeTypes("dishes.conll", ["dish"]);
    expect((await ask("init", store, ...words))[0]).toMatchObject({
      settings: { level: "word", outside: "own" },
    });
    const [learned] = await ask("learn", store, "--task", "places", animals);
    expect(learned).toMatchObject({ version: 2, classes: ["animal", "building"] });
    const taught = await accrete("learn", store, "--task", "kitchen", dishes, "--quiet");
    expect(taught.out).toMatch(/^version 3: task kitchen, 1 class, learned in /);

    const [asked] = await ask("predict", store, question);
    expect(Object.keys(asked)).toEqual(["text", "entities", "passes", "version", "router"]);
    const lines = await succeed("predict", store, question, "--task", "places");
    expect(lines).toMatch(/^text a g number 2004 c end\n {2}\d\.\d{3} {2}(animal|building) {2}/);

    const [figures] = await ask("evaluate", store, dishes, "--task", "kitchen");
    expect(Object.keys(figures.perType)).toEqual(["dish"]);
    expect(figures).toMatchObject({ items: 240, microF1: expect.any(Number) });
    const text = await succeed("evaluate", store, animals, "--exact");
    expect(text).toMatch(
      /^micro F1 +\d+\.\d %\nmacro F1 +\d+\.\d %\nsentences +240\n\ntype +entities +precision/,
    );

    const listed = await succeed("ls", store);
    expect(listed).toMatch(/classes +3 in 2 tasks/);
    expect(listed).toMatch(
      /\nclass +rows +statistics +task\nanimal +\d+ .* places\nbuilding .*\ndish .* kitchen\n/,
    );

    const forgotten = await succeed("forget", store, "--class", "animal");
    expect(forgotten).toMatch(/^version 4: forgot 1 class \(animal\), \d+ feature rows\n/);
    const [after] = await ask("predict", store, question, "--exact");
    expect(after.entities.map(({ type }: { type: string }) => type)).not.toContain("animal");
    expect(await succeed("rollback", store)).toBe("version 5: back to version 3, 2 tasks\n");
    expect((await ask("predict", store, question))[0]).toEqual({ ...asked, version: 5 });

    await ask("learn", at("other"), "--task", "canteen", dishes, ...words);
    expect(await succeed("merge", store, at("other"), "--out", at("both"))).toMatch(/both: 3 tasks\n$/);
  });

  test("learns no type from texts alone, and no labelled texts", async () => {
    const words = ["--backbone", at("model"), "--set", "level=word", ...fast];
    const alone = await accrete("learn", at("none"), "--class", "animal", "a g", ...words);
    expect(alone.exitCode).toBe(2);
    expect(alone.err).toContain("this store tags words, and an entity type is not learned from texts alone");
    await writeFile(at("texts.jsonl"), jsonl([{ text: "a", label: "b" }]));
    const texts = await accrete("learn", at("none"), "--task", "one", at("texts.jsonl"), ...words);
    expect(texts.exitCode).toBe(2);
    expect(texts.err).toContain("texts.jsonl, line 1: words are tagged here, and that is a labelled text");
    const first = await accrete(
      "init",
      at("none"),
      "--backbone",
      at("model"),
      "--set",
      "level=word",
      "--set",
      "outside=first",
    );
    expect(first.exitCode).toBe(2);
    expect(first.err).toContain("outside: first");
    expect((await accrete("ls", at("none"))).exitCode).toBe(2);
  });

  test("says which tags it read as beginnings", async () => {
    await writeFile(at("stray.conll"), "a I-animal\nend O\n\nb B-building\nend O\n\nc O\nend O\n");
    const words = ["--backbone", at("model"), "--set", "level=word", "--set", "training.epochs=1", ...fast];
    const { exitCode, err } = await accrete(
      "learn",
      at("stray"),
      "--task",
      "one",
      at("stray.conll"),
      ...words,
    );
    expect(exitCode).toBe(0);
    expect(err).toContain(
      "stray.conll: 1 I- tag without a beginning before, the first in line 1; read as B-.",
    );
  });
});

describe("a store of generated answers", () => {
  test("is taught, asked, evaluated and made to generate", async () => {
    const rows = ["lamp", "stop"].flatMap((word) =>
      Array.from({ length: 10 }, (_, i) => ({ text: `${word} ${i} ${word}`, label: `say_${word}` })),
    );
    await writeFile(at("answers.jsonl"), jsonl(rows));
    const none = ["--backbone", at("decoder"), "--set", "head=none", "--set", "training.epochs=4", ...fast];
    const store = at("answers");
    await ask("learn", store, "--task", "words", at("answers.jsonl"), ...none);
    const [answer] = await ask("predict", store, "lamp 77 lamp");
    expect(["say_lamp", "say_stop"]).toContain(answer.label);
    const [figures] = await ask("evaluate", store, at("answers.jsonl"), "--exact");
    expect(Object.keys(figures.perClass)).toEqual(["say_lamp", "say_stop"]);
    const [completion] = await ask("generate", store, "lamp 77", "--max-new-tokens", "3");
    expect(completion).toMatchObject({ prompt: "lamp 77", task: "words", completion: expect.any(String) });
    const forgotten = await succeed("forget", store, "--class", "say_stop");
    expect(forgotten).toContain("forgot 1 class (say_stop)");
    expect((await ask("predict", store, "stop 7"))[0]).toMatchObject({ label: "say_lamp", score: 1 });
  });
});
