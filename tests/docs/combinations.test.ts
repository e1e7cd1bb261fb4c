import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allCombinations, checkCombination, families } from "../../src/config/combinations.ts";
import { combinationsPage, renderCombinationsPage } from "../../tools/docs/combinations.ts";

const page = readFileSync(combinationsPage, "utf8");

test("docs/combinations.md is what the code refuses (npx tsx tools/docs/combinations.ts writes it)", () => {
  expect(page).toBe(renderCombinationsPage(page));
});

test("it has a cell for every combination, and every reason once", () => {
  const rows = page.split("\n").filter((line) => /^\| `(sentence|word)` \|/.test(line));
  const cells = rows.flatMap((line) => line.split(" | ").slice(3));
  expect(rows).toHaveLength(allCombinations().length / Object.keys(families).length);
  expect(cells).toHaveLength(allCombinations().length);
  const runs = allCombinations().filter((each) => checkCombination(each).allowed);
  expect(cells.filter((cell) => cell.startsWith("runs"))).toHaveLength(runs.length);
  for (const each of allCombinations()) {
    const verdict = checkCombination(each);
    if (!verdict.allowed) expect(page.split(verdict.reason)).toHaveLength(2);
  }
});
