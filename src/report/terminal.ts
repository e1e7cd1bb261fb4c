/** A run's figures as aligned text for a terminal. */
import { stripVTControlCharacters } from "node:util";
import type { AccuracyMatrix, RunHeader, TypeMatrix } from "../core/record.ts";
import {
  type ProtocolFigures,
  protocolNames,
  type RunFigures,
  shownProtocols,
  summarize,
} from "./record/figures.ts";
import {
  formatBytes,
  formatPercent,
  formatPoints,
  formatSeconds,
  missing,
  plural,
  shorten,
  withoutControls,
} from "./record/format.ts";
import { namesOf, type RunRecord, type TaskRecord } from "./record/record.ts";
import { type Wording, wordings } from "./record/wording.ts";
import { calibrationFigures, describeRouter, formatPasses, rejectionFigures } from "./routing.ts";

export interface TableOptions {
  readonly color: boolean;
  /** Columns that may be filled; at least 64 are taken. */
  readonly width: number;
}

type Style = (text: string) => string;

interface Pen {
  readonly width: number;
  readonly strong: Style;
  readonly faint: Style;
}

/**
 * Headline, matrices, tasks, cost. Fractions in percent with one decimal; no line is longer than `width`, and there is
 * no trailing space.
 */
export function renderTables(record: RunRecord, { color, width }: TableOptions): string {
  const paint = (code: number): Style =>
    color ? (text) => `\u001b[${code}m${text}\u001b[0m` : (text) => text;
  const pen = { width: Math.max(64, width), strong: paint(1), faint: paint(2) };
  const figures = summarize(record);
  const wording = wordings[record.level];
  const blocks = [
    renderHead(record.header, figures, wording, pen),
    renderHeadline(record.header, figures, wording, pen),
    renderMatrix(`CIL ${wording.cell}, %`, record.cil, pen),
    renderMatrix(`TIL ${wording.cell}, %`, record.til, pen),
    renderMatrix(`routed ${wording.cell}, %`, figures.routed?.matrix ?? [], pen),
    renderTypes(figures.cil.typeMatrix, pen),
    renderTasks(record.tasks, figures, wording, pen),
    renderCost(figures, pen),
    renderWarnings(record, pen),
  ];
  return `${blocks
    .flat()
    .map((line) => line.trimEnd())
    .join("\n")
    .trimEnd()}\n`;
}

function renderHead(header: RunHeader, figures: RunFigures, wording: Wording, pen: Pen): string[] {
  const title = `${header.backbone.name}, ${plural(figures.totalTasks, "task")}, ${plural(figures.totalLabels, wording.name)}, seed ${header.seed}`;
  const state = figures.finished
    ? []
    : [`Not finished: ${figures.evaluatedTasks} of ${figures.totalTasks} tasks learned and evaluated.`];
  return [pen.strong(shorten(withoutControls(title), pen.width)), ...state, ""];
}

type HeadlineRow = readonly [string, (figures: ProtocolFigures) => string];

function headlineRows({ cil, til, finished }: RunFigures, wording: Wording): readonly HeadlineRow[] {
  const where = (figure: "forwardTransfer" | "exactMatch", row: HeadlineRow): readonly HeadlineRow[] =>
    (cil[figure] ?? til[figure]) === undefined ? [] : [row];
  return [
    [`${finished ? wording.headline : wording.headlineSoFar}, %`, (each) => formatPercent(each.headline)],
    [`${wording.second}, %`, (each) => formatPercent(each.second)],
    [`${wording.incremental}, %`, (each) => formatPercent(each.incremental)],
    ["forgetting, points", (each) => formatPercent(each.forgetting)],
    ["backward transfer, points", (each) => formatPoints(each.backwardTransfer)],
    ...where("forwardTransfer", ["forward transfer, points", (each) => formatPoints(each.forwardTransfer)]),
    ...where("exactMatch", ["free answers, exact match, %", (each) => formatPercent(each.exactMatch)]),
    ["forward passes an example", (each) => formatPasses(each.passesPerExample)],
  ];
}

