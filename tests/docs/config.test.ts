import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configReference, renderConfigReference } from "../../tools/docs/config.ts";

test("docs/config.md is what the schema says (npx tsx tools/docs/config.ts writes it)", () => {
  expect(readFileSync(configReference, "utf8")).toBe(renderConfigReference());
});

test("it tells ranges, defaults and what is required", () => {
  const rows = renderConfigReference().split("\n");
  const row = (key: string) => rows.find((line) => line.startsWith(`| \`${key}\` |`)) ?? "";
  expect(row("backbone")).toContain("| text | required |");
  expect(row("method.rank")).toContain("| whole number in [1, 10000] | `4` |");
  expect(row("method.dropout")).toContain("| number in [0, 1) | `0.1` |");
  expect(row("training.warmup")).toContain("| number in [0, 1] | `0.1` |");
  expect(row("training.earlyStopping")).toContain("| `{ patience }` | – |");
  expect(row("head.scale")).toContain("| `learnable` or number > 0 | `learnable` |");
  expect(row("stream.taskList")).toContain("| list of `{ name, labels }` | – |");
});
