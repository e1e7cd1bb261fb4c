import type { TypeScore } from "../../core/record.ts";
import type { Evaluated } from "../../model/teachable.ts";
import { formatCount, formatFitting, formatPairs, formatPercent, formatTable } from "../terminal/format.ts";
import { RenewingLine } from "../terminal/renewingLine.ts";
import { stoppable } from "../terminal/stoppable.ts";
import type { Terminal } from "../terminal/terminal.ts";

export interface EvaluateFlags {
  readonly task?: string;
  readonly exact?: boolean;
  readonly backbone?: string;
  readonly json?: boolean;
}

function typeRow(name: string, { precision, recall, f1, support }: TypeScore): string[] {
  return [name, formatCount(support), ...[precision, recall, f1].map(formatPercent)];
}

function toText(figures: Evaluated): string {
  if ("accuracy" in figures) {
    const { accuracy, items, perClass } = figures;
    const rows = Object.entries(perClass).map(([label, own]) => [
      label,
      formatCount(own.items),
      formatPercent(own.accuracy),
    ]);
    const facts = formatPairs([
      ["accuracy", formatPercent(accuracy)],
      ["texts", formatCount(items)],
    ]);
    return `${facts}\n${formatTable([["class", "texts", "accuracy"], ...rows], [1, 2])}`;
  }
  const { microF1, macroF1, items, perType } = figures;
  const facts = formatPairs([
    ["micro F1", formatPercent(microF1)],
    ...(macroF1 === undefined ? [] : [["macro F1", formatPercent(macroF1)] as const]),
    ["sentences", formatCount(items)],
  ]);
  const rows = Object.entries(perType).map(([type, score]) => typeRow(type, score));
  return `${facts}\n${formatTable([["type", "entities", "precision", "recall", "F1"], ...rows], [1, 2, 3, 4])}`;
}

export async function evaluateCommand(
  folder: string,
  file: string,
  { task, exact, backbone, json }: EvaluateFlags,
  terminal: Terminal,
): Promise<void> {
  const { openRun } = await import("../../store/openRun.ts");
  const { readLabelled } = await import("../../data/files/items.ts");
  const line = new RenewingLine(terminal);
  await stoppable("evaluate", async (signal) => {
    await using predictor = await openRun(folder, { backbone, background: false, signal });
    const { items, notes } = await readLabelled(file, predictor.level);
    for (const note of notes) terminal.err(`note: ${note}\n`);
    const onFitting = (progress: Parameters<typeof formatFitting>[0]) => line.say(formatFitting(progress));
    const figures = await predictor.evaluate(items, { task, exact, signal, onFitting });
    line.clear();
    terminal.out(json === true ? `${JSON.stringify(figures)}\n` : toText(figures));
  });
}
