import type { EntityErrors, LabelErrors } from "../../experiment/errorAnalysis.ts";
import type { Protocol } from "../../model/evaluator.ts";
import { noteOnFigures } from "../../store/adopted.ts";
import { formatCount, formatPairs, formatPercent, formatTable } from "../terminal/format.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface ErrorsFlags {
  readonly protocol?: Protocol;
  readonly top: number;
  readonly json?: boolean;
}

type Errors = LabelErrors | EntityErrors;

/** A heading with a table below; nothing where the table is empty. */
function section(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[],
): string {
  return rows.length === 0 ? "" : `\n${title}\n${formatTable([columns, ...rows], right)}`;
}

function exampleLines(place: { readonly task: string; readonly index: number; readonly text?: string }) {
  return `${place.task} ${place.index}${place.text === undefined ? "" : `: ${place.text}`}\n`;
}

function classTables({ perClass, examples }: LabelErrors, top: number): string {
  const worst = perClass.slice(0, top);
  const of = worst.length < perClass.length ? ` (the worst ${worst.length} of ${perClass.length})` : "";
  const rows = worst.map(({ label, items, accuracy }) => [
    label,
    formatCount(items),
    formatPercent(accuracy),
  ]);
  const shown = examples.map(
    ({ gold, label, score, ...place }) =>
      `${exampleLines(place)}  ${gold}, answered ${label ?? "unknown"} (${score.toFixed(3)})\n`,
  );
  return `${section(`accuracy by class${of}`, ["class", "texts", "accuracy"], rows, [1, 2])}\nwrong answers, the surest first\n${shown.join("")}`;
}

function typeTables({ perType, examples }: EntityErrors): string {
  const rows = perType.map(({ type, ...counts }) => [
    type,
    ...[counts.gold, counts.missed, counts.spurious, counts.mistyped].map(formatCount),
  ]);
  const shown = examples.map(({ missed, spurious, mistyped, ...place }) =>
    [
      exampleLines(place),
      ...missed.map(({ type, word }) => `  missed ${type}: ${word}\n`),
      ...spurious.map(({ type, word }) => `  spurious ${type}: ${word}\n`),
      ...mistyped.map(({ type, word, as }) => `  ${type}, answered ${as}: ${word}\n`),
    ].join(""),
  );
  const columns = ["type", "entities", "missed", "spurious", "mistyped"];
  return `${section("errors by type", columns, rows, [1, 2, 3, 4])}\nsentences with errors\n${shown.join("")}`;
}

function toText(errors: Errors, top: number): string {
  const { level, protocol, learned, items, wrong, confusions, note } = errors;
  const facts = formatPairs([
    ["protocol", `${protocol}, after ${learned} ${learned === 1 ? "task" : "tasks"}`],
    [level === "word" ? "sentences" : "texts", formatCount(items)],
    ["with errors", formatCount(wrong)],
  ]);
  if (wrong === 0) return facts;
  const rows = confusions.map(({ gold, label, count }) => [formatCount(count), gold, label ?? "unknown"]);
  const tables = level === "word" ? typeTables(errors) : classTables(errors, top);
  return `${facts}${section("most confused", ["count", "is", "answered"], rows, [0])}${tables}${note === undefined ? "" : `\n! ${note}\n`}`;
}

export async function errorsCommand(
  folder: string,
  { protocol, top, json }: ErrorsFlags,
  terminal: Terminal,
): Promise<void> {
  const { readRun } = await import("../../experiment/readRun.ts");
  const { analyseErrors } = await import("../../experiment/errorAnalysis.ts");
  const errors = await analyseErrors(await readRun(folder), { protocol, top });
  terminal.out(json === true ? `${JSON.stringify(errors)}\n` : toText(errors, top));
  const note = await noteOnFigures(folder, "The folder");
  if (note !== undefined) terminal.err(`note: ${note}\n`);
}
