/** What plain JavaScript may pass: arguments of public calls are checked by the schemas that type them. */
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { poolingKinds } from "../nn/features.ts";
import { toConfigIssues } from "./issues.ts";

const name = z.string().min(1);
const flag = z.boolean().optional();
const count = z.int().min(1).optional();
const signal = z.instanceof(AbortSignal).describe("an AbortSignal").optional();
const callback = z
  .custom((value) => typeof value === "function")
  .describe("a function")
  .optional();

const words = z.array(z.string()).optional();
const example = z.looseObject({ text: z.string(), textPair: z.string().optional(), words });
const text = z.union([z.string(), example]).describe("a text, or { text }");
const texts = z.array(text).describe("a list of texts");
const item = z
  .union([
    z.looseObject({ text: z.string(), textPair: z.string().optional(), label: z.string() }),
    z.looseObject({ words: z.array(z.string()), tags: z.array(z.string()) }),
  ])
  .describe("{ text, label }, or { words, tags }");
const items = z.array(item).describe("a list of { text, label }, or of { words, tags }");
const prompts = z.array(z.string()).describe("a list of texts");

const optional = <S extends z.ZodRawShape>(fields: S) => z.strictObject({ ...fields, signal }).optional();
const changing = { onEvent: callback };
const answering = {
  task: name.optional(),
  exact: flag,
  top: count,
  coverage: z.number().gt(0).lt(1).optional(),
  onFitting: callback,
};
const overrides = z.array(z.strictObject({ key: name, value: z.unknown(), source: z.string() }));
const place = { backbone: name.optional() };
const opening = { ...place, background: flag };

/** Every argument of a call by its name; what stands before a point tells calls of one name apart. */
const calls = {
  learn: {
    task: z.strictObject({
      name,
      train: items,
      validation: items.optional(),
      // A task of a stream has one; nothing is learned from it.
      test: items.optional(),
      labels: z.array(name).optional(),
      types: z.array(name).optional(),
    }),
    options: optional({ ...changing, statisticsOnly: flag }),
  },
  learnOutside: { texts, options: optional(changing) },
  learnClass: { label: name, examples: texts, options: optional({ ...changing, task: name.optional() }) },
  correct: {
    corrections: z
      .array(z.looseObject({ text: z.string(), label: name }))
      .describe("a list of { text, label }"),
    options: optional(changing),
  },
  forget: {
    target: z
      .union([z.strictObject({ class: name }), z.strictObject({ task: name })])
      .describe("{ class: name } or { task: name }"),
    options: optional({ ...changing, purge: flag }),
  },
  predict: { texts, options: optional(answering) },
  findEntities: { texts, options: optional({ ...answering, minScore: z.number().min(0).max(1).optional() }) },
  evaluate: { items, options: optional(answering) },
  generate: {
    prompts,
    options: optional({ task: name.optional(), exact: flag, maxNewTokens: count, onText: callback }),
  },
  embed: { texts, options: optional({}) },
  saveAdapter: { task: name, folder: name },
  save: { folder: name },
  rollback: { version: count },
  consolidate: { options: optional({ onFitting: callback }) },
  "learner.loadAdapter": {
    name,
    folder: name,
    options: optional({ ...changing, labels: z.array(name).optional() }),
  },
  "learner.merge": {
    other: z.custom((value) => value instanceof Object && "learnClass" in value).describe("a learner"),
    options: optional(changing),
  },
  "store.set": { settings: z.record(name, z.unknown()) },
  "store.merge": { other: name, options: optional({ ...changing, called: name.optional() }) },
  openStore: {
    folder: name,
    options: optional({
      ...changing,
      ...opening,
      shared: z
        .custom((value) => value instanceof Object && "openDevice" in value)
        .describe("SharedBackbones")
        .optional(),
      waitSeconds: z.number().min(0).optional(),
      create: z.looseObject({}).optional(),
      overrides: overrides.optional(),
    }),
  },
  mergeStores: { first: name, second: name, out: name, options: optional(opening) },
  openRun: { folder: name, options: optional(opening) },
  describeStore: { folder: name },
  checkFolder: { folder: name },
  cleanStore: {
    folder: name,
    keep: z.int().min(0).optional(),
    options: optional({ ...changing, waitSeconds: z.number().min(0).optional() }),
  },
  repairFolder: { folder: name, options: optional({ waitSeconds: z.number().min(0).optional() }) },
  backupFolder: { folder: name, to: name, options: optional({}) },
  readRun: { folder: name },
  computeMetrics: {
    level: z.enum(["sentence", "word"]),
    rows: z.array(z.looseObject({ type: z.string(), task: z.int().min(0) })),
    tasks: z.array(z.looseObject({ name: z.string(), labels: z.array(z.string()) })),
  },
  loadAdapter: {
    folder: name,
    options: optional({
      ...place,
      name: name.optional(),
      pooling: z.enum(poolingKinds).optional(),
      normalize: flag,
      labels: z.array(name).optional(),
      level: z.enum(["sentence", "word"]).optional(),
      maxLength: z.int().min(3).optional(),
      threads: count,
    }),
  },
  openGenerator: {
    source: name,
    options: optional({
      ...opening,
      threads: count,
      precision: z.enum(["fp32", "int8"]).optional(),
      device: z.enum(["cpu", "webgpu"]).optional(),
    }),
  },
  loadBackbone: {
    source: name,
    options: optional({
      revision: name.optional(),
      precision: z.enum(["fp32", "int8"]).optional(),
      learnedWith: name.optional(),
      signal,
    }),
  },
  loadConfig: { path: name, overrides },
  resolveConfig: { raw: z.unknown(), baseDir: name, from: z.string() },
  createLearner: { config: z.looseObject({}) },
  runExperiment: {
    config: z.looseObject({}),
    options: optional({
      resume: flag,
      adaptersFrom: name.optional(),
      pieces: name.optional(),
      tasks: count,
      validate: flag,
      profile: flag,
      places: z.record(name, name).optional(),
    }),
  },
} as const satisfies Record<string, z.ZodRawShape>;

/** A message names so many problems; of ten thousand rows without a label it need not name each. */
const MOST_ISSUES = 5;

/**
 * @param given the arguments by name
 * @throws ConfigError with code ARGUMENT naming each argument that is wrong
 */
export function checkArguments<C extends keyof typeof calls>(
  call: C,
  given: { readonly [A in keyof (typeof calls)[C]]: unknown },
): void {
  const schema = z.strictObject(calls[call]);
  const parsed = schema.safeParse(given);
  if (parsed.success) return;
  const all = toConfigIssues(schema, given, parsed.error);
  const more = all.length > MOST_ISSUES ? ` (the first ${MOST_ISSUES} of ${all.length})` : "";
  throw new ConfigError(`${call.split(".").at(-1)}: wrong arguments${more}`, {
    code: "ARGUMENT",
    issues: all.slice(0, MOST_ISSUES),
  });
}
