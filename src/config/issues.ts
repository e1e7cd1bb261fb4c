/** Turns zod's issues into ConfigIssues that say where, what was expected and what stood there. */
import { z } from "zod";
import type { ConfigIssue } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";

type Path = readonly PropertyKey[];

export function formatPath(path: Path): string {
  return path.map(String).join(".");
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const key of path) {
    if (Array.isArray(value) && typeof key === "number") value = value[key];
    else if (isRecord(value) && Object.hasOwn(value, String(key))) value = value[String(key)];
    else return undefined;
  }
  return value;
}

const LONGEST_MAPPING = 80;

/** What a person wrote, short: `"thre"`, `-1`, `nothing`. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string") {
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 39)}…` : value);
  }
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object") return describeMapping(value);
  return String(value);
}

/** `{ kind: "softmax", topTasks: 1 }`, and of a long one the beginning. */
function describeMapping(value: object): string {
  let shown = "";
  for (const [key, inner] of Object.entries(value)) {
    const next = `${shown === "" ? "" : `${shown}, `}${key}: ${isRecord(inner) ? "{ … }" : describe(inner)}`;
    if (next.length > LONGEST_MAPPING) return `{ ${shown === "" ? "" : `${shown}, `}… }`;
    shown = next;
  }
  return shown === "" ? "{}" : `{ ${shown} }`;
}

const typeNames: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a text",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a mapping",
  record: "a mapping",
};

function bound(
  issue: { readonly origin: string; readonly inclusive?: boolean | undefined },
  limit: string,
  low: boolean,
) {
  if (issue.origin === "string")
    return low ? `a text of at least ${limit} character` : `at most ${limit} characters`;
  if (issue.origin === "array") return `a list of ${low ? "at least" : "at most"} ${limit}`;
  if (issue.inclusive === false) return `${low ? "more" : "less"} than ${limit}`;
  return `at ${low ? "least" : "most"} ${limit}`;
}

/** A schema and those that lie in it as in an envelope (default, optional, readonly, a transform), the innermost last. */
function layersOf(schema: unknown): readonly unknown[] {
  const inner =
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodExactOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
      ? schema.unwrap()
      : schema instanceof z.ZodPipe
        ? schema.in
        : undefined;
  return inner === undefined ? [schema] : [schema, ...layersOf(inner)];
}

function membersAt(schema: unknown, key: PropertyKey): readonly unknown[] {
  if (schema instanceof z.ZodObject) return [schema.shape[String(key)]];
  if (schema instanceof z.ZodArray) return [schema.element];
  if (schema instanceof z.ZodRecord) return [schema.valueType];
  return [];
}

/** Every schema that the value at `path` may have to meet: several where a union stands on the way. */
function schemasAt(root: unknown, path: Path): unknown[] {
  let found = alternatives(root);
  for (const key of path)
    found = found.flatMap((schema) => membersAt(schema, key)).flatMap((schema) => alternatives(schema));
  return found;
}

/** What the schemas at `path` say of themselves in words, as `describe` of zod gave it to them. */
function describedAt(root: unknown, path: Path): string | undefined {
  const members = schemasAt(root, path.slice(0, -1)).flatMap((schema) =>
    membersAt(schema, path.at(-1) ?? ""),
  );
  const words = members
    .flatMap(layersOf)
    .flatMap((schema) => (schema instanceof z.ZodType ? (schema.description ?? []) : []));
  return words.length === 0 ? undefined : [...new Set(words)].join(", or ");
}

function alternatives(schema: unknown): unknown[] {
  const inner = layersOf(schema).at(-1);
  if (inner instanceof z.ZodUnion) return inner.options.flatMap(alternatives);
  return inner === undefined ? [] : [inner];
}

/** The keys that a mapping at `path` may have. */
function knownKeys(root: z.ZodType, path: Path): string[] {
  const keys = schemasAt(root, path).flatMap((schema) =>
    schema instanceof z.ZodObject ? Object.keys(schema.shape) : [],
  );
  return [...new Set(keys)];
}

function unknownKey(schema: z.ZodType, path: Path, key: string): ConfigIssue {
  const full = formatPath([...path, key]);
  const keys = knownKeys(schema, path);
  if (keys.includes(key))
    return {
      path: full,
      expected: `nothing here: ${key} belongs to another kind of ${formatPath(path)}`,
      received: `the key ${key}`,
    };
  const near = nearest(key, keys);
  const expected =
    near === undefined ? `one of the keys ${keys.join(", ")}` : `the key ${near} (did you mean it?)`;
  return { path: full, expected, received: `the unknown key ${key}` };
}

type RawIssue = z.core.$ZodIssue;

function expectedText(issue: RawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return typeNames[issue.expected] ?? `a ${issue.expected}`;
    case "invalid_value":
      return issue.values.length === 1
        ? String(issue.values[0])
        : `one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return bound(issue, String(issue.minimum), true);
    case "too_big":
      return bound(issue, String(issue.maximum), false);
    case "not_multiple_of":
      return `a multiple of ${issue.divisor}`;
    case "invalid_format":
      return `a text of the form ${issue.format}`;
    case "invalid_union": {
      const options = "options" in issue ? (issue.options ?? []) : [];
      const named = options.filter((option) => option !== undefined).map(String);
      return named.length === 0 ? issue.message : `one of ${named.join(", ")}`;
    }
    case "unrecognized_keys":
    case "invalid_key":
    case "invalid_element":
      return issue.message;
    // Rules between settings, such as "tasks and domains exclude each other".
    case "custom":
      return issue.message;
  }
}

/** A branch of a union that fails below its root had the right shape: the complaints of the nearest one are the useful ones. */
function unionIssues(issue: Extract<RawIssue, { code: "invalid_union" }>): readonly RawIssue[] | undefined {
  const fitting = issue.errors.filter((branch) =>
    branch.some((inner) => inner.path.length > 0 || inner.code === "unrecognized_keys"),
  );
  return fitting.toSorted((a, b) => a.length - b.length)[0];
}

function convert(schema: z.ZodType, input: unknown, issue: RawIssue, base: Path): ConfigIssue[] {
  const path = [...base, ...issue.path];
  const where = formatPath(path);
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(schema, path, key));
  const value = valueAt(input, path);
  if (issue.code === "invalid_union") {
    const inner = unionIssues(issue);
    if (inner !== undefined) return inner.flatMap((each) => convert(schema, input, each, path));
    const described = describedAt(schema, path);
    const options =
      described === undefined ? issue.errors.flatMap((branch) => branch.map(expectedText)) : [described];
    if (options.length > 0) {
      return [{ path: where, expected: [...new Set(options)].join(", or "), received: describe(value) }];
    }
  }
  const wholly = issue.code === "invalid_type" || issue.code === "custom";
  const expected = wholly ? describedAt(schema, path) : undefined;
  if (expected !== undefined) return [{ path: where, expected, received: describe(value) }];
  const rule = issue.code === "custom" ? { rule: true as const } : {};
  return [{ path: where, expected: expectedText(issue), received: describe(value), ...rule }];
}

/** All problems of `input` at once. */
export function toConfigIssues(schema: z.ZodType, input: unknown, error: z.ZodError): ConfigIssue[] {
  return error.issues.flatMap((issue) => convert(schema, input, issue, []));
}
