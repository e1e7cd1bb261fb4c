import { describe, expect, it } from "vitest";
import { rocPoints } from "../../src/continual/routers/scores/outOfScope.ts";
import { renderHtml } from "../../src/report/html.ts";
import { summarizeAnswers } from "../../src/report/record/answers.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { syntheticEvents } from "../support/records.ts";

type Answer = readonly [gold: string, label: string | null, score: number];

function linesOf(protocol: string, learned: number, answers: readonly Answer[]): string {
  return answers
    .map(([gold, label, score], index) => ({ protocol, learned, task: "t", index, gold, label, score }))
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("");
}

const last: readonly Answer[] = [
  ["a", "a", 0.95],
  ["a", "b", 0.55],
  ["a", "b", 0.51],
  ["b", "b", 0.97],
  ["c", null, 0.2],
  ["c", "c", 0.58],
];

describe("what the last answers say", () => {
  it("of routed ones, where there are some, after the last task alone", () => {
    const text = linesOf("routed", 1, [["a", "z", 0.9]]) + linesOf("cil", 2, last.slice(0, 2));
    const summary = summarizeAnswers(text + linesOf("routed", 2, last));
    expect(summary).toEqual({
      protocol: "routed",
      items: 6,
      wrong: 3,
      confusions: [
        { gold: "a", label: "b", count: 2 },
        { gold: "c", label: null, count: 1 },
      ],
      perClass: [
        { label: "a", items: 3, accuracy: 1 / 3 },
        { label: "c", items: 2, accuracy: 1 / 2 },
        { label: "b", items: 1, accuracy: 1 },
      ],
      reliability: [
        { from: 0.5, to: 0.6, count: 3, score: expect.closeTo(0.5467, 3), accuracy: 1 / 3 },
        { from: 0.9, to: 1, count: 2, score: 0.96, accuracy: 1 },
      ],
    });
    expect(summarizeAnswers(text)?.protocol).toBe("cil");
    expect(summarizeAnswers(text)?.reliability).toEqual([]);
  });

  it("nothing of none, of entities, and of a torn end", () => {
    expect(summarizeAnswers("")).toBeUndefined();
    expect(
      summarizeAnswers('{"protocol":"cil","learned":1,"task":"t","index":0,"goldEntities":[]}\n'),
    ).toBeUndefined();
    expect(summarizeAnswers(`${linesOf("cil", 1, last)}{"protocol":"cil","learn`)?.items).toBe(6);
  });

  it("on the page of a finished run, markup in labels as text", () => {
    const answers = summarizeAnswers(linesOf("routed", 3, [["<b>x</b>", "y", 0.5], ...last]));
    const page = renderHtml(buildRunRecord(syntheticEvents(), undefined, answers));
    expect(page).toContain("What is mixed up");
    expect(page).toContain("&lt;b&gt;x&lt;/b&gt;");
    expect(page).not.toContain("<b>x</b>");
    expect(renderHtml(buildRunRecord(syntheticEvents()))).not.toContain("What is mixed up");
  });
});

describe("the points of a receiver operating characteristic", () => {
  it("rise from [0, 0] to [1, 1], through the rates at each threshold", () => {
    const points = rocPoints([1, 2, 3, 4], [3.5, 5]);
    expect(points[0]).toEqual([0, 0]);
    expect(points.at(-1)).toEqual([1, 1]);
    expect(points).toContainEqual([0, 0.5]);
    expect(points).toContainEqual([0.25, 1]);
    for (const [i, [x, y]] of points.entries()) {
      expect(x).toBeGreaterThanOrEqual(points[Math.max(0, i - 1)]![0]);
      expect(y).toBeGreaterThanOrEqual(points[Math.max(0, i - 1)]![1]);
    }
  });
});
