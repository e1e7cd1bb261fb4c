/** A whole word-level experiment that runs in seconds: the random one-layer BERT, and CoNLL files of four made-up types. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeTinyModel } from "./tinyExperiment.ts";

/** Of each type the words that begin and go on an entity; alphabetical order is also that of learning. */
export const wordTypes = {
  animal: ["a", "g"],
  building: ["b", "h"],
  colour: ["c", "i"],
  dish: ["d", "j"],
} as const;

type Line = readonly [word: string, tag: string];

function entity(type: keyof typeof wordTypes, length: number): Line[] {
  const [first, next] = wordTypes[type];
  return [[first, `B-${type}`], ...Array.from({ length: length - 1 }, (): Line => [next, `I-${type}`])];
}

/**
 * Sentences of two entities with other words around them; every type takes part equally often.
 * @param from the first sentence's number, so that no split shares a sentence with another
 */
export function conll(from: number, count: number, separator = "\t"): string {
  const types = Object.keys(wordTypes) as readonly (keyof typeof wordTypes)[];
  const sentences = Array.from({ length: count }, (_, i) => {
    const lines: Line[] = [
      ["text", "O"],
      ...entity(types[i % 4] ?? "animal", 1 + ((i >> 2) % 2)),
      ["number", "O"],
      [String(from + i), "O"],
      ...entity(types[(i + 1 + (i >> 2)) % 4] ?? "dish", 1 + ((i >> 1) % 2)),
      ["end", "O"],
    ];
    return lines.map((line) => `${line.join(separator)}\n`).join("");
  });
  return sentences.join("\n");
}

/** Writes model, data and configuration. @returns the configuration's path; its `out` is `run` beside it. */
export async function writeTinyWords(folder: string): Promise<string> {
  await writeTinyModel(join(folder, "model"));
  await writeFile(join(folder, "train.conll"), conll(0, 240));
  await writeFile(join(folder, "validation.conll"), conll(1000, 16, " "));
  await writeFile(join(folder, "test.conll"), conll(2000, 24));
  const path = join(folder, "words.yaml");
  await writeFile(
    path,
    `backbone: ./model
level: word
stream: { train: train.conll, validation: validation.conll, test: test.conll, base: 2, increment: 1, sampling: all }
training: { epochs: 8, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 }
threads: 1
out: run
`,
  );
  return path;
}
