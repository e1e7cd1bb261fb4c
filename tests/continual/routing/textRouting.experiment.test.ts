/** Runs with a router, and predictions with what they leave, on the tiny random model. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Prediction, PredictOptions } from "../../../src/continual/answers.ts";
import { routerFile, routingFile } from "../../../src/continual/routing/statisticsRouting.ts";
import { decodeContributions } from "../../../src/continual/statistics/contributionFile.ts";
import { CheckpointError, ConfigError } from "../../../src/core/errors.ts";
import type { RunEvent } from "../../../src/core/record.ts";
import { statisticsFile } from "../../../src/model/taskFiles.ts";
import { readRunRecord } from "../../../src/report/record/record.ts";
import { renderTables } from "../../../src/report/terminal.ts";
import { openRun } from "../../../src/store/openRun.ts";
import { routerPlace } from "../../../src/workspace/routers.ts";
import { bytesBelow } from "../../support/folders.ts";
import { isA, routedMetrics, type Settings, TinyRuns } from "../../support/runs.ts";
import { labels, writeTinyExperiment } from "../../support/tinyStreams.ts";
import { tolerances } from "../../support/tolerances.ts";

const routerFolder = routerPlace(1, "consolidated");

const runs = new TinyRuns({ "training.epochs": 2 });
const { root, at } = runs;
let ofAlways: readonly RunEvent[] = [];

/** The second pass asks two tasks of every text, so that all parts of an answer have a say. */
const always: Settings = { router: { kind: "lda", topTasks: 2, secondPass: "always" } };

beforeAll(async () => {
  await runs.furnish(writeTinyExperiment);
  await run("plain", {});
  ofAlways = await run("always", always, { from: "plain" });
});

const run = (name: string, settings: Settings, options: Parameters<TinyRuns["run"]>[2] = {}) =>
  runs.run(name, settings, { resume: true, ...options });

const routedOf = async (name: string) => routedMetrics(await readRunRecord(at(name)));

