/** Answers in words where a router chooses the adapter, on the tiny random decoder. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { openRun } from "../../src/app/predictor.ts";
import { routingFile } from "../../src/app/routing.ts";
import { runExperiment } from "../../src/app/runExperiment.ts";
import type { Prediction, PredictOptions } from "../../src/app/types.ts";
import type { RoutedMetrics } from "../../src/core/record.ts";
import { readRunRecord } from "../../src/report/record.ts";
import { writeTinyDecoder } from "./tinyDecoder.ts";

/** The words of a text name its label. */
const words = { turn_on: "lamp", off: "stop", play_song: "music", call_mum: "phone" } as const;

let root = "";
const at = (name: string) => join(root, name);

function rows(first: number, count: number) {
  return Object.entries(words).flatMap(([label, word]) =>
    Array.from({ length: count }, (_, n) => ({ text: `${word} ${first + n} ${word}`, label })),
  );
}

const tests = rows(300, 3);
const lines = (all: readonly object[]) => all.map((row) => `${JSON.stringify(row)}\n`).join("");

async function run(name: string, router: string, from?: string): Promise<void> {
  await writeFile(
    at(`${name}.yaml`),
    `backbone: ./model
method: { adapter: lora, rank: 4, alpha: 8, targetModules: all-linear }
head: none
prompt: qa
${router}
stream: { train: train.jsonl, test: test.jsonl, tasks: 2 }
training: { epochs: 4, batchSize: 4, learningRate: 1e-2, maxLength: 64 }
threads: 1
out: ${name}
`,
  );
  const { config } = await loadConfig(at(`${name}.yaml`));
  const options = from === undefined ? {} : { adaptersFrom: at(from) };
  for await (const event of runExperiment(config, options)) if (event.type === "run-finished") break;
}

async function predict(name: string, options: PredictOptions = {}): Promise<Prediction[]> {
  await using predictor = await openRun(at(name));
  return await predictor.predict(tests, options);
}

async function routedOf(name: string): Promise<RoutedMetrics> {
  const { metrics } = await readRunRecord(at(name));
  if (metrics === undefined || metrics.level === "word" || metrics.routed === undefined)
    throw new TypeError(`${name} has no routed figures`);
  return metrics.routed;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "accrete-routed-answers-"));
  await writeTinyDecoder(at("model"));
  await writeFile(at("train.jsonl"), lines(rows(100, 8)));
  await writeFile(at("test.jsonl"), lines(tests));
  await run("plain", "");
  await run("routed", "router: lda", "plain");
});
afterAll(() => rm(root, { recursive: true, force: true }));

test("the router chooses the adapter: predictions are those that were evaluated", async () => {
  const routed = await routedOf("routed");
  const answers = await predict("routed");
  const right = answers.filter(({ label }, i) => label === tests[i]?.label).length;
  expect(right / tests.length).toBe(routed.sampleAccuracy);
  expect([routed.passesPerExample, ...new Set(answers.map(({ passes }) => passes))]).toEqual([2, 2]);
  // The words of the two tasks differ, so frozen features tell them apart, and each adapter knows its own labels.
  expect(routed.taskAccuracy).toBe(1);
  for (const task of new Set(answers.map((each) => each.task))) {
    const own = await predict("routed", { task });
    for (const [i, answer] of answers.entries())
      if (answer.task === task) expect(answer.label).toBe(own[i]?.label);
  }
});

test("exact answers are those of a run without a router", async () => {
  expect(await predict("routed", { exact: true })).toEqual(await predict("plain"));
});

test("a router that is missing is fitted anew", async () => {
  const answers = await predict("routed");
  await rm(join(at("routed"), routingFile));
  expect(await predict("routed")).toEqual(answers);
  const report = await readFile(join(at("routed"), "report.html"), "utf8");
  expect(report).toContain("Routed");
});
