import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ConfigError, StoreError } from "../../core/errors.ts";
import { packageVersion } from "../../core/packageInfo.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import {
  type Comparison,
  compareRuns,
  comparisonCells,
  comparisonColumns,
  type FinishedRecord,
  type NamedRuns,
} from "../../report/comparison.ts";
import { readRunRecord } from "../../report/record/record.ts";
import { noteOnFigures } from "../../store/adopted.ts";
import { readResults } from "../../sweep/results.ts";
import { readSweepRecord } from "../../sweep/sweepFolder.ts";
import { formatTable } from "../terminal/format.ts";
import { shortPath } from "../terminal/shell.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface CompareFlags {
  readonly json?: boolean;
  readonly html?: string;
}

async function readFinished(folder: string): Promise<FinishedRecord> {
  const { metrics, ...record } = await readRunRecord(folder);
  if (metrics === undefined)
    throw new StoreError(`${folder}: the run is not finished`, {
      hint: "Finish it with accrete run … --resume.",
    });
  return { ...record, metrics };
}

interface FoundRuns {
  readonly runs: readonly NamedRuns[];
  /** Of those of its folders that are stores by now, or that are left out. */
  readonly notes: readonly string[];
}

/** A run, what `--seeds` left (the runs of its `seed-<n>` folders), or the configurations of a sweep. */
async function readRuns(folder: string, name: string): Promise<FoundRuns> {
  const sweep = await readSweepRecord(folder);
  if (sweep !== undefined) return await readResults(folder, sweep);
  const entries = await readdir(folder).catch((cause: unknown) => {
    throw new StoreError(`${folder}: cannot be read`, { cause, hint: "Give folders of runs." });
  });
  const seeds = entries.filter((entry) => /^seed-\d+$/.test(entry)).sort();
  const folders = seeds.length === 0 ? [folder] : seeds.map((entry) => join(folder, entry));
  const records = await Promise.all(folders.map(readFinished));
  const notes = folders.map((each) =>
    noteOnFigures(each, each === folder ? name : `${name}/${basename(each)}`),
  );
  return { runs: [{ name, records }], notes: (await Promise.all(notes)).flatMap((note) => note ?? []) };
}

/** The last part of each path; the whole one where two would be called alike. */
function namesFor(folders: readonly string[]): string[] {
  const short = folders.map((folder) => basename(resolve(folder)));
  return folders.map((folder, i) =>
    short.filter((name) => name === short[i]).length > 1 ? folder : (short[i] ?? folder),
  );
}

const numberColumns = [2, 3, 4, 5, 6, 7, 8, 9];

/** Percent; mean ± sample standard deviation. */
export function formatComparison({ rows, notes }: Comparison): string {
  const table = rows.map((row) => comparisonCells(row, "(below)"));
  return (
    formatTable([comparisonColumns, ...table], numberColumns) + notes.map((note) => `! ${note}\n`).join("")
  );
}

export async function compareCommand(
  folders: readonly string[],
  flags: CompareFlags,
  terminal: Terminal,
): Promise<void> {
  if (new Set(folders.map((folder) => resolve(folder))).size < folders.length)
    throw new ConfigError("compare: a folder is given twice");
  const names = namesFor(folders);
  const found = await Promise.all(folders.map((folder, i) => readRuns(folder, names[i] ?? folder)));
  const compared = compareRuns(found.flatMap(({ runs }) => runs));
  const comparison = { ...compared, notes: [...compared.notes, ...found.flatMap(({ notes }) => notes)] };
  terminal.out(flags.json === true ? `${JSON.stringify(comparison)}\n` : formatComparison(comparison));
  if (flags.html === undefined) return;
  const { renderComparisonPage } = await import("../../report/comparisonPage.ts");
  await writeFileAtomic(flags.html, renderComparisonPage(comparison, packageVersion()));
  terminal.err(`Page: ${shortPath(flags.html)}\n`);
}
