import { cp, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type AccreteError,
  CheckpointError,
  ConfigError,
  DataError,
  StoreError,
} from "../../src/core/errors.ts";
import type { RunEvent } from "../../src/core/record.ts";
import { runMetricsSchema } from "../../src/core/record.ts";
import { readRunRecord } from "../../src/report/record/record.ts";
import { renderTables } from "../../src/report/terminal.ts";
import { openGenerator } from "../../src/store/generator.ts";
import { loadAdapter, openRun } from "../../src/store/openRun.ts";
import { accrete } from "../support/cli.ts";
import { failureOf } from "../support/errors.ts";
import { configWith, isA, runToEnd, type Settings, TinyRuns } from "../support/runs.ts";
import { writeTinyDecoder, writeTinyModel } from "../support/tinyModels.ts";
import { jsonl } from "../support/tinyStreams.ts";
import { digits } from "../support/tolerances.ts";

const labels = ["turn_on", "off", "play_song", "call_mum"] as const;
const words = ["lamp", "stop", "music", "phone"] as const;

const fillers = ["now", "please", "again"] as const;

/** @param first texts of other numbers are other texts */
function rows(first: number, count: number): string {
  const examples = labels.flatMap((label, i) =>
    Array.from({ length: count }, (_, n) => ({
      text: `${words[i]} ${fillers[n % 3]} ${first + n} ${words[i]}`,
      label,
    })),
  );
  return jsonl(examples);
}

const exampleSchema = z.object({ text: z.string(), label: z.string() });

const runs = new TinyRuns();
const { root } = runs;
const yaml = runs.at("tiny.yaml");
let events: RunEvent[] = [];
const runFolder = () => runs.at("run");

const runTo = (name: string, settings?: Settings, enough = Infinity) => {
  let steps = 0;
  const stopAfter = ({ type }: RunEvent) => type === "step" && ++steps >= enough;
  return runs.run(name, settings, { resume: true, stopAfter });
};

beforeAll(async () => {
  await writeTinyDecoder(join(root, "model"));
  await writeTinyModel(join(root, "encoder"));
  await writeFile(join(root, "train.jsonl"), rows(100, 12));
  await writeFile(join(root, "validation.jsonl"), rows(200, 2));
  await writeFile(join(root, "test.jsonl"), rows(300, 4));
  await writeFile(
    yaml,
    `backbone: ./model
method: { adapter: lora, rank: 4, alpha: 8, targetModules: all-linear }
head: none
prompt: qa
stream: { train: train.jsonl, validation: validation.jsonl, test: test.jsonl, tasks: 2 }
training: { epochs: 16, batchSize: 4, learningRate: 1e-2, maxLength: 64 }
threads: 1
out: run
`,
  );
  await runs.furnish(async () => yaml);
  events = await runTo("run");
});

describe("a run with head: none", () => {
  it("learns to answer in words, and tells exact match beside label scoring", async () => {
    const metrics = runMetricsSchema.parse(
      JSON.parse(await readFile(join(runFolder(), "metrics.json"), "utf8")),
    );
    if (!("exactMatch" in metrics.til) || !("exactMatch" in metrics.cil)) throw new Error("no exact match");
    const { til, cil } = metrics;
    // The tiny texts name their label: spelling alone tells them.
    expect(metrics.baseline).toMatchObject({ method: "hashed n-grams, LDA", cil: 1, til: 1 });
    expect(til.labelScored.averageAccuracy).toBeGreaterThan(0.9);
    expect(til.exactMatch.averageAccuracy).toBeGreaterThan(0.5);
    expect(til.exactMatch.averageAccuracy).toBeLessThanOrEqual(1);
    // The newest adapter alone answers, and it has not heard of the first task.
    expect(cil.labelScored.matrix[0]).toEqual([til.labelScored.matrix[0]?.[0], null]);
    expect(cil.labelScored.matrix[1]?.[0]).toBeLessThan(0.5);
    expect(cil.labelScored.passesPerExample).toBe(1);
    for (const protocol of [til, cil]) {
      const { exactMatch: _, labelScored, ...own } = protocol;
      expect(own).toEqual(labelScored);
      expect(Object.keys(labelScored)).toEqual(expect.arrayContaining(["forgetting", "backwardTransfer"]));
    }
    expect(til.labelScored.forgetting).toBe(0);
  });

  it("shows both in its report", async () => {
    const record = await readRunRecord(runFolder());
    expect(renderTables(record, { color: false, width: 80 })).toContain("free answers, exact match, %");
    expect(await readFile(join(runFolder(), "report.html"), "utf8")).toContain("exact match of free answers");
  });

  it("leaves CAUSAL_LM folders without a head", async () => {
    const folder = join(runFolder(), "adapters", "task-1");
    expect((await readdir(folder)).sort()).toEqual([
      ".accrete",
      "accrete.json",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    const config = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ task_type: "CAUSAL_LM", peft_type: "LORA" });
  });

  it("ends with the same bytes when it was interrupted and goes on", async () => {
    const steps = events.filter(({ type }) => type === "step").length;
    await runTo("resumed", {}, Math.round(0.75 * steps));
    const between = await runs.adapterBytes("resumed");
    expect(Object.keys(between)).toHaveLength(4);
    const again = await runTo("resumed");
    expect(again.some(({ type }) => type === "run-resumed")).toBe(true);
    expect(await runs.adapterBytes("resumed")).toEqual(await runs.adapterBytes("run"));
  });

  it("is evaluated alike when it was interrupted between learning and evaluating its last task", async () => {
    const evaluatedBy = (all: readonly RunEvent[]) =>
      all.flatMap((event) => {
        if (event.type !== "evaluated" || event.task !== 1) return [];
        const { time: _, seconds: __, ...figures } = event;
        return figures;
      });
    await runs.run("late", {}, { stopAfter: isA("task-learned", 1) });
    expect(evaluatedBy(await runTo("late"))).toEqual(evaluatedBy(events));
  });
});

