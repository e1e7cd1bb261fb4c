/** Answers in words where a router chooses the adapter, on the tiny random decoder. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { Prediction, PredictOptions } from "../../../src/continual/answers.ts";
import { routingFile } from "../../../src/continual/routing/statisticsRouting.ts";
import { isExactMatch } from "../../../src/continual/taskTypes/textGeneration.ts";
import { fillPrompt, promptTemplate } from "../../../src/data/encoding/prompts.ts";
import type { GenerateOptions } from "../../../src/model/continualModel.ts";
import { readRunRecord } from "../../../src/report/record/record.ts";
import { openGenerator } from "../../../src/store/generator.ts";
import { openRun } from "../../../src/store/openRun.ts";
import { routerPlace } from "../../../src/workspace/routers.ts";
import { accrete } from "../../support/cli.ts";
import { folderOfTestFile } from "../../support/folders.ts";
import { configWith, routedMetrics, runToEnd } from "../../support/runs.ts";
import { writeTinyDecoder } from "../../support/tinyModels.ts";
import { jsonl } from "../../support/tinyStreams.ts";

const routerFolder = routerPlace(1, "consolidated");

/** The words of a text name its label. */
const words = { turn_on: "lamp", off: "stop", play_song: "music", call_mum: "phone" } as const;

const root = folderOfTestFile("routed");
const at = (name: string) => join(root, name);

function rows(first: number, count: number) {
  return Object.entries(words).flatMap(([label, word]) =>
    Array.from({ length: count }, (_, n) => ({ text: `${word} ${first + n} ${word}`, label })),
  );
}

const tests = rows(300, 3);

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
  const options = from === undefined ? {} : { adaptersFrom: at(from) };
  await runToEnd(await configWith(at(`${name}.yaml`)), options);
}

async function predict(name: string, options: PredictOptions = {}): Promise<Prediction[]> {
  await using predictor = await openRun(at(name));
  return await predictor.predict(tests, options);
}

const routedOf = async (name: string) => routedMetrics(await readRunRecord(at(name)));

beforeAll(async () => {
  await writeTinyDecoder(at("model"));
  await writeFile(at("train.jsonl"), jsonl(rows(100, 8)));
  await writeFile(at("test.jsonl"), jsonl(tests));
  await run("plain", "");
  await run("routed", "router: lda", "plain");
});

test("the router chooses the adapter: predictions are those that were evaluated", async () => {
  const routed = await routedOf("routed");
  const answers = await predict("routed");
  const right = answers.filter(({ label }, i) => label === tests[i]?.label).length;
  expect(right / tests.length).toBe(routed.sampleAccuracy);
  expect([routed.passesPerExample, ...new Set(answers.map(({ passes }) => passes))]).toEqual([2, 2]);
  // The words of the two tasks differ, so frozen features tell them apart.
  expect(routed.taskAccuracy).toBe(1);
  // Within the task the router's word counts as much as the adapter's: they are right more often together.
  const given = await Promise.all(
    answers.map(
      async ({ task = "" }, i) => (await predict("routed", { task }))[i]?.label === tests[i]?.label,
    ),
  );
  const alone = given.filter((isRight) => isRight).length;
  expect(right).toBeGreaterThan(alone);
});

test("what the chosen adapters say freely is measured beside label scoring", async () => {
  const { routed, labelScored, exactMatch } = await routedOf("routed").then((metrics) => ({
    routed: metrics,
    labelScored: metrics.labelScored,
    exactMatch: metrics.exactMatch,
  }));
  expect(labelScored?.matrix).toEqual(routed.matrix);
  await using generator = await openGenerator(at("routed"));
  const said = await generator.generate(prompts, { maxNewTokens: 10 });
  const right = said.filter(({ completion }, i) => isExactMatch(completion, tests[i]?.label ?? ""));
  expect(exactMatch?.sampleAccuracy).toBe(right.length / tests.length);
  const page = await accrete("report", at("routed"));
  expect(page.out).toMatch(/free answers, exact match, % +\S+ +\S+ +\d/);
});

test("exact answers are those of a run without a router", async () => {
  expect(await predict("routed", { exact: true })).toEqual(await predict("plain"));
});

/** What the run's own prompt makes of the test texts: whole prompts, as whoever generates gives them. */
const prompts = tests.map((each) => fillPrompt(promptTemplate("qa"), each));

test("a prompt that is given whole goes to the adapter that predicting asks", async () => {
  const asked = (await predict("routed")).map(({ task }) => task);
  expect(new Set(asked).size).toBe(2);
  await using generator = await openGenerator(at("routed"));
  const completions = await generator.generate(prompts, { maxNewTokens: 4 });
  expect(completions.map(({ task }) => task)).toEqual(asked);
  for (const task of new Set(asked)) {
    const own = await generator.generate(prompts, { task, maxNewTokens: 4 });
    for (const [i, each] of completions.entries()) if (each.task === task) expect(each).toEqual(own[i]);
  }
});

test("exact continuations are the newest adapter's, as in a run without a router; a task comes first", async () => {
  const said = async (name: string, options: GenerateOptions) => {
    await using generator = await openGenerator(at(name));
    return await generator.generate(prompts, { ...options, maxNewTokens: 4 });
  };
  const newest = await said("plain", {});
  expect(await said("routed", { exact: true })).toEqual(newest);
  expect(new Set(newest.map(({ task }) => task))).toEqual(new Set(["task-1"]));
  const first = await said("routed", { exact: true, task: "task-0" });
  expect(first).toEqual(await said("plain", { task: "task-0" }));
  expect(first).not.toEqual(newest);
});

test("accrete generate says whom the router chose: once, or in every JSON object", async () => {
  const asked = (await predict("routed")).map(({ task }) => task);
  const given = ["generate", at("routed"), ...prompts, "--max-new-tokens", "2"];
  const plain = await accrete(...given);
  const json = await accrete(...given, "--json");
  const objects = json.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(objects.map(({ task }) => task)).toEqual(asked);
  expect(plain.out).toBe(objects.map(({ completion }) => `${completion}\n`).join(""));
  expect([plain.exitCode, json.exitCode, json.err]).toEqual([0, 0, ""]);
  expect(plain.err).toBe(
    "Adapters: task-0 for 6 prompts, task-1 for 6; --task names one, --exact takes the newest.\n",
  );
  const exact = await accrete(...given, "--exact");
  expect([exact.exitCode, exact.err]).toEqual([0, ""]);
});

test("a router that is missing is fitted anew", async () => {
  const answers = await predict("routed");
  await rm(join(at("routed"), routerFolder, routingFile));
  expect(await predict("routed")).toEqual(answers);
  const report = await readFile(join(at("routed"), "report.html"), "utf8");
  expect(report).toContain("Routed");
});
