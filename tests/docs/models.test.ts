import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { architectures } from "../../src/nn/families.ts";
import { modelsPage, renderModelsPage } from "../../tools/docs/models.ts";

const page = readFileSync(modelsPage, "utf8");

test("docs/models.md is the table of families (npx tsx tools/docs/models.ts writes it)", () => {
  expect(page).toBe(renderModelsPage(page));
});

test("it has a row for every family", () => {
  const rows = page.split("\n").flatMap((line) => /^\| `([^`]+)` \| (en|de)coder/.exec(line)?.[1] ?? []);
  expect(rows).toEqual([...architectures]);
});
