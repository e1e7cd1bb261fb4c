/** Writes the table of docs/original.md from the code: `npx tsx tools/docs/original.ts`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flagMeanings, isFlag, originalSchema } from "../../src/benchmark/original/flags.ts";
import { otherMethods } from "../../src/benchmark/original/methods.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";

export const originalPage = join(packageRoot, "docs", "original.md");

const code = (text: string): string => `\`${text}\``;

function defaultOf(value: unknown): string {
  if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) return "–";
  return code(value === true ? "True" : value === false ? "False" : String(value));
}

function flagTable(): string {
  const defaults: Readonly<Record<string, unknown>> = originalSchema.parse({});
  const rows = Object.entries(flagMeanings).map(([flag, { ours, note }]) => {
    const keys = ours.length === 0 ? "–" : ours.map(code).join(", ");
    return `| ${code(flag)} | ${keys} | ${isFlag(flag) ? defaultOf(defaults[flag]) : "–"} | ${note} |`;
  });
  return ["| flag | our key | default | |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function methodList(): string {
  const names = (replays: boolean) =>
    Object.entries(otherMethods)
      .filter(([, method]) => method.replays === replays)
      .map(([name]) => code(name))
      .join(", ");
  return `${names(false)}; and those that replay or generate earlier examples: ${names(true)}.`;
}

const parts: Readonly<Record<string, () => string>> = { flags: flagTable, methods: methodList };

/** The page with what stands between each pair of marks made anew. */
export function renderOriginalPage(page: string): string {
  return Object.entries(parts).reduce((text, [name, render]) => {
    const [before = "", rest = ""] = text.split(`<!-- ${name}: made by tools/docs/original.ts -->\n`);
    const after = rest.split(`<!-- end of ${name} -->`).slice(1).join("");
    const open = `<!-- ${name}: made by tools/docs/original.ts -->\n`;
    return `${before}${open}\n${render()}\n\n<!-- end of ${name} -->${after}`;
  }, page);
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(originalPage, renderOriginalPage(readFileSync(originalPage, "utf8")));
