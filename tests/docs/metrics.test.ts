import { expect, test } from "vitest";
import { computeProtocolMetrics } from "../../src/continual/metrics/metrics.ts";
import { readPage } from "../support/pages.ts";

/** The cells of a section's tables, headings aside. */
function cellsOf(section: string): string[][] {
  return section
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| ---"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

test("the worked example in docs/metrics.md is what is computed", () => {
  const { text } = readPage("docs/metrics.md");
  const section = text.split("## An example\n")[1]?.split("\n## ")[0] ?? "";
  const cells = cellsOf(section);
  const counts = /with (\d+), (\d+) and (\d+) test texts/.exec(section)?.slice(1).map(Number) ?? [];
  const matrix = cells.slice(1, 4).map((row) =>
    row
      .slice(1)
      .filter((cell) => cell !== "–")
      .map(Number),
  );
  expect(matrix.map((row) => row.length)).toEqual([1, 2, 3]);
  const computed = computeProtocolMetrics(
    matrix.map((accuracy, task) => {
      const counted = counts.slice(0, task + 1);
      const correct = accuracy.map((value, j) => Math.round(value * (counted[j] ?? 0)));
      return { task, accuracy, correct, counted, passesPerExample: task + 1 };
    }),
  );
  const figures = new Map(cells.slice(5).map(([key = "", , value = ""]) => [key.replaceAll("`", ""), value]));
  const shown = (value: number | undefined) => value?.toFixed(4).replace(/^-(0\.0*)$/, "$1");
  expect(Object.fromEntries(figures)).toEqual({
    averageAccuracy: shown(computed.averageAccuracy),
    sampleAccuracy: shown(computed.sampleAccuracy),
    averageIncrementalAccuracy: shown(computed.averageIncrementalAccuracy),
    forgetting: shown(computed.forgetting),
    backwardTransfer: shown(computed.backwardTransfer),
  });
});
