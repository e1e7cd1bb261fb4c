/** How a task is answered before it is learned, in a run, against the model asked directly. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config/load.ts";
import { fromSavedAnswers } from "../../src/continual/taskTypes/savedTask.ts";
import type { LearnedTask } from "../../src/continual/types.ts";
import { runMetricsSchema } from "../../src/core/record.ts";
import { DEFAULT_PROMPT } from "../../src/data/encoding/prompts.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";
import type { CausalStructure } from "../../src/generate/graphs.ts";
import { loadBackbone } from "../../src/model/settings/backbone.ts";
import { endTokens } from "../../src/model/settings/endTokens.ts";
import { readPeftFolder } from "../../src/peft/checkpoint.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { openGeneration } from "../support/learning.ts";
import { runToEnd } from "../support/runs.ts";
import { writeTinyDecoder } from "../support/tinyModels.ts";
import { jsonl } from "../support/tinyStreams.ts";
import { digits } from "../support/tolerances.ts";

const tasks = [
  ["turn_on", "off"],
  ["play_song", "call_mum"],
  ["good_day", "bad_day"],
] as const;

function rows(first: number, count: number): LabelledExample[] {
  return tasks.flat().flatMap((label, i) =>
    Array.from({ length: count }, (_, n) => ({
      text: `${"lamp stop music phone sun rain".split(" ")[i]} ${first + n}`,
      label,
    })),
  );
}

const root = folderOfTestFile("forward");
const test = rows(300, 6);
const training = { epochs: 3, batchSize: 4, learningRate: 1e-2, maxLength: 48 };

async function run(out: string, method: Readonly<Record<string, unknown>>, rates = {}) {
  await writeFile(join(root, "train.jsonl"), jsonl(rows(100, 6)));
  await writeFile(join(root, "test.jsonl"), jsonl(test));
  const config = resolveConfig(
    {
      backbone: "./model",
      method,
      head: "none",
      stream: {
        train: "train.jsonl",
        test: "test.jsonl",
        taskList: tasks.map((labels, i) => ({ name: `task-${i}`, labels })),
      },
      training: { ...training, ...rates },
      threads: 1,
      out,
    },
    root,
  );
  const evaluated = (await runToEnd(config)).filter((event) => event.type === "evaluated");
  const metrics = runMetricsSchema.parse(JSON.parse(await readFile(join(root, out, "metrics.json"), "utf8")));
  return { evaluated, metrics };
}

async function saved(run: string, task: number) {
  const folder = join(root, run, "adapters", `task-${task}`);
  const loaded = await loadBackbone(join(root, "model"));
  return fromSavedAnswers(`task-${task}`, await readPeftFolder(folder), loaded, folder);
}

/** Right answers on task `next`'s test set, asked of the model itself. */
async function ask(next: number, structure: CausalStructure, task: LearnedTask) {
  const loaded = await loadBackbone(join(root, "model"));
  const known = tasks.slice(0, next + 1).flat();
  const { answerEnd: end = expect.unreachable() } = await endTokens(loaded);
  const { maxLength } = training;
  await using type = openGeneration(loaded, structure, {
    prompt: DEFAULT_PROMPT,
    labels: known,
    end,
    maxLength,
  });
  const own: readonly string[] = tasks[next] ?? [];
  const examples = test.filter(({ label }) => own.includes(label));
  const right = async (labels: readonly string[]) => {
    const scores = await type.trained.scores(task, type.encode(examples).prompts, labels);
    return examples.filter(({ label }, i) => {
      const row = [...(scores[i] ?? [])];
      return labels[row.indexOf(Math.max(...row))] === label;
    }).length;
  };
  return { til: await right(own), cil: await right(known) };
}

beforeAll(() => writeTinyDecoder(join(root, "model")));

describe("before a task is learned", () => {
  it("its test set is answered by the adapter before it, and by the backbone alone", async () => {
    const { evaluated, metrics } = await run("lora", { rank: 4, alpha: 8, targetModules: "all-linear" });
    const loaded = await loadBackbone(join(root, "model"));
    if (loaded.backbone.kind !== "decoder") throw new Error("no decoder");
    expect(evaluated.map(({ unseen }) => unseen?.counted)).toEqual([12, 12, undefined]);
    for (const next of [1, 2]) {
      const before = await saved("lora", next - 1);
      const newest = await ask(next, before.structure, before.task);
      const bare = { name: "bare", labels: [], adapter: new Map(), head: new Map() };
      const untrained = await ask(next, { backbone: loaded.backbone }, bare);
      expect(evaluated[next - 1]?.unseen).toEqual({
        counted: 12,
        til: { newest: newest.til, untrained: untrained.til },
        cil: { newest: newest.cil, untrained: untrained.cil },
      });
    }
    // The newest adapter answers with its own labels: the labels in play make a difference, so both were counted.
    expect(evaluated.map(({ unseen }) => unseen?.til)).not.toEqual(
      evaluated.map(({ unseen }) => unseen?.cil),
    );
    if (metrics.level !== undefined) throw new Error("sentences");
    for (const protocol of ["til", "cil"] as const) {
      const parts = evaluated.flatMap(({ unseen }) => (unseen ? [unseen[protocol]] : []));
      expect(metrics[protocol].forwardTransfer).toBeCloseTo(
        parts.reduce((sum, { newest, untrained }) => sum + (newest - untrained) / 12, 0) / 2,
        digits.float64,
      );
    }
  });

  it("under prompt tuning the untrained adapter is the prompt that the task begins with", async () => {
    const method = { adapter: "prompt-tuning", virtualTokens: 4, init: "vocab" };
    const { evaluated } = await run("prompt", method);
    // Learning at a rate of zero leaves what a task begins with.
    await run("still", method, { learningRate: 0, weightDecay: 0 });
    for (const next of [1, 2]) {
      const { structure, task } = await saved("still", next);
      const untrained = await ask(next, structure, task);
      expect(evaluated[next - 1]?.unseen).toMatchObject({
        til: { untrained: untrained.til },
        cil: { untrained: untrained.cil },
      });
    }
  });
});
