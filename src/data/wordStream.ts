import { DataError } from "../core/errors.ts";
import { createRng, type Rng, shuffled } from "../core/random.ts";
import { sha256Files } from "../io/hash.ts";
import {
  checkOrder,
  checkSeen,
  countOf,
  type Overlap,
  quoted,
  taggedSentences,
  withoutOverlap,
} from "./checks.ts";
import { readTagged } from "./files/items.ts";
import { OUTSIDE, type TaggedSentence, typeOf } from "./files/tags.ts";
import type { PublishedSplits, Splits, Stream } from "./files/types.ts";
import type { StreamSpec } from "./streamSpec.ts";
import { type Sampling, sampleAll, sampleGreedily } from "./wordSampling.ts";

/**
 * One task of a word-level stream: some entity types, and sentences to learn and measure them on. In train and validation,
 * the tags of other tasks' types are `O`: they have no labels while this task is learned. Test is the whole test set, the
 * same sentences for every task; types of later tasks are `O`.
 */
export interface WordTask extends Splits<TaggedSentence> {
  readonly name: string;
  readonly types: readonly string[];
  /** `B-x`, `I-x` for each type, in order: the task's head slots, `O` aside. */
  readonly labels: readonly string[];
}

export type WordStream = Stream<WordTask>;

/** Tags are IOB2, as `toIob2` makes them. */
export type WordSource = PublishedSplits<TaggedSentence>;

type Division = "base" | "increment" | "typeOrder" | "sampling" | "validationFraction";

/** The stream's keys that words have, each with a value; the last task takes the types that are left. */
export type WordStreamSpec = { readonly [K in Division]: NonNullable<StreamSpec[K]> } & {
  readonly overlap: Overlap;
};

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

/** @throws DataError if a listed order repeats a type, leaves one out, or names one without data */
export function orderTypes(
  counts: ReadonlyMap<string, number>,
  order: WordStreamSpec["typeOrder"],
): readonly string[] {
  // By code units, so that the order depends on no locale.
  const types = [...counts.keys()].sort();
  if (order === "alphabetical") return types;
  if (order === "frequency") return types.toSorted((a, b) => counts.get(b)! - counts.get(a)!);
  return checkOrder(taggedSentences, order, types);
}

/** The types of each task: `base` of them, then `increment` at a time; the last task takes what is left. */
export function divideTypes(
  types: readonly string[],
  { base, increment }: Pick<WordStreamSpec, "base" | "increment">,
): readonly (readonly string[])[] {
  if (base > types.length)
    throw new DataError(
      `stream.base asks for ${base} entity types, but train has ${types.length}: ${quoted(types, types.length)}`,
    );
  const tasks = [types.slice(0, base)];
  for (let start = base; start < types.length; start += increment)
    tasks.push(types.slice(start, start + increment));
  return tasks;
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

export function checkTask(task: WordTask): void {
  const trained = countTypes(task.train);
  const absent = task.types.find((type) => !trained.has(type));
  if (absent !== undefined)
    throw new DataError(`task ${task.name} has no training sentence with ${JSON.stringify(absent)}`, {
      hint: "Other tasks took every sentence that has one: set the sampling to all sentences, or another typeOrder.",
    });
}

const dealers: {
  readonly [S in Sampling]: (...of: Parameters<typeof sampleGreedily>) => ReturnType<typeof sampleGreedily>;
} = {
  greedy: (train, division, counts, rng) => sampleGreedily(train, division, counts, rng.fork("greedy")),
  all: sampleAll,
  every: (train, division) => division.map(() => train),
};

function describeDivision(
  source: WordSource,
  train: readonly TaggedSentence[],
  tasks: readonly WordTask[],
  { increment, sampling }: WordStreamSpec,
): string[] {
  const last = tasks[tasks.length - 1]!;
  const made = tasks.reduce((sum, { validation }) => sum + validation.length, 0);
  const tested = countTypes(last.test);
  const untested = tasks.flatMap(({ types }) => types).filter((type) => !tested.has(type));
  const sizes = tasks.map((task) => task.train.length).join(", ");
  return [
    ...(tasks.length > 1 && last.types.length < increment
      ? [`The last task has ${countOf(last.types.length, "type")}, fewer than increment asks for.`]
      : []),
    ...(source.validation === undefined && made > 0
      ? [`There is no validation file: set ${countOf(made, "train sentence")} aside.`]
      : []),
    `Sampling ${sampling}: the tasks train on ${sizes} of ${countOf(train.length, "sentence")}.`,
    ...(untested.length > 0 ? [`Test has no entity of ${quoted(untested)}.`] : []),
  ];
}

/**
 * Divides tagged sentences into a stream of tasks by entity type. Equal sources, specs and seeds give equal streams.
 *
 * Where the benchmark this follows (Zheng et al. 2022; zzz47zzz/codebase-for-incremental-learning-with-llm) leaves
 * test sentences without a seen entity out, they stay in here: what is wrongly found in them counts.
 */
export function buildWordStream(
  source: WordSource,
  spec: WordStreamSpec,
  seed: number,
): Pick<WordStream, "tasks" | "notes"> {
  const rng = createRng(seed);
  const notes: string[] = [];
  if (source.test.length === 0) throw new DataError("test has no sentences");
  const train = withoutOverlap(source, spec.overlap, taggedSentences, notes);
  const counts = countTypes(train);
  if (counts.size === 0)
    throw new DataError("train has no entity", { hint: "Tags other than O are needed to learn from." });
  const order = orderTypes(counts, spec.typeOrder);
  checkSeen(taggedSentences, "test", countTypes(source.test), order);
  checkSeen(taggedSentences, "validation", countTypes(source.validation ?? []), order);
  const division = divideTypes(order, spec);
  const sampled = dealers[spec.sampling](train, division, counts, rng);
  const tasks = division.map((types, i): WordTask => {
    const name = `task-${i}`;
    const masked = maskTypes(sampled[i]!, types);
    const split =
      source.validation === undefined
        ? splitValidation(masked, spec.validationFraction, rng.fork("validation", name))
        : { train: masked, validation: maskTypes(source.validation, types) };
    const labels = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
    const task = {
      name,
      types,
      labels,
      ...split,
      test: maskTypes(source.test, division.slice(0, i + 1).flat()),
    };
    checkTask(task);
    return task;
  });
  return { tasks, notes: [...notes, ...describeDivision(source, train, tasks, spec)] };
}

export type WordFiles = { readonly [S in "train" | "test"]: string } & {
  readonly validation?: string;
  /** Of the words in CoNLL files, from 1; default: as `readConll` finds it. */
  readonly wordColumn?: number;
};

export async function loadWordStream(
  { train, validation, test, wordColumn }: WordFiles,
  spec: WordStreamSpec,
  seed: number,
): Promise<WordStream> {
  const read: string[] = [];
  const load = async (path: string) => {
    const file = await readTagged(path, { wordColumn });
    read.push(...file.notes);
    return file.sentences;
  };
  const source = {
    train: await load(train),
    ...(validation !== undefined && { validation: await load(validation) }),
    test: await load(test),
  };
  const { tasks, notes } = buildWordStream(source, spec, seed);
  const files = [train, validation, test].filter((path) => path !== undefined);
  return { tasks, dataHash: await sha256Files(files), notes: [...read, ...notes] };
}
