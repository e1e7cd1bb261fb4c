import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../io/atomic.ts";
import { type RunRecord, readRunRecord } from "../../report/record/record.ts";
import { renderTables } from "../../report/terminal.ts";
import { noteOnFigures } from "../../store/adopted.ts";
import { shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface ReportFlags {
  readonly json?: boolean;
  readonly html?: boolean;
}

/** A run's record, with a note where its folder is a store by now. */
async function readRecord(folder: string): Promise<RunRecord> {
  const record = await readRunRecord(folder);
  const note = await noteOnFigures(folder, "The folder");
  return note === undefined ? record : { ...record, warnings: [...record.warnings, note] };
}

/** Prints a run's tables, its metrics as JSON, or its page's path. */
export async function printReport(folder: string, flags: ReportFlags, terminal: Terminal): Promise<void> {
  const record = await readRecord(folder);
  const page = join(folder, "report.html");
  if (flags.json === true) {
    const { header, metrics, cil, til, warnings } = record;
    const finished = metrics !== undefined;
    terminal.out(`${JSON.stringify({ finished, metrics: metrics ?? null, cil, til, header, warnings })}\n`);
    return;
  }
  if (flags.html !== true) {
    const tables = renderTables(record, { color: terminal.color, width: terminal.width });
    terminal.out(tables.endsWith("\n") ? tables : `${tables}\n`, true);
  }
  if (existsSync(page)) terminal.out(`Report: ${shortPath(page)}\n`);
}

export async function reportCommand(folder: string, flags: ReportFlags, terminal: Terminal): Promise<void> {
  if (flags.html === true) {
    const { renderHtml } = await import("../../report/html.ts");
    await writeFileAtomic(join(folder, "report.html"), renderHtml(await readRecord(folder)));
  }
  await printReport(folder, flags, terminal);
}
