import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import type { ReadonlyDeep } from "../core/readonlyDeep.ts";
import { nameSchema } from "../core/registry.ts";
import { rowFormats } from "./files/rows.ts";
import { samplings } from "./wordSampling.ts";

const path = z.string().min(1);
// YAML reads a label such as 3 as a number; in the data it is the text "3".
const label = z.union([z.string().min(1), z.number().transform(String)]);
const labels = z.array(label).min(1);

export const recipeNames = ["clinc150", "banking77", "fewrel"] as const;
export type RecipeName = (typeof recipeNames)[number];

const streamFormats = ["jsonl", "csv", "parquet", "continual"] as const;

const fields = z.strictObject({
  /** A file, or a folder that holds train, validation and test files. */
  train: path.optional(),
  validation: path.optional(),
  test: path.optional(),
  /** Texts that belong to no class: a file (used as test), or a folder with validation and test files. */
  outOfScope: path.optional(),
  /** The folder of a recipe, of a whole stream, or of the two-file layout. */
  path: path.optional(),
  recipe: z.enum(recipeNames).optional(),
  /** Number of tasks of equal class counts; the first ones take the remainder. */
  tasks: z.int().min(1).max(1_000_000).optional(),
  /** Only that many tasks of the division, from the first on; default: all. */
  firstTasks: z.int().min(1).max(1_000_000).optional(),
  /** Tasks in full. A label may stand in several; its examples are then shared out among them. */
  taskList: z
    .array(z.strictObject({ name: z.string().min(1), labels }))
    .min(1)
    .optional(),
  /** Labels of each domain, one task a domain; inline, or a JSON file of the same shape. */
  domains: z.union([path, z.record(z.string().min(1), labels)]).optional(),
  /** How labels are ordered before `tasks` divides them; default: as they first appear in train. */
  classOrder: z.union([z.enum(["file", "alphabetical", "shuffled"]), labels]).optional(),
  /** Word level: entity types of the first task. */
  base: z.int().min(1).max(1_000_000).optional(),
  /** Word level: entity types of each later task; default: as many as `base`. */
  increment: z.int().min(1).max(1_000_000).optional(),
  /** Word level: how entity types are ordered before they are divided; default: alphabetical. */
  typeOrder: z.union([z.enum(["alphabetical", "frequency"]), labels]).optional(),
  /** Word level: each sentence trains one task, every task whose types it holds, or every task; default: greedy. */
  sampling: z.enum(samplings).optional(),
  /** Word level: the column of the words in CoNLL files, from 1; default: 2 where the first numbers them, else 1. */
  wordColumn: z.int().min(1).optional(),
  /** Of each task's test texts only that many, drawn by the seed; default: all. */
  testTexts: z.int().min(1).max(1_000_000).optional(),
  /** Seed of class order and splits; default: the run's. */
  seed: z.int().min(0).optional(),
  /** Part of train that becomes validation where there is none. */
  validationFraction: z.number().min(0).lt(1).default(0.1),
  /** Whether train may share texts with test. */
  allowOverlap: z.boolean().default(false),
  /** Default: by the file's name. Extensions add formats. */
  format: nameSchema(streamFormats, rowFormats).optional(),
});

type Fields = z.output<typeof fields>;

const sourceRules: readonly {
  readonly broken: (spec: Fields) => boolean;
  readonly key: keyof Fields;
  readonly message: string;
}[] = [
  {
    broken: ({ train, path }) => train === undefined && path === undefined,
    key: "train",
    message: "a stream needs train (a file or folder), or path (with or without recipe)",
  },
  {
    broken: ({ recipe, path }) => recipe !== undefined && path === undefined,
    key: "path",
    message: "a recipe needs path, the folder of its files",
  },
  {
    broken: ({ train, validation, test, path }) =>
      path !== undefined && [train, validation, test].some((p) => p !== undefined),
    key: "path",
    message: "path names the folder of all files: it does not go with train, validation and test",
  },
  {
    broken: ({ recipe, format, outOfScope }) =>
      recipe !== undefined && (format !== undefined || outOfScope !== undefined),
    key: "recipe",
    message: "a recipe knows its format and out-of-scope texts: leave format and outOfScope out",
  },
  {
    broken: ({ tasks, taskList, domains }) =>
      [tasks, taskList, domains].filter((way) => way !== undefined).length > 1,
    key: "tasks",
    message: "tasks, taskList and domains exclude each other",
  },
  {
    broken: ({ classOrder, taskList, domains }) =>
      classOrder !== undefined && (taskList ?? domains) !== undefined,
    key: "classOrder",
    message: "classOrder goes with tasks; taskList and domains have an order of their own",
  },
];

/** The `stream` section of a configuration; which keys go with which level, the configuration says. */
export const streamSchema = fields.superRefine((spec, context) => {
  for (const { broken, key, message } of sourceRules)
    if (broken(spec)) context.addIssue({ code: "custom", path: [key], message });
});

/** The section `stream` of a configuration. */
export type StreamSpec = ReadonlyDeep<Fields>;

function absolute(path: string, baseDir: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : resolve(baseDir, path);
}

const pathKeys = ["train", "validation", "test", "outOfScope", "path", "domains"] as const;

/** Makes every path of the spec absolute; relative ones start from `baseDir`. */
export function resolveStreamPaths(spec: StreamSpec, baseDir: string): StreamSpec {
  const paths = pathKeys.flatMap((key) => {
    const value = spec[key];
    return typeof value === "string" ? [[key, absolute(value, baseDir)] as const] : [];
  });
  return { ...spec, ...Object.fromEntries(paths) };
}
