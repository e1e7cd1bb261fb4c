import { describe, expect, it } from "vitest";
import type { RunEvent } from "../../src/core/record.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { renderTables } from "../../src/report/terminal.ts";
import { syntheticEvents } from "../support/records.ts";
import { sentenceMetrics } from "../support/runs.ts";

const plain = { color: false, width: 80 };
const linesOf = (text: string) => text.split("\n");
const longest = (text: string) => Math.max(...linesOf(text).map((line) => [...line].length));

describe("renderTables", () => {
  const record = buildRunRecord(syntheticEvents({ stepsPerTask: 30 }));

  it("fits fifteen tasks into 80 columns, with every accuracy to one decimal", () => {
    const text = renderTables(record, plain);
    expect(longest(text)).toBeLessThanOrEqual(80);
    const start = linesOf(text).findIndex((line) => line.startsWith("CIL accuracy"));
    for (const [k, row] of record.cil.entries()) {
      const cells = row.map((value) =>
        value === null ? "–" : (value * 100).toFixed(1) === "100.0" ? "100" : (value * 100).toFixed(1),
      );
      expect(linesOf(text)[start + 2 + k]?.trim().split(/\s+/)).toEqual([String(k), ...cells]);
    }
  });

  it("shows the headline figures of both protocols", () => {
    const text = renderTables(record, plain);
    const { cil, til } = sentenceMetrics(record);
    const percent = (value: number) => (value * 100).toFixed(1);
    expect(text).toMatch(
      new RegExp(
        `average accuracy A_T, % +${percent(cil.averageAccuracy)} +${percent(til.averageAccuracy)}\n`,
      ),
    );
    expect(text).toMatch(new RegExp(`forgetting, points +${percent(cil.forgetting!)} +0\\.0\n`));
    expect(text).toMatch(
      new RegExp(`backward transfer, points +−${percent(-cil.backwardTransfer!)} +0\\.0\n`),
    );
    expect(text).toMatch(/forward passes an example +15 +1\n/);
    expect(text).toMatch(/peak memory +412 MB\n/);
    expect(text).toContain("0 by construction");
  });

  it("gives a router a column of its own, and its row after each task", () => {
    const baseline = { method: "n-grams", cil: 0.5, til: 0.8, seconds: 1 };
    const routedRun = buildRunRecord(syntheticEvents({ tasks: 3, stepsPerTask: 4, routed: true, baseline }));
    const text = renderTables(routedRun, plain);
    expect(longest(text)).toBeLessThanOrEqual(80);
    const { cil, routed, til } = sentenceMetrics(routedRun);
    const percent = (value: number | undefined) => ((value ?? Number.NaN) * 100).toFixed(1);
    expect(text).toMatch(/^ +CIL +routed +TIL$/m);
    const row = (name: string, figures: readonly (string | undefined)[]) =>
      expect(text).toMatch(new RegExp(`^${name} +${figures.join(" +")}$`, "m"));
    const all = [cil, routed, til];
    row(
      "average accuracy A_T, %",
      all.map((each) => percent(each?.averageAccuracy)),
    );
    row(
      "accuracy over samples, %",
      all.map((each) => percent(each?.sampleAccuracy)),
    );
    row(
      "forgetting, points",
      all.map((each) => percent(each?.forgetting)),
    );
    row("forward passes an example", ["3", "1\\.15", "1"]);
    expect(text).toContain("CIL routed   TIL   learned in");
    expect(text).toContain("Baseline (n-grams, no network): CIL 50.0 %, TIL 80.0 %");
    expect(renderTables(record, plain)).not.toContain("routed");
  });

  it("says what a router does where it has no second pass, and why", () => {
    const router = { kind: "lda", heldOutAccuracy: 0.5, retainedBytes: 3000, bytesPerClass: 100 };
    const withRouter = (config: Readonly<Record<string, unknown>>) => {
      const events = syntheticEvents({ tasks: 2, stepsPerTask: 4, routed: true }).map((event): RunEvent => {
        if (event.type === "run-started") return { ...event, header: { ...event.header, config } };
        if (event.type !== "evaluated" || event.routed === undefined) return event;
        return { ...event, routed: { ...event.routed, router } };
      });
      return renderTables(buildRunRecord(events), plain).replaceAll(/\s+/g, " ");
    };
    for (const [config, message] of [
      [{ "router.secondPass": "off", "head.kind": "linear" }, "alone, as router.secondPass: off says;"],
      [
        { router: { secondPass: "auto" }, head: "linear" },
        "alone, since validation texts showed no gain from a second pass through adapters;",
      ],
      [
        { "router.secondPass": "auto", "head.kind": "none" },
        "the adapter of the likeliest label's task answers;",
      ],
    ] as const) {
      const text = withRouter(config);
      expect(text).toContain("Router: lda, right for 50.0 % of the rows that were held out to choose it;");
      expect(text).toContain(message);
    }
  });

  it("says where a task-incremental column is not constant", () => {
    const events = syntheticEvents({ tasks: 3, stepsPerTask: 4, stopIn: 2 }).map((event) =>
      event.type === "evaluated" && event.task === 1
        ? { ...event, til: [0.1, ...event.til.slice(1)] }
        : event,
    );
    expect(renderTables(buildRunRecord(events), plain)).toMatch(/must not happen: task 0\n/);
  });

  it("breaks a matrix too wide into blocks that show every cell once", () => {
    const many = buildRunRecord(syntheticEvents({ tasks: 40, labelsPerTask: 2, stepsPerTask: 2, epochs: 1 }));
    const text = renderTables(many, plain);
    expect(longest(text)).toBeLessThanOrEqual(80);
    const cil = text.slice(text.indexOf("CIL accuracy"), text.indexOf("TIL accuracy"));
    const defined = many.cil.flat().filter((value) => value !== null).length;
    expect(cil.match(/ (\d{1,2}\.\d|100)(?= |\n)/g)).toHaveLength(defined);
  });

  it("marks an unfinished run, and a dash stands for what is not known", () => {
    const text = renderTables(
      buildRunRecord(syntheticEvents({ tasks: 4, stepsPerTask: 10, stopIn: 2 })),
      plain,
    );
    expect(text).toContain("Not finished: 2 of 4 tasks");
    expect(text).toMatch(/average accuracy so far, % +\d+\.\d +\d+\.\d\n/);
    expect(text).toMatch(/forgetting, points +– +–\n/);
    const begun = renderTables(buildRunRecord(syntheticEvents({ tasks: 4, stopIn: 0 }).slice(0, 1)), plain);
    expect(begun).toContain("Not finished: 0 of 4 tasks");
    expect(begun).not.toContain("CIL accuracy, %");
  });

  it("writes escapes only where colour is asked for", () => {
    expect(renderTables(record, plain)).not.toContain("\u001b");
    const coloured = renderTables(record, { color: true, width: 80 });
    expect(coloured).toContain("\u001b[1m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ANSI escapes are what is removed.
    const stripped = coloured.replace(/\u001b\[\d+m/g, "");
    expect(linesOf(stripped).map((line) => line.trimEnd())).toEqual(linesOf(renderTables(record, plain)));
  });

  it("does not let names steer the terminal, and keeps columns straight", () => {
    const names = ["\u001b[31mred\u0007", "旅行と食べ物の話題についての長い名前です", "a".repeat(99)];
    const text = renderTables(
      buildRunRecord(syntheticEvents({ tasks: 3, stepsPerTask: 4, taskName: (task) => names[task]! })),
      plain,
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not occur.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
    const columns = (line: string) =>
      [...line].reduce(
        (sum, character) => sum + (/[\p{Script=Han}\p{Script=Hiragana}]/u.test(character) ? 2 : 1),
        0,
      );
    const rows = linesOf(text).filter((line) => / s$/.test(line) && /^ \d/.test(line));
    expect(rows).toHaveLength(3);
    expect(new Set(rows.map(columns)).size).toBe(1);
  });
});
