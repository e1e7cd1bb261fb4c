/** Matrices as coloured cells. One scale from 0 to 100 % for every matrix, so that two of them compare. */
import * as Plot from "@observablehq/plot";
import type { AccuracyMatrix, TypeMatrix } from "../../core/record.ts";
import { mean } from "../record/figures.ts";
import { formatPercent, shorten, withoutControls } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import type { TaskRecord } from "../record/record.ts";
import { rampIndex } from "./colour.ts";
import { draw, nameOf, phoneWidth, taskTicks } from "./plot.ts";

interface Cell {
  readonly row: number;
  readonly column: number;
  readonly value: number;
}

interface Grid {
  readonly ariaLabel: string;
  readonly matrix: AccuracyMatrix;
  readonly columns: number;
  readonly margins: { readonly marginLeft: number; readonly marginRight: number };
  readonly rowHeight: (columnWidth: number) => number;
  /** Rows that are named, where columns have that width and not all of them are numbered. */
  readonly rowTicks: (columnTicks: number[]) => number[];
  readonly rowName: (row: number) => string;
  readonly cellName: (cell: Cell) => string;
  readonly marks?: (columnWidth: number) => Plot.Markish[];
}

/** Cells are as large as the available width, in pixels, allows. */
function drawGrid(grid: Grid, availableWidth: number): Markup {
  const { matrix, columns, margins } = grid;
  const { marginLeft, marginRight } = margins;
  const size = Math.max(9, Math.min(60, (availableWidth - marginLeft - marginRight) / Math.max(1, columns)));
  const order = Array.from({ length: columns }, (_, column) => column);
  const ticks = size >= 18 ? order : taskTicks(columns);
  const cells = matrix.flatMap((values, row) =>
    values.flatMap((value, column): Cell[] => (value === null ? [] : [{ row, column, value }])),
  );
  const large = size > 16;
  return draw({
    ariaLabel: `${grid.ariaLabel}; the same figures stand in the table below`,
    width: Math.round(marginLeft + size * columns + marginRight),
    height: Math.round(26 + grid.rowHeight(size) * matrix.length + 4),
    ...margins,
    marginTop: 26,
    marginBottom: 4,
    padding: 0,
    x: { type: "band", domain: order, label: null },
    y: { type: "band", domain: [...matrix.keys()], label: null },
    marks: [
      Plot.axisX(ticks, { anchor: "top", tickSize: 0, tickFormat: String }),
      Plot.axisY(grid.rowTicks(ticks), { tickSize: 0, tickFormat: grid.rowName }),
      Plot.cell(cells, {
        x: "column",
        y: "row",
        inset: large ? 1 : 0.25,
        rx: large ? 3 : 0,
        fill: ({ value }: Cell) => `var(--h${rampIndex(value)})`,
        title: (cell: Cell) => `${grid.cellName(cell)}: ${formatPercent(cell.value)} %`,
      }),
      ...figuresIn(cells, size),
      ...(grid.marks?.(size) ?? []),
    ],
  });
}

/** A figure in each cell, where it fits; its ink is the step's own. */
function figuresIn(cells: readonly Cell[], size: number): Plot.Markish[] {
  if (size < 21) return [];
  return [
    Plot.text(cells, {
      x: "column",
      y: "row",
      text: ({ value }: Cell) => (size < 34 ? (value * 100).toFixed(0) : formatPercent(value)),
      fill: ({ value }: Cell) => `var(--i${rampIndex(value)})`,
      fontSize: size < 34 ? 10.5 : 11.5,
    }),
  ];
}

const longestOf = (names: readonly string[]) => Math.max(4, ...names.map((name) => [...name].length));

/** A matrix over tasks: rows are the task just learned, columns the task measured, and the row's mean at its end. */
export function drawMatrix(
  matrix: AccuracyMatrix,
  tasks: readonly TaskRecord[],
  what: string,
  availableWidth: number,
): Markup {
  const phone = availableWidth <= phoneWidth;
  const names = tasks.map((task) => shorten(nameOf(tasks, task.task), phone ? 9 : 18));
  const named = names.some((name, task) => name !== `task-${task}`) && !(phone && matrix.length > 6);
  const grid: Grid = {
    ariaLabel: `${what} matrix`,
    matrix,
    columns: matrix.length,
    margins: {
      marginLeft: named ? Math.max(68, 28 + 6.4 * longestOf(names)) : phone ? 26 : 68,
      marginRight: phone ? 42 : 52,
    },
    rowHeight: (width) => Math.max(9, Math.min(31, width * 0.62 + 4)),
    rowTicks: (ticks) => ticks,
    rowName: (task) => (named ? `${names[task] ?? ""}  ${task}` : String(task)),
    cellName: ({ row, column }) => `after ${nameOf(tasks, row)}, on ${nameOf(tasks, column)}`,
    marks: (width) => (width < 12 ? [] : rowMeans(matrix, phone ? 38 : 46, !phone)),
  };
  return drawGrid(grid, availableWidth);
}

/** Entity types by tasks: rows are types in the order in which they are learned, columns the task just learned. */
export function drawTypeMatrix(
  { types, f1 }: TypeMatrix,
  tasks: readonly TaskRecord[],
  availableWidth: number,
): Markup {
  const names = types.map((type) => shorten(withoutControls(type), availableWidth <= phoneWidth ? 14 : 24));
  const grid: Grid = {
    ariaLabel: "F1 of each entity type after each task",
    matrix: f1,
    columns: f1[0]?.length ?? 0,
    margins: { marginLeft: 28 + 6.4 * longestOf(names), marginRight: 12 },
    rowHeight: () => 28,
    rowTicks: () => [...types.keys()],
    rowName: (type) => names[type] ?? "",
    cellName: ({ row, column }) => `${names[row]} after ${nameOf(tasks, column)}`,
  };
  return drawGrid(grid, availableWidth);
}

/** @param dx how far right of the last cell a mean ends @param corner whether the corner says what rows and columns are */
function rowMeans(matrix: AccuracyMatrix, dx: number, corner: boolean): Plot.Markish[] {
  const means = matrix.map((row, after) => ({ after, mean: mean(row.filter((value) => value !== null)) }));
  const atEnd = { dx, textAnchor: "end" } as const;
  const heading = { dy: -16, textAnchor: "end", fill: "var(--muted)", text: String } as const;
  return [
    Plot.text(means, {
      y: "after",
      frameAnchor: "right",
      ...atEnd,
      text: (row: (typeof means)[number]) => formatPercent(row.mean),
      fontWeight: 650,
    }),
    ...(corner ? [Plot.text(["after \\ on"], { frameAnchor: "top-left", dx: -8, ...heading })] : []),
    Plot.text(["mean"], { frameAnchor: "top-right", dx, ...heading }),
  ];
}
