import { withoutControls } from "./format.ts";

/** HTML that is safe to insert as it is; only {@link html} and code with trusted text make it. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes: text is escaped, markup is not, undefined is nothing. */
export type Part = string | number | Markup | undefined | readonly Part[];

/** Builds markup from a template; whatever is not {@link Markup} already is escaped. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let text = strings[0] ?? "";
  for (const [index, part] of parts.entries()) text += render(part) + (strings[index + 1] ?? "");
  return new Markup(text);
}

function render(part: Part): string {
  if (part === undefined) return "";
  if (part instanceof Markup) return part.text;
  if (typeof part !== "string" && typeof part !== "number") return part.map(render).join("");
  return withoutControls(String(part)).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
