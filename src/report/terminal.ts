import { stripVTControlCharacters } from "node:util";
import type { AccuracyMatrix, BaselineMetrics, OutOfScopeMetrics, TypeMatrix } from "../core/record.ts";
import { type ProtocolFigures, type RoutedFigures, type RunFigures, summarize } from "./record/figures.ts";
import {
  formatBytes,
  formatPercent,
  formatPoints,
  formatSeconds,
  missing,
  shorten,
  withoutControls,
} from "./record/format.ts";
import { namesOf, type RunRecord, type TaskRecord } from "./record/record.ts";
import { type Wording, wordings } from "./record/wording.ts";
import { describeRouter, formatPasses, rejectionFigures } from "./routing.ts";

export interface TableOptions {
  /** Bold and dim by ANSI escapes. */
  readonly color: boolean;
  /** Columns that may be filled; at least 64 are taken. */
  readonly width: number;
}

/** The options that suit a stream: colour only on a terminal, and not where `NO_COLOR` is set. */
export function tableOptionsFor(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: Readonly<Record<string, string | undefined>> = process.env,
): TableOptions {
  const color = stream.isTTY === true && (env.NO_COLOR ?? "") === "";
  return { color, width: stream.columns ?? 80 };
}

type Style = (text: string) => string;

interface Pen {
  readonly width: number;
  readonly strong: Style;
  readonly faint: Style;
}

/**
 * A run's figures as aligned text: headline, matrices, tasks, cost. Fractions in percent with one decimal;
 * no line is longer than `width`, and there is no trailing space.
 */
