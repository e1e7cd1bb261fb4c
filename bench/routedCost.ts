/**
 * Whether a routed answer costs more where there are more tasks: CLINC150's 150 classes cut into 75 tasks of 2 and into 3
 * of 50, the same LDA router, every text a second pass through the adapter of its likeliest task (k = 1); and what it costs
 * where adapters are in the top two layers alone, so that the second pass goes on from the first one's trunk.
 * `npx tsx bench/routedCost.ts [--shared ../shared] [--texts 640] [--rounds 9] [--threads 1] [--json]`. The adapters are
 * drawn by chance: what they say does not change what they cost. The arms take turns in one process, in another order
 * each round; medians, and their ratio.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import { RouterFitter } from "../src/continual/routers/fit.ts";
import type { Fusion } from "../src/continual/routing/fusion.ts";
import { route } from "../src/continual/routing/routedPrediction.ts";
import { quantize, takeRows } from "../src/continual/statistics/fixedRows.ts";
import { ClassStatistics } from "../src/continual/statistics/statistics.ts";
import type { LearnedTask } from "../src/continual/types.ts";
import { createRng, type Rng, shuffled } from "../src/core/random.ts";
import { float32, sizeOf } from "../src/core/tensor.ts";
import { loadStream } from "../src/data/stream.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { settingsOf } from "../src/model/settings/settings.ts";
import { resolveStructure } from "../src/model/settings/structure.ts";
import { initHead } from "../src/nn/heads.ts";
import { noDropout } from "../src/nn/layers/layers.ts";
import { adapterMethod } from "../src/peft/adapters.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { adapterHost, type ModelStructure } from "../src/train/graphs.ts";

const { values: flags } = parseArgs({
  options: {
    shared: { type: "string", default: "../shared" },
    texts: { type: "string", default: "640" },
    rounds: { type: "string", default: "9" },
    threads: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(flags.threads);
const features = { layers: [0, 3, 4, 5, 6] };
const rng = createRng(1);

async function loadCut(tasks: number, method = {}) {
  const config = resolveConfig(
    {
      backbone: join(flags.shared, "models/minilm-l6"),
      stream: {
        recipe: "clinc150",
        path: join(flags.shared, "data/clinc150"),
        tasks,
        classOrder: "shuffled",
      },
      method,
      threads,
      seed: 1,
      out: "unused",
    },
    process.cwd(),
  );
  return { config, tasks: (await loadStream(config.stream, config.seed)).tasks };
}

function drawTask(
  structure: ModelStructure,
  { name, labels }: { readonly name: string; readonly labels: readonly string[] },
  own: Rng,
): LearnedTask {
  const { shapes } = adapterMethod(structure.adapter).build(adapterHost(structure), noDropout);
  const draw = (dims: readonly number[]) =>
    float32(
      Float32Array.from({ length: sizeOf(dims) }, () => 0.02 * own.normal()),
      dims,
    );
  return {
    name,
    labels,
    adapter: new Map(shapes.map((shape) => [shape.name, draw(shape.dims)])),
    head: initHead(structure.head, structure.backbone.width, labels.length, own),
  };
}

const fine = await loadCut(75);
const coarse = await loadCut(3);
const loaded = await loadBackbone(fine.config.backbone);
const open = ({ config }: typeof fine) =>
  new AdaptedBackbone({
    structure: resolveStructure(settingsOf(config), loaded),
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    threads,
  });
await using model = open(fine);
const topLayers = await loadCut(75, { layers: 2 });
await using topModel = open(topLayers);

const constants = {
  backbone: loaded.folder.hash,
  layers: features.layers,
  width: features.layers.length * model.structure.backbone.width,
  seed: 1,
};
let statistics = ClassStatistics.empty(constants);
for (const { labels, train } of coarse.tasks) {
  const rows = quantize(await model.routingFeatures(model.encode(train).encodings, features));
  statistics = statistics.with(
    labels.map((label) => ({
      label,
      rows: takeRows(
        rows,
        train.flatMap((example, i) => (example.label === label ? [i] : [])),
      ),
    })),
  );
}
await using fitter = new RouterFitter((graph) => model.compile(graph));
const router = await fitter.fit(statistics, { kind: "lda", seed: 1 });

const test = shuffled(
  coarse.tasks.flatMap((task) => task.test),
  rng.fork("texts"),
).slice(0, Number(flags.texts));
const { encodings } = model.encode(test);
/** Every text gets its second pass. */
const fusion: Fusion = { confident: Number.POSITIVE_INFINITY, weight: 1, topTasks: 1 };

interface Arm {
  readonly name: string;
  /** @returns forward passes a text */
  readonly run: () => Promise<number>;
}

function routedArm(own: AdaptedBackbone, cut: typeof fine, where = ""): Arm {
  const tasks = cut.tasks.map((task, i) => {
    const learned = drawTask(own.structure, task, rng.fork("task", cut.tasks.length, i));
    return { name: task.name, labels: task.labels, learned };
  });
  return {
    name: `routed, ${tasks.length} tasks of ${tasks[0]?.labels.length}${where}`,
    run: async () => {
      const answers = await route(own, tasks, { router, features, fusion }, encodings);
      return answers.reduce((sum, { passes }) => sum + passes, 0) / answers.length;
    },
  };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

const arms = [
  routedArm(model, fine),
  routedArm(model, coarse),
  routedArm(topModel, topLayers, ", top layers"),
];
const passes = new Map<string, number>();
const times = new Map(arms.map(({ name }) => [name, [] as number[]]));
for (const { name, run } of arms) passes.set(name, await run());
for (let round = 0; round < Number(flags.rounds); round++)
  for (const { name, run } of shuffled(arms, rng.fork("round", round))) {
    const start = performance.now();
    await run();
    times.get(name)?.push((performance.now() - start) / encodings.length);
  }
const rows = arms.map(({ name }) => ({
  name,
  passesPerExample: passes.get(name) ?? Number.NaN,
  millisecondsPerExample: median(times.get(name) ?? []),
}));
const [many, few] = rows;
const ratio = (many?.millisecondsPerExample ?? Number.NaN) / (few?.millisecondsPerExample ?? Number.NaN);
if (flags.json) process.stdout.write(`${JSON.stringify({ rows, ratio })}\n`);
else {
  for (const { name, passesPerExample, millisecondsPerExample } of rows)
    process.stdout.write(
      `${name.padEnd(40)} ${passesPerExample.toFixed(2)} passes  ${millisecondsPerExample.toFixed(3)} ms a text\n`,
    );
  process.stdout.write(`time: × ${ratio.toFixed(3)}\n`);
}
