/**
 * Writes `src/client/operations.ts`, the types and calls of the HTTP client, from the server's own OpenAPI document:
 * `npx tsx tools/client/generate.ts`. A test compares the file with what this makes.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createServer } from "../../src/server/server.ts";

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const object = (value: unknown): Json => (isObject(value) ? value : {});
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const nameOf = (reference: unknown) => String(reference).split("/").at(-1) ?? "";

/** A schema as a type of TypeScript. */
function typeOf(schema: unknown): string {
  const {
    $ref,
    anyOf,
    oneOf,
    prefixItems,
    type,
    items,
    properties,
    required,
    additionalProperties,
    ...rest
  } = object(schema);
  if ($ref !== undefined) return nameOf($ref);
  const either = list(anyOf ?? oneOf);
  if (either.length > 0) return either.map(typeOf).join(" | ");
  if (prefixItems !== undefined) return `readonly [${list(prefixItems).map(typeOf).join(", ")}]`;
  if (rest.enum !== undefined)
    return list(rest.enum)
      .map((value) => JSON.stringify(value))
      .join(" | ");
  if ("const" in rest) return JSON.stringify(rest.const);
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...object(schema), type: each })).join(" | ");
  if (type === "array") return `readonly (${typeOf(items)})[]`;
  if (type === "object" && properties === undefined)
    return `Readonly<Record<string, ${additionalProperties === undefined ? "unknown" : typeOf(additionalProperties)}>>`;
  if (type === "object") {
    const needed = new Set(list(required));
    const fields = Object.entries(object(properties)).map(([name, inner]) => {
      const { description } = object(inner);
      const note = typeof description === "string" ? `/** ${description} */ ` : "";
      return `${note}readonly ${name}${needed.has(name) ? "" : "?"}: ${typeOf(inner)};`;
    });
    return `{ ${fields.join("\n")} }`;
  }
  if (type === "integer") return "number";
  return typeof type === "string" && ["string", "number", "boolean", "null"].includes(type)
    ? type
    : "unknown";
}

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly given: Json;
}

function typeOfContent(content: unknown): {
  readonly kind: "json" | "events" | "text";
  readonly type: string;
} {
  const { "application/json": json, "text/event-stream": events } = object(content);
  if (json !== undefined) return { kind: "json", type: typeOf(object(json).schema) };
  return events === undefined ? { kind: "text", type: "string" } : { kind: "events", type: "ServerEvent" };
}

function callOf({ path, method, given }: Operation): string {
  const { operationId, summary, parameters, requestBody, responses } = given;
  const named = list(parameters).map(object);
  const params = named.filter((each) => each.in === "path");
  const queries = named.filter((each) => each.in === "query");
  const fields = params.map((each) => `readonly ${each.name}: string`);
  const optional = queries.map((each) => `readonly ${each.name}?: ${typeOf(each.schema)}`);
  const body = object(requestBody).content;
  const { 200: ok } = object(responses);
  const { kind, type } = typeOfContent(object(ok).content);
  const place = path.replaceAll(/\{(\w+)\}/g, (_, name) => `\${encodeURIComponent(params.${name})}`);
  const none = fields.length === 0 ? " = {}" : "";
  const taken = [
    ...(fields.length + optional.length > 0
      ? [`params: { ${[...fields, ...optional].join("; ")} }${none}`]
      : []),
    ...(body === undefined ? [] : [`body: ${typeOfContent(body).type}`]),
    "options?: CallOptions",
  ];
  const query = queries.map((each) => `${each.name}: params.${each.name}`).join(", ");
  const sent = [
    `method: "${method.toUpperCase()}"`,
    `path: \`${place}\``,
    ...(query === "" ? [] : [`query: { ${query} }`]),
    ...(body === undefined ? [] : ["body"]),
  ];
  const call = { json: `send.json<${type}>`, text: "send.text", events: "send.events" }[kind];
  const streamed =
    operationId === "completions"
      ? `/** As \`completions\` with \`stream\`: pieces as they come; the last one's data is [DONE]. */
    streamCompletions: (${taken.join(", ")}) => send.events({ ${[...sent.slice(0, -1), "body: { ...body, stream: true }"].join(", ")} }, options),`
      : "";
  return `/** ${summary}. */
    ${operationId}: (${taken.join(", ")}) => ${call}({ ${sent.join(", ")} }, options),
    ${streamed}`;
}

/** What a schema is there for: its own words, else the first operation that takes it or gives it, else a part of another one. */
function commentOf(name: string, schema: unknown, operations: readonly Operation[]): string {
  const { description } = object(schema);
  if (typeof description === "string") return description;
  const named = (given: unknown) => JSON.stringify(given ?? null).includes(`"#/components/schemas/${name}"`);
  const call = ({ method, path }: Operation) => `\`${method.toUpperCase()} ${path}\``;
  const taking = operations.find(({ given }) => named(given.requestBody));
  if (taking !== undefined) return `What ${call(taking)} takes.`;
  const giving = operations.find(({ given }) => named(object(object(given.responses)[200]).content));
  if (giving !== undefined) return `What ${call(giving)} gives.`;
  const failing = operations.find(({ given }) => named(given.responses));
  return failing === undefined ? "A part of an answer." : `What ${call(failing)} says where it fails.`;
}

/** @param document an OpenAPI document */
export function generateOperations(document: unknown): string {
  const { paths, components } = object(document);
  const operations = Object.entries(object(paths)).flatMap(([path, methods]) =>
    Object.entries(object(methods)).map(([method, given]) => ({ path, method, given: object(given) })),
  );
  const schemas = Object.entries(object(object(components).schemas)).map(([name, schema]) => {
    const isInterface = object(schema).type === "object" && object(schema).properties !== undefined;
    const declared = `export ${isInterface ? `interface ${name}` : `type ${name} =`} ${typeOf(schema)}`;
    return `/** ${commentOf(name, schema, operations)} */\n${declared}`;
  });
  return formatted(`// Made by tools/client/generate.ts from the server's OpenAPI document.
import type { CallOptions, Send } from "./send.ts";

${schemas.join("\n\n")}

/** Every route of the server as a call. */
export function operationsOf(send: Send) {
  return {
    ${operations.map(callOf).join("\n    ")}
  };
}
`);
}

/** As the repository formats its sources. */
function formatted(code: string): string {
  const biome = fileURLToPath(new URL("../../node_modules/.bin/biome", import.meta.url));
  const cwd = fileURLToPath(new URL("../../", import.meta.url));
  return execFileSync(biome, ["format", "--stdin-file-path=src/client/operations.ts"], {
    cwd,
    input: code,
    encoding: "utf8",
  });
}

export async function readDocument(): Promise<unknown> {
  await using server = createServer({});
  return await (await server.fetch(new Request("http://localhost/openapi.json"))).json();
}

export const generatedFile = fileURLToPath(new URL("../../src/client/operations.ts", import.meta.url));

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(generatedFile, generateOperations(await readDocument()));
