/** A matrix of many cells as a picture: an element a cell would make the page grow with the square of the tasks. */
import type { AccuracyMatrix } from "../../core/record.ts";
import { formatPercent, withoutControls } from "../record/format.ts";
import { html, Markup } from "../record/markup.ts";
import { rampIndex, rampSteps, ramps } from "./colour.ts";
import { phoneWidth, taskTicks } from "./plot.ts";
import { pngOf } from "./png.ts";

/** Tasks of a matrix that is drawn cell by cell; more of them are a picture. */
export const mostDrawnTasks = 40;

export interface Raster {
  readonly ariaLabel: string;
  readonly matrix: AccuracyMatrix;
  readonly columns: number;
  /** What a cell is, with `{row}` and `{column}` in place of the names. */
  readonly sentence: string;
  /** Ids of the lists of names that the page has. */
  readonly rowNames: string;
  readonly columnNames: string;
}

/** Accuracies in tenths of a percent, as tables round them; rows end with their last figure. */
function tenthsOf(matrix: AccuracyMatrix): readonly (readonly (number | null)[])[] {
  return matrix.map((row) => {
    const last = row.findLastIndex((value) => value !== null);
    return row
      .slice(0, last + 1)
      .map((value) => (value === null ? null : Math.round(10 * Number(formatPercent(value)))));
  });
}

/** Data for a script, which no text in it can end. */
export function dataFor(attributes: string, value: unknown): Markup {
  const text = JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return new Markup(`<script type="application/json" ${attributes}>${text}</script>`);
}

/** @param id by which rasters find it */
export function nameList(id: string, names: readonly string[]): Markup {
  return dataFor(`id="${id}"`, names.map(withoutControls));
}

function ticksOf(count: number, side: "left" | "top"): readonly Markup[] {
  return taskTicks(count, phoneWidth).map(
    (tick) =>
      html`<i style="${side === "left" ? "top" : "left"}:${((100 * (tick + 0.5)) / count).toFixed(2)}%">${tick}</i>`,
  );
}

/** A picture for each theme; which cell the pointer is at, and its figure, a script says where there is one. */
export function drawRaster({ matrix, columns, ariaLabel, sentence, rowNames, columnNames }: Raster): Markup {
  const pixels = matrix.map((row) =>
    Uint8Array.from({ length: columns }, (_, column) => {
      const value = row[column] ?? null;
      return value === null ? rampSteps : rampIndex(value);
    }),
  );
  const picture = (theme: keyof typeof ramps) =>
    pngOf(
      pixels,
      ramps[theme].map(({ fill }) => fill),
    );
  return html`<div class="raster" data-sentence="${sentence}" data-rows="${matrix.length}" data-columns="${columns}" data-row-names="${rowNames}" data-column-names="${columnNames}">
<div class="top" aria-hidden="true">${ticksOf(columns, "top")}</div><div class="left" aria-hidden="true">${ticksOf(matrix.length, "left")}</div>
<div class="cells" tabindex="0"><picture><source media="screen and (prefers-color-scheme:dark)" srcset="${picture("dark")}"><img alt="${ariaLabel}" src="${picture("light")}"></picture><b hidden></b></div>
<output aria-live="polite"></output>
${dataFor('class="figures"', tenthsOf(matrix))}</div>`;
}

/** Only a page that has such a picture has this. */
export const rasterStyle = `
.raster{display:grid;grid-template-columns:28px minmax(0,1fr);grid-template-rows:18px auto;margin-top:6px;max-width:900px}
.raster .top{grid-column:2;position:relative}.raster .left{position:relative}
.raster i{position:absolute;font-style:normal;font-size:11.5px;line-height:14px;color:var(--muted)}
.raster .top i{transform:translateX(-50%);top:0}.raster .left i{transform:translateY(-50%);right:7px}
.cells{position:relative;aspect-ratio:8/5;cursor:crosshair;outline-offset:2px}
.cells img{display:block;width:100%;height:100%;image-rendering:pixelated}
.cells b{position:absolute;min-width:5px;min-height:5px;box-shadow:0 0 0 1.5px var(--ink),0 0 0 3px var(--panel);pointer-events:none}
.raster output{grid-column:2;min-height:3.1em;margin-top:8px;font-size:13px;line-height:1.55;overflow-wrap:anywhere}
.legend a{color:inherit}
@media (max-width:820px){.cells{aspect-ratio:1}}
`;

/** Shows the cell at the pointer, or the one that arrow keys lead to. */
export const rasterScript = `
const listOf = (id) => JSON.parse(document.getElementById(id).textContent);
for (const raster of document.querySelectorAll(".raster")) {
  const { sentence, rowNames, columnNames } = raster.dataset;
  const [rows, columns] = [Number(raster.dataset.rows), Number(raster.dataset.columns)];
  const figures = JSON.parse(raster.querySelector(".figures").textContent);
  const [rowList, columnList] = [listOf(rowNames), listOf(columnNames)];
  const cells = raster.querySelector(".cells");
  const mark = cells.querySelector("b");
  const output = raster.querySelector("output");
  let [row, column] = [rows - 1, 0];
  output.textContent = "Point at a cell, or go through them with the arrow keys: what it is stands here.";
  const within = (value, count) => Math.min(count - 1, Math.max(0, value));
  const show = (toRow, toColumn) => {
    [row, column] = [within(toRow, rows), within(toColumn, columns)];
    const figure = figures[row]?.[column] ?? null;
    const names = { row: row + " " + (rowList[row] ?? ""), column: column + " " + (columnList[column] ?? "") };
    output.textContent = sentence.replace(/\\{(row|column)\\}/g, (_, which) => names[which].trim()) +
      ": " + (figure === null ? "–" : (figure / 10).toFixed(1) + " %");
    mark.hidden = false;
    mark.style.cssText = "left:" + (100 * column) / columns + "%;top:" + (100 * row) / rows +
      "%;width:" + 100 / columns + "%;height:" + 100 / rows + "%";
  };
  const point = (event) => {
    const box = cells.getBoundingClientRect();
    show(Math.floor((rows * (event.clientY - box.top)) / box.height),
      Math.floor((columns * (event.clientX - box.left)) / box.width));
  };
  cells.addEventListener("pointermove", point);
  cells.addEventListener("pointerdown", point);
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  cells.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    show(row + step[0], column + step[1]);
  });
}
`;
