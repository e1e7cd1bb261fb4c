/** What every page is: one HTML file without a script, a font or a picture from elsewhere; light and dark by the reader's setting. */
import { html, Markup, type Part } from "./record/markup.ts";
import { buildStyle } from "./style.ts";

export interface Document {
  readonly title: string;
  readonly header: Part;
  readonly main: Part;
  readonly footer: string;
}

export function renderDocument({ title, header, main, footer }: Document): string {
  return html`${new Markup("<!doctype html>")}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Markup(buildStyle())}</style>
</head>
<body>
<header class="top">${header}</header>
<main>
${main}
</main>
<footer><p>${footer}</p></footer>
</body>
</html>
`.text;
}

/** @param body markup, or the items of a list */
export function renderNotice(title: string, body: Markup | readonly string[]): Markup {
  const content =
    body instanceof Markup ? body : html`<ul>${body.map((item) => html`<li>${item}</li>`)}</ul>`;
  return html`<div class="notice"><h2>${title}</h2>${content}</div>`;
}
