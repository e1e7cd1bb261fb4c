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
  expect(Object.keys(first)).toEqual(["text", "entities", "passes"]);
  expect(first.entities[0]).toEqual({
    type: "animal",
    score: expect.any(Number),
    word: "a g",
    start: 6,
    end: 9,
  });
  expect(second).toEqual({ text: "text end", entities: [], passes: 3 });
});

test("predict --task looks for one task's types; --top has no meaning", async () => {
  const own = await accrete("predict", run(), "text a g number 2004 c end", "--task", "task-0", "--json");
  expect(JSON.parse(own.out)).toMatchObject({ entities: [{ type: "animal" }], passes: 1 });
  const top = await accrete("predict", run(), "a", "--top", "3");
  expect(top).toMatchObject({ exitCode: 2, out: "" });
  expect(top.err).toContain("finds entities");
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
