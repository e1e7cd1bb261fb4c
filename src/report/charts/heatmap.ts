import * as Plot from "@observablehq/plot";
import type { AccuracyMatrix, TypeMatrix } from "../../core/record.ts";
import { formatPercent, shorten, withoutControls } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import type { TaskRecord } from "../record/record.ts";
import { rampIndex } from "./colour.ts";
import { draw, nameOf, taskTicks } from "./plot.ts";

interface Cell {
  readonly after: number;
  readonly on: number;
  readonly value: number;
}

/**
 * A matrix over tasks: rows are the task just learned, columns the task measured, and the row's mean at its end.
 * Cells are as large as the available width, in pixels, allows. One scale from 0 to 100 % for every matrix, so that two of them compare.
 */
export function drawMatrix(
  matrix: AccuracyMatrix,
  tasks: readonly TaskRecord[],
  what: string,
  availableWidth: number,
): Markup {
  const cells = matrix.flatMap((row, after) =>
    row.flatMap((value, on): Cell[] => (value === null ? [] : [{ after, on, value }])),
  );
  const names = tasks.map((task) => shorten(nameOf(tasks, task.task), 18));
  const named = names.some((name, task) => name !== `task-${task}`);
  const marginLeft = named ? Math.max(68, 28 + 6.4 * Math.max(...names.map((name) => [...name].length))) : 68;
  const size = Math.max(9, Math.min(60, (availableWidth - marginLeft - 52) / Math.max(1, matrix.length)));
  const height = Math.max(9, Math.min(31, size * 0.62 + 4));
  const order = [...matrix.keys()];
  const ticks = size >= 18 ? order : taskTicks(matrix.length);
  return draw({
    ariaLabel: `${what} matrix; the same figures stand in the table below`,
    width: Math.round(marginLeft + size * matrix.length + 52),
    height: Math.round(26 + height * matrix.length + 4),
    marginLeft,
    marginRight: 52,
    marginTop: 26,
    marginBottom: 4,
    padding: 0,
    x: { type: "band", domain: order, label: null },
    y: { type: "band", domain: order, label: null },
    marks: [
      Plot.axisX(ticks, { anchor: "top", tickSize: 0, tickFormat: String }),
      Plot.axisY(ticks, {
        tickSize: 0,
        tickFormat: (task: number) => (named ? `${names[task] ?? ""}  ${task}` : String(task)),
      }),
      Plot.cell(cells, {
        x: "on",
        y: "after",
        inset: size > 16 ? 1 : 0.25,
        rx: size > 16 ? 3 : 0,
        fill: (cell: Cell) => `var(--h${rampIndex(cell.value)})`,
        title: (cell: Cell) =>
          `after ${nameOf(tasks, cell.after)}, on ${nameOf(tasks, cell.on)}: ${formatPercent(cell.value)} %`,
      }),
      ...matrixText(cells, size),
      ...rowMeans(matrix, size),
    ],
  });
}

/**
 * Entity types by tasks: rows are types in the order in which they are learned, columns the task just learned. The
 * colour scale is that of every matrix.
 */
export function drawTypeMatrix(
  { types, f1 }: TypeMatrix,
  tasks: readonly TaskRecord[],
  availableWidth: number,
): Markup {
  const cells = f1.flatMap((row, on) =>
    row.flatMap((value, after): Cell[] => (value === null ? [] : [{ after, on, value }])),
  );
  const names = types.map((type) => shorten(withoutControls(type), 24));
  const marginLeft = 28 + 6.4 * Math.max(4, ...names.map((name) => [...name].length));
  const columns = f1[0]?.length ?? 0;
  const size = Math.max(9, Math.min(60, (availableWidth - marginLeft - 12) / Math.max(1, columns)));
  const order = Array.from({ length: columns }, (_, task) => task);
  return draw({
    ariaLabel: "F1 of each entity type after each task; the same figures stand in the table below",
    width: Math.round(marginLeft + size * columns + 12),
    height: Math.round(30 + 28 * types.length),
    marginLeft,
    marginRight: 12,
    marginTop: 26,
    marginBottom: 4,
    padding: 0,
    x: { type: "band", domain: order, label: null },
    y: { type: "band", domain: [...types.keys()], label: null },
    marks: [
      Plot.axisX(size >= 18 ? order : taskTicks(columns), { anchor: "top", tickSize: 0, tickFormat: String }),
      Plot.axisY([...types.keys()], { tickSize: 0, tickFormat: (type: number) => names[type] ?? "" }),
      Plot.cell(cells, {
        x: "after",
        y: "on",
        inset: 1,
        rx: 3,
        fill: (cell: Cell) => `var(--h${rampIndex(cell.value)})`,
        title: (cell: Cell) =>
          `${names[cell.on]} after ${nameOf(tasks, cell.after)}: ${formatPercent(cell.value)} %`,
      }),
      ...matrixText(cells, size, { x: "after", y: "on" }),
    ],
  });
}

/** A figure in each cell, where it fits; its ink is the step's own. */
function matrixText(
  cells: readonly Cell[],
  size: number,
  axes: { readonly x: keyof Cell; readonly y: keyof Cell } = { x: "on", y: "after" },
): Plot.Markish[] {
  if (size < 21) return [];
  return [
    Plot.text(cells, {
      ...axes,
      text: (cell: Cell) => (size < 34 ? (cell.value * 100).toFixed(0) : formatPercent(cell.value)),
      fill: (cell: Cell) => `var(--i${rampIndex(cell.value)})`,
      fontSize: size < 34 ? 10.5 : 11.5,
    }),
  ];
}

function rowMeans(matrix: AccuracyMatrix, size: number): Plot.Markish[] {
  if (size < 12) return [];
  const means = matrix.map((row, after) => {
    const known = row.filter((value) => value !== null);
    return { after, mean: known.reduce((sum, value) => sum + value, 0) / known.length };
  });
  return [
    Plot.text(means, {
      y: "after",
      frameAnchor: "right",
      dx: 46,
      text: (row: { readonly mean: number }) => formatPercent(row.mean),
      textAnchor: "end",
      fontWeight: 650,
    }),
    Plot.text(["after \\ on"], {
      frameAnchor: "top-left",
      dx: -8,
      dy: -16,
      text: (text: string) => text,
      textAnchor: "end",
      fill: "var(--muted)",
    }),
    Plot.text(["mean"], {
      frameAnchor: "top-right",
      dx: 46,
      dy: -16,
      text: (text: string) => text,
      textAnchor: "end",
      fill: "var(--muted)",
    }),
  ];
}
