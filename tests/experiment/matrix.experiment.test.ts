/**
 * Combinations that the table lets pass learn two tasks; the others are refused before anything is loaded. The heads
 * stay as they began, so that what falls of the loss is the adapter's doing.
 */

import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { allCombinations, type Combination, checkCombination } from "../../src/config/combinations.ts";
import { type ResolvedConfig, resolveConfig } from "../../src/config/load.ts";
import { AdaptedBackbone } from "../../src/continual/passes/adaptedBackbone.ts";
import { GenerativeBackbone } from "../../src/continual/passes/generativeBackbone.ts";
import { fromSavedAdapter, fromSavedAnswers } from "../../src/continual/taskTypes/savedTask.ts";
import { IGNORED, tokenTargets } from "../../src/continual/taskTypes/wordTargets.ts";
import { type LearnedTask, type LoadedBackbone, rowOf } from "../../src/continual/types.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { float32 } from "../../src/core/tensor.ts";
import { promptTemplate } from "../../src/data/encoding/prompts.ts";
import { readConll } from "../../src/data/files/conll.ts";
import { OUTSIDE } from "../../src/data/files/tags.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";
import { runExperiment } from "../../src/experiment/runExperiment.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { endTokens } from "../../src/model/settings/endTokens.ts";
import { type Architecture, architectures, families } from "../../src/nn/families.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { failureOf } from "../support/errors.ts";
import { bytesBelow, folderOfTestFile } from "../support/folders.ts";
import { runToEnd } from "../support/runs.ts";
import { writeTinyFamily } from "../support/tinyModels.ts";
import { conll, jsonl } from "../support/tinyStreams.ts";

const labels = ["aa", "bb", "cc", "dd"] as const;
const prompt = "{text} is";
const trainTexts = () => sentences(100, 12);
const taskNames = ["task-0", "task-1"] as const;

const root = folderOfTestFile("matrix");

/**
 * Of every task's two labels one has more texts than the other: where the head is random and stays so, that is the
 * first that even a short prompt can learn.
 */
function sentences(first: number, count: number): LabelledExample[] {
  return labels.flatMap((label, k) =>
    Array.from({ length: k % 2 === 0 ? count : count / 4 }, (_, i) => ({
      text: `${label[0]} ${first + i} ${label[0]}`,
      label,
    })),
  );
}

/** What runs, with the rule of `O` where that is not the default. */
interface Run extends Combination {
  readonly outside?: "first";
}

const nameOf = ({ family, adapter, head, level, outside }: Run) =>
  `${family}, ${adapter}, ${head}, ${level}${outside === undefined ? "" : `, outside: ${outside}`}`;

const methods: { readonly [A in Combination["adapter"]]: Readonly<Record<string, unknown>> } = {
  lora: { adapter: "lora", rank: 4, alpha: 8, dropout: 0, targetModules: "all-linear" },
  "prompt-tuning": { adapter: "prompt-tuning", virtualTokens: 14, init: "random" },
};

interface Schedule {
  readonly epochs: number;
  readonly learningRate: number;
  /** What the loss falls to at most, of what it was in the first epoch. */
  readonly falls: number;
}

/** A prompt has less hold on a frozen model than what stands in its every layer. */
const schedules: { readonly [A in Combination["adapter"]]: Schedule } = {
  lora: { epochs: 10, learningRate: 2e-2, falls: 0.85 },
  "prompt-tuning": { epochs: 15, learningRate: 0.6, falls: 0.95 },
};

const streams: { readonly [L in Combination["level"]]: Readonly<Record<string, unknown>> } = {
  sentence: { train: "train.jsonl", test: "test.jsonl", tasks: 2, validationFraction: 0 },
  word: {
    train: "train.conll",
    test: "test.conll",
    base: 2,
    increment: 2,
    sampling: "all",
    validationFraction: 0,
  },
};

/**
 * Words have a router by default. Fitting it takes longer than all that is looked at here, and it reads the frozen backbone
 * alike with every adapter and head: one combination of a family keeps it.
 */
function isRouted({ family, head, adapter, outside }: Run): boolean {
  return thorough.has(family) && head === "linear" && adapter === "lora" && outside === undefined;
}

function configOf(combination: Run, out: string, baseDir = root): ResolvedConfig {
  const { family, adapter, head, level, outside } = combination;
  const { epochs, learningRate } = schedules[adapter];
  const raw = {
    backbone: `./${family}`,
    method: methods[adapter],
    head,
    level,
    ...(outside && { outside }),
    ...(level === "word" && !isRouted(combination) && { router: "none" }),
    ...(head === "none" && { prompt }),
    stream: streams[level],
    training: { epochs, batchSize: 8, learningRate, headLearningRate: 0, maxLength: 36 },
    threads: 1,
    out,
  };
  return resolveConfig(raw, baseDir);
}

