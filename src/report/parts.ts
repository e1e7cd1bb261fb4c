/** What sections share. */
import { fullWidth, phoneWidth } from "./charts/plot.ts";
import type { RunFigures } from "./record/figures.ts";
import { formatPercent, missing } from "./record/format.ts";
import { html, type Markup, type Part } from "./record/markup.ts";
import type { RunRecord } from "./record/record.ts";
import type { Wording } from "./record/wording.ts";

export interface Page {
  readonly record: RunRecord;
  readonly figures: RunFigures;
  readonly wording: Wording;
}

/** A drawing for a screen, and another one for a phone: figures that shrink with a drawing cannot be read. */
export function atBothWidths(drawAt: (width: number) => Markup, width = fullWidth): Markup {
  return html`<div class="chart wide">${drawAt(width)}</div><div class="chart phone">${drawAt(phoneWidth)}</div>`;
}

export function columnHeads(names: readonly string[]): readonly Markup[] {
  return names.map((name) => html`<th scope="col">${name}</th>`);
}

/** @param heads the first column's, whose cells stand left, then those of the others */
export function renderTable(
  style: "matrix" | undefined,
  caption: string,
  [first, ...others]: readonly Part[],
  rows: Part,
): Markup {
  return html`<div class="scroll"><table class="${style}"><caption class="legend left">${caption}</caption>
<thead><tr><th scope="col" class="left">${first}</th>${others}</tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

export function tableCell(value: number | null | undefined): Markup {
  return value === null || value === undefined
    ? html`<td class="none">${missing}</td>`
    : html`<td>${formatPercent(value)}</td>`;
}
