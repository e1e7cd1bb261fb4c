/** From a publisher's raw files to the two-file layout. */
import { mkdir, readdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ConfigError, errorCode, StoreError } from "../../core/errors.ts";
import { createRng, type Rng, shuffled } from "../../core/random.ts";
import type { Splits } from "../../data/files/types.ts";
import { buildStream } from "../../data/stream.ts";
import { streamSchema } from "../../data/streamSpec.ts";
import { buildWordStream, countTypes, maskTypes, orderTypes } from "../../data/wordStream.ts";
import { writeFolderAtomic } from "../../io/atomic.ts";
import { catalogue, type DatasetName, type SentenceEntry, type WordEntry } from "./catalogue.ts";
import { type ContinualFiles, encodeSentenceTasks, encodeWordTasks } from "./encode.ts";
import { openRawFolder, type RawFolder } from "./rawFolder.ts";

export interface PrepareOptions {
  /** Decides splits, samples and shuffled orders. */
  readonly seed: number;
  /** Entity types of the first and of each later task; sets of sentences have none. Default: the set's own. */
  readonly base?: number;
  readonly increment?: number;
}

/** How many there are of each part. */
type PreparedTask = { readonly [S in keyof Splits<unknown>]: number } & {
  readonly labels: readonly string[];
};

interface Built {
  readonly files: ContinualFiles;
  readonly tasks: readonly PreparedTask[];
  /** Rows dropped, splits made: one sentence each. */
  readonly notes: readonly string[];
}

export interface Prepared extends Omit<Built, "files"> {
  readonly folder: string;
  readonly level: "sentence" | "word";
}

function sizesOf(labels: readonly string[], { train, validation, test }: Splits<unknown>): PreparedTask {
  return { labels, train: train.length, validation: validation.length, test: test.length };
}

async function buildSentences(
  entry: SentenceEntry,
  raw: RawFolder,
  options: PrepareOptions,
  rng: Rng,
): Promise<Built> {
  for (const flag of ["base", "increment"] as const)
    if (options[flag] !== undefined)
      throw new ConfigError(`--${flag}: ${raw.dataset} has classes of sentences, no entity types`, {
        hint: "It is divided into tasks of equal class counts; another division is a matter of the run's configuration.",
      });
  const { source, classOrder = "file", notes = [] } = await entry.read(raw, rng.fork("read"));
  const spec = streamSchema.parse({ path: raw.path, tasks: entry.tasks, classOrder });
  const stream = await buildStream(spec, source, rng.fork("divide"));
  return {
    files: encodeSentenceTasks(stream.tasks, raw.dataset),
    tasks: stream.tasks.map((task) => sizesOf(task.labels, task)),
    notes: [...notes, ...stream.notes],
  };
}

async function buildWords(
  entry: WordEntry,
  raw: RawFolder,
  options: PrepareOptions,
  rng: Rng,
): Promise<Built> {
  const { source, notes = [] } = await entry.read(raw, rng.fork("read"));
  const alphabetical = orderTypes(countTypes(source.train), "alphabetical");
  const { typeOrder } = entry;
  const spec = {
    base: options.base ?? entry.base,
    increment: options.increment ?? entry.increment,
    typeOrder: typeOrder === "shuffled" ? shuffled(alphabetical, rng.fork("types")) : typeOrder,
    sampling: "greedy",
    validationFraction: 0.1,
    overlap: "drop",
  } as const;
  const stream = buildWordStream(source, spec, options.seed);
  const tasks = stream.tasks.map((task, i) => {
    const seen = stream.tasks.slice(0, i + 1).flatMap(({ types }) => types);
    // As in test, types already learned keep their tags in the benchmark's validation part.
    const validation = source.validation === undefined ? task.validation : maskTypes(source.validation, seen);
    return { ...task, validation };
  });
  return {
    files: encodeWordTasks(tasks, raw.dataset),
    tasks: tasks.map((task) => sizesOf(task.types, task)),
    notes: [...notes, ...stream.notes],
  };
}

async function refuseFull(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return [];
    throw new StoreError(`${folder}: cannot be read`, { cause });
  });
  if (entries.length === 0) return;
  throw new StoreError(`${folder}: exists and is not empty`, {
    hint: "Choose another folder with --to, or remove what lies there.",
  });
}

/**
 * Reads a publisher's raw files, divides them into tasks, and writes `continual_data.json` and
 * `continual_config.json`: both or neither. Train rows whose text is in test are dropped and counted.
 * @param from folder of the raw files, `to` the folder to make; relative to the working directory
 * @throws DataError naming the files expected, or the place in a file that is not as published
 * @throws StoreError if `to` holds something already, or cannot be written
 */
export async function prepareDataset(
  name: DatasetName,
  from: string,
  to: string,
  options: PrepareOptions,
): Promise<Prepared> {
  const folder = resolve(to);
  await refuseFull(folder);
  const entry: SentenceEntry | WordEntry = catalogue[name];
  const raw = await openRawFolder({ dataset: name, path: resolve(from), expected: entry.expected });
  const rng = createRng(options.seed);
  const built =
    entry.level === "word"
      ? await buildWords(entry, raw, options, rng)
      : await buildSentences(entry, raw, options, rng);
  await mkdir(dirname(folder), { recursive: true });
  await writeFolderAtomic(folder, built.files);
  return { folder, level: entry.level, tasks: built.tasks, notes: built.notes };
}
