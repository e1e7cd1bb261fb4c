/**
 * The floor of the demo: what a classifier reaches that sees only how words are spelt.
 * `npx tsx tools/demo/ngram.ts` prints the table of the model card.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { createRng, shuffled } from "../../src/core/random.ts";
import type { LabelledExample } from "../../src/data/files/types.ts";
import { buckets, measureOverlap, ngramFeatures, type SparseVector } from "./features.ts";
import { demoTasks } from "./intents/index.ts";

interface LinearClassifier {
  readonly labels: readonly string[];
  /** labels.length rows of `buckets` weights. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

function logitsOf(model: LinearClassifier, features: SparseVector): Float64Array {
  return Float64Array.from(model.labels, (_, row) => {
    let sum = model.bias[row]!;
    for (const [bucket, value] of features) sum += model.weights[row * buckets + bucket]! * value;
    return sum;
  });
}

function softmax(logits: Float64Array): Float64Array {
  const largest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - largest));
  const total = exps.reduce((sum, value) => sum + value, 0);
  return exps.map((value) => value / total);
}

/** Multinomial logistic regression by plain stochastic gradient descent; d loss / d logit = p − y. */
export function trainClassifier(
  examples: readonly LabelledExample[],
  { epochs = 30, learningRate = 2, seed = 1 } = {},
): LinearClassifier {
  const labels = [...new Set(examples.map((example) => example.label))];
  const model = {
    labels,
    weights: new Float32Array(labels.length * buckets),
    bias: new Float32Array(labels.length),
  };
  const rows = examples.map(({ text, label }) => ({
    features: ngramFeatures(text),
    target: labels.indexOf(label),
  }));
  const rng = createRng(seed);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const rate = learningRate * (1 - epoch / epochs);
    for (const { features, target } of shuffled(rows, rng.fork("ngram", epoch))) {
      const probabilities = softmax(logitsOf(model, features));
      for (let row = 0; row < labels.length; row++) {
        const step = rate * (probabilities[row]! - (row === target ? 1 : 0));
        model.bias[row]! -= step;
        for (const [bucket, value] of features) model.weights[row * buckets + bucket]! -= step * value;
      }
    }
  }
  return model;
}

function predictLabel(model: LinearClassifier, text: string): string | undefined {
  const logits = logitsOf(model, ngramFeatures(text));
  return model.labels[logits.indexOf(Math.max(...logits))];
}

/** Fraction of examples whose label is predicted. */
export function accuracyOf(model: LinearClassifier, examples: readonly LabelledExample[]): number {
  return examples.filter(({ text, label }) => predictLabel(model, text) === label).length / examples.length;
}

export interface Floor {
  /** Accuracy within each task, the task being known. */
  readonly til: readonly { readonly task: string; readonly accuracy: number }[];
  readonly tilMean: number;
  /** Accuracy over all classes of one classifier trained on all tasks at once, which forgets nothing. */
  readonly joint: number;
}

export function measureTextBaseline(
  train: readonly LabelledExample[],
  test: readonly LabelledExample[],
): Floor {
  const til = demoTasks.map((task) => {
    const labels = new Set(task.intents.map((intent) => intent.label));
    const model = trainClassifier(train.filter(({ label }) => labels.has(label)));
    return {
      task: task.name,
      accuracy: accuracyOf(
        model,
        test.filter(({ label }) => labels.has(label)),
      ),
    };
  });
  const tilMean = til.reduce((sum, { accuracy }) => sum + accuracy, 0) / til.length;
  return { til, tilMean, joint: accuracyOf(trainClassifier(train), test) };
}

const lineSchema = z.strictObject({ text: z.string(), label: z.string() });

export function readExamples(file: string): readonly LabelledExample[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => lineSchema.parse(JSON.parse(line)));
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;

/** The floor as a Markdown table. */
export function floorTable(floor: Floor): string {
  const rows = floor.til.map(({ task, accuracy }) => `| ${task} | ${percent(accuracy)} |`);
  return [
    "| hashed n-grams + logistic regression | test accuracy |",
    "| --- | --- |",
    ...rows,
    `| **mean over tasks (task known, TIL)** | **${percent(floor.tilMean)}** |`,
    `| all 24 classes, trained on all tasks at once (task unknown) | ${percent(floor.joint)} |`,
  ].join("\n");
}

function main(): void {
  const { values } = parseArgs({
    options: { data: { type: "string", default: "demo" }, split: { type: "string", default: "test" } },
  });
  const train = readExamples(path.join(values.data, "train.jsonl"));
  const test = readExamples(path.join(values.data, `${values.split}.jsonl`));
  const overlap = measureOverlap(train, test);
  process.stdout.write(`${floorTable(measureTextBaseline(train, test))}\n\n`);
  process.stdout.write(
    `Wording shared with training sentences of the same intent: ${percent(overlap.contentWords)} of content words, ` +
      `${percent(overlap.wordPairs)} of word pairs; ${percent(overlap.sentencesWithoutSharedWord)} of the sentences ` +
      "share no content word.\n",
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
