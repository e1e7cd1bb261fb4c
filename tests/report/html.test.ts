import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { contrastRatio, rampIndex, rampSteps, ramps, themes } from "../../src/report/colour.ts";
import { renderHtml } from "../../src/report/html.ts";
import { thinLosses } from "../../src/report/loss.ts";
import { buildRunRecord } from "../../src/report/record.ts";
import { type SyntheticOptions, sentenceMetrics, syntheticEvents } from "./synthetic.ts";

const recordOf = (options?: SyntheticOptions) => buildRunRecord(syntheticEvents(options));
const documentOf = (page: string) => parseHTML(page).document;
const textsOf = (page: string, selector: string): string[] =>
  [...documentOf(page).querySelectorAll(selector)].map((element: { readonly textContent: string }) =>
    element.textContent.replaceAll(/\s+/g, " ").trim(),
  );

describe("renderHtml", () => {
  const record = recordOf({ stepsPerTask: 2000, warnings: ["Two training texts are in the test set."] });
  const began = performance.now();
  const page = renderHtml(record);
  const elapsedMs = performance.now() - began;

  it("is the same bytes for the same record", () => {
    expect(
      renderHtml(recordOf({ stepsPerTask: 2000, warnings: ["Two training texts are in the test set."] })),
    ).toBe(page);
  });

  it("stays small and quick with thousands of steps", () => {
    expect(Buffer.byteLength(page)).toBeLessThan(400_000);
    expect(elapsedMs).toBeLessThan(2000);
  });

  it("needs nothing from elsewhere and runs nothing", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son[a-z]+=|src=/i);
    expect(page.match(/https?:\/\/[^"' )<]+/g) ?? []).toEqual([]);
    for (const href of documentOf(page).querySelectorAll("a")) {
      const target: string = href.getAttribute("href");
      expect(documentOf(page).querySelector(target), target).not.toBeNull();
    }
  });

  it("shows the headline figures", () => {
    const { cil, til } = sentenceMetrics(record);
    const percent = (value: number) => (value * 100).toFixed(1);
    expect(textsOf(page, ".card .value")).toEqual([
      `${percent(cil.averageAccuracy)}%`,
      `${percent(til.averageAccuracy)}%`,
      `${percent(cil.averageIncrementalAccuracy)}%`,
      `${percent(cil.forgetting!)}points`,
      `−${percent(-cil.backwardTransfer!)}points`,
      "15",
      "9 min 43 s",
      "412 MB",
    ]);
    expect(page).toContain("TIL forgetting is zero by construction");
  });

  it("has both matrices as pictures and as tables, cell by cell", () => {
    const expected = [record.cil, record.til].map((matrix) =>
      matrix.flatMap((row) => row.map((value) => (value === null ? "–" : (value * 100).toFixed(1)))),
    );
    expect(textsOf(page, "details table td")).toEqual(expected.flat());
    const pictures = [...documentOf(page).querySelectorAll('svg[aria-label*="matrix"]')];
    expect(pictures).toHaveLength(2);
    for (const [index, picture] of pictures.entries()) {
      const drawn = [...picture.querySelectorAll('[aria-label="cell"] rect')];
      expect(drawn).toHaveLength(120);
      const values = [record.cil, record.til][index]!.flat().filter((value) => value !== null);
      expect(drawn.map((rect: { getAttribute(name: string): string }) => rect.getAttribute("fill"))).toEqual(
        values.map((value) => `var(--h${rampIndex(value)})`),
      );
    }
  });

  it("lists every task, label, setting, hash and note", () => {
    expect(textsOf(page, "td.labels bdi")).toEqual(record.tasks.flatMap((task) => task.labels));
    expect(textsOf(page, "tr.task th bdi")).toEqual(record.tasks.map((task) => task.name));
    const settings = textsOf(page, "#settings dt");
    expect(settings).toEqual(Object.keys(record.header.config));
    expect(textsOf(page, "#origin dd")).toEqual(
      expect.arrayContaining([record.header.backbone.hash, record.header.dataHash]),
    );
    expect(textsOf(page, ".notice li")).toEqual(["Two training texts are in the test set."]);
  });

  it("flattens nested settings", () => {
    const header = { ...record.header, config: { method: { rank: 4, layers: [] }, head: "linear" } };
    const nested = renderHtml({ ...record, header });
    expect(textsOf(nested, "#settings dt")).toEqual(["method.rank", "method.layers", "head"]);
    expect(textsOf(nested, "#settings dd")).toEqual(["4", "[]", "linear"]);
  });

  it("marks an unfinished run and leaves out what has not come", () => {
    const part = renderHtml(recordOf({ tasks: 5, stepsPerTask: 20, stopIn: 2 }));
    expect(textsOf(part, ".state")).toEqual(["not finished: 2 of 5 tasks"]);
    expect(part).toContain("This run is not finished");
    expect(textsOf(part, ".card .value").slice(3, 5)).toEqual(["–", "–"]);
    expect(textsOf(page, ".state")).toEqual(["finished"]);
    expect(page).not.toContain("This run is not finished");
    const begun = renderHtml(buildRunRecord(syntheticEvents().slice(0, 1)));
    expect(textsOf(begun, "nav a")).toEqual([
      "Tasks and labels",
      "Settings",
      "Versions and hashes",
      "Definitions",
    ]);
  });

  it("says where a task-incremental column is not constant", () => {
    const til = record.til.map((row, k) => row.map((value, j) => (k === 9 && j === 4 ? 0.5 : value)));
    expect(renderHtml({ ...record, til })).toContain("must not happen. Tasks: 4.");
    expect(page).not.toContain("must not happen");
  });

  it("gives no figure that needs a second task where there is one", () => {
    const one = renderHtml(recordOf({ tasks: 1, stepsPerTask: 5 }));
    expect(textsOf(one, ".card .value").slice(3, 5)).toEqual(["–", "–"]);
    expect(one).toContain("needs a second task");
    expect(one).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("draws sixty tasks too", () => {
    const many = renderHtml(recordOf({ tasks: 60, labelsPerTask: 2, stepsPerTask: 40 }));
    expect(many.length).toBeLessThan(1_500_000);
    expect(many).not.toMatch(/NaN|undefined|Infinity/);
  });

  it.each(["page", "unfinished"])("leaves no trace of a value that is not there (%s)", (which) => {
    const text = which === "page" ? page : renderHtml(recordOf({ tasks: 5, stepsPerTask: 20, stopIn: 2 }));
    expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });
});

describe("text from data", () => {
  const nasty = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;\u0000\ud800`;
  const header = (page: ReturnType<typeof recordOf>) => ({
    ...page,
    header: {
      ...page.header,
      platform: nasty,
      backbone: { ...page.header.backbone, name: nasty, hash: nasty },
      config: { [nasty]: nasty },
    },
  });
  const page = renderHtml(
    header(
      recordOf({
        tasks: 3,
        stepsPerTask: 10,
        warnings: [nasty],
        taskName: (task) => `${nasty}${task}`,
        labelName: (task, label) => `${nasty}${task}${label}`,
      }),
    ),
  );

  it("is shown as text, never as markup", () => {
    const document = documentOf(page);
    expect(document.querySelectorAll("script, img")).toHaveLength(0);
    expect(page).not.toMatch(/<script|<img/i);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a document may not hold these.
    expect(page).not.toMatch(/[\u0000-\u0008\u000b-\u001f]|\p{Surrogate}/u);
    const shown = nasty.replace("\u0000", "\ufffd").replace("\ud800", "\ufffd");
    expect(textsOf(page, "td.labels bdi")[0]).toBe(`${shown}00`);
    expect(textsOf(page, ".notice li")).toEqual([shown]);
    expect(textsOf(page, "#settings dd")).toEqual([shown]);
    expect(textsOf(page, "svg title").some((title) => title.includes("<script>"))).toBe(true);
  });
});

describe("colours", () => {
  it("leaves every figure of the matrices readable: contrast at least 4.5 in both themes", () => {
    for (const ramp of [ramps.light, ramps.dark]) {
      expect(ramp).toHaveLength(rampSteps);
      for (const { fill, ink } of ramp) expect(contrastRatio(fill, ink), fill).toBeGreaterThanOrEqual(4.5);
    }
  });

  it("grows away from the panel, step by step, so that more is always stronger", () => {
    for (const [ramp, theme] of [
      [ramps.light, themes.light],
      [ramps.dark, themes.dark],
    ] as const) {
      const strengths = ramp.map(({ fill }) => contrastRatio(fill, theme.panel));
      expect(strengths).toEqual(strengths.toSorted((a, b) => a - b));
    }
  });

  it("keeps text and curves readable on page and panel", () => {
    for (const theme of [themes.light, themes.dark])
      for (const ink of [theme.ink, theme.muted, theme.cil, theme.til])
        for (const paper of [theme.page, theme.panel])
          expect(contrastRatio(ink, paper)).toBeGreaterThanOrEqual(4.5);
    expect(contrastRatio(themes.light.warn, themes.light.warnPanel)).toBeGreaterThanOrEqual(4.5);
    expect(contrastRatio(themes.dark.warn, themes.dark.warnPanel)).toBeGreaterThanOrEqual(4.5);
  });

  it("measures contrast as WCAG does", () => {
    expect(contrastRatio("#000000", "#ffffff")).toBeCloseTo(21, 6);
    expect(contrastRatio("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
  });

  it("puts accuracies on steps of five points", () => {
    expect([0, 0.024, 0.026, 0.5, 0.99, 1].map(rampIndex)).toEqual([0, 0, 1, 10, 20, 20]);
  });
});

describe("thinLosses", () => {
  const steps = recordOf({ tasks: 1, stepsPerTask: 1000 }).tasks[0]!.steps;

  it("keeps a spike, the mean, and at most the points asked for", () => {
    const spiked = steps.map((step) => (step.step === 506 ? { ...step, loss: 50 } : step));
    const points = thinLosses(spiked, 80);
    expect(points).toHaveLength(80);
    expect(Math.max(...points.map((point) => point.high))).toBe(50);
    expect(points.filter((point) => point.high === 50)[0]?.at).toBeCloseTo(0.5, 1);
    const even = thinLosses(steps, 100);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(even.map((point) => point.mean))).toBeCloseTo(mean(steps.map((step) => step.loss)), 10);
  });

  it("leaves few steps as they are", () => {
    expect(thinLosses(steps.slice(0, 3), 80).map((point) => point.mean)).toEqual(
      steps.slice(0, 3).map((step) => step.loss),
    );
    expect(thinLosses([], 80)).toEqual([]);
  });
});
