/** What every page is: one HTML file without a font or a picture from elsewhere, and without a script but its own; light and dark by the reader's setting. */
import { createHash } from "node:crypto";
import { html, Markup, type Part } from "./record/markup.ts";
import { buildStyle } from "./style.ts";

export interface Document {
  readonly title: string;
  readonly header: Part;
  readonly main: Part;
  readonly footer: string;
  /** Of a page that has more to show than elements can: no other script runs, and nothing is fetched. */
  readonly extra?: { readonly style: string; readonly script: string } | undefined;
}

/** Nothing but the page's own script may run, whatever text stands in the page. */
function policyFor(script: string): Markup {
  const hash = createHash("sha256").update(script).digest("base64");
  return html`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${new Markup(hash)}'">\n`;
}

export function renderDocument({ title, header, main, footer, extra }: Document): string {
  return html`${new Markup("<!doctype html>")}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${extra && policyFor(extra.script)}<title>${title}</title>
<style>${new Markup(buildStyle() + (extra?.style ?? ""))}</style>
</head>
<body>
<header class="top">${header}</header>
<main>
${main}
</main>
<footer><p>${footer}</p></footer>
${extra && new Markup(`<script>${extra.script}</script>\n`)}</body>
</html>
`.text;
}

/** @param body markup, or the items of a list */
export function renderNotice(title: string, body: Markup | readonly string[]): Markup {
  const content =
    body instanceof Markup ? body : html`<ul>${body.map((item) => html`<li>${item}</li>`)}</ul>`;
  return html`<div class="notice"><h2>${title}</h2>${content}</div>`;
}
