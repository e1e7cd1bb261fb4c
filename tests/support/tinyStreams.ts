/** Streams that are learned in seconds: texts with the letter of their label, sentences of four entity types, toy stories. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabelledExample, Task } from "../../src/data/files/types.ts";
import { writeTinyModel } from "./tinyModels.ts";

export function jsonl(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** `counts` rows a label, texts unlike those of any other prefix. */
export function rowsOf(prefix: string, counts: Readonly<Record<string, number>>): LabelledExample[] {
  return Object.entries(counts).flatMap(([label, n]) =>
    Array.from({ length: n }, (_, i) => ({ text: `${prefix} ${label} ${i}`, label })),
  );
}

export const labels = ["aa", "bb", "cc", "dd", "ee", "ff"] as const;

/** Texts of a label all hold its letter, so that the tasks can be learned. */
export function texts(own: readonly string[], split = "train", count = 12): LabelledExample[] {
  return own.flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({
      text: `${label[0]} ${split} number ${i} ${label[0]}`,
      label,
    })),
  );
}

/** Writes model, data of three tasks and configuration. @returns the configuration's path; its `out` is `run` beside it. */
export async function writeTinyExperiment(folder: string): Promise<string> {
  await writeTinyModel(join(folder, "model"));
  await writeFile(join(folder, "train.jsonl"), jsonl(texts(labels, "train", 40)));
  await writeFile(join(folder, "validation.jsonl"), jsonl(texts(labels, "validation", 4)));
  await writeFile(join(folder, "test.jsonl"), jsonl(texts(labels, "test", 6)));
  const path = join(folder, "tiny.yaml");
  await writeFile(
    path,
    `backbone: ./model
stream: { train: train.jsonl, validation: validation.jsonl, test: test.jsonl, tasks: 3 }
training: { epochs: 6, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 }
threads: 1
out: run
`,
  );
  return path;
}

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

/** Writes model, CoNLL files and configuration. @returns the configuration's path; its `out` is `run` beside it. */
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
router: none
stream: { train: train.conll, validation: validation.conll, test: test.conll, base: 2, increment: 1, sampling: all }
training: { epochs: 8, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 }
threads: 1
out: run
`,
  );
  return path;
}

/** Two toy tasks for a very small storyteller: whom a story is about, and how it ends. */
const subjects: Readonly<Record<string, readonly string[]>> = {
  brown_dog: ["dog", "puppy"],
  small_bird: ["bird", "duck"],
  old_man: ["man", "grandpa"],
};
const moods: Readonly<Record<string, readonly string[]>> = {
  very_happy: ["smiled", "laughed"],
  so_sad: ["cried", "was sad"],
  asleep: ["slept", "was tired"],
};

const places = ["park", "garden", "house", "tree", "river", "store", "farm", "hill"];
const times = ["One day", "Then", "In the morning", "At night", "After lunch"];

type Frame = (word: string, place: string, time: string) => string;

const frames: readonly { readonly words: typeof subjects; readonly frame: readonly Frame[] }[] = [
  {
    words: subjects,
    frame: [
      (word, place, time) => `${time}, a ${word} went to the ${place}.`,
      (word, place, time) => `${time} Tom saw the ${word} near the ${place}.`,
      (word, place, time) => `${time}, by the ${place}, there was a ${word}.`,
    ],
  },
  {
    words: moods,
    frame: [
      (word, place, time) => `${time}, Lily ${word} in the ${place}.`,
      (word, place, time) => `${time} the girl at the ${place} ${word}.`,
      (word, place, time) => `Near the ${place}, ${time}, she ${word}.`,
    ],
  },
];

/** Every word in every place and time; a time and a place that meet are all for test, or all for training. */
export function toyTasks(): Task[] {
  return frames.map(({ words, frame }, k) => {
    const train: LabelledExample[] = [];
    const test: LabelledExample[] = [];
    for (const [label, forms] of Object.entries(words))
      for (const word of forms)
        for (const [p, place] of places.entries())
          for (const [t, time] of times.entries()) {
            const text = frame[(p + t) % frame.length]?.(word, place, time) ?? "";
            ((2 * p + t) % 4 === 0 ? test : train).push({ text, label });
          }
    return { name: `task-${k}`, labels: Object.keys(words), train, validation: [], test };
  });
}
