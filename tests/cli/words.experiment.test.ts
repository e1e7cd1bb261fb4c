/** Words on the command line: what is printed, and to where. */
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { formatSummary, summarise } from "../../src/cli/commands/seeds.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { accrete } from "../support/cli.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { writeTinyWords } from "../support/tinyStreams.ts";
import { digits } from "../support/tolerances.ts";

const root = folderOfTestFile("words-cli");
let ran: Awaited<ReturnType<typeof accrete>>;
const run = () => join(root, "run");

beforeAll(async () => {
  ran = await accrete("run", await writeTinyWords(root));
});

test("run tells of entity types and F1, and ends with the tables", () => {
  expect(ran.exitCode).toBe(0);
  expect(ran.err).toMatch(/tasks +3, 4 entity types in all/);
  expect(ran.err).toMatch(/task 3\/3 evaluated: CIL micro F1 \d+\.\d %, TIL \d+\.\d % on 3 tasks/);
  expect(ran.out).toMatch(/^micro F1, % +\d/m);
  expect(ran.out).toContain("CIL F1 by type, %");
});

test("predict prints a line an entity, as JSON one object a text", async () => {
  const text = "text  a g number 2004 c end";
  const lines = await accrete("predict", run(), text);
  expect(lines.out).toMatch(/^text {2}a g number 2004 c end\n {2}0\.\d{3} {2}animal {2}a g {2}\(6–9\)\n/);
  const json = await accrete("predict", run(), text, "text end", "--json");
  const [first, second] = json.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(Object.keys(first)).toEqual(["text", "entities", "passes", "version"]);
  expect(first.entities[0]).toEqual({
    type: "animal",
    score: expect.any(Number),
    word: "a g",
    start: 6,
    end: 9,
  });
  expect(second).toMatchObject({ text: "text end", entities: [], passes: 3 });
});

test("predict --task looks for one task's types; --top has no meaning", async () => {
  const own = await accrete("predict", run(), "text a g number 2004 c end", "--task", "task-0", "--json");
  expect(JSON.parse(own.out)).toMatchObject({ entities: [{ type: "animal" }], passes: 1 });
  const top = await accrete("predict", run(), "a", "--top", "3");
  expect(top).toMatchObject({ exitCode: 2, out: "" });
  expect(top.err).toContain("finds entities");
});

test("predict cuts words by Unicode's rules, or takes them as they are split", async () => {
  const text = "👩‍🚀 a g, number 2004 c.";
  const cut = await accrete("predict", run(), text, "--json");
  const { entities } = JSON.parse(cut.out);
  expect(entities.map(({ word }: { word: string }) => word)).toContain("a g");
  for (const { word, start, end } of entities) expect(text.slice(start, end)).toBe(word);
  const split = await accrete("predict", run(), text, "--pre-tokenized", "--json");
  expect(JSON.parse(split.out).text).toBe(text);
  expect(JSON.parse(split.out).entities).not.toEqual(entities);
  const spans = await accrete("predict", run(), text, "--spans");
  const [first] = JSON.parse(spans.out).entities;
  const { type, start, end } = entities[0];
  expect(first).toEqual({ label: type, start: start - 2, end: end - 2 });
});

test("predict says how many words of a text are more than the model reads", async () => {
  // The model reads 32 tokens, two of them special.
  const text = `text a g ${"e ".repeat(30)}a g`;
  const { out, err, exitCode } = await accrete("predict", run(), text, "text a g end", "--json");
  const [long, short] = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(exitCode).toBe(0);
  expect(long).toMatchObject({ text, unreadWords: 5 });
  const starts: number[] = long.entities.map(({ start }: { start: number }) => start);
  expect(starts[0]).toBe(5);
  expect(Math.max(...starts)).toBeLessThan(text.lastIndexOf(" e"));
  expect(short).not.toHaveProperty("unreadWords");
  expect(err).toMatch(/note: "text a g e .*": 5 words at the end are more than the model reads/);
});

test("predict --min-score leaves out what is less sure; texts with labels have no entities", async () => {
  const text = "text a g number 2004 c end";
  const all = JSON.parse((await accrete("predict", run(), text, "--json")).out).entities;
  const scores: number[] = all.map(({ score }: { score: number }) => score);
  const least = Math.max(...scores);
  const some = await accrete("predict", run(), text, "--json", "--min-score", String(least));
  expect(JSON.parse(some.out).entities).toEqual(all.filter(({ score }: { score: number }) => score >= least));
  expect(JSON.parse(some.out).entities.length).toBeLessThan(all.length);
  const wrong = await accrete("predict", run(), text, "--min-score", "2");
  expect(wrong.exitCode).toBe(2);
});

test("several seeds are summarised by their own figures", async () => {
  const { metrics } = await readRunRecord(run());
  if (metrics?.level !== "word") throw new TypeError("no word-level metrics");
  const other = { ...metrics, cil: { ...metrics.cil, microF1: metrics.cil.microF1 - 0.1 } };
  const summary = summarise([1, 2], [metrics, other]);
  expect(summary.level).toBe("word");
  expect(summary.cil).not.toHaveProperty("averageAccuracy");
  expect(summary.cil.microF1?.mean).toBeCloseTo(metrics.cil.microF1 - 0.05, digits.float64);
  expect(formatSummary(summary)).toMatch(/^micro F1 +\d/m);
  expect(formatSummary(summary)).not.toContain("accuracy");
});
