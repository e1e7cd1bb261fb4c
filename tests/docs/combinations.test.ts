import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allCombinations, type Combination, checkCombination } from "../../src/config/combinations.ts";
import { families } from "../../src/nn/families.ts";
import { combinationsPage, renderCombinationsPage } from "../../tools/docs/combinations.ts";

const page = readFileSync(combinationsPage, "utf8");

test("docs/combinations.md is what the code refuses (npx tsx tools/docs/combinations.ts writes it)", () => {
  expect(page).toBe(renderCombinationsPage(page));
});

test("it has a cell for every combination of every kind of backbone, and every reason once", () => {
  const rows = page.split("\n").filter((line) => /^\| `(sentence|word)` \|/.test(line));
  const cells = rows.flatMap((line) => line.split(" | ").slice(3));
  expect(rows).toHaveLength(allCombinations().length / Object.keys(families).length);
  const rowOf = ({ level, head, adapter }: Combination) =>
    rows.find((row) => row.startsWith(`| \`${level}\` | \`${head}\` | \`${adapter}\` |`))?.split(" | ") ?? [];
  expect(cells).toHaveLength(2 * rows.length);
  for (const each of allCombinations()) {
    const cell = rowOf(each)[families[each.family].kind === "encoder" ? 3 : 4] ?? "";
    const verdict = checkCombination(each);
    expect(cell.startsWith(verdict.allowed ? "runs" : "–"), `${each.family} ${each.head}`).toBe(true);
    if (!verdict.allowed) expect(page.split(verdict.reason)).toHaveLength(2);
  }
});