/** The test texts of all tasks, as the run read them. */
async function testTexts(): Promise<readonly { readonly text: string; readonly label: string }[]> {
  const lines = (await readFile(join(root, "test.jsonl"), "utf8")).trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

async function predict(
  name: string,
  texts: readonly { readonly text: string }[],
  options: PredictOptions = {},
): Promise<Prediction[]> {
  await using predictor = await openRun(at(name));
  return await predictor.predict(texts, options);
}

/** Of everything that routes. */
function routingBytes(name: string): Promise<Record<string, string>> {
  const kept: readonly string[] = [statisticsFile, routerFile, routingFile];
  return bytesBelow(at(name), (file) => kept.includes(file));
}

test("a run keeps statistics beside each adapter, and what answers in a folder of its own", async () => {
  const files = Object.keys(await routingBytes("always")).sort();
  const beside = ["task-0", "task-1", "task-2"].map((task) => `adapters/${task}/${statisticsFile}`);
  const routed = [routerFile, routingFile].map((file) => `${routerFolder}/${file}`);
  expect(files).toEqual([...beside, ...routed].sort());
  expect(Object.keys(await routingBytes("plain"))).toEqual([]);
});

test("rows of validation texts judge, and the last fit takes them in with all train rows", async () => {
  const kept = { train: 0, validation: 0 };
  for (const task of ["task-0", "task-1", "task-2"]) {
    const where = at("always", "adapters", task, statisticsFile);
    for (const { role, rows } of decodeContributions(await readFile(where), where).contributions)
      kept[role === "judge" ? "validation" : "train"] += rows.rows;
  }
  const given = { train: 0, validation: 0 };
  for (const event of ofAlways)
    if (event.type === "task-started") {
      given.train += event.trainExamples;
      given.validation += event.validationExamples;
    }
  expect(kept).toEqual(given);
  expect(given.validation).toBeGreaterThan(0);
});

test("says what the router's fit is at, before its task counts as learned", () => {
  const said = ofAlways.flatMap((event) => {
    if (event.type === "task-learned") return [`learned ${event.task}`];
    if (event.type !== "router-fitting") return [];
    const { task, stage, kind, member, members } = event;
    return [`${task} ${stage} ${kind} ${member}/${members}`];
  });
  const each = (task: number) => [`${task} choose lda 1/1`, `${task} fit lda 1/1`, `learned ${task}`];
  expect(said).toEqual([0, 1, 2].flatMap(each));
});

test("interrupted and resumed it leaves the same bytes", async () => {
  await run("resumed", always, { stopAfter: isA("task-learned") });
  await run("resumed", always, { stopAfter: isA("evaluated") });
  await run("resumed", always);
  expect(await routingBytes("resumed")).toEqual(await routingBytes("always"));
  const { evaluated: _, ...rest } = { evaluated: 0, ...(await routedOf("resumed")) };
  expect(rest).toEqual(await routedOf("always"));
});

test("predictions are those that were evaluated, at the passes that were counted", async () => {
  const texts = await testTexts();
  const predictions = await predict("always", texts);
  const routed = await routedOf("always");
  const right = predictions.filter(({ label }, i) => label === texts[i]?.label).length;
  expect(right / texts.length).toBe(routed.sampleAccuracy);
  expect(predictions.every(({ passes }) => passes === 3)).toBe(true);
  expect(routed.passesPerExample).toBe(3);
  const owner = (text: string) => `task-${Math.floor("abcdef".indexOf(text[0] ?? "") / 2)}`;
  const found = predictions.filter(({ task, text }) => task === owner(text)).length;
  expect(routed.taskAccuracy).toBe(found / texts.length);
});

test("neither the other texts of a call nor their order change an answer", async () => {
  const texts = await testTexts();
  await using predictor = await openRun(at("always"));
  const together = await predictor.predict(texts);
  const backwards = (await predictor.predict(texts.toReversed())).toReversed();
  const alone: Prediction[] = [];
  for (const text of texts) alone.push(...(await predictor.predict([text])));
  for (const other of [backwards, alone])
    other.forEach((prediction, i) => {
      const { score, top, ...said } = prediction;
      const { score: before, top: topBefore, ...saidBefore } = together[i]!;
      expect(said).toEqual(saidBefore);
      expect(Math.abs(score - before)).toBeLessThanOrEqual(tolerances.float32);
      expect(top.map(({ label }) => label)).toEqual(topBefore.map(({ label }) => label));
    });
});

test("without a word about a second pass the first one's answer is final", async () => {
  await run("off", { router: "lda" }, { from: "plain" });
  const { router, passesPerExample } = await routedOf("off");
  expect(router?.secondPass).toBeUndefined();
  expect(passesPerExample).toBe(1);
  const tables = renderTables(await readRunRecord(at("off")), { color: false, width: 80 });
  expect(tables).toMatch(/forward passes an example +3 +1 +1\n/);
  expect(tables.replaceAll(/\s+/g, " ")).toContain("it answers alone, as router.secondPass: off says");
});

test("unsure asks the adapters of the texts alone of which the first pass is not sure", async () => {
  // Sure of some texts, and not of all.
  const router = { kind: "kernel-discriminant" };
  await run("sure", { router }, { from: "plain" });
  await run("unsure", { router: { ...router, secondPass: "unsure" } }, { from: "plain" });
  const texts = await testTexts();
  const first = await predict("sure", texts);
  const passes = first.map(({ score }) => (score < 0.8 ? 2 : 1));
  expect(new Set(passes).size).toBe(2);
  expect((await predict("unsure", texts)).map((answer) => answer.passes)).toEqual(passes);
  const { router: summary, passesPerExample } = await routedOf("unsure");
  expect(summary?.secondPass).toEqual({ below: 0.8, weight: 0.5, topTasks: 1 });
  expect(passesPerExample).toBe(passes.reduce<number>((sum, count) => sum + count, 0) / passes.length);
});

test("exact answers run every adapter, and need nothing that routes", async () => {
  await run("bare", always, { from: "plain" });
  for (const name of [routerFile, routingFile]) await rm(at("bare", routerFolder, name));
  const texts = (await testTexts()).slice(0, 4);
  const exact = await predict("bare", texts, { exact: true });
  expect(exact).toEqual(await predict("plain", texts));
  expect(exact.every(({ passes }) => passes === 3)).toBe(true);
  expect(await predict("bare", texts)).toEqual(await predict("always", texts));
});

test("a router that is not that of the tasks there are is fitted anew", async () => {
  await run("stale", always, { from: "plain" });
  const path = at("stale", routerFolder, routingFile);
  const summary = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...summary, key: "0".repeat(64) }));
  // Were it read, the file would be refused as damaged.
  await writeFile(at("stale", routerFolder, routerFile), "nothing");
  const texts = (await testTexts()).slice(0, 4);
  expect(await predict("stale", texts)).toEqual(await predict("always", texts));
});

test("adapters of a run without a router get one by --adapters-from, not by resuming", async () => {
  const failure = await run("plain", always).catch((error) => error);
  expect(failure).toBeInstanceOf(ConfigError);
  expect(failure.message).toContain("router.kind");
});

test("statistics that are missing are told with a way out", async () => {
  await run("missing", always, { from: "plain", stopAfter: isA("task-learned") });
  await rm(at("missing", "adapters", "task-0", statisticsFile));
  const failure = await run("missing", always).catch((error) => error);
  expect(failure).toBeInstanceOf(CheckpointError);
  expect(failure.message).toContain(statisticsFile);
});

