import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../src/core/record.ts";
import { compareRuns, type FinishedRecord } from "../../src/report/comparison.ts";
import { renderComparisonPage } from "../../src/report/comparisonPage.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { accrete } from "../support/cli.ts";
import { temporaryFolder } from "../support/folders.ts";
import { syntheticEvents } from "../support/records.ts";
import { sentenceMetrics } from "../support/runs.ts";
import { digits } from "../support/tolerances.ts";

/** What of a drawing is looked at. */
interface Drawn {
  getAttribute(name: string): string | null;
  readonly textContent: string;
}

function finished(change: (events: readonly RunEvent[]) => readonly RunEvent[] = (events) => events) {
  const { metrics, ...record } = buildRunRecord(change(syntheticEvents({ stepsPerTask: 2 })));
  if (metrics === undefined) throw new Error("the synthetic run is finished");
  return { ...record, metrics } satisfies FinishedRecord;
}

function withAccuracy(record: FinishedRecord, averageAccuracy: number, seed: number): FinishedRecord {
  const { metrics } = record;
  if (metrics.level === "word") throw new Error("the synthetic run is about sentences");
  return {
    ...record,
    header: { ...record.header, seed },
    metrics: { ...metrics, cil: { ...metrics.cil, averageAccuracy } },
  };
}

describe("compareRuns", () => {
  test("a row for each protocol a run has, with the run's own figures", () => {
    const record = finished();
    const { cil, til, routed } = sentenceMetrics(record);
    const { rows, notes } = compareRuns([{ name: "a", records: [record] }]);
    expect(notes).toEqual([]);
    expect(rows.map(({ protocol }) => protocol)).toEqual(
      routed === undefined ? ["CIL exact", "TIL"] : ["CIL exact", "CIL routed", "TIL"],
    );
    expect(rows[0]).toMatchObject({
      accuracy: { mean: cil.averageAccuracy },
      forgetting: { mean: cil.forgetting },
      passesPerExample: { mean: cil.passesPerExample },
    });
    expect(rows.at(-1)).toMatchObject({ accuracy: { mean: til.averageAccuracy } });
  });

  test("a routed protocol has a row of its own", () => {
    const record = finished();
    const { metrics } = record;
    if (metrics.level === "word") throw new Error("the synthetic run is about sentences");
    const routed = { ...metrics.til, averageAccuracy: 0.75, passesPerExample: 1.25, taskAccuracy: 0.9 };
    const { rows } = compareRuns([{ name: "a", records: [{ ...record, metrics: { ...metrics, routed } }] }]);
    expect(rows.find(({ protocol }) => protocol === "CIL routed")).toMatchObject({
      accuracy: { mean: 0.75 },
      passesPerExample: { mean: 1.25 },
    });
  });

  test("what a classifier of spellings does better is marked", () => {
    const record = withAccuracy(finished(), 0.5, 1);
    const { metrics } = record;
    if (metrics.level === "word") throw new Error("the synthetic run is about sentences");
    const baseline = { method: "n-grams", cil: 0.6, til: 0, seconds: 1 };
    const { rows } = compareRuns([
      { name: "a", records: [{ ...record, metrics: { ...metrics, baseline } }] },
    ]);
    expect(rows.map(({ protocol, belowBaseline }) => [protocol, belowBaseline])).toEqual([
      ["CIL exact", true],
      ["TIL", false],
    ]);
  });

  test("seeds become mean and sample standard deviation", () => {
    const record = finished();
    const records = [withAccuracy(record, 0.5, 1), withAccuracy(record, 0.7, 2)];
    const [row] = compareRuns([{ name: "a", records }]).rows;
    expect(row).toMatchObject({
      seeds: 2,
      accuracy: { mean: 0.6, standardDeviation: expect.closeTo(Math.sqrt(0.02), digits.float64) },
    });
  });

  test("says what makes figures no comparison", () => {
    const record = finished();
    const other = { ...record, header: { ...record.header, dataHash: "f".repeat(64), seed: 7 } };
    const { notes } = compareRuns([
      { name: "a", records: [record] },
      { name: "b", records: [other] },
    ]);
    expect(notes).toEqual([
      "b and a differ in data: not one experiment.",
      `b has seed 7, a ${record.header.seed}.`,
    ]);
  });
});