/** −log softmax(row)[slot] */
function negativeLogLikelihood(row: Float32Array, slot: number): number {
  const largest = Math.max(...row);
  const sum = row.reduce((total, x) => total + Math.exp(x - largest), 0);
  return largest + Math.log(sum) - (row[slot] ?? Number.NaN);
}

const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

function zeroed(task: LearnedTask): LearnedTask {
  const zeros = [...task.adapter].map(
    ([name, { data, dims }]) => [name, float32(new Float32Array(data.length), dims)] as const,
  );
  return { ...task, adapter: new Map(zeros) };
}

/** A task's loss on what it was trained on, as learned and with its adapter at zero. */
type Losses = readonly [learned: number, zeroed: number];

async function lossesOfAnswers(
  config: ResolvedConfig,
  loaded: LoadedBackbone,
  name: string,
): Promise<Losses> {
  const folder = join(config.out, "adapters", name);
  const { task, structure } = fromSavedAnswers(name, await readPeftFolder(folder), loaded, folder);
  const { answerEnd, stopIds } = await endTokens(loaded);
  await using model = new GenerativeBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    template: promptTemplate(prompt),
    labels: task.labels,
    maxLength: config.training.maxLength,
    endId: answerEnd ?? expect.unreachable(),
    stopIds,
    threads: 1,
  });
  const own = trainTexts().filter(({ label }) => task.labels.includes(label));
  const { prompts } = model.encode(own);
  const loss = async (which: LearnedTask) => {
    const scores = await model.scores(which, prompts, task.labels);
    return mean(own.map(({ label }, i) => -(scores[i]?.[task.labels.indexOf(label)] ?? Number.NaN)));
  };
  return [await loss(task), await loss(zeroed(task))];
}

interface HeadedTasks {
  readonly model: AdaptedBackbone;
  /** Its head carries `O`, whoever else's does. */
  readonly first: LearnedTask;
}

async function sentenceLoss({ model }: HeadedTasks, task: LearnedTask): Promise<number> {
  const own = trainTexts().filter(({ label }) => task.labels.includes(label));
  const logits = await model.logits(task, model.encode(own).encodings);
  const slots = own.map(({ label }) => task.labels.indexOf(label));
  return mean(slots.map((slot, row) => negativeLogLikelihood(rowOf(logits, row), slot)));
}

/** On the sentences that hold the task's types, what is not of them masked to `O`. */
async function wordLoss({ model, first }: HeadedTasks, task: LearnedTask): Promise<number> {
  const slots = [OUTSIDE, ...task.labels.filter((label) => label !== OUTSIDE)];
  const { sentences: all } = await readConll(join(root, "train.conll"));
  const own = all.filter(({ tags }) => tags.some((tag) => tag !== OUTSIDE && slots.includes(tag)));
  const { encodings } = model.encodeWords(own);
  const logits = await model.tokenLogits(task, encodings);
  const outside = task.labels.includes(OUTSIDE) ? undefined : await model.tokenLogits(first, encodings);
  const losses = own.flatMap(({ tags }, i) => {
    const [encoding, rows, o] = [encodings[i], logits[i], outside?.[i]];
    if (encoding === undefined || rows === undefined) return [];
    const masked = tags.map((tag) => (slots.includes(tag) ? tag : OUTSIDE));
    return tokenTargets(encoding, masked, slots).flatMap((slot, token) => {
      const head = rowOf(rows, token);
      const row = o === undefined ? head : Float32Array.of(rowOf(o, token)[0] ?? Number.NaN, ...head);
      return slot === IGNORED ? [] : [negativeLogLikelihood(row, slot)];
    });
  });
  return mean(losses);
}

async function lossesOfHeads(config: ResolvedConfig, loaded: LoadedBackbone, name: string): Promise<Losses> {
  const restore = async (which: string) => {
    const folder = join(config.out, "adapters", which);
    return fromSavedAdapter(which, await readPeftFolder(folder), loaded, folder);
  };
  const { task: first } = await restore("task-0");
  const { task, structure } = await restore(name);
  const { tokenizer } = loaded;
  const { maxLength } = config.training;
  await using model = new AdaptedBackbone({
    structure,
    tokenizer,
    runtime: nodeRuntime,
    maxLength,
    threads: 1,
  });
  const loss = config.level === "word" ? wordLoss : sentenceLoss;
  return [await loss({ model, first }, task), await loss({ model, first }, zeroed(task))];
}

