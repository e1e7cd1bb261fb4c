/**
 * The two-file layout of the original benchmark code: `continual_data.json` holds, per task and split, parallel
 * arrays `input`, `target`, `label_idx_cil` (a class's number in the whole stream) and `label_idx_til` (within
 * its task); `continual_config.json` holds the tasks' class counts and the classes' names.
 */
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { readJsonAs } from "./files/lines.ts";
import type { LabelledExample } from "./files/types.ts";
import type { Source } from "./source.ts";

export const CONTINUAL_DATA = "continual_data.json";
export const CONTINUAL_CONFIG = "continual_config.json";

const index = z.int().min(0);
const configSchema = z.looseObject({
  NUM_TASK: z.int().min(1),
  CUR_NUM_CLASS: z.array(z.int().min(1)),
  ACCUM_NUM_CLASS: z.array(index),
  PRE_ACCUM_NUM_CLASS: z.array(index),
  label2idx: z.record(z.string(), index),
  idx2label: z.array(z.string().min(1)),
  /** The name of the set, where `accrete prepare` made the files. */
  DATASET: z.string().min(1).optional(),
});
type ContinualConfig = z.infer<typeof configSchema>;

const hint = "Both files are written together by the benchmark's preprocessing: make them again.";

export function damaged(message: string): DataError {
  return new DataError(message, { hint });
}

function checkConfig(path: string, config: ContinualConfig): void {
  const { NUM_TASK, CUR_NUM_CLASS, ACCUM_NUM_CLASS, PRE_ACCUM_NUM_CLASS, idx2label, label2idx } = config;
  let seen = 0;
  for (let task = 0; task < NUM_TASK; task++) {
    const before = seen;
    seen += CUR_NUM_CLASS[task] ?? Number.NaN;
    if (PRE_ACCUM_NUM_CLASS[task] !== before || ACCUM_NUM_CLASS[task] !== seen)
      throw damaged(
        `${path}: CUR_NUM_CLASS, PRE_ACCUM_NUM_CLASS and ACCUM_NUM_CLASS disagree at task ${task}`,
      );
  }
  if (idx2label.length !== seen)
    throw damaged(`${path}: idx2label names ${idx2label.length} classes, the tasks have ${seen}`);
  const wrong = idx2label.findIndex((name, i) => label2idx[name] !== i);
  if (wrong >= 0)
    throw damaged(
      `${path}: idx2label[${wrong}] is ${JSON.stringify(idx2label[wrong])}, but label2idx says otherwise`,
    );
}

/** The classes of each task in order. @throws DataError naming the file and what contradicts itself */
export async function readClasses(folder: string): Promise<readonly (readonly string[])[]> {
  const path = join(folder, CONTINUAL_CONFIG);
  const config = await readJsonAs(configSchema, path, hint);
  checkConfig(path, config);
  return config.CUR_NUM_CLASS.slice(0, config.NUM_TASK).map((size, task) => {
    const first = config.PRE_ACCUM_NUM_CLASS[task] ?? 0;
    return config.idx2label.slice(first, first + size);
  });
}

/** The name of the set that the files were made of; undefined where they do not say. @throws DataError as `readClasses` */
export async function readDatasetName(folder: string): Promise<string | undefined> {
  return (await readJsonAs(configSchema, join(folder, CONTINUAL_CONFIG), hint)).DATASET;
}

/** @returns the paths of both files, in the order in which they are hashed */
export function filesOf(folder: string): readonly [config: string, data: string] {
  return [join(folder, CONTINUAL_CONFIG), join(folder, CONTINUAL_DATA)];
}

type SplitName = "train" | "dev" | "test";

/**
 * Reads `continual_data.json`.
 * @param read makes items of it; `place` names it in messages
 * @returns the items of each split of each task, those of `dev` undefined where there is none
 */
export async function readTaskData<S, T>(
  folder: string,
  count: number,
  split: z.ZodType<S>,
  read: (split: S, place: string, task: number) => readonly T[],
): Promise<readonly { train: readonly T[]; dev: readonly T[] | undefined; test: readonly T[] }[]> {
  const [, path] = filesOf(folder);
  const taskSchema = z.looseObject({ train: split, dev: split.optional(), test: split });
  const data = await readJsonAs(z.record(z.string(), taskSchema), path, hint);
  return Array.from({ length: count }, (_, task) => {
    const splits = data[String(task)];
    if (splits === undefined) throw damaged(`${path} has no task ${task}, NUM_TASK is ${count}`);
    const readOne = (name: SplitName, content: S) => read(content, `${path}, task ${task}, ${name}`, task);
    return {
      train: readOne("train", splits.train),
      dev: splits.dev === undefined ? undefined : readOne("dev", splits.dev),
      test: readOne("test", splits.test),
    };
  });
}

const splitSchema = z.looseObject({
  input: z.array(z.string()),
  label_idx_cil: z.array(index),
  label_idx_til: z.array(index),
});

/**
 * Reads the two-file layout with its own division into tasks.
 * @throws DataError naming file, task, split and index of what is missing or contradicts itself
 */
export async function readContinual(folder: string): Promise<Source> {
  const classes = await readClasses(folder);
  const read = (split: z.infer<typeof splitSchema>, place: string, task: number): LabelledExample[] => {
    const { input, label_idx_cil: cil, label_idx_til: til } = split;
    if (cil.length !== input.length || til.length !== input.length)
      throw damaged(
        `${place}: ${input.length} inputs, ${cil.length} label_idx_cil, ${til.length} label_idx_til`,
      );
    const first = classes.slice(0, task).flat().length;
    return input.map((text, i) => {
      const inTask = cil[i]! - first;
      const label = classes[task]?.[inTask];
      if (label === undefined || til[i] !== inTask)
        throw damaged(
          `${place}[${i}]: label_idx_cil ${cil[i]} and label_idx_til ${til[i]} do not fit task ${task}, whose classes start at ${first}`,
        );
      return { text, label };
    });
  };
  const tasks = await readTaskData(folder, classes.length, splitSchema, read);
  const validation = tasks.flatMap(({ dev = [] }) => dev);
  return {
    train: tasks.flatMap(({ train }) => train),
    ...(validation.length > 0 && { validation }),
    test: tasks.flatMap(({ test }) => test),
    tasks: classes.map((labels, task) => ({ name: `task-${task}`, labels })),
    files: filesOf(folder),
    overlap: "refuse",
  };
}
