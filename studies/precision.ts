/**
 * How far a backbone in 8 bits is from float32: `npx tsx studies/precision.ts [--model ../shared/models/minilm-l6] [--threads 1]`.
 * The demo's train texts go through both. Printed are, of each layer's pooled states, the difference over what it is taken from, both by
 * their norms, and the time of a pass over all texts and over each alone.
 */
import { parseArgs } from "node:util";
import { resolveConfig } from "../src/config/load.ts";
import { AdaptedBackbone } from "../src/continual/passes/adaptedBackbone.ts";
import type { FeatureRows } from "../src/continual/types.ts";
import { loadStream } from "../src/data/stream.ts";
import { loadBackbone } from "../src/model/settings/backbone.ts";
import { settingsOf } from "../src/model/settings/settings.ts";
import { resolveStructure } from "../src/model/settings/structure.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "../shared/models/minilm-l6" },
    threads: { type: "string", default: "1" },
  },
});
const threads = Number(flags.threads);
const TEXTS = 256;
const stream = { train: "demo/train.jsonl", test: "demo/test.jsonl", tasks: 6 };
const config = resolveConfig({ backbone: flags.model, stream, threads, out: "unused" }, process.cwd());
const { tasks } = await loadStream(config.stream, 1);
const texts = tasks.flatMap(({ train }) => train).slice(0, TEXTS);

interface Passed {
  readonly features: FeatureRows;
  readonly layers: number;
}

async function timed<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
  const began = performance.now();
  const result = await work();
  return [result, performance.now() - began];
}

async function pass(precision: "fp32" | "int8"): Promise<Passed> {
  const loaded = await loadBackbone(config.backbone, { precision });
  const structure = resolveStructure(settingsOf(config), loaded);
  const { maxLength } = config.training;
  const parts = { structure, tokenizer: loaded.tokenizer, runtime: nodeRuntime, maxLength, threads };
  await using model = new AdaptedBackbone(parts);
  const { encodings } = model.encode(texts);
  const { layers } = structure.backbone.config;
  const spec = { layers: Array.from({ length: layers + 1 }, (_, layer) => layer) };
  await model.routingFeatures(encodings, spec);
  const [features, all] = await timed(() => model.routingFeatures(encodings, spec));
  const alone: number[] = [];
  for (const encoding of encodings)
    alone.push((await timed(() => model.routingFeatures([encoding], spec)))[1]);
  const middle = alone.toSorted((a, b) => a - b)[alone.length >> 1] ?? Number.NaN;
  console.log(`${precision}: ${texts.length} texts in ${all.toFixed(0)} ms; one in ${middle.toFixed(2)} ms`);
  return { features, layers };
}

const [plain, rounded] = [await pass("fp32"), await pass("int8")];
const width = plain.features.width / (plain.layers + 1);
for (let layer = 0; layer <= plain.layers; layer++) {
  let [difference, size] = [0, 0];
  for (let row = 0; row < plain.features.rows; row++)
    for (let i = 0; i < width; i++) {
      const place = row * plain.features.width + layer * width + i;
      const value = plain.features.values[place] ?? 0;
      difference += (value - (rounded.features.values[place] ?? 0)) ** 2;
      size += value ** 2;
    }
  console.log(`layer ${layer}: differs by ${(100 * Math.sqrt(difference / size)).toFixed(2)} %`);
}
