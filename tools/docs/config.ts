/**
 * Writes docs/config.md from the configuration's schema: `npx tsx tools/docs/config.ts`. Types, ranges and defaults
 * come from the schema; what a key is for stands in descriptions.ts, and a key without one stops the script.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { configSchema } from "../../src/config/schema.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { descriptions, introduction, sections } from "./descriptions.ts";

type Schema = z.core.JSONSchema.BaseSchema;

interface Row {
  readonly key: string;
  readonly values: string;
  readonly default: string;
}

const code = (value: unknown): string => `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;

/** Subschemas may be plain `true` or `false` in JSON Schema; zod writes those only as a tuple's `items`. */
function asSchema(schema: Schema | boolean | undefined): Schema | undefined {
  return typeof schema === "object" ? schema : undefined;
}

function alternatives(schema: Schema): readonly Schema[] {
  const options = schema.anyOf ?? schema.oneOf;
  return options === undefined ? [schema] : options.flatMap((option) => alternatives(asSchema(option) ?? {}));
}

/** `number in [0, 1)`, `whole number ≥ 1`. */
function describeNumber(schema: Schema): string {
  const kind = schema.type === "integer" ? "whole number" : "number";
  const { minimum, exclusiveMinimum } = schema;
  const maximum = schema.maximum === Number.MAX_SAFE_INTEGER ? undefined : schema.maximum;
  const low = minimum ?? exclusiveMinimum;
  const high = maximum ?? schema.exclusiveMaximum;
  if (low !== undefined && high !== undefined)
    return `${kind} in ${minimum === undefined ? "(" : "["}${low}, ${high}${maximum === undefined ? ")" : "]"}`;
  return low === undefined ? kind : `${kind} ${minimum === undefined ? ">" : "≥"} ${low}`;
}

function describeList(schema: Schema): string {
  if (schema.prefixItems !== undefined)
    return `list of ${schema.prefixItems.length}: ${describeSchema(asSchema(schema.prefixItems[0]) ?? {})}`;
  const items = Array.isArray(schema.items) ? undefined : asSchema(schema.items);
  return `list of ${describeSchema(items ?? {})}`;
}

function describeMapping(schema: Schema): string {
  const properties = Object.keys(schema.properties ?? {});
  if (properties.length > 0) return `\`{ ${properties.join(", ")} }\``;
  return `mapping to ${describeSchema(asSchema(schema.additionalProperties) ?? {})}`;
}

function describeOne(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(", ");
  switch (schema.type) {
    case "integer":
    case "number":
      return describeNumber(schema);
    case "boolean":
      return "`true`, `false`";
    case "array":
      return describeList(schema);
    case "object":
      return describeMapping(schema);
    default:
      return "text";
  }
}

function describeSchema(schema: Schema): string {
  return [...new Set(alternatives(schema).map(describeOne))].join(" or ");
}

/** The mapping's keys, those of all its forms where there are several. */
function propertiesOf(schema: Schema): ReadonlyMap<string, Schema> {
  const found = new Map<string, Schema>();
  for (const option of alternatives(schema))
    for (const [name, property] of Object.entries(option.properties ?? {})) {
      const other = found.get(name);
      const own = asSchema(property) ?? {};
      const initial = other?.default ?? own.default;
      const merged = { anyOf: [other ?? own, own], ...(initial !== undefined && { default: initial }) };
      found.set(name, other === undefined ? own : merged);
    }
  return found;
}

function rowsOf(schema: Schema, prefix: string): Row[] {
  return [...propertiesOf(schema)].map(([name, property]) => ({
    key: `${prefix}${name}`,
    values: describeSchema(property),
    default:
      property.default !== undefined
        ? code(property.default)
        : schema.required?.includes(name)
          ? "required"
          : "–",
  }));
}

/** A section is a key with a heading of its own; its row would only repeat what its table says. */
function isSection(key: string): boolean {
  return sections[key] !== undefined;
}

function descriptionOf(key: string): string {
  const found = descriptions[key];
  if (found !== undefined) return found;
  throw new ConfigError(`tools/docs/descriptions.ts: the setting ${key} is not described`);
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(
    (row) => `| \`${row.key}\` | ${row.values} | ${row.default} | ${descriptionOf(row.key)} |`,
  );
  return ["| key | values | default | |", "| --- | --- | --- | --- |", ...lines].join("\n");
}

/** The page, the same for the same schema. @throws ConfigError if a setting is not described, or a description has none. */
export function renderConfigReference(): string {
  const schema: Schema = z.toJSONSchema(configSchema, { io: "input" });
  const top = propertiesOf(schema);
  const general = rowsOf(schema, "").filter(({ key }) => !isSection(key));
  const parts = Object.entries(sections).map(([name, { title, text }]) => ({
    title,
    text,
    rows: rowsOf(top.get(name) ?? {}, `${name}.`),
  }));
  const described = new Set([...general, ...parts.flatMap(({ rows }) => rows)].map(({ key }) => key));
  const stray = Object.keys(descriptions).find((key) => !described.has(key));
  if (stray !== undefined)
    throw new ConfigError(`tools/docs/descriptions.ts: there is no setting ${stray} to describe`);
  const blocks = parts.map(({ title, text, rows }) => `## ${title}\n\n${text}\n\n${table(rows)}\n`);
  return [introduction, `## General\n\n${table(general)}\n`, ...blocks].join("\n");
}

export const configReference = join(packageRoot, "docs", "config.md");

if (process.argv[1] === import.meta.filename) writeFileSync(configReference, renderConfigReference());
