/**
 * What one pass costs in which every text goes through its own task's adapter, beside a pass with one adapter and one
 * with adapters off: `npx tsx bench/mixed.ts [--model ../shared/models/minilm-l6] [--texts 320] [--rounds 15]
 * [--threads 1] [--top 2]`. Adapters are random; the arms take turns in one process, in another order each round.
 * Reported are medians, minima, and the ratio of medians to the pass with one adapter. With `--top m` also exact
 * class-incremental mode over 15 tasks, with adapters in all layers and in the top m alone.
 */

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import type { LearnedTask } from "../src/continual/types.ts";
import { ConfigError } from "../src/core/errors.ts";
import { createRng, type Rng, shuffled } from "../src/core/random.ts";
import { float32, sizeOf } from "../src/core/tensor.ts";
import type { Encoding } from "../src/data/encoding/tokenizer.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { defaultHeads, initHead } from "../src/nn/heads.ts";
import { noDropout } from "../src/nn/layers/layers.ts";
import { adapterMethod } from "../src/peft/adapters.ts";
import { defaultTargetModules } from "../src/peft/targets.ts";
import type { AdapterSpec, LoraSpec } from "../src/peft/types.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { adapterHost, type ModelStructure } from "../src/train/graphs.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "../shared/models/minilm-l6" },
    texts: { type: "string", default: "320" },
    rounds: { type: "string", default: "15" },
    threads: { type: "string", default: "1" },
    top: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
if (!existsSync(flags.model)) throw new ConfigError(`--model: no folder at ${flags.model}`);

const loaded = await loadBackbone(flags.model);
const { backbone, tokenizer } = loaded;
const rng = createRng(1);
const mostTasks = 75;
const exactTasks = 15;

/** As long as CLINC150's sentences are: 6 to 18 tokens. */
const encodings: readonly Encoding[] = Array.from({ length: Number(flags.texts) }, () => {
  const length = 6 + rng.integer(13);
  const ids = Array.from({ length }, () => 1000 + rng.integer(backbone.config.vocabularySize - 1000));
  return { ids, typeIds: ids.map(() => 0), truncated: false };
});

function structureOf(adapter: AdapterSpec): ModelStructure {
  return { backbone, adapter, feature: { pooling: "mean", normalize: true }, head: defaultHeads.linear };
}

function drawTask(structure: ModelStructure, classes: number, own: Rng): LearnedTask {
  const { shapes } = adapterMethod(structure.adapter).build(adapterHost(structure), noDropout);
  const draw = (dims: readonly number[]) =>
    float32(
      Float32Array.from({ length: sizeOf(dims) }, () => 0.02 * own.normal()),
      dims,
    );
  return {
    name: "drawn",
    labels: Array.from({ length: classes }, String),
    adapter: new Map(shapes.map(({ name, dims }) => [name, draw(dims)])),
    head: initHead(structure.head, backbone.width, classes, own),
  };
}

interface Arm {
  readonly name: string;
  readonly run: () => Promise<unknown>;
}

interface Timing {
  readonly name: string;
  readonly medianMs: number;
  readonly minimumMs: number;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function time(arms: readonly Arm[], rounds: number): Promise<Timing[]> {
  const times = new Map(arms.map(({ name }) => [name, [] as number[]]));
  for (const { run } of arms) await run();
  for (let round = 0; round < rounds; round++)
    for (const { name, run } of shuffled(arms, rng.fork("round", round))) {
      const start = performance.now();
      await run();
      times.get(name)?.push(performance.now() - start);
    }
  return Array.from(times, ([name, all]) => ({
    name,
    medianMs: median(all),
    minimumMs: Math.min(...all),
  }));
}

function open(adapter: AdapterSpec): AdaptedBackbone {
  const structure = structureOf(adapter);
  const threads = Number(flags.threads);
  return new AdaptedBackbone({ structure, tokenizer, runtime: nodeRuntime, maxLength: 128, threads });
}

const lora: LoraSpec = {
  rank: 4,
  alpha: 8,
  dropout: 0,
  bias: "none",
  targetModules: defaultTargetModules(backbone.config.architecture),
  rslora: false,
};
const kinds: Readonly<Record<string, AdapterSpec>> = {
  "LoRA r 4": { kind: "lora", spec: lora },
  "10 virtual tokens": { kind: "prompt-tuning", spec: { virtualTokens: 10, init: "random" } },
};

function report(title: string, timings: readonly Timing[], unit: string): void {
  const base = timings.find(({ name }) => name === unit)?.medianMs ?? Number.NaN;
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ title, timings })}\n`);
    return;
  }
  process.stdout.write(`${title}, ${encodings.length} texts\n`);
  for (const { name, medianMs, minimumMs } of timings)
    process.stdout.write(
      `  ${name.padEnd(34)} median ${medianMs.toFixed(1).padStart(8)} ms  minimum ${minimumMs.toFixed(1).padStart(8)} ms  × ${(medianMs / base).toFixed(3)}\n`,
    );
}

for (const [name, adapter] of Object.entries(kinds)) {
  await using model = open(adapter);
  // Two classes a task, as in a stream of 75 tasks over CLINC150.
  const tasks = Array.from({ length: mostTasks }, (_, i) =>
    drawTask(model.structure, 2, rng.fork(name, "task", i)),
  );
  const [first] = tasks;
  const mixed = (count: number): Arm => {
    const taskOf = Int32Array.from(encodings, () => rng.integer(count));
    return { name: `${count} adapters mixed`, run: () => model.mixedLogits(tasks, taskOf, encodings) };
  };
  const one: Arm = {
    name: "one adapter",
    run: () => (first === undefined ? Promise.resolve() : model.logits(first, encodings)),
  };
  const off: Arm = { name: "adapters off", run: () => model.frozenFeatures(encodings) };
  // The larger stack first, so that both mixed passes gather from it.
  report(name, await time([mixed(mostTasks), mixed(exactTasks), one, off], Number(flags.rounds)), one.name);
}

if (flags.top !== undefined) {
  const depth = backbone.config.layers;
  const top = Number(flags.top);
  const layers = Array.from({ length: top }, (_, i) => depth - top + i);
  await using whole = open({ kind: "lora", spec: lora });
  await using above = open({ kind: "lora", spec: { ...lora, layers } });
  const arm = (model: AdaptedBackbone, name: string): Arm => {
    const tasks = Array.from({ length: exactTasks }, (_, i) =>
      drawTask(model.structure, 10, rng.fork(name, i)),
    );
    return {
      name: `${name}: ${model.passesOf(exactTasks).toFixed(2)} passes`,
      run: () => model.outputsOfTasks(tasks, encodings),
    };
  };
  const arms = [arm(whole, "all layers"), arm(above, `top ${top} of ${depth}`)];
  const timings = await time(arms, Math.ceil(Number(flags.rounds) / 3));
  report(`Exact mode, ${exactTasks} tasks`, timings, arms[0]?.name ?? "");
}