test("the page shows every row, and names as text", () => {
  const page = renderComparisonPage(compareRuns([{ name: "<b>bold</b>", records: [finished()] }]), "1.2.3");
  expect(page).toContain("&lt;b&gt;bold&lt;/b&gt;");
  expect(page).not.toContain("<b>bold");
  expect(page).toContain("CIL exact");
  expect(page).toContain("<svg");
});

test("names stand apart where points are close, and every protocol has a mark of its own", () => {
  const { metrics, ...rest } = finished();
  if (metrics.level === "word") throw new Error("the synthetic run is about sentences");
  const routed = { ...metrics.cil, passesPerExample: 1.02, taskAccuracy: 0.9 };
  const record = { ...rest, metrics: { ...metrics, routed } };
  const runs = ["a", "b", "c", "d"].map((name) => ({ name, records: [record] }));
  const { document } = parseHTML(renderComparisonPage(compareRuns(runs), "1.2.3"));
  const labels: readonly Drawn[] = [
    ...document.querySelectorAll('#plot .wide svg [aria-label="text"] text'),
  ].filter((text: Drawn) => text.textContent.includes(", "));
  expect(labels.length).toBe(12);
  const placed = labels.map((label) => {
    const [x = 0, y = 0] = (label.getAttribute("transform") ?? "").match(/-?[\d.]+/g)?.map(Number) ?? [];
    return { x, y };
  });
  for (const [i, one] of placed.entries())
    for (const other of placed.slice(i + 1))
      if (Math.abs(one.x - other.x) < 200) expect(Math.abs(one.y - other.y)).toBeGreaterThan(14);
  const legend: Drawn = document.querySelector(".legend");
  expect(legend.textContent).toMatch(/CIL exact.*CIL routed.*TIL/s);
  const marks = [...document.querySelectorAll('#plot .wide svg [aria-label="dot"]')];
  expect(marks.length).toBe(3);
  // Every run's curve over the tasks; of routed answers these events hold none.
  const curves = [...document.querySelectorAll('#tasks .wide svg [aria-label="line"] path')];
  expect(curves.length).toBe(8);
});

describe("accrete compare", () => {
  async function writeRun(folder: string, events: readonly RunEvent[]): Promise<void> {
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(folder, "events.jsonl"),
      events.map((event) => `${JSON.stringify(event)}\n`).join(""),
    );
    const { metrics } = buildRunRecord(events);
    if (metrics !== undefined) await writeFile(join(folder, "metrics.json"), JSON.stringify(metrics));
  }

  test("reads a run and a folder of seeds, and writes the page", async () => {
    const folder = await temporaryFolder();
    const events = syntheticEvents({ stepsPerTask: 2 });
    await writeRun(join(folder, "one"), events);
    await writeRun(join(folder, "many", "seed-1"), events);
    await writeRun(join(folder, "many", "seed-2"), events);
    const page = join(folder, "page.html");
    const { exitCode, out } = await accrete(
      ...["compare", join(folder, "one"), join(folder, "many"), "--html", page, "--json"],
    );
    expect(exitCode).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      rows: [
        { run: "one", seeds: 1 },
        { run: "one", seeds: 1 },
        { run: "many", seeds: 2 },
        { run: "many", seeds: 2 },
      ],
    });
  });

  test("refuses what is no finished run", async () => {
    const folder = await temporaryFolder();
    await writeRun(folder, syntheticEvents({ stepsPerTask: 2 }).slice(0, -1));
    for (const [runs, message] of [
      [[folder], "the run is not finished"],
      [[join(folder, "nowhere")], "cannot be read"],
      [[folder, folder], "a folder is given twice"],
    ] as const) {
      const { exitCode, err } = await accrete("compare", ...runs);
      expect({ exitCode, err }).toEqual({ exitCode: 2, err: expect.stringContaining(message) });
    }
  });
});
