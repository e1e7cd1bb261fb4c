import { ConfigError, DataError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { createRng, type Rng, shuffled } from "../core/random.ts";
import { OUTSIDE, readConll, type TaggedSentence, typeOf } from "./files/conll.ts";
import { textKey } from "./split.ts";
import { hashFiles } from "./stream.ts";
import { sampleAll, sampleGreedily } from "./wordSampling.ts";

/** One task of a word-level stream: some entity types, and sentences to learn and judge them by. */
export interface WordTask {
  readonly name: string;
  readonly types: readonly string[];
  /** `B-x`, `I-x` for each type, in order: the task's head slots, `O` aside. */
  readonly labels: readonly string[];
  /** Tags of other tasks' types are `O`: they have no labels while this task is learned. */
  readonly train: readonly TaggedSentence[];
  /** Masked as train: it chooses when to stop learning this task. */
  readonly validation: readonly TaggedSentence[];
  /** The whole test set, the same sentences for every task; types of later tasks are `O`. */
  readonly test: readonly TaggedSentence[];
}

export interface WordStream {
  readonly tasks: readonly WordTask[];
  /** SHA-256 over the bytes of the files the stream was read from, hex. */
  readonly dataHash: string;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

/** Everything read, before it is divided into tasks. Tags are IOB2, as `toIob2` makes them. */
export interface WordSource {
  readonly train: readonly TaggedSentence[];
  readonly validation?: readonly TaggedSentence[];
  readonly test: readonly TaggedSentence[];
}

export interface WordStreamSpec {
  /** Types of the first task, at least 1. */
  readonly base: number;
  /** Types of each later task, at least 1; the last one takes what is left. */
  readonly increment: number;
  /** By name in code units; most entities in train first (ties by name); or every type, listed. */
  readonly typeOrder: "alphabetical" | "frequency" | readonly string[];
  /**
   * Which sentences a task is trained on. `greedy`: each sentence goes to one task, as `sampleGreedily` says.
   * `all`: a task has every sentence with an entity of its types, so that a sentence may serve several.
   */
  readonly sampling: "greedy" | "all";
  /** Part of each task's sentences set aside where there is no validation file, in [0, 1). */
  readonly validationFraction: number;
  /** What becomes of train sentences that stand in test too. */
  readonly overlap: "drop" | "refuse" | "allow";
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}

function count(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

/** Sentences with other types than these become `O` there; entities stay whole. */
export function maskTypes(
  sentences: readonly TaggedSentence[],
  kept: Iterable<string>,
): readonly TaggedSentence[] {
  const types = new Set(kept);
  return sentences.map(({ words, tags }) => ({
    words,
    tags: tags.map((tag) => (types.has(typeOf(tag) ?? "") ? tag : OUTSIDE)),
  }));
}

/** Entities of each type; a `B-x` for each, as the tags are IOB2. */
export function countTypes(sentences: readonly TaggedSentence[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { tags } of sentences)
    for (const tag of tags)
      if (tag.startsWith("B-")) counts.set(tag.slice(2), (counts.get(tag.slice(2)) ?? 0) + 1);
  return counts;
}

function hintNearest(name: string, known: Iterable<string>): { hint: string } {
  const found = nearest(name, known);
  return {
    hint: found === undefined ? "Check it against the data." : `Did you mean ${JSON.stringify(found)}?`,
  };
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @throws DataError if a listed order repeats a type, leaves one out, or names one without data */
export function orderTypes(
  counts: ReadonlyMap<string, number>,
  order: WordStreamSpec["typeOrder"],
): readonly string[] {
  const types = [...counts.keys()].sort(byCodeUnits);
  if (order === "alphabetical") return types;
  if (order === "frequency") return types.toSorted((a, b) => counts.get(b)! - counts.get(a)!);
  for (const [i, name] of order.entries()) {
    if (order.indexOf(name) !== i) throw new DataError(`typeOrder lists ${JSON.stringify(name)} twice`);
    if (!counts.has(name))
      throw new DataError(
        `typeOrder lists ${JSON.stringify(name)}, of which train has no entity`,
        hintNearest(name, types),
      );
  }
  const absent = types.filter((name) => !order.includes(name));
  if (absent.length > 0)
    throw new DataError(`typeOrder leaves out ${quoted(absent)}`, {
      hint: "List every entity type of the data.",
    });
  return order;
}

function checkCount(path: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new ConfigError(`${path} must be a whole number of at least 1`, {
    issues: [{ path, expected: "a whole number of at least 1", received: String(value) }],
  });
}

/** The types of each task: `base` of them, then `increment` at a time; the last task takes what is left. */
export function divideTypes(
  types: readonly string[],
  { base, increment }: Pick<WordStreamSpec, "base" | "increment">,
): readonly (readonly string[])[] {
  checkCount("stream.base", base);
  checkCount("stream.increment", increment);
  if (base > types.length)
    throw new DataError(
      `stream.base asks for ${base} entity types, but train has ${types.length}: ${quoted(types)}`,
    );
  const tasks = [types.slice(0, base)];
  for (let start = base; start < types.length; start += increment)
    tasks.push(types.slice(start, start + increment));
  return tasks;
}

function checkTypesSeen(split: string, sentences: readonly TaggedSentence[], known: readonly string[]): void {
  const counts = countTypes(sentences);
  const unseen = [...counts.keys()].filter((type) => !known.includes(type)).sort(byCodeUnits);
  const [first] = unseen;
  if (first === undefined) return;
  throw new DataError(
    `${split} has ${unseen.length === 1 ? "an entity type" : "entity types"} that train has not: ` +
      `${quoted(unseen)} (${count(counts.get(first)!, "B- tag")}${unseen.length === 1 ? "" : " of the first"})`,
    hintNearest(first, known),
  );
}

function sentenceKey({ words }: TaggedSentence): string {
  return textKey({ text: words.join(" ") });
}

/** Train without the sentences that test has too, or with them, or a refusal; `notes` says which. */
export function withoutOverlap(
  source: WordSource,
  spec: Pick<WordStreamSpec, "overlap">,
  notes: string[],
): readonly TaggedSentence[] {
  const inTest = new Set(source.test.map(sentenceKey));
  const shared = source.train.filter((sentence) => inTest.has(sentenceKey(sentence)));
  const first = shared[0];
  if (first === undefined) return source.train;
  const example = JSON.stringify(first.words.join(" "));
  switch (spec.overlap) {
    case "drop": {
      notes.push(`Dropped ${count(shared.length, "train sentence")} that test has too, e.g. ${example}.`);
      const dropped = new Set(shared);
      return source.train.filter((sentence) => !dropped.has(sentence));
    }
    case "allow":
      notes.push(`Train keeps ${count(shared.length, "sentence")} that test has too, as allowOverlap says.`);
      return source.train;
    case "refuse":
      throw new DataError(
        `train shares sentences with test: ${count(shared.length, "sentence")}, e.g. ${example}`,
        { hint: "Remove them from train, or set stream.allowOverlap: true." },
      );
  }
}

/** Sets sentences aside by chance, but never the last one of a type that the task has to learn. */
function splitValidation(sentences: readonly TaggedSentence[], fraction: number, rng: Rng) {
  const left = new Map<string, number>();
  const typesIn = sentences.map((sentence) => [...countTypes([sentence]).keys()]);
  for (const types of typesIn) for (const type of types) left.set(type, (left.get(type) ?? 0) + 1);
  const chosen = new Set<number>();
  for (const i of shuffled([...sentences.keys()], rng)) {
    if (chosen.size >= Math.min(Math.round(sentences.length * fraction), sentences.length - 1)) break;
    const types = typesIn[i]!;
    if (types.some((type) => left.get(type) === 1)) continue;
    for (const type of types) left.set(type, left.get(type)! - 1);
    chosen.add(i);
  }
  return {
    train: sentences.filter((_, i) => !chosen.has(i)),
    validation: sentences.filter((_, i) => chosen.has(i)),
  };
}

/** @throws DataError if one of the task's types is nowhere in its train */
export function checkTask(task: WordTask): void {
  const trained = countTypes(task.train);
  const absent = task.types.find((type) => !trained.has(type));
  if (absent !== undefined)
    throw new DataError(`task ${task.name} has no training sentence with ${JSON.stringify(absent)}`, {
      hint: "Other tasks took every sentence that has one: set the sampling to all sentences, or another typeOrder.",
    });
}

function buildTask(
  name: string,
  types: readonly string[],
  seen: readonly string[],
  sampled: readonly TaggedSentence[],
  source: WordSource,
  fraction: number,
  rng: Rng,
): WordTask {
  const masked = maskTypes(sampled, types);
  const split =
    source.validation === undefined
      ? splitValidation(masked, fraction, rng.fork("validation", name))
      : { train: masked, validation: maskTypes(source.validation, types) };
  const labels = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
  const task = { name, types, labels, ...split, test: maskTypes(source.test, seen) };
  checkTask(task);
  return task;
}

function noteDivision(
  source: WordSource,
  train: readonly TaggedSentence[],
  tasks: readonly WordTask[],
  spec: WordStreamSpec,
  notes: string[],
): void {
  const last = tasks[tasks.length - 1]!;
  if (tasks.length > 1 && last.types.length < spec.increment)
    notes.push(`The last task has ${count(last.types.length, "type")}, fewer than increment asks for.`);
  const sizes = tasks.map((task) => task.train.length);
  if (source.validation === undefined) {
    const made = tasks.reduce((sum, { validation }) => sum + validation.length, 0);
    if (made > 0) notes.push(`There is no validation file: set ${count(made, "train sentence")} aside.`);
  }
  notes.push(`Training sentences of the tasks: ${sizes.join(", ")}, of ${count(train.length, "sentence")}.`);
  const tested = countTypes(last.test);
  const untested = tasks.flatMap(({ types }) => types).filter((type) => !tested.has(type));
  if (untested.length > 0) notes.push(`Test has no entity of ${quoted(untested)}.`);
}

/**
 * Divides tagged sentences into a stream of tasks by entity type. Equal sources, specs and seeds give equal streams.
 *
 * Where the benchmark this follows (Zheng et al. 2022; zzz47zzz/codebase-for-incremental-learning-with-llm) leaves
 * test sentences without a seen entity out, they stay in here: what is wrongly found in them counts.
 *
 * @throws DataError or ConfigError saying what cannot be learned from
 */
export function buildWordStream(
  source: WordSource,
  spec: WordStreamSpec,
  seed: number,
): Pick<WordStream, "tasks" | "notes"> {
  const rng = createRng(seed);
  const notes: string[] = [];
  if (source.test.length === 0) throw new DataError("test has no sentences");
  const train = withoutOverlap(source, spec, notes);
  const counts = countTypes(train);
  if (counts.size === 0)
    throw new DataError("train has no entity", { hint: "Tags other than O are needed to learn from." });
  const order = orderTypes(counts, spec.typeOrder);
  checkTypesSeen("test", source.test, order);
  checkTypesSeen("validation", source.validation ?? [], order);
  const division = divideTypes(order, spec);
  const sampled =
    spec.sampling === "all"
      ? sampleAll(train, division)
      : sampleGreedily(train, division, counts, rng.fork("greedy"));
  const tasks = division.map((types, i) => {
    const seen = division.slice(0, i + 1).flat();
    return buildTask(`task-${i}`, types, seen, sampled[i]!, source, spec.validationFraction, rng);
  });
  noteDivision(source, train, tasks, spec, notes);
  return { tasks, notes };
}

/** The CoNLL files of a stream. */
export interface WordFiles {
  readonly train: string;
  readonly validation?: string;
  readonly test: string;
}

/**
 * Reads CoNLL files and divides them into tasks by entity type.
 *
 * @param files absolute paths
 * @throws DataError or ConfigError (both exit 2) naming the place
 */
export async function loadWordStream(
  files: WordFiles,
  spec: WordStreamSpec,
  seed: number,
): Promise<WordStream> {
  const strays: string[] = [];
  const load = async (path: string) => {
    const { sentences, strayLines } = await readConll(path);
    if (strayLines.length > 0)
      strays.push(
        `${path}: ${count(strayLines.length, "I- tag")} without a beginning before, the first in line ` +
          `${strayLines[0]}; read as B-.`,
      );
    return sentences;
  };
  const train = await load(files.train);
  const validation = files.validation === undefined ? undefined : await load(files.validation);
  const test = await load(files.test);
  const source = { train, ...(validation === undefined ? {} : { validation }), test };
  const { tasks, notes } = buildWordStream(source, spec, seed);
  const read = [files.train, ...(files.validation === undefined ? [] : [files.validation]), files.test];
  return { tasks, dataHash: await hashFiles(read), notes: [...strays, ...notes] };
}
