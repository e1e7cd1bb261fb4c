/**
 * The two-file layout of the original benchmark code: `continual_data.json` holds, per task and split, parallel
 * arrays `input`, `target`, `label_idx_cil` (a class's number in the whole stream) and `label_idx_til` (within
 * its task); `continual_config.json` holds the tasks' class counts and the classes' names.
 */
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { readJson } from "./files/lines.ts";
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
});
export type ContinualConfig = z.infer<typeof configSchema>;

const splitSchema = z.looseObject({
  input: z.array(z.string()),
  target: z.array(z.string()).optional(),
  label_idx_cil: z.array(index),
  label_idx_til: z.array(index),
});
const dataSchema = z.record(
  z.string(),
  z.looseObject({ train: splitSchema, dev: splitSchema.optional(), test: splitSchema }),
);
type Split = z.infer<typeof splitSchema>;

export const hint = "Both files are written together by the benchmark's preprocessing: make them again.";

async function parseFile<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const result = schema.safeParse(await readJson(path));
  if (result.success) return result.data;
  throw new DataError(`${path}: ${z.prettifyError(result.error)}`, { hint, cause: result.error });
}

function checkConfig(path: string, config: ContinualConfig): void {
  const { NUM_TASK, CUR_NUM_CLASS, ACCUM_NUM_CLASS, PRE_ACCUM_NUM_CLASS, idx2label, label2idx } = config;
  let seen = 0;
  for (let task = 0; task < NUM_TASK; task++) {
    const before = seen;
    seen += CUR_NUM_CLASS[task] ?? Number.NaN;
    if (PRE_ACCUM_NUM_CLASS[task] !== before || ACCUM_NUM_CLASS[task] !== seen)
      throw new DataError(
        `${path}: CUR_NUM_CLASS, PRE_ACCUM_NUM_CLASS and ACCUM_NUM_CLASS disagree at task ${task}`,
        { hint },
      );
  }
  if (idx2label.length !== seen)
    throw new DataError(`${path}: idx2label names ${idx2label.length} classes, the tasks have ${seen}`, {
      hint,
    });
  idx2label.forEach((name, i) => {
    if (label2idx[name] !== i)
      throw new DataError(
        `${path}: idx2label[${i}] is ${JSON.stringify(name)}, but label2idx says otherwise`,
        { hint },
      );
  });
}

/** Reads and checks `continual_config.json`. @throws DataError naming the file and what contradicts itself */
export async function readConfigFile(path: string): Promise<ContinualConfig> {
  const config = await parseFile(path, configSchema);
  checkConfig(path, config);
  return config;
}

function readSplit(place: string, split: Split, config: ContinualConfig, task: number): LabelledExample[] {
  const { input, label_idx_cil: cil, label_idx_til: til } = split;
  if (cil.length !== input.length || til.length !== input.length)
    throw new DataError(
      `${place}: ${input.length} inputs, ${cil.length} label_idx_cil, ${til.length} label_idx_til`,
      { hint },
    );
  const first = config.PRE_ACCUM_NUM_CLASS[task]!;
  return input.map((text, i) => {
    const inTask = cil[i]! - first;
    if (inTask < 0 || inTask >= config.CUR_NUM_CLASS[task]! || til[i] !== inTask)
      throw new DataError(
        `${place}[${i}]: label_idx_cil ${cil[i]} and label_idx_til ${til[i]} do not fit task ${task}, whose classes start at ${first}`,
        { hint },
      );
    return { text, label: config.idx2label[cil[i]!]! };
  });
}

/**
 * Reads the two-file layout with its own division into tasks.
 *
 * @throws DataError naming file, task, split and index of what is missing or contradicts itself
 */
export async function readContinual(folder: string): Promise<Source> {
  const files = [join(folder, CONTINUAL_CONFIG), join(folder, CONTINUAL_DATA)] as const;
  const config = await readConfigFile(files[0]);
  const data = await parseFile(files[1], dataSchema);
  const train: LabelledExample[] = [];
  const validation: LabelledExample[] = [];
  const test: LabelledExample[] = [];
  const tasks = Array.from({ length: config.NUM_TASK }, (_, task) => {
    const splits = data[String(task)];
    if (splits === undefined)
      throw new DataError(`${files[1]} has no task ${task}, NUM_TASK is ${config.NUM_TASK}`, { hint });
    const read = (name: string, split: Split) =>
      readSplit(`${files[1]}, task ${task}, ${name}`, split, config, task);
    train.push(...read("train", splits.train));
    if (splits.dev !== undefined) validation.push(...read("dev", splits.dev));
    test.push(...read("test", splits.test));
    const first = config.PRE_ACCUM_NUM_CLASS[task]!;
    return {
      name: `task-${task}`,
      labels: config.idx2label.slice(first, first + config.CUR_NUM_CLASS[task]!),
    };
  });
  return {
    train,
    test,
    ...(validation.length > 0 ? { validation } : {}),
    tasks,
    files,
    overlap: "refuse",
  };
}