export function renderTables(record: RunRecord, options: TableOptions): string {
  const pen = penFor(options);
  const figures = summarize(record);
  const wording = wordings[record.level];
  const blocks = [
    renderHead(record, figures, wording, pen),
    renderHeadline(record, figures, wording, pen),
    renderMatrix(`CIL ${wording.cell}, %`, record.cil, pen),
    renderMatrix(`TIL ${wording.cell}, %`, record.til, pen),
    ...(figures.routed === undefined
      ? []
      : [renderMatrix(`routed ${wording.cell}, %`, figures.routed.matrix, pen)]),
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

function penFor({ color, width }: TableOptions): Pen {
  const paint = (code: number): Style =>
    color ? (text) => `\u001b[${code}m${text}\u001b[0m` : (text) => text;
  return { width: Math.max(64, width), strong: paint(1), faint: paint(2) };
}

function renderHead({ header }: RunRecord, figures: RunFigures, wording: Wording, pen: Pen): string[] {
  const title = `${header.backbone.name}, ${plural(figures.totalTasks, "task")}, ${plural(figures.totalLabels, wording.name)}, seed ${header.seed}`;
  const state = figures.finished
    ? []
    : [`Not finished: ${figures.evaluatedTasks} of ${figures.totalTasks} tasks learned and evaluated.`];
  return [pen.strong(shorten(withoutControls(title), pen.width)), ...state, ""];
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A figure's name, and how it is read off a protocol. */
type HeadlineRow = readonly [string, (figures: ProtocolFigures) => string];

function headlineRows({ cil, til, finished }: RunFigures, wording: Wording): readonly HeadlineRow[] {
  const known = (of: (figures: ProtocolFigures) => number | undefined) =>
    of(cil) !== undefined || of(til) !== undefined;
  return [
    [`${finished ? wording.headline : wording.headlineSoFar}, %`, (each) => formatPercent(each.headline)],
    [`${wording.second}, %`, (each) => formatPercent(each.second)],
    [`${wording.incremental}, %`, (each) => formatPercent(each.incremental)],
    ["forgetting, points", (each) => formatPercent(each.forgetting)],
    ["backward transfer, points", (each) => formatPoints(each.backwardTransfer)],
    ...(known((each) => each.forwardTransfer)
      ? [["forward transfer, points", (each) => formatPoints(each.forwardTransfer)] satisfies HeadlineRow]
      : []),
    ...(known((each) => each.exactMatch)
      ? [["free answers, exact match, %", (each) => formatPercent(each.exactMatch)] satisfies HeadlineRow]
      : []),
    ["forward passes an example", (each) => formatPasses(each.passesPerExample)],
  ];
}

function renderHeadline({ header }: RunRecord, figures: RunFigures, wording: Wording, pen: Pen): string[] {
  const { cil, til, routed, outOfScope, baseline, belowBaseline, tilChanged } = figures;
  const columns: readonly (readonly [string, ProtocolFigures])[] = [
    ["CIL", cil],
    ...(routed === undefined ? [] : [["routed", routed] as const]),
    ["TIL", til],
  ];
  const line = (name: string, cells: readonly string[]) =>
    name.padEnd(33) + cells.map((cell) => cell.padStart(7)).join("");
  return [
    pen.strong(
      line(
        "",
        columns.map(([name]) => name),
      ),
    ),
    ...headlineRows(figures, wording).map(([name, read]) =>
      line(
        name,
        columns.map(([, protocol]) => read(protocol)),
      ),
    ),
    ...(routed === undefined ? [] : routedLines(routed, header, pen)),
    ...(outOfScope === undefined ? [] : wrapPlain(rejectionLine(outOfScope), pen.width)),
    ...(baseline === undefined ? [] : [baselineLine(baseline)]),
    ...(belowBaseline.length === 0 ? [] : [pen.strong(`Below the baseline: ${belowBaseline.join(", ")}.`)]),
    tilChanged.length === 0
      ? pen.faint("TIL's forgetting is 0 by construction.")
      : pen.strong(
          shorten(
            `TIL changed after learning, which must not happen: task ${tilChanged.join(", ")}`,
            pen.width,
          ),
        ),
    "",
  ];
}

function baselineLine({ method, cil, til }: BaselineMetrics): string {
  return `Baseline (${method}, no network): CIL ${formatPercent(cil)} %, TIL ${formatPercent(til)} %`;
}

/** What the table does not hold: how the routed column comes about. */
function routedLines(
  { taskAccuracy, firstPass, router }: RoutedFigures,
  { config }: RunRecord["header"],
  { width }: Pen,
): string[] {
  const parts = [
    ...(taskAccuracy === undefined ? [] : [`the task is found for ${formatPercent(taskAccuracy)} %`]),
    ...(firstPass === undefined ? [] : [`first pass alone ${formatPercent(firstPass)} %`]),
  ];
  return [
    ...(parts.length === 0 ? [] : wrapPlain(`Routed: ${parts.join("; ")}`, width)),
    ...(router === undefined ? [] : wrapPlain(`Router: ${describeRouter(router, config)}.`, width)),
  ];
}

function rejectionLine(figures: OutOfScopeMetrics): string {
  const named = rejectionFigures(figures).map(([name, value]) => `${name} ${value}`);
  return `Out of scope: ${named.join("; ")}`;
}

/** Four characters a cell, so that fifteen tasks fit 80 columns: `97.3`, `100`, ` 0.0`. */
function formatCell(value: number | null): string {
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
  const heading = (text: string) =>
    pen.strong(text) + pen.faint("  (row: after learning task, column: on task)");
  const lines = [heading(title)];
  for (let from = 0; from < matrix.length; from += perBlock) {
    const columns = matrix.slice(from, from + perBlock).map((_, offset) => from + offset);
    lines.push(pen.faint(" ".repeat(label) + columns.map((j) => String(j).padStart(5)).join("")));
    for (const [k, row] of matrix.entries()) {
      if (k < from) continue;
      const cells = columns.map((j) => {
        const text = formatCell(row[j] ?? null);
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
    const cells = tasks.map((k) => ` ${formatCell(matrix.f1[i]?.[k] ?? null)}`).join("");
    const fell = formatPercent(matrix.forgetting[i]).padStart(8);
    return fitColumns(withoutControls(stripVTControlCharacters(type)), name) + cells + fell;
  });
  return [heading, pen.faint(`${" ".repeat(name)}${columns}${"fell".padStart(8)}`), ...rows, ""];
}

function renderTasks(
  tasks: readonly TaskRecord[],
  figures: RunFigures,
  wording: Wording,
  pen: Pen,
): string[] {
  const { routed } = figures;
  const label = Math.max(2, String(tasks.length - 1).length);
  const name = Math.min(24, Math.max(4, pen.width - (routed === undefined ? 56 : 63) - label));
  const widths = [6, 15, 5, 5, ...(routed === undefined ? [] : [6]), 5, 12];
  const line = ([number, task, ...cells]: readonly [string, string, ...string[]]) =>
    [
      number.padStart(label),
      fitColumns(task, name),
      ...cells.map((cell, i) => cell.padStart(widths[i] ?? 0)),
    ].join(" ");
  const ifRouted = (cell: string) => (routed === undefined ? [] : [cell]);
  const head = line([
    "",
    "task",
    wording.names,
    "loss",
    "val",
    "CIL",
    ...ifRouted("routed"),
    "TIL",
    "learned in",
  ]);
  const rows = tasks.map((task, k) =>
    line([
      String(k),
      withoutControls(stripVTControlCharacters(task.name)),
      String(namesOf(task).length),
      formatLosses(task),
      formatPercent(
        task.epochs.findLast((epoch) => epoch.validationAccuracy !== undefined)?.validationAccuracy,
      ),
      formatPercent(figures.cil.averages[k]),
      ...ifRouted(formatPercent(routed?.averages[k])),
      formatPercent(figures.til.averages[k]),
      formatSeconds(task.learned?.seconds),
    ]),
  );
  const caption = `CIL${routed === undefined ? "" : ", routed"} and TIL: ${wording.averages} after learning the task, %`;
  return [pen.strong(head), ...rows, pen.faint(shorten(caption, pen.width)), ""];
}

/** First and last mean loss of an epoch, or of the steps where no epoch has ended. */
function formatLosses({ epochs, steps }: TaskRecord): string {
  const losses = epochs.length > 0 ? epochs.map((epoch) => epoch.meanLoss) : steps.map((step) => step.loss);
  const first = losses[0];
  const last = losses[losses.length - 1];
  if (first === undefined || last === undefined) return missing;
  return losses.length === 1 ? first.toFixed(3) : `${first.toFixed(3)} → ${last.toFixed(3)}`;
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
  const rows: readonly (readonly [string, string])[] = [
    ["training", formatSeconds(figures.trainSeconds)],
    ["evaluation", formatSeconds(figures.evalSeconds)],
    ["peak memory", formatBytes(figures.peakRssBytes)],
  ];
  return [pen.strong("cost"), ...rows.map(([name, value]) => `${name.padEnd(12)} ${value}`), ""];
}

function renderWarnings({ warnings }: RunRecord, pen: Pen): string[] {
  if (warnings.length === 0) return [];
  return [
    pen.strong("notes"),
    ...warnings.flatMap((warning) => wrap(withoutControls(stripVTControlCharacters(warning)), pen.width)),
  ];
}

/** As an item of a list. */
function wrap(text: string, width: number): string[] {
  return broken(text, width - 2).map((line, index) => (index === 0 ? `- ${line}` : `  ${line}`));
}

/** Lines after the first are set in. */
function wrapPlain(text: string, width: number): string[] {
  return broken(text, width - 2).map((line, index) => (index === 0 ? line : `  ${line}`));
}

/** Lines of at most `width`, broken at spaces where there are any. */
function broken(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text.replaceAll(/\s+/g, " ").trim();
  while (rest.length > width) {
    const space = rest.lastIndexOf(" ", width);
    const end = space > 0 ? space : width;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}