describe("predicting", () => {
  it("chooses among all labels by the newest adapter, and with a task among its own by its own", async () => {
    await using run = await openRun(runFolder());
    expect(run.level).toBe("sentence");
    const texts = words.map((word) => ({ text: `${word} again 400 ${word}` }));
    const all = await run.predict(texts, { top: 9 });
    for (const { top, label, score, passes } of all) {
      expect(top.map((each) => each.label).sort()).toEqual([...labels].sort());
      expect(top.reduce((sum, each) => sum + each.score, 0)).toBeCloseTo(1, digits.float64Long);
      expect(top[0]).toEqual({ label, score });
      expect(passes).toBe(1);
    }
    expect(all.slice(2).map(({ label, task }) => [label, task])).toEqual([
      ["play_song", "task-1"],
      ["call_mum", "task-1"],
    ]);
    const own = await run.predict(texts.slice(0, 2), { task: "task-0" });
    expect(own.map(({ label, task }) => [label, task])).toEqual([
      ["turn_on", "task-0"],
      ["off", "task-0"],
    ]);
    await expect(run.predict(texts, { task: "task-9" })).rejects.toBeInstanceOf(ConfigError);
    await expect(run.findEntities(texts)).rejects.toBeInstanceOf(StoreError);
  });

  it("works from one adapter folder", async () => {
    await using adapter = await loadAdapter(join(runFolder(), "adapters/task-0"), { maxLength: 64 });
    const [first] = await adapter.predict([{ text: "stop now 400 stop" }]);
    expect(first?.label).toBe("off");
  });
});

describe("accrete generate", () => {
  it("says what a task's adapter learned, one JSON object a line", async () => {
    const prompt = "Question: lamp now 400 lamp\n Short Answer:";
    const { exitCode, out } = await accrete("generate", runFolder(), prompt, "--task", "task-0", "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(out)).toEqual({ prompt, completion: " turn on", tokens: 7, task: "task-0" });
  });

  it("reads prompts from a file, and counts its tokens", async () => {
    const file = join(root, "prompts.txt");
    await writeFile(file, "one\ntwo two\n");
    const model = join(root, "model");
    const { out } = await accrete("generate", model, "--file", file, "--max-new-tokens", "3", "--json");
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ prompt }) => prompt)).toEqual(["one", "two two"]);
    await using generator = await openGenerator(model);
    const together = await generator.generate(["one", "two two"], { maxNewTokens: 3 });
    expect(lines.map(({ completion, tokens }) => ({ completion, tokens }))).toEqual(together);
    const longer = await generator.generate(["one"], { maxNewTokens: 6 });
    expect(longer[0]?.completion.startsWith(together[0]?.completion ?? "-")).toBe(true);
  });

  it.each([
    ["an encoder", ["encoder", "a"], "an encoder, which continues no text"],
    ["a task of a model", ["model", "a", "--task", "x"], 'a model, which has no task "x"'],
    ["an unknown task of a run", ["run", "a", "--task", "x"], 'no task is called "x"'],
    ["prompts and a file", ["model", "a", "--file", "b"], "prompts and --file at once"],
    [
      "more tokens than the model takes",
      ["model", "a", "--max-new-tokens", "500"],
      "do not fit the model's 96",
    ],
    ["no tokens", ["model", "a", "--max-new-tokens", "0"], "whole number of at least 1"],
  ])("refuses %s", async (_, [source = "", ...rest], message) => {
    const { exitCode, err } = await accrete("generate", join(root, source), ...rest);
    expect(err).toContain(message);
    expect(exitCode).toBe(2);
  });
});

/** What a run is refused with, before its folder is made. */
async function refusal(settings: Settings): Promise<AccreteError> {
  const error = await failureOf(runTo("refused", settings));
  await expect(readdir(runs.at("refused"))).rejects.toThrow("ENOENT");
  return error;
}

