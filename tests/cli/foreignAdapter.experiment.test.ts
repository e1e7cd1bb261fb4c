/** accrete learn --adapter: what peft saved becomes a task. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadAdapter } from "../../src/index.ts";
import { accrete, ask } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { goldensFolder } from "../support/goldens.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";
import { jsonl } from "../support/tinyStreams.ts";

const fast = ["--set", "training.epochs=1", "--set", "threads=1"];
const families = ["electra", "modernbert", "phi3"] as const;

test.each(families)(
  "%s: begins a store, answers as the adapter alone, and is learned beside",
  async (family) => {
    const folder = await temporaryFolder();
    const at = (name: string) => join(folder, name);
    await writeTinyFamily(family, at("model"));
    const adapter = join(goldensFolder, family, "peft-seqcls");
    const begun = ["--backbone", at("model"), "--task", "first", ...fast];
    const [taken] = await ask("learn", at("store"), "--adapter", adapter, "--labels", "a,b,c,d", ...begun);
    expect(taken).toMatchObject({ task: "first", labels: ["a", "b", "c", "d"] });

    const texts = ["book a flight", "is my order late?"];
    const alone = await loadAdapter(adapter, {
      backbone: at("model"),
      labels: ["a", "b", "c", "d"],
      threads: 1,
    });
    const expected = await alone.predict(texts);
    await alone[Symbol.asyncDispose]();
    const answers = await ask("predict", at("store"), ...texts);
    answers.forEach((answer, i) => {
      expect(answer.label).toBe(expected[i]?.label);
      expect(answer.score).toBeCloseTo(expected[i]?.score ?? 0, 4);
    });

    const rows = ["aa", "bb"].flatMap((label) =>
      Array.from({ length: 6 }, (_, i) => ({ text: `${label} number ${i}`, label })),
    );
    await writeFile(at("second.jsonl"), jsonl(rows));
    await ask("learn", at("store"), "--task", "second", at("second.jsonl"));
    const [info] = await ask("ls", at("store"));
    expect(info.tasks.map(({ name }: { readonly name: string }) => name)).toEqual(["first", "second"]);
    const [exact] = await ask("predict", at("store"), "book a flight", "--exact", "--top", "9");
    expect(exact.top).toHaveLength(6);
  },
);

test("classes are named by id2label or a file; what does not fit is refused, and no store is begun", async () => {
  const folder = await temporaryFolder();
  const at = (name: string) => join(folder, name);
  await writeTinyFamily("distilbert", at("model"));
  const adapter = join(goldensFolder, "distilbert", "peft-tokcls");
  const begun = ["--backbone", at("model"), ...fast];
  const unnamed = await accrete("learn", at("store"), "--adapter", adapter, ...begun);
  expect(unnamed.exitCode).toBe(2);
  expect(unnamed.err).toMatch(
    /its classes are called LABEL_0, LABEL_1, LABEL_2, …, which are no tags of words/,
  );
  expect(unnamed.err).toContain("--labels");
  expect(existsSync(at("store"))).toBe(false);
  // Those of Accrete have O first.
  await writeFile(at("labels.txt"), "B-PER\nI-PER\nO\nB-LOC\n");
  const [taken] = await ask(
    "learn",
    at("store"),
    "--adapter",
    adapter,
    "--labels",
    at("labels.txt"),
    ...begun,
  );
  expect(taken.labels).toEqual(["O", "B-PER", "I-PER", "B-LOC"]);
  const [{ entities }] = await ask("predict", at("store"), "Ada flew to Oslo", "--exact");
  const alone = await loadAdapter(adapter, {
    backbone: at("model"),
    labels: ["B-PER", "I-PER", "O", "B-LOC"],
    threads: 1,
  });
  const [expected] = await alone.findEntities(["Ada flew to Oslo"]);
  await alone[Symbol.asyncDispose]();
  expect(entities.map(({ type, word }: { type: string; word: string }) => [type, word])).toEqual(
    expected?.entities.map(({ type, word }) => [type, word]),
  );
  const wrong = await accrete("learn", at("other"), "--adapter", adapter, "--labels", "O,B-PER", ...begun);
  expect(wrong.err).toMatch(/4 classes, and 2 labels were given/);
  const data = await accrete("learn", at("store"), at("labels.txt"), "--adapter", adapter);
  expect([data.exitCode, data.err]).toEqual([
    2,
    expect.stringContaining("takes an adapter as it is, and no data"),
  ]);
});
