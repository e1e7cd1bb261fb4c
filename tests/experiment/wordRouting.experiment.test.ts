/** Word runs with a router, and what their folders answer, on the tiny random model. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { PredictOptions, TaggedText } from "../../src/continual/answers.ts";
import { routerFile, routingFile } from "../../src/continual/routing/statisticsRouting.ts";
import { decodeTagCounts, tagCountsFile } from "../../src/continual/routing/tagCounts.ts";
import { countEntities, scoreCounts } from "../../src/continual/taskTypes/entityMetrics.ts";
import type { RoutedWordMetrics } from "../../src/core/record.ts";
import { readConll } from "../../src/data/files/conll.ts";
import type { TaggedSentence } from "../../src/data/files/tags.ts";
import { statisticsFile } from "../../src/model/taskFiles.ts";
import { compareRuns } from "../../src/report/comparison.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { renderTables } from "../../src/report/terminal.ts";
import { openRun } from "../../src/store/openRun.ts";
import { openStore } from "../../src/store/store.ts";
import { routerPlace } from "../../src/workspace/routers.ts";
import { bytesBelow } from "../support/folders.ts";
import { isA, type Settings, TinyRuns, warningsOf } from "../support/runs.ts";
import { writeTinyWords } from "../support/tinyStreams.ts";

const routerFolder = routerPlace(1, "consolidated");

const runs = new TinyRuns({ "training.epochs": 3, outside: "first" });
const { root, at } = runs;

/** Heads are asked about every sentence, two of the later tasks at most. */
const always: Settings = { router: { kind: "lda", topTasks: 2, secondPass: "always" } };

beforeAll(async () => {
  await runs.furnish(writeTinyWords);
  await run("plain", {});
  await run("always", always, { from: "plain" });
});

const run = (name: string, settings: Settings, options: Parameters<TinyRuns["run"]>[2] = {}) =>
  runs.run(name, settings, { resume: true, ...options });

async function routedOf(name: string): Promise<RoutedWordMetrics> {
  const { metrics } = await readRunRecord(at(name));
  if (metrics?.level !== "word" || metrics.routed === undefined)
    throw new TypeError(`${name} has no routed figures`);
  return metrics.routed;
}

async function testSentences(): Promise<readonly TaggedSentence[]> {
  return (await readConll(join(root, "test.conll"))).sentences;
}

async function find(name: string, options: PredictOptions = {}): Promise<TaggedText[]> {
  const sentences = await testSentences();
  await using predictor = await openRun(at(name));
  return await predictor.findEntities(
    sentences.map(({ words }) => ({ text: "", words })),
    options,
  );
}

/** Tags as the answers' entities have them: a way to the figures that is not the run's own. */
function tagsOf(sentences: readonly TaggedSentence[], answers: readonly TaggedText[]): string[][] {
  return sentences.map(({ words }, i) => {
    let next = 0;
    return words.map((word) => {
      const start = next;
      next += word.length + 1;
      const own = answers[i]?.entities.find((entity) => start >= entity.start && start < entity.end);
      return own === undefined ? "O" : `${start === own.start ? "B" : "I"}-${own.type}`;
    });
  });
}

/** Of everything that routes. */
function routingBytes(name: string): Promise<Record<string, string>> {
  const kept: readonly string[] = [statisticsFile, tagCountsFile, routerFile, routingFile];
  return bytesBelow(at(name), (file) => kept.includes(file));
}

async function microF1(answers: readonly TaggedText[]): Promise<number> {
  const sentences = await testSentences();
  const gold = sentences.map(({ tags }) => tags);
  return scoreCounts(countEntities(gold, tagsOf(sentences, answers))).micro.f1;
}

test("what a run's folder finds is what was evaluated, at the passes that were counted", async () => {
  const answers = await find("always");
  const routed = await routedOf("always");
  expect(await microF1(answers)).toBe(routed.microF1);
  const passes = answers.reduce((sum, each) => sum + each.passes, 0) / answers.length;
  expect(passes).toBe(routed.passesPerExample);
  // One without adapters, then those of the first task and of the likely ones.
  expect(new Set(answers.map((each) => each.passes)).size).toBeGreaterThan(1);
  expect(Math.max(...answers.map((each) => each.passes))).toBe(4);
  expect(routed.microF1).toBeGreaterThan(0.5);
  expect(routed.router).toMatchObject({ kind: "lda", secondPass: { plausible: 0, topTasks: 2 } });
});

test("so it is where every head has its own O, and no adapter is asked for another's", async () => {
  await run("own", { ...always, outside: "own" });
  const answers = await find("own");
  const routed = await routedOf("own");
  expect(await microF1(answers)).toBe(routed.microF1);
  expect(answers.reduce((sum, each) => sum + each.passes, 0) / answers.length).toBe(routed.passesPerExample);
  expect(Math.max(...answers.map((each) => each.passes))).toBe(3);
  expect(routed.microF1).toBeGreaterThan(0.5);
});

test("exact answers are those of a run without a router; a task's own too", async () => {
  expect(await find("always", { exact: true })).toEqual(await find("plain"));
  expect(await find("always", { task: "task-1" })).toEqual(await find("plain", { task: "task-1" }));
});

