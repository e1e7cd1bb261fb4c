import type { EventOf, RouterFitting } from "../../core/record.ts";
import { escapeLine } from "./controls.ts";

/** `48 s`, `3 min 05 s`, `2 h 04 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** `22,713,216`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** `90.9 MB`, in powers of ten as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function formatPercent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

/** Rows of two columns, the first padded: `name   value`. */
export function formatPairs(pairs: readonly (readonly [string, string])[], indent = ""): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${indent}${name.padEnd(width)}  ${escapeLine(value)}\n`).join("");
}

/** Columns aligned on their widest cell; the columns named in `right` to the right. */
export function formatTable(texts: readonly (readonly string[])[], right: readonly number[] = []): string {
  const rows = texts.map((row) => row.map(escapeLine));
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join("");
}

export function formatFitting({ stage, kind, member, members }: RouterFitting): string {
  const what = stage === "choose" ? "choosing settings" : "fitting to all texts";
  return `router ${kind}: ${what}, ${member} of ${members} …`;
}

type StepFigures = Pick<EventOf<"step">, "epoch" | "step" | "totalSteps" | "loss">;
type EpochFigures = Pick<EventOf<"epoch">, "epoch" | "meanLoss" | "validationAccuracy">;

export function formatStep({ epoch, step, totalSteps, loss }: StepFigures): string {
  return `epoch ${epoch + 1} · step ${step}/${totalSteps} · loss ${loss.toFixed(3)}`;
}

export function formatEpoch({ epoch, meanLoss, validationAccuracy: accuracy }: EpochFigures): string {
  const validation = accuracy === undefined ? "" : `, validation ${formatPercent(accuracy)}`;
  return `epoch ${epoch + 1}: loss ${meanLoss.toFixed(4)}${validation}`;
}
