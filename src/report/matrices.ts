/** Matrices over tasks: drawn cell by cell, or as pictures where there are many tasks. */
import type { AccuracyMatrix, TypeMatrix } from "../core/record.ts";
import { rampSteps } from "./charts/colour.ts";
import { drawMatrix, drawTypeMatrix } from "./charts/heatmap.ts";
import { fullWidth, halfWidth, nameOf } from "./charts/plot.ts";
import { drawRaster, mostDrawnTasks, nameList } from "./charts/raster.ts";
import { atBothWidths, columnHeads, type Page, renderTable, tableCell } from "./parts.ts";
import type { RunFigures } from "./record/figures.ts";
import { formatCount, missing } from "./record/format.ts";
import { html, type Markup } from "./record/markup.ts";
import type { RunRecord, TaskRecord } from "./record/record.ts";

/** Whether matrices over tasks have too many cells to be an element each. */
export function isLarge({ cil }: RunRecord): boolean {
  return cil.length > mostDrawnTasks;
}

/** Lists that a large page's pictures name rows and columns by. */
const taskList = "task-names";
const typeList = "type-names";

export function renderMatrices(page: Page): Markup | undefined {
  const { record, figures, wording } = page;
  if (figures.evaluatedTasks === 0) return undefined;
  const narrow = record.cil.length <= 6;
  const right = `The right ${wording.name} among all learned so far`;
  const matrices = [
    {
      name: "CIL",
      title: "Class-incremental",
      matrix: record.cil,
      note: `${right}.`,
      file: "cil_matrix.csv",
    },
    {
      name: "TIL",
      title: "Task-incremental",
      matrix: record.til,
      note: tilNote(figures),
      file: "til_matrix.csv",
    },
    figures.routed && {
      name: "Routed",
      title: "Routed",
      matrix: figures.routed.matrix,
      note: `${right}, where something says which task a text belongs to.`,
      file: record.level === "word" ? undefined : "routed_matrix.csv",
    },
  ].filter((each) => each !== undefined);
  const large = isLarge(record);
  const names = record.cil.map((_, task) => nameOf(record.tasks, task));
  return html`<p class="note">${wording.matricesNote}</p>
${large ? nameList(taskList, names) : undefined}<div class="${narrow ? "pair" : undefined}">${matrices.map(
    ({
      name,
      title,
      matrix,
      note,
      file,
    }) => html`<div class="panel"><h3>${title}</h3><p class="legend">${note}</p>
${
  large
    ? drawRaster({
        ariaLabel: `${name} ${wording.cell} matrix: rows are the task just learned, columns the task measured`,
        matrix,
        columns: matrix.length,
        sentence: "after {row}, on {column}",
        rowNames: taskList,
        columnNames: taskList,
      })
    : atBothWidths(
        (width) => drawMatrix(matrix, record.tasks, `${name} ${wording.cell}`, width),
        narrow ? halfWidth : fullWidth,
      )
}
${colourScale}
${large ? renderFewOf(title, matrix, page, file) : html`<details><summary>${title} matrix as a table</summary>${renderMatrixTable(matrix, record.tasks, `${title} ${wording.cell}`)}</details>`}</div>\n`,
  )}</div>`;
}

function tilNote({ tilChanged }: RunFigures): string {
  const rule =
    "The task is given. TIL forgetting is zero by construction: an adapter is never touched again once its task is " +
    "learned, so every column is constant. It is a check, not an achievement";
  return tilChanged.length === 0 ? `${rule}.` : `${rule}, and this run fails it.`;
}

const colourScale = html`<p class="scale">0 %<i aria-hidden="true">${Array.from(
  { length: rampSteps },
  (_, step) => html`<b style="background:var(--h${step})"></b>`,
)}</i>100 %</p>`;

/** Rows, and columns, of a table that stands for a larger one. */
const FEW = 12;

/** Tasks that lie evenly among many, the first and the last among them. */
function fewOf(count: number): readonly number[] {
  return Array.from({ length: FEW }, (_, i) => Math.round((i * (count - 1)) / (FEW - 1)));
}

/** Some rows and columns of a matrix as a table, and where all of them are. */
function renderFewOf(
  title: string,
  matrix: AccuracyMatrix,
  { record, wording }: Page,
  file: string | undefined,
): Markup {
  const rest = file && html`; all of them are in <a href="${file}">${file}</a>, beside this page`;
  const table = renderMatrixTable(matrix, record.tasks, `${title} ${wording.cell}`, fewOf(matrix.length));
  return html`<details><summary>${title}: ${FEW} of ${formatCount(matrix.length)} tasks as a table</summary><p class="legend"><span>Tasks that lie evenly among all${rest}.</span></p>${table}</details>`;
}

function renderMatrixTable(
  matrix: AccuracyMatrix,
  tasks: readonly TaskRecord[],
  caption: string,
  shown: readonly number[] = [...matrix.keys()],
): Markup {
  const heads = shown.map((task) => html`<th scope="col" title="${tasks[task]?.name}">${task}</th>`);
  const rows = shown.map(
    (task) =>
      html`<tr><th scope="row" class="left">${task} <bdi>${tasks[task]?.name}</bdi></th>${shown.map((column) => tableCell(matrix[task]?.[column]))}</tr>\n`,
  );
  return renderTable("matrix", `${caption}, %`, ["after learning", heads], rows);
}

export function renderTypes({ record, figures }: Page): Markup | undefined {
  const types = figures.cil.typeMatrix;
  if (types === undefined) return undefined;
  return html`<p class="note">F1 of each entity type on the shared test set after each task, in percent, when it is looked
for among all types learned so far. Read along a row to see a type being forgotten.</p>
<div class="panel"><h3>Class-incremental</h3>
${isLarge(record) ? drawTypeRaster(types) : atBothWidths((width) => drawTypeMatrix(types, record.tasks, width))}
${colourScale}
<details><summary>Entity types as a table</summary>${renderTypeTable(types, record)}</details></div>`;
}

function drawTypeRaster({ types, f1 }: TypeMatrix): Markup {
  return html`${nameList(typeList, types)}${drawRaster({
    ariaLabel: "F1 of each entity type after each task: rows are types, columns the task just learned",
    matrix: f1,
    columns: f1[0]?.length ?? 0,
    sentence: "{row} after {column}",
    rowNames: typeList,
    columnNames: taskList,
  })}`;
}

function renderTypeTable({ types, f1, forgetting }: TypeMatrix, record: RunRecord): Markup {
  const { tasks } = record;
  const columns = f1[0] ?? [];
  const shown = isLarge(record) ? fewOf(columns.length) : [...columns.keys()];
  const scores = tasks.findLast(({ wordsEvaluated }) => wordsEvaluated !== undefined)?.wordsEvaluated;
  const after = shown.map((task) => html`<th scope="col" title="after ${tasks[task]?.name}">${task}</th>`);
  const rows = types.map((type, i) => {
    const score = scores?.cil.perType[type];
    return html`<tr><th scope="row" class="left"><bdi>${type}</bdi></th>${shown.map((task) => tableCell(f1[i]?.[task]))}${tableCell(forgetting[i])}
${tableCell(score?.precision)}${tableCell(score?.recall)}<td>${score?.support ?? missing}</td>${tableCell(scores?.til.perType[type]?.f1)}</tr>\n`;
  });
  const caption = `F1 after each task; then how far it fell
from its best, precision, recall and entities in the test set, and F1 where the task is given, now; %`;
  const others = columnHeads(["fell by", "precision", "recall", "entities", "TIL F1"]);
  return renderTable("matrix", caption, ["type", after, others], rows);
}