function renderHeadline(header: RunHeader, figures: RunFigures, wording: Wording, pen: Pen): string[] {
  const { belowBaseline, tilChanged } = figures;
  const columns = shownProtocols(figures);
  const line = (name: string, cell: (column: (typeof columns)[number]) => string) =>
    name.padEnd(33) + columns.map((column) => cell(column).padStart(7)).join("");
  const changed = `TIL changed after learning, which must not happen: task ${tilChanged.join(", ")}`;
  return [
    pen.strong(line("", ({ protocol }) => protocolNames[protocol])),
    ...headlineRows(figures, wording).map(([name, read]) => line(name, (column) => read(column.figures))),
    ...remarksOn(figures, header).flatMap((remark) => wrap(remark, pen.width, "")),
    ...(belowBaseline.length === 0 ? [] : [pen.strong(`Below the baseline: ${belowBaseline.join(", ")}.`)]),
    tilChanged.length === 0
      ? pen.faint("TIL's forgetting is 0 by construction.")
      : pen.strong(shorten(changed, pen.width)),
    "",
  ];
}

/** What the table of headline figures does not hold: how the routed column comes about, rejection, the baseline. */
function remarksOn({ routed, outOfScope, calibration, baseline }: RunFigures, header: RunHeader): string[] {
  const { taskAccuracy, firstPass, immediate, router } = routed ?? {};
  const found = [
    ...(taskAccuracy === undefined ? [] : [`the task is found for ${formatPercent(taskAccuracy)} %`]),
    ...(firstPass === undefined ? [] : [`first pass alone ${formatPercent(firstPass)} %`]),
    ...(immediate === undefined ? [] : [`immediate router ${formatPercent(immediate)} %`]),
  ];
  const calibrated =
    calibration && calibrationFigures(calibration).map(([name, value]) => `${name} ${value}`);
  const rejection = outOfScope && rejectionFigures(outOfScope).map(([name, value]) => `${name} ${value}`);
  return [
    found.length > 0 && `Routed: ${found.join("; ")}`,
    router && `Router: ${describeRouter(router, header)}.`,
    calibrated && `Calibration of routed answers: ${calibrated.join("; ")}`,
    rejection && `Out of scope: ${rejection.join("; ")}`,
    baseline &&
      `Baseline (${baseline.method}, no network): CIL ${formatPercent(baseline.cil)} %, TIL ${formatPercent(baseline.til)} %`,
  ].filter((remark) => typeof remark === "string");
}

/** Four characters a cell, so that fifteen tasks fit 80 columns: `97.3`, `100`, ` 0.0`. */
function formatCell(value: number | null | undefined): string {
  const text = formatPercent(value);
  return (text === "100.0" ? "100" : text).padStart(4);
}

/**
 * Rows are the task just learned, columns the task measured. Where the columns do not fit side by side, blocks of
 * them follow each other, each without the rows in which it would be empty.
 */
function renderMatrix(title: string, matrix: AccuracyMatrix, pen: Pen): string[] {
  if (matrix.length === 0) return [];
  const label = Math.max(2, String(matrix.length - 1).length);
  const perBlock = Math.max(1, Math.floor((pen.width - label) / 5));
  const lines = [pen.strong(title) + pen.faint("  (row: after learning task, column: on task)")];
  for (let from = 0; from < matrix.length; from += perBlock) {
    const columns = matrix.slice(from, from + perBlock).map((_, offset) => from + offset);
    lines.push(pen.faint(" ".repeat(label) + columns.map((j) => String(j).padStart(5)).join("")));
    for (const [k, row] of matrix.entries()) {
      if (k < from) continue;
      const cells = columns.map((j) => {
        const text = formatCell(row[j]);
        return ` ${j > k ? pen.faint(text) : j === k ? pen.strong(text) : text}`;
      });
      lines.push(pen.faint(String(k).padStart(label)) + cells.join(""));
    }
  }
  return [...lines, ""];
}

/** Rows are entity types, columns the tasks learned; at most as many of the latest as fit the width. */
function renderTypes(matrix: TypeMatrix | undefined, pen: Pen): string[] {
  if (matrix === undefined) return [];
  const name = 20;
  const from = Math.max(0, (matrix.f1[0]?.length ?? 0) - Math.floor((pen.width - name - 8) / 5));
  const tasks = matrix.f1[0]?.map((_, k) => k).slice(from) ?? [];
  const heading =
    pen.strong("CIL F1 by type, %") + pen.faint("  (column: after learning task; fell: best − last)");
  const columns = tasks.map((k) => String(k).padStart(5)).join("");
  const rows = matrix.types.map((type, i) => {
    const cells = tasks.map((k) => ` ${formatCell(matrix.f1[i]?.[k])}`).join("");
    const fell = formatPercent(matrix.forgetting[i]).padStart(8);
    return fitColumns(printable(type), name) + cells + fell;
  });
  return [heading, pen.faint(`${" ".repeat(name)}${columns}${"fell".padStart(8)}`), ...rows, ""];
}

