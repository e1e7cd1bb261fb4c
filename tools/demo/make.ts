/** Writes the demo stream: `npx tsx tools/demo/make.ts [--out demo]`. The same code writes the same bytes. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { generateDemo, toJsonLines } from "./generate.ts";
import { demoTasks } from "./intents/index.ts";

const seed = 1;

/** The demo's configuration, paths relative to the file. */
export function demoConfig(): string {
  const config = {
    backbone: "../models/accrete-mini",
    method: { adapter: "lora", rank: 4, alpha: 8, dropout: 0.1 },
    router: "auto",
    head: "linear",
    stream: {
      train: "train.jsonl",
      validation: "validation.jsonl",
      test: "test.jsonl",
      taskList: demoTasks.map((task) => ({
        name: task.name,
        labels: task.intents.map((intent) => intent.label),
      })),
    },
    training: { epochs: 4, batchSize: 16, learningRate: 5e-4, headLearningRate: 5e-3 },
    seed,
    out: "../runs/demo",
  };
  const heading =
    "# Six tasks of four intents each, learned one after another by the backbone that ships with Accrete.\n";
  return heading + stringify(config, { flowCollectionPadding: true });
}

/** File name to content of everything the generator writes. */
export function demoFiles(): Readonly<Record<string, string>> {
  const { train, validation, test } = generateDemo(seed);
  return {
    "train.jsonl": toJsonLines(train),
    "validation.jsonl": toJsonLines(validation),
    "test.jsonl": toJsonLines(test),
    "demo.yaml": demoConfig(),
  };
}

function main(): void {
  const { values } = parseArgs({ options: { out: { type: "string", default: "demo" } } });
  mkdirSync(values.out, { recursive: true });
  for (const [name, content] of Object.entries(demoFiles())) {
    writeFileSync(path.join(values.out, name), content);
    process.stderr.write(`${path.join(values.out, name)}: ${Buffer.byteLength(content)} bytes\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