test("a run takes what it finds of earlier types out of O, and into their own tags", async () => {
  const every = { ...always, outside: "own", "stream.sampling": "every" } as const;
  await run("marked", every);
  await run(
    "outside",
    { ...every, router: { kind: "lda", topTasks: 2, secondPass: "always", unlabelled: "outside" } },
    { from: "marked" },
  );
  const totals = async (name: string, task: string) =>
    decodeTagCounts(await readFile(at(name, "adapters", task, tagCountsFile)), name).totals;
  expect(await totals("marked", "task-0")).toEqual(await totals("outside", "task-0"));
  const [before, after] = [await totals("outside", "task-1"), await totals("marked", "task-1")];
  const first = Object.keys(await totals("outside", "task-0")).filter((tag) => tag !== "O");
  expect(first.some((tag) => tag in before)).toBe(false);
  const won = first.reduce((sum, tag) => sum + (after[tag] ?? 0), 0);
  expect(won).toBeGreaterThan(0);
  expect(after.O ?? 0).toBeLessThanOrEqual((before.O ?? 0) - won);
  expect((await routedOf("marked")).microF1).toBeGreaterThanOrEqual((await routedOf("outside")).microF1);
  await using store = await openStore(at("marked"));
  await expect(store.forget({ task: "task-0" })).rejects.toThrow(/router\.unlabelled: mark/);
});

test("what a sentence has beyond the model's length counts as missed; a type that stands once is learned", async () => {
  const added = async (name: string, from: string, sentence: string) => {
    await writeFile(join(root, name), `${await readFile(join(root, from), "utf8")}\n${sentence}`);
    return join(root, name);
  };
  const tail = (words: number) => `${"e\tO\n".repeat(words)}a\tB-animal\n`;
  const seen = "text\tO\na\tB-animal\ng\tI-animal\n";
  const told = await run("long", {
    ...always,
    outside: "own",
    "stream.sampling": "every",
    "stream.train": await added("long.conll", "train.conll", `${seen}${tail(41)}\nzebra\tB-rare\n`),
    "stream.test": await added("long-test.conll", "test.conll", `${seen}${tail(40)}`),
    "stream.increment": 2,
  });
  // The model reads 32 tokens, two of them special.
  expect(warningsOf(told)).toContainEqual(
    expect.stringMatching(/^Words of test beyond training\.maxLength: 14;/),
  );
  const { animal } = (await routedOf("long")).perType;
  expect(animal?.support).toBe(14);
  expect(animal?.recall).toBeGreaterThan(0);
  expect(animal?.recall).toBeLessThan(1);
  await using predictor = await openRun(at("long"));
  expect(predictor.classes).toContain("rare");
  const words = [...seen.trim().split("\n"), ...tail(40).trim().split("\n")].map(
    (line) => line.split("\t")[0] ?? "",
  );
  const [answer] = await predictor.findEntities([{ text: "", words }]);
  expect(answer).toMatchObject({ unreadWords: 14 });
  expect(answer?.entities.every(({ end }) => end < words.slice(0, 30).join(" ").length + 1)).toBe(true);
});

test("interrupted and resumed it leaves the same bytes, and the same figures", async () => {
  await run("resumed", always, { from: "plain", stopAfter: isA("task-learned") });
  await run("resumed", always, { from: "plain", stopAfter: isA("words-evaluated") });
  await run("resumed", always, { from: "plain" });
  const bytes = await routingBytes("always");
  expect(Object.keys(bytes)).toHaveLength(8);
  expect(await routingBytes("resumed")).toEqual(bytes);
  expect(await routedOf("resumed")).toEqual(await routedOf("always"));
});

test("a router that is missing or not that of these tasks is fitted anew", async () => {
  const answers = await find("resumed");
  const path = at("resumed", routerFolder, routingFile);
  const whole = await routingBytes("resumed");
  const summary = JSON.parse(await readFile(path, "utf8"));
  for (const damage of [
    () => writeFile(path, JSON.stringify({ ...summary, key: "0".repeat(64) })),
    () => writeFile(at("resumed", routerFolder, routerFile), "nothing"),
    () => rm(path),
  ]) {
    await damage();
    expect(await find("resumed")).toEqual(answers);
    // Whoever fits it anew leaves it for the next one.
    expect(await routingBytes("resumed")).toEqual(whole);
  }
});

test("auto asks no adapter where the router does as well, and the report says what it reached", async () => {
  await run("auto", { router: "lda" }, { from: "plain" });
  const { firstPassMicroF1, passesPerExample, microF1: reached, router } = await routedOf("auto");
  expect(reached).toBeGreaterThanOrEqual(firstPassMicroF1);
  expect(passesPerExample).toBe(router?.secondPass === undefined ? 1 : passesPerExample);
  expect(passesPerExample).toBeLessThan(3);
  const record = await readRunRecord(at("auto"));
  const percent = (100 * reached).toFixed(1);
  const tables = renderTables(record, { color: false, width: 80 }).replaceAll(/\s+/g, " ");
  expect(tables).toMatch(new RegExp(`CIL routed TIL micro F1, % [\\d.]+ ${percent} `));
  expect(await readFile(at("auto", "report.html"), "utf8")).toContain("Routed micro F1");
  const { metrics } = record;
  if (metrics === undefined) throw new TypeError("the run is not finished");
  const { rows } = compareRuns([{ name: "auto", records: [{ ...record, metrics }] }]);
  expect(rows.find(({ protocol }) => protocol === "CIL routed")?.accuracy.mean).toBe(reached);
});

test("features are read through the first task's adapter, or where that is asked by the backbone alone", async () => {
  const settings = { router: { kind: "lda", featureAdapter: "none" } };
  await run("frozen", settings, { from: "plain", stopAfter: isA("task-learned") });
  await run("frozen", settings, { from: "plain" });
  const own = (await routingBytes("frozen"))[`adapters/task-0/${statisticsFile}`];
  expect(own).toBeDefined();
  expect(own).not.toBe((await routingBytes("always"))[`adapters/task-0/${statisticsFile}`]);
  const answers = await find("frozen");
  expect(await microF1(answers)).toBe((await routedOf("frozen")).microF1);
  await rm(at("frozen", routerFolder, routingFile));
  expect(await find("frozen")).toEqual(answers);
});