describe("texts of no known class", () => {
  /** Like the training texts, so that some are accepted. */
  const like = (numbers: readonly number[]) =>
    labels.flatMap((label) =>
      numbers.map((i) => ({ text: `${label[0]} train number ${i} ${label[0]}`, label })),
    );
  const texts = like([40, 41, 42, 43]);
  const strange = Array.from({ length: 12 }, (_, i) => ({ text: `z zz unknown thing ${i} z` }));
  test("are told as the record says, by predictions too", async () => {
    const held = like([50, 51, 52, 53, 54]);
    const files = { "stream.outOfScope": strange, "stream.test": texts, "stream.validation": held };
    for (const [key, rows] of Object.entries(files))
      await writeFile(at(`${key}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const stream = Object.fromEntries(Object.keys(files).map((key) => [key, at(`${key}.jsonl`)]));
    await run("outside", {
      ...stream,
      router: { kind: "kernel-discriminant", rejectRate: 0.2 },
    });
    const { metrics } = await readRunRecord(at("outside"));
    const figures = metrics?.level === undefined ? metrics?.outOfScope : undefined;
    const inScope = await predict("outside", texts);
    const outOfScope = await predict("outside", strange);
    const share = (all: readonly Prediction[]) =>
      all.filter(({ label }) => label === null).length / all.length;
    const right = inScope.filter(({ label }, i) => label === texts[i]?.label).length;
    expect(figures).toMatchObject({
      rejectRate: 0.2,
      inScopeRejected: share(inScope),
      outOfScopeRejected: share(outOfScope),
      inScopeAccuracy: right / texts.length,
    });
    expect(share(outOfScope)).toBeGreaterThan(share(inScope));
    expect(right).toBeGreaterThan(0);
    for (const { label, top } of [...inScope, ...outOfScope])
      if (label !== null) expect(label).toBe(top[0]?.label);
    const tables = renderTables(await readRunRecord(at("outside")), { color: false, width: 72 });
    expect(tables).toContain(`AUROC ${figures?.auroc.toFixed(4)}`);
    expect(await readFile(at("outside", "report.html"), "utf8")).toContain("out of scope: rejected");
  });

  test("get a label all the same where no share may be rejected", async () => {
    const predictions = await predict("always", strange);
    for (const { label, unknown = 0 } of predictions) {
      expect(label).not.toBeNull();
      expect(unknown).toBeGreaterThan(0);
      expect(unknown).toBeLessThan(1);
    }
  });
});

describe.each(["newlora", "newlora-frozen"])("router: %s", (kind) => {
  test("turns the network on, and predictions are those that were evaluated", async () => {
    const [started] = await run(kind, { router: kind });
    // Linear(16, 8) and Linear(8, 3) with their biases.
    expect(started?.type === "run-started" && started.header.selectorParameters).toBe(16 * 8 + 8 + 8 * 3 + 3);
    const texts = await testTexts();
    const predictions = await predict(kind, texts);
    const routed = await routedOf(kind);
    const right = predictions.filter(({ label }, i) => label === texts[i]?.label).length;
    expect(right / texts.length).toBe(routed.sampleAccuracy);
    expect(new Set(predictions.map(({ passes }) => passes))).toEqual(new Set([routed.passesPerExample]));
    expect(predictions.every(({ score, top }) => score === top[0]?.score)).toBe(true);
  });
});

test("newlora-frozen, hard, asks one adapter beside the backbone", async () => {
  await run("hard", { "method.selector": { kind: "newlora-frozen", inference: "hard" } }, { from: "plain" });
  const texts = await testTexts();
  const predictions = await predict("hard", texts);
  expect(predictions.every(({ passes }) => passes === 2)).toBe(true);
  const right = predictions.filter(({ label }, i) => label === texts[i]?.label).length;
  expect(right / texts.length).toBe((await routedOf("hard")).sampleAccuracy);
});

describe("a router is refused", () => {
  test.each<readonly [string, Settings, string]>([
    ["that is a network, at level: word", { level: "word", router: "newlora" }, "router"],
    ["with a second pass, without heads", { head: "none", router: { secondPass: "always" } }, "router"],
    [
      "with a second pass of some texts, without heads",
      { head: "none", router: { secondPass: "unsure" } },
      "router",
    ],
    ["with words' second pass", { router: { secondPass: "auto" } }, "router.secondPass"],
    ["of another name", { router: "ldda" }, "router"],
    [
      "that reads sentences through an adapter",
      { router: { featureAdapter: "none" } },
      "router.featureAdapter",
    ],
    [
      "beside another selector",
      { router: "newlora", "method.selector": "newlora-frozen" },
      "method.selector",
    ],
    ["newlora beside prompts", { router: "newlora", "method.adapter": "prompt-tuning" }, "router"],
    ["newlora with layers", { router: { kind: "newlora", layers: [1] } }, "router"],
    ["that asks three tasks", { router: { topTasks: 3 } }, "router.topTasks"],
    ["of a layer that is not there", { router: { kind: "lda", layers: [2] } }, "router.layers"],
  ])("%s", async (_, settings, path) => {
    const failure = await run("refused", settings).catch((error) => error);
    if (!(failure instanceof ConfigError)) throw failure;
    expect(failure.issues.map((issue) => issue.path)).toContain(path);
  });
});
