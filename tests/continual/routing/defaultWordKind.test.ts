import { describe, expect, test } from "vitest";
import { defaultWordKind } from "../../../src/continual/routing/wordRouting.ts";
import { ClassStatistics } from "../../../src/continual/statistics/statistics.ts";
import { constants, contribution } from "../../support/routingRows.ts";

/** Of as many rows a class as the counts say. */
function statisticsOf(counts: readonly number[]): ClassStatistics {
  return ClassStatistics.empty(constants).with(counts.map((rows, i) => contribution(`class ${i}`, rows, 3)));
}

const times = (classes: number, rows: number) => Array.from({ length: classes }, () => rows);

describe("the kind of router of words where none is named", () => {
  test.each([
    ["lda", "19 classes", times(19, 40)],
    ["auto", "20 of 20 rows", times(20, 20)],
    ["lda", "20 of 19 rows", times(20, 19)],
    ["auto", "one of five rows beside them", [...times(20, 20), 5]],
    ["auto", "as many of five rows", [...times(20, 20), ...times(20, 5)]],
    ["lda", "more of five rows", [...times(20, 20), ...times(21, 5)]],
    ["lda", "one of very many rows among those of five", [...times(19, 5), 1000]],
  ] as const)("%s: %s", (kind, _, counts) => {
    expect(defaultWordKind(statisticsOf(counts))).toBe(kind);
  });
});
