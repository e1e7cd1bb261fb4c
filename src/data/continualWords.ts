/**
 * The word level of the two-file layout: `input` holds a list of words for each sentence, and `label_idx_cil`, despite
 * its name, as many tags. Class 0 is `O`; a task's other classes are `B-x` and `I-x` of each of its types.
 */
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { CONTINUAL_CONFIG, CONTINUAL_DATA, type ContinualConfig, hint, readConfigFile } from "./continual.ts";
import { OUTSIDE, type TaggedSentence, toIob2, typeOf } from "./files/conll.ts";
import { readJson } from "./files/lines.ts";
import { hashFiles } from "./stream.ts";
import {
  checkTask,
  maskTypes,
  type WordStream,
  type WordStreamSpec,
  type WordTask,
  withoutOverlap,
} from "./wordStream.ts";

const splitSchema = z.looseObject({
  input: z.array(z.array(z.string())),
  label_idx_cil: z.array(z.array(z.string())),
});
const dataSchema = z.record(
  z.string(),
  z.looseObject({ train: splitSchema, dev: splitSchema.optional(), test: splitSchema }),
);
type Split = z.infer<typeof splitSchema>;

/** Whether a folder of the two-file layout holds tagged words rather than sentences of one class. */
export async function isWordLevel(folder: string): Promise<boolean> {
  const { idx2label } = await readConfigFile(join(folder, CONTINUAL_CONFIG));
  return idx2label[0] === OUTSIDE && idx2label.slice(1).every((name) => /^[BI]-./su.test(name));
}

/** The types of a task's `B-x`, `I-x` pairs. */
function typesOf(path: string, task: number, labels: readonly string[]): string[] {
  const types = labels.flatMap((label) => (label.startsWith("B-") ? [label.slice(2)] : []));
  const expected = types.flatMap((type) => [`B-${type}`, `I-${type}`]);
  if (expected.length !== labels.length || expected.some((label, i) => label !== labels[i]))
    throw new DataError(
      `${path}: the classes of task ${task} are no pairs of B- and I-: ${labels.slice(0, 6).join(", ")}`,
      { hint: "Word level: class 0 is O, then B-x and I-x of each type." },
    );
  return types;
}

function readSentences(place: string, split: Split, known: ReadonlySet<string>): TaggedSentence[] {
  const { input, label_idx_cil: tags } = split;
  if (input.length !== tags.length)
    throw new DataError(`${place}: ${input.length} inputs, ${tags.length} label_idx_cil`, { hint });
  return input.map((words, i) => {
    const own = tags[i] ?? [];
    if (own.length !== words.length)
      throw new DataError(`${place}[${i}]: ${words.length} words, ${own.length} tags`, { hint });
    const checked = toIob2(own, (j) => `${place}[${i}], word ${j}`).tags;
    const unknown = checked.map(typeOf).find((type) => type !== undefined && !known.has(type));
    if (unknown !== undefined)
      throw new DataError(`${place}[${i}]: the type ${JSON.stringify(unknown)} is in no task`, { hint });
    return { words, tags: checked };
  });
}

function labelsOfTask(config: ContinualConfig, task: number): readonly string[] {
  const first = config.PRE_ACCUM_NUM_CLASS[task] ?? 0;
  const labels = config.idx2label.slice(first, first + (config.CUR_NUM_CLASS[task] ?? 0));
  return task === 0 ? labels.slice(1) : labels;
}

/**
 * Reads the word level of the two-file layout with its own division into tasks. Files that kept the tags of every
 * type in train, as the benchmark's own script writes them, are masked to each task's types.
 *
 * @returns the tasks and the files read, in a fixed order
 * @throws DataError naming file, task, part and index of what is missing or contradicts itself
 */
export async function readContinualWords(
  folder: string,
): Promise<{ readonly tasks: readonly WordTask[]; readonly files: readonly string[] }> {
  const files = [join(folder, CONTINUAL_CONFIG), join(folder, CONTINUAL_DATA)] as const;
  const config = await readConfigFile(files[0]);
  if (config.idx2label[0] !== OUTSIDE)
    throw new DataError(`${files[0]}: class 0 is ${JSON.stringify(config.idx2label[0])}, not O`, {
      hint: "These are sentences of one class each: level: sentence.",
    });
  const parsed = dataSchema.safeParse(await readJson(files[1]));
  if (!parsed.success)
    throw new DataError(`${files[1]}: ${z.prettifyError(parsed.error)}`, { hint, cause: parsed.error });
  const division = Array.from({ length: config.NUM_TASK }, (_, task) =>
    typesOf(files[0], task, labelsOfTask(config, task)),
  );
  const known = new Set(division.flat());
  const tasks = division.map((types, task): WordTask => {
    const splits = parsed.data[String(task)];
    if (splits === undefined)
      throw new DataError(`${files[1]} has no task ${task}, NUM_TASK is ${config.NUM_TASK}`, { hint });
    const read = (name: string, split: Split) =>
      readSentences(`${files[1]}, task ${task}, ${name}`, split, known);
    const seen = division.slice(0, task + 1).flat();
    return {
      name: `task-${task}`,
      types,
      labels: labelsOfTask(config, task),
      train: maskTypes(read("train", splits.train), types),
      validation: splits.dev === undefined ? [] : maskTypes(read("dev", splits.dev), types),
      test: maskTypes(read("test", splits.test), seen),
    };
  });
  return { tasks, files };
}

/**
 * Reads the word level of the two-file layout as a stream: all tasks are judged on the last one's test sentences, types
 * of later tasks masked. (The benchmark's own files leave out, task by task, those without an entity learned so far.)
 *
 * @throws DataError as `readContinualWords`, and for what cannot be learned from
 */
export async function loadContinualWords(
  folder: string,
  overlap: WordStreamSpec["overlap"],
): Promise<WordStream> {
  const { tasks: read, files } = await readContinualWords(folder);
  const test = read.at(-1)?.test ?? [];
  if (test.length === 0) throw new DataError(`${files[1]}: the last task has no test sentences`, { hint });
  const notes: string[] = [];
  const tasks = read.map((task, i) => {
    const own: string[] = [];
    const train = withoutOverlap({ train: task.train, test }, { overlap }, own);
    notes.push(...own.map((note) => `Task ${task.name}: ${note}`));
    const seen = read.slice(0, i + 1).flatMap(({ types }) => types);
    const whole = { ...task, train, test: maskTypes(test, seen) };
    checkTask(whole);
    return whole;
  });
  return { tasks, dataHash: await hashFiles(files), notes };
}
