/** Writes the table of docs/combinations.md from the code that refuses: `npx tsx tools/docs/combinations.ts`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  allCombinations,
  type Combination,
  checkCombination,
  families,
} from "../../src/config/combinations.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";

export const combinationsPage = join(packageRoot, "docs", "combinations.md");

const code = (text: string): string => `\`${text}\``;

/** Reasons are numbered as they first come. */
function cellOf(combination: Combination, reasons: string[]): string {
  const verdict = checkCombination(combination);
  if (verdict.allowed) return "runs";
  if (!reasons.includes(verdict.reason)) reasons.push(verdict.reason);
  return `– (${reasons.indexOf(verdict.reason) + 1})`;
}

function table(): string {
  const rows = new Map<string, string[]>();
  const reasons: string[] = [];
  for (const combination of allCombinations()) {
    const { level, head, adapter } = combination;
    const row = [level, head, adapter].map(code).join(" | ");
    rows.set(row, [...(rows.get(row) ?? []), cellOf(combination, reasons)]);
  }
  const names = Object.keys(families);
  const head = ["level", "head", "adapter", ...names.map(code)];
  return [
    `| ${head.join(" | ")} |`,
    `| ${head.map(() => "---").join(" | ")} |`,
    ...[...rows].map(([row, cells]) => `| ${row} | ${cells.join(" | ")} |`),
    "",
    ...reasons.map((reason, i) => `${i + 1}. Refused: ${reason}.`),
  ].join("\n");
}

const open = "<!-- combinations: made by tools/docs/combinations.ts -->\n";
const close = "<!-- end of combinations -->";

/** The page with what stands between its marks made anew. */
export function renderCombinationsPage(page: string): string {
  const [before = "", rest = ""] = page.split(open);
  const after = rest.split(close).slice(1).join(close);
  return `${before}${open}\n${table()}\n\n${close}${after}`;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(combinationsPage, renderCombinationsPage(readFileSync(combinationsPage, "utf8")));