beforeAll(async () => {
  for (const family of architectures) await writeTinyFamily(family, join(root, family));
  await writeFile(join(root, "train.jsonl"), jsonl(trainTexts()));
  await writeFile(join(root, "test.jsonl"), jsonl(sentences(200, 4)));
  await writeFile(join(root, "train.conll"), conll(0, 32));
  await writeFile(join(root, "test.conll"), conll(2000, 8));
});

/** One family stands for all in the original's rule: it decides what heads are compared with, and nothing of backbones. */
function runsOf(combination: Combination): readonly Run[] {
  const { level, head, family } = combination;
  const both = level === "word" && head !== "none" && family === "bert";
  return [combination, ...(both ? [{ ...combination, outside: "first" as const }] : [])];
}

/** Families that learn with everything: one of every network that is built otherwise. */
const thorough: ReadonlySet<Architecture> = new Set(["bert", "gpt2", "gpt_neox", "llama"]);

/** ELECTRA's tiny model has narrow words; the losses of DeBERTa's and XLM-RoBERTa's fall by 4.6 and 4.3 % of the 5 that are asked of a prompt. */
const hardOfPrompts: ReadonlySet<Architecture> = new Set(["electra", "deberta-v2", "xlm-roberta"]);

/**
 * What a combination does depends on the kind of backbone alone (`checkCombination`), so the other families learn with their
 * own head, in words, and with a prompt where their words are as wide as their layers.
 */
function isTried({ family, head, adapter, level }: Combination): boolean {
  if (head === "own") return adapter === "lora";
  if (thorough.has(family)) return true;
  if (adapter === "prompt-tuning")
    return head === "linear" && level === "sentence" && !hardOfPrompts.has(family);
  return head === "none";
}

const combinations = allCombinations()
  .filter(isTried)
  .flatMap(runsOf)
  .map((combination) => ({ name: nameOf(combination), combination }));
const allowed = combinations.filter(({ combination }) => checkCombination(combination).allowed);
const refused = combinations.filter(({ combination }) => !checkCombination(combination).allowed);

describe("what runs learns", () => {
  test.each(allowed)("$name", async ({ name, combination }) => {
    const config = configOf(combination, join(root, "runs", name));
    const { falls } = schedules[combination.adapter];
    const meanLosses: number[][] = [[], []];
    let first: unknown;
    for await (const event of runExperiment(config)) {
      if (event.type === "epoch") meanLosses[event.task]?.push(event.meanLoss);
      if (event.type === "task-learned") first ??= await bytesBelow(join(config.out, "adapters", "task-0"));
    }
    expect(await bytesBelow(join(config.out, "adapters", "task-0"))).toEqual(first);
    const loaded = await loadBackbone(config.backbone);
    for (const [index, task] of taskNames.entries()) {
      const [start = 0, ...rest] = meanLosses[index] ?? [];
      expect(rest.at(-1), `${task}: loss after, ${start} before`).toBeLessThan(falls * start);
      const losses = combination.head === "none" ? lossesOfAnswers : lossesOfHeads;
      const [learned, without] = await losses(config, loaded, task);
      expect(without, `${task}: loss without the adapter, ${learned} with it`).toBeGreaterThan(
        1.05 * learned,
      );
    }
    await rm(config.out, { recursive: true });
  });
});

describe("what does not run is refused with the reason, and nothing but config.json is read", () => {
  test.each(refused)("$name", async ({ combination }) => {
    const verdict = checkCombination(combination);
    if (verdict.allowed) return expect.unreachable();
    const folder = await mkdtemp(join(root, "refused-"));
    const { family } = combination;
    await mkdir(join(folder, family));
    // Neither weights nor a tokenizer, and none of the stream's files.
    await copyFile(join(root, family, "config.json"), join(folder, family, "config.json"));
    const out = join(folder, "run");
    const refusing = Promise.resolve().then(() => runToEnd(configOf(combination, out, folder)));
    expect((await failureOf(refusing, ConfigError)).message).toContain(verdict.reason);
    expect((await readdir(folder)).sort()).toEqual([family]);
  });

  test("an encoder without a head and words without a head, and nothing else", () => {
    const cases = new Set(
      refused.map(({ combination: { family, head, level } }) => `${families[family].kind} ${head} ${level}`),
    );
    expect([...cases].sort()).toEqual(["decoder none word", "encoder none sentence", "encoder none word"]);
  });
});
