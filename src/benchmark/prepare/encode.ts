/** Writing the two-file layout that `data/continual.ts` and `data/continualWords.ts` read. */

import { CONTINUAL_CONFIG, CONTINUAL_DATA } from "../../data/continual.ts";
import { OUTSIDE, type TaggedSentence } from "../../data/files/tags.ts";
import type { LabelledExample, Splits } from "../../data/files/types.ts";

export interface SentenceTask extends Splits<LabelledExample> {
  readonly labels: readonly string[];
}

export interface WordTaskFile extends Splits<TaggedSentence> {
  /** `B-x`, `I-x` of each type, in order; `O`, which is of no task, stands first in the file. */
  readonly labels: readonly string[];
}

export type ContinualFiles = ReadonlyMap<string, Uint8Array>;

function encodeConfig(tasks: readonly (readonly string[])[], dataset: string | undefined): Uint8Array {
  const names = tasks.flat();
  const accumulated = tasks.map((_, task) => tasks.slice(0, task + 1).flat().length);
  const starts = [0, ...accumulated.slice(0, -1)];
  const config = {
    ...(dataset !== undefined && { DATASET: dataset }),
    NUM_TASK: tasks.length,
    NUM_CLASS: names.length,
    LABEL_LIST: names.map((_, i) => i),
    CLASSNAME_LIST: names,
    CUR_NUM_CLASS: tasks.map((labels) => labels.length),
    CUR_CLASS: tasks.map((labels, task) => labels.map((_, i) => (starts[task] ?? 0) + i)),
    ACCUM_NUM_CLASS: accumulated,
    PRE_ACCUM_NUM_CLASS: starts,
    label2idx: Object.fromEntries(names.map((name, i) => [name, i])),
    idx2label: names,
  };
  return Buffer.from(`${JSON.stringify(config)}\n`);
}

/** Piece by piece: all of a large set in one text would be longer than a string may be. */
function encodeData<T>(
  tasks: readonly Splits<T>[],
  encode: (rows: readonly T[], task: number) => unknown,
): Uint8Array {
  const pieces: Buffer[] = [];
  const add = (text: string) => pieces.push(Buffer.from(text));
  for (const [task, { train, validation, test }] of tasks.entries()) {
    add(`${task === 0 ? "{" : ",\n"}"${task}":{"train":`);
    add(JSON.stringify(encode(train, task)));
    add(`,"dev":${JSON.stringify(encode(validation, task))}`);
    add(`,"test":${JSON.stringify(encode(test, task))}}`);
  }
  add("}\n");
  return Buffer.concat(pieces);
}

/**
 * @param tasks no label stands in two of them
 * @param dataset the name of the set, by which the original's flags know its prompt and length
 */
export function encodeSentenceTasks(tasks: readonly SentenceTask[], dataset?: string): ContinualFiles {
  const labels = tasks.map((task) => task.labels);
  const number = new Map(labels.flat().map((label, i) => [label, i]));
  const data = encodeData(tasks, (rows, task) => ({
    input: rows.map(({ text }) => text),
    target: rows.map(({ label }) => label),
    label_idx_cil: rows.map(({ label }) => number.get(label)),
    label_idx_til: rows.map(({ label }) => labels[task]?.indexOf(label)),
  }));
  return filesOf(labels, data, dataset);
}

/** Word level: `input` holds lists of words and `label_idx_cil`, despite its name, lists of tags. */
export function encodeWordTasks(tasks: readonly WordTaskFile[], dataset?: string): ContinualFiles {
  const labels = tasks.map((task, i) => (i === 0 ? [OUTSIDE, ...task.labels] : task.labels));
  const data = encodeData(tasks, (sentences) => ({
    input: sentences.map(({ words }) => words),
    label_idx_cil: sentences.map(({ tags }) => tags),
  }));
  return filesOf(labels, data, dataset);
}

function filesOf(
  labels: readonly (readonly string[])[],
  data: Uint8Array,
  dataset: string | undefined,
): ContinualFiles {
  return new Map([
    [CONTINUAL_CONFIG, encodeConfig(labels, dataset)],
    [CONTINUAL_DATA, data],
  ]);
}