interface TaskColumn {
  readonly title: string;
  readonly width: number;
  readonly read: (task: TaskRecord, index: number) => string;
}

function taskColumns(figures: RunFigures, { names }: Wording): readonly TaskColumn[] {
  const lastValidation = ({ epochs }: TaskRecord) =>
    epochs.findLast(({ validationAccuracy }) => validationAccuracy !== undefined)?.validationAccuracy;
  return [
    { title: names, width: 6, read: (task) => String(namesOf(task).length) },
    { title: "loss", width: 15, read: formatLosses },
    { title: "val", width: 5, read: (task) => formatPercent(lastValidation(task)) },
    ...shownProtocols(figures).map(
      ({ protocol, figures: { averages } }): TaskColumn => ({
        title: protocolNames[protocol],
        width: protocol === "routed" ? 6 : 5,
        read: (_, k) => formatPercent(averages[k]),
      }),
    ),
    { title: "learned in", width: 12, read: ({ learned }) => formatSeconds(learned?.seconds) },
  ];
}

function renderTasks(
  tasks: readonly TaskRecord[],
  figures: RunFigures,
  wording: Wording,
  pen: Pen,
): string[] {
  const columns = taskColumns(figures, wording);
  const label = Math.max(2, String(tasks.length - 1).length);
  const taken = columns.reduce((sum, { width }) => sum + width + 1, 0);
  const name = Math.min(24, Math.max(4, pen.width - taken - 2 - label));
  const line = (number: string, task: string, cell: (column: TaskColumn) => string) =>
    [
      number.padStart(label),
      fitColumns(task, name),
      ...columns.map((column) => cell(column).padStart(column.width)),
    ].join(" ");
  const head = line("", "task", ({ title }) => title);
  const rows = tasks.map((task, k) => line(String(k), printable(task.name), ({ read }) => read(task, k)));
  const shown = figures.routed === undefined ? "CIL and TIL" : "CIL, routed and TIL";
  const caption = `${shown}: ${wording.averages} after learning the task, %`;
  return [pen.strong(head), ...rows, pen.faint(shorten(caption, pen.width)), ""];
}

/** First and last mean loss of an epoch, or of the steps where no epoch has ended. */
function formatLosses({ epochs, steps }: TaskRecord): string {
  const losses = epochs.length > 0 ? epochs.map((epoch) => epoch.meanLoss) : steps.map((step) => step.loss);
  const ends = losses.length > 1 ? [losses[0], losses.at(-1)] : losses;
  return ends.length === 0 ? missing : ends.map((loss) => loss?.toFixed(3)).join(" → ");
}

function printable(text: string): string {
  return withoutControls(stripVTControlCharacters(text));
}

/** Cuts and pads to a width in columns, not code units: East Asian and emoji characters take two. */
function fitColumns(text: string, width: number): string {
  const characters = [...text].map((character) => ({ character, columns: wide.test(character) ? 2 : 1 }));
  const whole = characters.reduce((sum, { columns }) => sum + columns, 0) <= width;
  let kept = "";
  let used = 0;
  for (const { character, columns } of characters) {
    if (used + columns > (whole ? width : width - 1)) break;
    kept += character;
    used += columns;
  }
  return (whole ? kept : `${kept}…`) + " ".repeat(Math.max(0, width - used - (whole ? 0 : 1)));
}

const wide = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}]/u;

function renderCost(figures: RunFigures, pen: Pen): string[] {
  return [
    pen.strong("cost"),
    `training     ${formatSeconds(figures.trainSeconds)}`,
    `evaluation   ${formatSeconds(figures.evalSeconds)}`,
    `peak memory  ${formatBytes(figures.peakRssBytes)}`,
    "",
  ];
}

function renderWarnings({ warnings }: RunRecord, pen: Pen): string[] {
  if (warnings.length === 0) return [];
  return [pen.strong("notes"), ...warnings.flatMap((warning) => wrap(printable(warning), pen.width, "- "))];
}

/** Lines of at most `width`, broken at spaces where there are any; those after the first are set in. */
function wrap(text: string, width: number, prefix: string): string[] {
  const lines: string[] = [];
  let rest = text.replaceAll(/\s+/g, " ").trim();
  while (rest.length > width - 2) {
    const space = rest.lastIndexOf(" ", width - 2);
    const end = space > 0 ? space : width - 2;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest].map((line, index) => (index === 0 ? prefix : "  ") + line);
}
