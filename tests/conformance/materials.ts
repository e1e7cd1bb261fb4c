/** What the suite learns: three tasks of every task type, with heads and adapters, on tiny random models. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { maskTypes } from "../../src/data/wordStream.ts";
import type { LabelledExample, ModelConfig, NewTask, TaggedSentence, TaskTypeName } from "../../src/index.ts";
import { writeTinyDecoder, writeTinyModel } from "../support/tinyModels.ts";
import { conll, jsonl } from "../support/tinyStreams.ts";

/** A task with what it is tested on. */
export interface Lesson extends NewTask {
  /** What forgetting takes: labels, of words entity types. */
  readonly classes: readonly string[];
  readonly test: readonly (LabelledExample | TaggedSentence)[];
}

export interface Material {
  readonly taskType: TaskTypeName;
  readonly settings: Omit<ModelConfig, "backbone">;
  readonly lessons: readonly [Lesson, Lesson, Lesson];
  /** What the first two lessons are tested on together. */
  readonly both: Lesson["test"];
  /**
   * The share of right answers, of words micro F1, that must be reached: on each lesson by its own task, and on both
   * together. A random model learns little, and some of it nothing.
   */
  readonly reaches: { readonly task: number; readonly exact: number; readonly routed: number };
  writeBackbone(folder: string): Promise<void>;
  /** Writes the stream of the first two lessons. @returns `stream` of a configuration, and settings that experiments need */
  writeStream(folder: string): Promise<{ readonly stream: object; readonly router?: object }>;
}

const training = { epochs: 12, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 } as const;
const prompt = { adapter: "prompt-tuning", virtualTokens: 4 } as const;

async function writeTexts(folder: string, [first, second]: Material["lessons"]) {
  const both = [first, second];
  await writeFile(join(folder, "train.jsonl"), jsonl(both.flatMap(({ train }) => train)));
  await writeFile(join(folder, "test.jsonl"), jsonl(both.flatMap(({ test }) => test)));
  const taskList = both.map(({ name, classes }) => ({ name, labels: classes }));
  const stream = { train: "train.jsonl", test: "test.jsonl", taskList, validationFraction: 0.1 };
  return { stream, router: { kind: "lda" } };
}

/** Texts of a label all hold its word. */
function textLesson(i: number, words: Readonly<Record<string, string>>): Lesson {
  const rows = (from: number, count: number) =>
    Object.entries(words).flatMap(([label, word]) =>
      Array.from({ length: count }, (_, n) => ({ text: `${word} ${from + n} ${word}`, label })),
    );
  return { name: `task-${i}`, classes: Object.keys(words), train: rows(0, 20), test: rows(500, 4) };
}

const textLessons: Material["lessons"] = [
  textLesson(0, { turn_on: "lamp", off: "stop" }),
  textLesson(1, { play_song: "music", call_mum: "phone" }),
  textLesson(2, { open: "door", close: "gate" }),
];

function textMaterial(head: "linear" | "cosine", method: ModelConfig["method"]): Material {
  return {
    taskType: "text-classification",
    settings: { head, method, training, threads: 1 },
    lessons: textLessons,
    both: textLessons.slice(0, 2).flatMap(({ test }) => test),
    reaches: { task: 0.9, exact: 0.5, routed: 0.8 },
    writeBackbone: writeTinyModel,
    writeStream: (folder) => writeTexts(folder, textLessons),
  };
}

function sentencesOf(conllText: string): readonly TaggedSentence[] {
  return conllText.split("\n\n").map((block) => {
    const lines = block.trim().split("\n");
    const columns = lines.map((line) => line.split("\t"));
    return { words: columns.map(([word = ""]) => word), tags: columns.map(([, tag = ""]) => tag) };
  });
}

function wordLesson(i: number, types: readonly string[], from: number): Lesson {
  const train = maskTypes(sentencesOf(conll(from, 48)), types);
  return {
    name: `task-${i}`,
    classes: types,
    types,
    train,
    test: maskTypes(sentencesOf(conll(5000, 16)), types),
  };
}

function toConll(sentences: readonly TaggedSentence[]): string {
  return sentences
    .map(({ words, tags }) => words.map((word, i) => `${word}\t${tags[i]}\n`).join(""))
    .join("\n");
}

function wordMaterial(head: "linear" | "cosine", method: ModelConfig["method"]): Material {
  const lessons = [
    wordLesson(0, ["animal", "building"], 0),
    wordLesson(1, ["colour"], 1000),
    wordLesson(2, ["dish"], 2000),
  ] as const;
  const seen = ["animal", "building", "colour"];
  return {
    taskType: "token-classification",
    settings: { level: "word", head, method, training, threads: 1 },
    lessons,
    both: maskTypes(sentencesOf(conll(5000, 16)), seen),
    reaches: { task: 0.4, exact: 0.5, routed: 0.5 },
    writeBackbone: writeTinyModel,
    writeStream: async (folder) => {
      await writeFile(join(folder, "train.conll"), toConll(maskTypes(sentencesOf(conll(0, 96)), seen)));
      await writeFile(join(folder, "test.conll"), toConll(maskTypes(sentencesOf(conll(5000, 16)), seen)));
      const stream = { train: "train.conll", test: "test.conll", base: 2, increment: 1, sampling: "all" };
      // A router that read words through the first task's adapter, or marked types of earlier tasks, could not forget or merge.
      return { stream, router: { kind: "lda", featureAdapter: "none", unlabelled: "outside" } };
    },
  };
}

function answerMaterial(method: ModelConfig["method"], reaches: Material["reaches"]): Material {
  return {
    taskType: "text-generation",
    settings: { head: "none", method, training: { ...training, epochs: 10, maxLength: 64 }, threads: 1 },
    lessons: textLessons,
    both: textLessons.slice(0, 2).flatMap(({ test }) => test),
    reaches,
    writeBackbone: writeTinyDecoder,
    writeStream: (folder) => writeTexts(folder, textLessons),
  };
}

export const materials = {
  "text-classification": {
    "linear, LoRA": textMaterial("linear", { adapter: "lora" }),
    "cosine, LoRA": textMaterial("cosine", { adapter: "lora" }),
    "linear, prompt tuning": textMaterial("linear", prompt),
  },
  "token-classification": {
    "linear, LoRA": wordMaterial("linear", { adapter: "lora" }),
    "cosine, LoRA": wordMaterial("cosine", { adapter: "lora" }),
    "linear, prompt tuning": wordMaterial("linear", prompt),
  },
  "text-generation": {
    "no head, LoRA": answerMaterial(
      { adapter: "lora", targetModules: "all-linear" },
      { task: 0.9, exact: 0.4, routed: 0.9 },
    ),
    "no head, prompt tuning": answerMaterial(prompt, { task: 0.5, exact: 0.2, routed: 0.5 }),
  },
} as const satisfies { readonly [T in TaskTypeName]: Readonly<Record<string, Material>> };
