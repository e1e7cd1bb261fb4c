/** The data of the scenarios: small, fixed, and the same for ever. */
import { readFileSync } from "node:fs";
import type { DatasetName } from "./scenario.ts";

export interface Row {
  readonly text: string;
  readonly label: string;
}

export interface Sentence {
  readonly words: readonly string[];
  readonly tags: readonly string[];
}

interface Splits<T> {
  readonly train: readonly T[];
  readonly validation: readonly T[];
  readonly test: readonly T[];
}

interface Common {
  /** Labels, of words entity types, of each task. */
  readonly tasks: Readonly<Record<string, readonly string[]>>;
  readonly questions: readonly string[];
}

export interface TextData extends Common, Splits<Row> {
  readonly of: "texts";
  readonly outOfScope: readonly string[];
}

export interface WordData extends Common, Splits<Sentence> {
  readonly of: "words";
}

export type Dataset = TextData | WordData;

function classesOf({ tasks }: Dataset, task: string): readonly string[] {
  const classes = tasks[task];
  if (classes === undefined) throw new RangeError(`the data has no task ${task}`);
  return classes;
}

/** A task's rows in every split. */
export function textTask(data: TextData, name: string) {
  const labels = classesOf(data, name);
  const own = (rows: readonly Row[]) => rows.filter(({ label }) => labels.includes(label));
  const [train, validation, test] = [own(data.train), own(data.validation), own(data.test)];
  return { name, labels, train, validation, test };
}

/** A task's types, and every sentence. */
export function wordTask(data: WordData, name: string) {
  const { train, validation } = data;
  return { name, types: classesOf(data, name), train, validation };
}

/** @throws RangeError if the data is of words */
export function textsOf(name: DatasetName): TextData {
  const data = datasets[name];
  if (data.of === "texts") return data;
  throw new RangeError(`${name} has words, and texts are wanted`);
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** Six classes of texts that hold their letter twice, and every third text another one once. */
function letters(): TextData {
  const tasks = { "task-0": ["aa", "bb"], "task-1": ["cc", "dd"], "task-2": ["ee", "ff"] };
  const labels = Object.values(tasks).flat();
  const fillers = ["now", "then", "here", "number", "text"];
  const rows = (from: number, count: number) =>
    labels.flatMap((label, c) =>
      times(count, (i) => {
        const letter = label.slice(1);
        const other = i % 3 === 0 ? labels[(c + 1 + (i % 5)) % 6]?.slice(1) : fillers[(3 * i + c) % 5];
        return { text: `${letter} ${fillers[(i + c) % 5]} ${from + i} ${letter} ${other}`, label };
      }),
    );
  return {
    of: "texts",
    tasks,
    train: rows(10, 18),
    validation: rows(40, 6),
    test: rows(60, 6),
    outOfScope: times(12, (i) => `${"xyzq"[i % 4]} ${fillers[i % 5]} ${i} ${"xyzq"[i % 4]}`),
    questions: [...["a", "b", "c", "d", "e", "f"].map((x) => `now ${x} 7 here ${x}`), "a or b", "z then z"],
  };
}

/** Three tasks of two intents of the demo stream. */
function demo(): TextData {
  const tasks = {
    travel: ["book_flight", "find_hotel"],
    kitchen: ["find_recipe", "reserve_table"],
    music: ["play_music", "adjust_volume"],
  };
  const rows = (split: string, count: number): Row[] => {
    const file = new URL(`../../demo/${split}.jsonl`, import.meta.url);
    const all: Row[] = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const labels = Object.values(tasks).flat();
    return labels.flatMap((label) => all.filter((row) => row.label === label).slice(0, count));
  };
  return {
    of: "texts",
    tasks,
    train: rows("train", 20),
    validation: rows("validation", 4),
    test: rows("test", 6),
    outOfScope: [],
    questions: [
      "Is there a plane to Lisbon on Friday?",
      "I need a room near the station for two nights.",
      "What can I cook with leeks?",
      "A table for four at eight, please.",
      "Put on some jazz.",
      "Louder!",
      "How much is in my account?",
    ],
  };
}

/** Four types of entities, each with a word that begins one and a word that goes on. */
function words(): WordData {
  const types = { animal: "ag", building: "bh", colour: "ci", dish: "dj" } as const;
  const names = ["animal", "building", "colour", "dish"] as const;
  const entity = (number: number, length: number): [string, string][] => {
    const type = names[number % 4] ?? "animal";
    const [first = "", next = ""] = types[type];
    return [[first, `B-${type}`], ...times(length - 1, (): [string, string] => [next, `I-${type}`])];
  };
  const sentences = (from: number, count: number): Sentence[] =>
    times(count, (i) => {
      const lines: [string, string][] = [
        ["text", "O"],
        ...entity(i, 1 + ((i >> 2) % 2)),
        ["number", "O"],
        [String(from + i), "O"],
        ...entity(i + 1 + (i >> 2), 1 + ((i >> 1) % 2)),
        ["end", "O"],
      ];
      return { words: lines.map(([word]) => word), tags: lines.map(([, tag]) => tag) };
    });
  return {
    of: "words",
    tasks: { "task-0": ["animal", "building"], "task-1": ["colour", "dish"] },
    train: sentences(0, 64),
    validation: sentences(1000, 12),
    test: sentences(2000, 16),
    questions: sentences(3000, 7).map((sentence) => sentence.words.join(" ")),
  };
}

/** Four commands that a decoder answers with in words. */
function commands(): TextData {
  const tasks = { "task-0": ["turn_on", "off"], "task-1": ["play_song", "call_mum"] };
  const key = { turn_on: "lamp", off: "stop", play_song: "music", call_mum: "phone" };
  const fillers = ["now", "please", "again"];
  const rows = (first: number, count: number) =>
    Object.entries(key).flatMap(([label, word]) =>
      times(count, (n) => ({ text: `${word} ${fillers[n % 3]} ${first + n} ${word}`, label })),
    );
  return {
    of: "texts",
    tasks,
    train: rows(100, 12),
    validation: rows(200, 3),
    test: rows(300, 4),
    outOfScope: [],
    questions: [...Object.values(key).map((word) => `${word} at once`), "lamp or phone", "music stop"],
  };
}

export const datasets: { readonly [D in DatasetName]: Dataset } = {
  letters: letters(),
  demo: demo(),
  words: words(),
  commands: commands(),
};
