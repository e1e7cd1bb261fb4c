/**
 * How many rounds the frozen selection network trains for, and whether it begins anew with each task, goes on with all
 * its outputs, or goes on and grows by an output a task, judged on validation texts alone:
 * `npx tsx studies/selectorRounds.ts [clinc150|banking77 …] [--shared ../shared]`. Frozen MiniLM features, tasks divided
 * by seed 1; CLINC150 has its own validation part, Banking77's is held out of train. A network that begins anew is a
 * function of the last task's fit alone, so only that one is made.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { measureClasses, mixRows } from "../src/continual/newlora/selectorFrozen.ts";
import { SelectionNetwork } from "../src/continual/newlora/selectorNetwork.ts";
import {
  type ClassStatistics,
  growSelector,
  initSelector,
  type SelectorTensors,
} from "../src/continual/newlora/selectorState.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import { argmax, type FeatureRows } from "../src/continual/types.ts";
import { ConfigError } from "../src/core/errors.ts";
import { createRng } from "../src/core/random.ts";
import type { LabelledExample } from "../src/data/files/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { settingsOf } from "../src/model/settings/settings.ts";
import { resolveStructure, resolveTraining } from "../src/model/settings/structure.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import type { TrainingOptions } from "../src/train/trainer.ts";

const SEED = 1;
const datasets: Readonly<Record<string, number>> = { clinc150: 15, banking77: 7 };
const settings = [
  { start: "anew", rounds: 5 },
  { start: "anew", rounds: 10 },
  { start: "anew", rounds: 20 },
  { start: "anew", rounds: 40 },
  { start: "goes on", rounds: 5 },
  { start: "goes on", rounds: 10 },
  { start: "goes on", rounds: 20 },
  { start: "grows", rounds: 20 },
] as const;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { shared: { type: "string", default: "../shared" } },
});

/** A task's frozen features. */
interface TaskFeatures {
  readonly name: string;
  readonly classes: number;
  readonly train: FeatureRows;
  readonly slots: readonly number[];
  readonly validation: FeatureRows;
}

interface Material {
  readonly tasks: readonly TaskFeatures[];
  readonly normalize: boolean;
  readonly training: TrainingOptions;
}

async function prepare(recipe: string, tasks: number): Promise<Material> {
  const config = resolveConfig(
    {
      backbone: join(flags.shared, "models/minilm-l6"),
      stream: { recipe, path: join(flags.shared, "data", recipe), tasks, classOrder: "shuffled" },
      threads: 1,
      seed: SEED,
      out: "unused",
    },
    process.cwd(),
  );
  const loaded = await loadBackbone(config.backbone);
  const structure = resolveStructure(settingsOf(config), loaded);
  await using model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    threads: 1,
  });
  const featuresOf = (rows: readonly LabelledExample[]) => model.frozenFeatures(model.encode(rows).encodings);
  const { tasks: stream } = await loadStream(config.stream, SEED);
  const found: TaskFeatures[] = [];
  for (const { name, labels, train, validation } of stream)
    found.push({
      name,
      classes: labels.length,
      train: await featuresOf(train),
      slots: train.map(({ label }) => labels.indexOf(label)),
      validation: await featuresOf(validation),
    });
  return { tasks: found, normalize: structure.feature.normalize, training: resolveTraining(config) };
}

/** Validation texts of all tasks whose task the network finds, as a fraction. */
async function taskFound(
  network: SelectionNetwork,
  tensors: SelectorTensors,
  tasks: readonly TaskFeatures[],
) {
  let right = 0;
  let all = 0;
  for (const [index, { validation }] of tasks.entries()) {
    const { rows, width, values } = await network.weigh(tensors, validation);
    for (let row = 0; row < rows; row++)
      if (argmax(values.subarray(row * width, (row + 1) * width)) === index) right += 1;
    all += rows;
  }
  return right / all;
}

async function measure(
  { tasks, normalize, training }: Material,
  { start, rounds }: (typeof settings)[number],
): Promise<number> {
  const width = tasks[0]?.train.width ?? 0;
  await using network = new SelectionNetwork((graph) => nodeRuntime.compile(graph, { threads: 1 }), width);
  const rng = createRng(SEED).fork("selector");
  let tensors = initSelector(width, rng);
  const earlier: ClassStatistics[] = [];
  for (const [index, { name, train, slots, classes }] of tasks.entries()) {
    if (start !== "anew" || index === tasks.length - 1) {
      tensors = growSelector(tensors, start === "grows" ? index + 1 : tasks.length, rng);
      const owners = slots.map(() => index);
      const mix = (draw: typeof rng) =>
        mixRows({ features: train, owners, classes }, earlier, normalize, draw);
      await network.fit(tensors, mix, { ...training, rounds }, rng.fork("task", name));
    }
    earlier.push(...measureClasses(train, slots, index));
  }
  return await taskFound(network, tensors, tasks);
}

for (const recipe of positionals.length === 0 ? Object.keys(datasets) : positionals) {
  const tasks = datasets[recipe];
  if (tasks === undefined)
    throw new ConfigError(`${recipe}: no data set here`, { hint: Object.keys(datasets).join(", ") });
  const started = performance.now();
  const material = await prepare(recipe, tasks);
  const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(0)} s`;
  console.log(`${recipe}: frozen features in ${seconds(started)}`);
  for (const setting of settings) {
    const begun = performance.now();
    const found = await measure(material, setting);
    const percent = (100 * found).toFixed(2);
    console.log(
      `${setting.start.padEnd(8)} ${String(setting.rounds).padStart(3)} rounds: task found ${percent} %, ${seconds(begun)}`,
    );
  }
}