async function streamWith(label: string): Promise<Settings> {
  const folder = await mkdtemp(join(root, "stream-"));
  for (const [split, first] of [
    ["train", 100],
    ["test", 200],
  ] as const) {
    const line = `${JSON.stringify({ text: `${split} of another`, label })}\n`;
    await writeFile(join(folder, `${split}.jsonl`), rows(first, 3) + line);
  }
  return {
    "stream.train": join(folder, "train.jsonl"),
    "stream.test": join(folder, "test.jsonl"),
    "stream.validationFraction": 0,
  };
}

describe("what cannot be learned is told before anything is written", () => {
  it("an encoder", async () => {
    const error = await refusal({ backbone: join(root, "encoder") });
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(
      "encoder (bert): head: none answers in words, and an encoder writes none",
    );
  });

  it("a decoder without its language-modelling head", async () => {
    const folder = join(root, "headless");
    await writeTinyDecoder(folder, { tie_word_embeddings: false });
    const error = await refusal({ backbone: folder });
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain("no language-modelling head");
    const { exitCode, err } = await accrete("generate", folder, "a");
    expect(err).toContain("no language-modelling head");
    expect(exitCode).toBe(2);
  });

  it("a model whose texts have no end", async () => {
    const folder = join(root, "endless");
    await cp(join(root, "model"), folder, { recursive: true });
    await writeTinyDecoder(folder, { eos_token_id: null });
    await writeFile(join(folder, "tokenizer_config.json"), "{}");
    expect((await refusal({ backbone: folder })).message).toContain("which token ends a text");
  });

  it.each([
    ["turn on", 'labels "turn_on" and "turn on" have the same words'],
    ["_", 'label "_": its words have no tokens'],
  ])("the label %j", async (label, message) => {
    const error = await refusal(await streamWith(label));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(message);
  });

  it("a prompt that fills the whole length", async () => {
    const error = await refusal({ "training.maxLength": 20 });
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain('prompt "qa": takes');
  });

  it("a relation prompt where no entities are marked", async () => {
    const error = await refusal({ prompt: "relation" });
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain("task task-0, train, number 1");
  });
});

describe("the other branches on a decoder", () => {
  const cases = [
    ["prompt tuning in words", { method: { adapter: "prompt-tuning", virtualTokens: 4, init: "auto" } }],
    ["a linear head", { head: "linear", prompt: undefined }],
    ["a linear head behind a prompt", { head: "linear", prompt: "Say {text} :" }],
    [
      "a cosine head on the mean, under prompt tuning",
      {
        method: { adapter: "prompt-tuning", virtualTokens: 4, init: "vocab" },
        head: "cosine",
        prompt: undefined,
        feature: { pooling: "mean" },
      },
    ],
  ] as const;
  it.each(cases)("%s: runs, keeps earlier adapters, predicts", async (name, settings) => {
    const out = join(root, name.replaceAll(" ", "-"));
    const plain = join(root, "plain.yaml");
    const text = await readFile(yaml, "utf8");
    await writeFile(plain, "prompt" in settings ? text.replace("prompt: qa\n", "") : text);
    const given = Object.entries({ ...settings, out }).filter(([, value]) => value !== undefined);
    const config = await configWith(plain, Object.fromEntries(given));
    const losses: number[] = [];
    let accuracy: readonly number[] = [];
    for (const event of await runToEnd(config)) {
      if (event.type === "epoch" && event.task === 0) losses.push(event.meanLoss);
      if (event.type === "evaluated") accuracy = event.til;
    }
    expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] ?? 0));
    // What was measured in the run is what the saved run does.
    const lines = (await readFile(join(root, "test.jsonl"), "utf8")).trim().split("\n");
    const test = lines.map((line) => exampleSchema.parse(JSON.parse(line)));
    await using run = await openRun(out);
    for (const [j, { name: task, labels: own }] of run.tasks.entries()) {
      const texts = test.filter(({ label }) => own.includes(label));
      const predicted = await run.predict(texts, { task });
      const right = predicted.filter(({ label }, i) => label === texts[i]?.label);
      expect(right.length / texts.length).toBe(accuracy[j]);
    }
  });

  it("a head that learned behind a prompt predicts behind it", async () => {
    const folder = join(root, "a-linear-head-behind-a-prompt", "adapters", "task-0");
    const bare = join(root, "without-its-prompt");
    await cp(folder, bare, { recursive: true });
    const { prompt, ...rest } = JSON.parse(await readFile(join(bare, "accrete.json"), "utf8"));
    expect(prompt).toBe("Say {text} :");
    await writeFile(join(bare, "accrete.json"), JSON.stringify(rest));
    const scores: (number | undefined)[] = [];
    for (const path of [folder, bare]) {
      await using adapter = await loadAdapter(path);
      scores.push((await adapter.predict([{ text: "lamp now 400 lamp" }]))[0]?.score);
    }
    expect(scores[0]).not.toBe(scores[1]);
  });
});
