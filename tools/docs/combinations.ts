/** Writes the table of docs/combinations.md from the code that refuses: `npx tsx tools/docs/combinations.ts`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allCombinations, type Combination, checkCombination } from "../../src/config/combinations.ts";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { architectures, families } from "../../src/nn/families.ts";

export const combinationsPage = join(packageRoot, "docs", "combinations.md");

const code = (text: string): string => `\`${text}\``;

/** Reasons are numbered as they first come. */
function cellOf(combination: Combination, reasons: string[]): string {
  const verdict = checkCombination(combination);
  if (verdict.allowed) return "runs";
  if (!reasons.includes(verdict.reason)) reasons.push(verdict.reason);
  return `– (${reasons.indexOf(verdict.reason) + 1})`;
}

/** What a kind of backbone goes with does not depend on the family. */
const kinds = ["encoder", "decoder"] as const;

function table(): string {
  const rows = new Map<string, Map<string, string>>();
  const reasons: string[] = [];
  for (const combination of allCombinations()) {
    const { level, head, adapter, family } = combination;
    const row = [level, head, adapter].map(code).join(" | ");
    const cells = rows.get(row) ?? new Map<string, string>();
    rows.set(row, cells.set(families[family].kind, cellOf(combination, reasons)));
  }
  const named = (kind: (typeof kinds)[number]) =>
    architectures.filter((name) => families[name].kind === kind).map(code);
  const head = ["level", "head", "adapter", ...kinds];
  return [
    `Encoders are ${named("encoder").join(", ")}; decoders ${named("decoder").join(", ")}.`,
    "",
    `| ${head.join(" | ")} |`,
    `| ${head.map(() => "---").join(" | ")} |`,
    ...[...rows].map(([row, cells]) => `| ${row} | ${kinds.map((kind) => cells.get(kind)).join(" | ")} |`),
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
