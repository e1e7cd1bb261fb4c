/** What plain JavaScript may pass: arguments are checked by the schemas that type them. */
import { z } from "zod";
import { toConfigIssues } from "../config/issues.ts";
import { ConfigError } from "../core/errors.ts";

const signal = z.instanceof(AbortSignal).optional();
const callback = z
  .custom<(...args: never[]) => unknown>((value) => typeof value === "function", "a function")
  .optional();
const name = z.string().min(1);

const exampleSchema = z.looseObject({
  text: z.string(),
  textPair: z.string().optional(),
  words: z.array(z.string()).optional(),
});
const textSchema = z.union([z.string(), exampleSchema]);
const texts = z.array(textSchema);
const labelledSchema = z.looseObject({
  text: z.string(),
  textPair: z.string().optional(),
  label: z.string(),
});
const taggedSchema = z.looseObject({ words: z.array(z.string()), tags: z.array(z.string()) });
const items = z.array(z.union([labelledSchema, taggedSchema]));

const changeFields = { onEvent: callback, signal };
const answerFields = {
  task: name.optional(),
  exact: z.boolean().optional(),
  top: z.int().min(1).optional(),
  signal,
  onFitting: callback,
};

export const learnTaskSchema = z.tuple([
  z.strictObject({
    name,
    train: items,
    validation: items.optional(),
    labels: z.array(z.string()).optional(),
    types: z.array(z.string()).optional(),
  }),
  z.strictObject({ ...changeFields, statisticsOnly: z.boolean().optional() }),
]);
export const labelSchema = z.tuple([
  z.string(),
  texts,
  z.strictObject({ ...changeFields, task: name.optional() }),
]);
export const forgetSchema = z.tuple([
  z.union([z.strictObject({ class: z.string() }), z.strictObject({ task: z.string() })]),
]);
export const predictSchema = z.tuple([texts, z.strictObject(answerFields)]);
export const evaluateItemsSchema = z.tuple([items, z.strictObject(answerFields)]);
export const itemsSchema = z.tuple([texts]);
export const rollbackSchema = z.tuple([z.int().min(1).optional()]);
export const textsSchema = z.tuple([z.array(z.string())]);

/**
 * @param what the call, for messages
 * @throws ConfigError with code ARGUMENT naming each argument that is wrong
 */
export function checked(what: string, schema: z.ZodType, given: readonly unknown[]): void {
  const parsed = schema.safeParse(given);
  if (parsed.success) return;
  throw new ConfigError(`${what}: wrong arguments`, {
    code: "ARGUMENT",
    issues: toConfigIssues(schema, given, parsed.error),
  });
}
