/** A page that shows the server's document, with nothing loaded from anywhere. */

type Json = unknown;
type Mapping = Readonly<Record<string, Json>>;

function isMapping(value: Json): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const mapping = (value: Json): Mapping => (isMapping(value) ? value : {});
const text = (value: Json): string => (typeof value === "string" ? value : "");

function escapeHtml(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function nameOf(reference: string): string {
  return reference.split("/").at(-1) ?? "";
}

/** A schema in one line, as TypeScript would write it; schemas with a name are links. */
function describe(schema: Json): string {
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
  } = mapping(schema);
  if (typeof $ref === "string")
    return `<a href="#schema-${escapeHtml(nameOf($ref))}">${escapeHtml(nameOf($ref))}</a>`;
  const either = Array.isArray(anyOf) ? anyOf : oneOf;
  if (Array.isArray(either)) return either.map(describe).join(" | ");
  if (Array.isArray(prefixItems)) return `[${prefixItems.map(describe).join(", ")}]`;
  if (Array.isArray(rest.enum))
    return rest.enum.map((value) => escapeHtml(JSON.stringify(value))).join(" | ");
  if ("const" in rest) return escapeHtml(JSON.stringify(rest.const));
  if (type === "array") return `${wrap(describe(items))}[]`;
  if (isMapping(properties)) {
    const needed = Array.isArray(required) ? required : [];
    const fields = Object.entries(properties).map(
      ([name, inner]) => `${escapeHtml(name)}${needed.includes(name) ? "" : "?"}: ${describe(inner)}`,
    );
    return `{ ${fields.join("; ")} }`;
  }
  if (type === "object") return `{ [name]: ${describe(additionalProperties)} }`;
  if (Array.isArray(type)) return type.map((each) => escapeHtml(String(each))).join(" | ");
  return typeof type === "string" ? escapeHtml(type) : "any";
}

function wrap(described: string): string {
  return described.includes(" | ") ? `(${described})` : described;
}

function contents(content: Json): string {
  return Object.entries(mapping(content))
    .map(
      ([kind, each]) => `<code>${describe(mapping(each).schema)}</code> <small>${escapeHtml(kind)}</small>`,
    )
    .join("<br>");
}

function operation(path: string, method: string, given: Json): string {
  const { summary, requestBody, responses, parameters } = mapping(given);
  const asked = contents(mapping(requestBody).content);
  const queries = (Array.isArray(parameters) ? parameters : [])
    .map(mapping)
    .filter(({ in: place }) => place === "query")
    .map(({ name, schema }) => `<code>?${escapeHtml(text(name))}=${describe(schema)}</code>`);
  const answered = Object.entries(mapping(responses)).map(
    ([status, response]) =>
      `<tr><th>${escapeHtml(status)}</th><td>${contents(mapping(response).content)}</td><td>${escapeHtml(text(mapping(response).description))}</td></tr>`,
  );
  return `<section><h2><b>${escapeHtml(method.toUpperCase())}</b> ${escapeHtml(path)}</h2><p>${escapeHtml(text(summary))}.</p>
${asked === "" ? "" : `<p>Body: ${asked}</p>`}${queries.length === 0 ? "" : `<p>${queries.join(" ")}</p>`}
<table>${answered.join("")}</table></section>`;
}

function schemaEntry([name, schema]: readonly [string, Json]): string {
  const { properties } = mapping(schema);
  const notes = Object.entries(mapping(properties))
    .map(([field, inner]) => [field, text(mapping(inner).description)] as const)
    .filter(([, note]) => note !== "")
    .map(([field, note]) => `<li><code>${escapeHtml(field)}</code>: ${escapeHtml(note)}</li>`);
  return `<section id="schema-${escapeHtml(name)}"><h2>${escapeHtml(name)}</h2><p><code>${describe(schema)}</code></p>${
    notes.length === 0 ? "" : `<ul>${notes.join("")}</ul>`
  }</section>`;
}

const style = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 b { display: inline-block; min-width: 4.5rem; color: #4a6fa5; }
section { border-top: 1px solid #8885; padding: .8rem 0; } p { margin: .2rem 0; }
code { font: .85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; }
th { font-weight: 600; } small { color: #777; }`;

/** @param document an OpenAPI document */
export function docsPage(document: object): string {
  const { info, paths, components } = mapping(document);
  const { title, version, description } = mapping(info);
  const operations = Object.entries(mapping(paths)).flatMap(([path, methods]) =>
    Object.entries(mapping(methods)).map(([method, given]) => operation(path, method, given)),
  );
  const schemas = Object.entries(mapping(mapping(components).schemas)).map(schemaEntry);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(text(title))}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body>
<h1>${escapeHtml(text(title))} <small>${escapeHtml(text(version))}</small></h1>
<p>${escapeHtml(text(description))} The same for programs: <a href="openapi.json">openapi.json</a>.</p>
${operations.join("\n")}<h1>Schemas</h1>${schemas.join("\n")}</body></html>`;
}
