/** The stream of an experiment: tasks with their data, whatever the task type. */

import type { ResolvedConfig } from "../config/schema.ts";
import { isTaggedSentence, labelledItems } from "../continual/taskTypes/taskChecks.ts";
import type { Item } from "../continual/taskTypes/taskType.ts";
import { ConfigError } from "../core/errors.ts";
import { loadContinualWords } from "../data/continualWords.ts";
import type { Example, Task } from "../data/files/types.ts";
import { loadStream } from "../data/stream.ts";
import {
  loadWordStream,
  type WordFiles,
  type WordStream,
  type WordStreamSpec,
  type WordTask,
} from "../data/wordStream.ts";

export interface StreamTask {
  readonly name: string;
  /** For token classification `B-x` and `I-x` of each type. */
  readonly labels: readonly string[];
  readonly types?: readonly string[];
  readonly train: readonly Item[];
  readonly validation: readonly Item[];
  readonly test: readonly Item[];
}

export interface LoadedStream {
  /** In the order of learning. */
  readonly tasks: readonly StreamTask[];
  /** Texts that belong to no class of the stream. */
  readonly outOfScope?: readonly Example[];
  /** SHA-256 over the bytes of the files that it was read from, hex. */
  readonly dataHash: string;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

function required<T>(value: T | undefined, key: string): T {
  if (value !== undefined) return value;
  const issue = { path: `stream.${key}`, expected: "a value, at level: word", received: "nothing" };
  throw new ConfigError(`stream.${key} is missing`, { issues: [issue] });
}

/** CoNLL files that are divided here, or a folder of the two-file layout with its own division. */
function loadWords({ stream, seed: runSeed }: ResolvedConfig): Promise<WordStream> {
  const { path, seed = runSeed, validation } = stream;
  const overlap = stream.allowOverlap ? "allow" : "refuse";
  if (path !== undefined) return loadContinualWords(path, overlap);
  const files: WordFiles = {
    train: required(stream.train, "train"),
    ...(validation !== undefined && { validation }),
    test: required(stream.test, "test"),
    ...(stream.wordColumn !== undefined && { wordColumn: stream.wordColumn }),
  };
  const base = required(stream.base, "base");
  const spec: WordStreamSpec = {
    base,
    increment: stream.increment ?? base,
    typeOrder: stream.typeOrder ?? "alphabetical",
    sampling: stream.sampling ?? "greedy",
    validationFraction: stream.validationFraction,
    overlap,
  };
  return loadWordStream(files, spec, seed);
}

/** @throws DataError or ConfigError saying what cannot be learned from */
export async function loadTasks(config: ResolvedConfig): Promise<LoadedStream> {
  if (config.level === "word") return await loadWords(config);
  const { outOfScope, ...stream } = await loadStream(config.stream, config.seed);
  return { ...stream, ...(outOfScope && { outOfScope: outOfScope.test }) };
}

/** A task of texts with a label each. */
export function labelledTask({ name, labels, train, validation, test }: StreamTask): Task {
  const own = (items: readonly Item[]) => labelledItems(items, `task ${name}`);
  return { name, labels, train: own(train), validation: own(validation), test: own(test) };
}

/** A task of sentences with a tag a word. */
export function taggedTask({ name, labels, types = [], train, validation, test }: StreamTask): WordTask {
  const own = (items: readonly Item[]) => items.filter(isTaggedSentence);
  return { name, labels, types, train: own(train), validation: own(validation), test: own(test) };
}
