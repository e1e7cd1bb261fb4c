import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import {
  contrastRatio,
  linearOf,
  oklabOf,
  rampIndex,
  rampSteps,
  ramps,
  themes,
} from "../../src/report/charts/colour.ts";
import { thinLosses } from "../../src/report/charts/loss.ts";
import { spread } from "../../src/report/charts/plot.ts";
import { renderHtml } from "../../src/report/html.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { type SyntheticOptions, syntheticEvents } from "../support/records.ts";
import { sentenceMetrics } from "../support/runs.ts";
import { digits, tolerances } from "../support/tolerances.ts";

/** What of a drawing is looked at. */
interface Drawn {
  querySelectorAll(selector: string): Iterable<Drawn>;
  getAttribute(name: string): string | null;
  readonly textContent: string;
}

const recordOf = (options?: SyntheticOptions) => buildRunRecord(syntheticEvents(options));
const documentOf = (page: string) => parseHTML(page).document;
const textsOf = (page: string, selector: string): string[] =>
  [...documentOf(page).querySelectorAll(selector)].map((element: { readonly textContent: string }) =>
    element.textContent.replaceAll(/\s+/g, " ").trim(),
  );

describe("renderHtml", () => {
  const record = recordOf({ stepsPerTask: 2000, warnings: ["Two training texts are in the test set."] });
  const began = process.cpuUsage();
  const page = renderHtml(record);
  const { user, system } = process.cpuUsage(began);

  it("is the same bytes for the same record", () => {
    expect(
      renderHtml(recordOf({ stepsPerTask: 2000, warnings: ["Two training texts are in the test set."] })),
    ).toBe(page);
  });

  it("stays small and quick with thousands of steps", () => {
    expect(Buffer.byteLength(page)).toBeLessThan(400_000);
    // The processor's time: wall clock would also tell who else is using the machine.
    expect((user + system) / 1000).toBeLessThan(2000);
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
    // One for a screen and one for a phone, of which one is shown.
    const pictures = [...documentOf(page).querySelectorAll('svg[aria-label*="matrix"]')];
    expect(pictures.length).toBe(4);
    for (const [place, picture] of pictures.entries()) {
      const index = place >> 1;
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
    expect(many.length).toBeLessThan(2_000_000);
    expect(many).not.toMatch(/NaN|undefined|Infinity/);
  });

  it.each(["page", "unfinished"])("leaves no trace of a value that is not there (%s)", (which) => {
    const text = which === "page" ? page : renderHtml(recordOf({ tasks: 5, stepsPerTask: 20, stopIn: 2 }));
    expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });
});

describe("a run with a router and a baseline", () => {
  const baseline = { method: "hashed n-grams, LDA", cil: 0.5, til: 0.8, seconds: 1 };
  const record = recordOf({ tasks: 6, stepsPerTask: 4, routed: true, baseline });
  const page = renderHtml(record);
  const chart = (start: string): Drawn => documentOf(page).querySelector(`svg[aria-label^="${start}"]`);
  const strokes = (drawn: Drawn) =>
    [...drawn.querySelectorAll('[aria-label="line"]')].map((line) => line.getAttribute("stroke"));
  const percent = (value: number | undefined) => (100 * (value ?? Number.NaN)).toFixed(1);

  it("draws its curve, with its value at the end, and both baselines", () => {
    const { cil, til, routed } = sentenceMetrics(record);
    const drawn = chart("Average accuracy");
    // What guessing would give lies below the baseline and the curves, where the axis begins.
    expect(strokes(drawn)).toEqual(["var(--cil)", "var(--routed)", "var(--til)"]);
    const texts = [...drawn.querySelectorAll("text")].map((text) => text.textContent);
    expect(texts).toEqual(
      expect.arrayContaining([
        `CIL ${percent(cil.averageAccuracy)}`,
        `routed ${percent(routed?.averageAccuracy)}`,
        `TIL ${percent(til.averageAccuracy)}`,
        "CIL baseline 50.0",
        "TIL baseline 80.0",
      ]),
    );
    const points = [...drawn.querySelectorAll("circle title")].map((title) => title.textContent);
    expect(points.filter((point) => point.startsWith("routed after"))).toHaveLength(6);
    expect(textsOf(page, "#accuracy .legend span")).toEqual([
      "CIL: any label learned so far",
      "routed: any label learned so far, a router chooses the task",
      "TIL: the task is given",
      "baseline: hashed n-grams, LDA after the last task, without a network",
    ]);
  });

  it("draws its passes, and lists its accuracy on each task", () => {
    expect(strokes(chart("Forward passes"))).toEqual(["var(--cil)", "var(--routed)", "var(--til)"]);
    const last = sentenceMetrics(record).routed?.matrix.at(-1);
    const rows = [...documentOf(page).querySelectorAll("tr.task")].map((row: Drawn) =>
      [...row.querySelectorAll("td")].map((cell) => cell.textContent),
    );
    expect(rows.map((cells) => cells.at(-2))).toEqual(last?.map((value) => percent(value ?? undefined)));
  });

  it("shows neither where there is none", () => {
    const plain = renderHtml(recordOf({ tasks: 6, stepsPerTask: 4 }));
    expect(plain).not.toContain('var(--routed)"');
    expect(textsOf(plain, "#accuracy .legend span")).toHaveLength(2);
    expect(plain).not.toMatch(/(CIL|TIL) baseline|baseline:/);
  });
});

describe("spread", () => {
  it("moves apart what is too near, and no further than it must", () => {
    spread([0.5, 0.1, 0.9], 0.1).forEach((value, i) => {
      expect(value).toBeCloseTo([0.5, 0.1, 0.9][i]!, digits.float64);
    });
    const apart = spread([0.5, 0.5, 0.9, 0.52], 0.1);
    const sorted = apart.toSorted((a, b) => a - b);
    for (const [i, value] of sorted.entries())
      if (i > 0) expect(value - sorted[i - 1]!).toBeGreaterThanOrEqual(0.1 - tolerances.float64);
    expect(apart[2]).toBeCloseTo(0.9, digits.float64);
    // The three stay about their middle, in their order.
    expect((apart[0]! + apart[1]! + apart[3]!) / 3).toBeCloseTo((0.5 + 0.5 + 0.52) / 3, digits.float64);
    expect(apart[3]).toBeGreaterThan(apart[0]!);
  });

  it("keeps below a bound", () => {
    expect(Math.max(...spread([1, 1, 1], 0.1, 1))).toBeCloseTo(1, digits.float64);
  });
});

const clamp = (value: number) => Math.min(1, Math.max(0, value));

/** Linear sRGB as who lacks a cone sees it (Machado, Oliveira and Fernandes 2009, severity 1). */
const dichromacies = {
  none: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
} as const;

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

  it.each(Object.entries(dichromacies))("tells the curves apart: %s", (_, matrix) => {
    for (const { cil, til, routed } of [themes.light, themes.dark]) {
      const seen = [cil, til, routed].map((hex) => {
        const [r, g, b] = linearOf(hex);
        const [red, green, blue] = matrix.map(([x, y, z]) => clamp(x * r + y * g + z * b));
        return oklabOf([red ?? 0, green ?? 0, blue ?? 0]);
      });
      for (const [one, other] of [
        [0, 1],
        [0, 2],
        [1, 2],
      ] as const)
        expect(Math.hypot(...seen[one]!.map((value, i) => value - seen[other]![i]!))).toBeGreaterThan(0.11);
    }
  });

  it("keeps text and curves readable on page and panel", () => {
    for (const theme of [themes.light, themes.dark])
      for (const ink of [theme.ink, theme.muted, theme.cil, theme.til, theme.routed])
        for (const paper of [theme.page, theme.panel])
          expect(contrastRatio(ink, paper)).toBeGreaterThanOrEqual(4.5);
    expect(contrastRatio(themes.light.warn, themes.light.warnPanel)).toBeGreaterThanOrEqual(4.5);
    expect(contrastRatio(themes.dark.warn, themes.dark.warnPanel)).toBeGreaterThanOrEqual(4.5);
  });

  it("measures contrast as WCAG does", () => {
    expect(contrastRatio("#000000", "#ffffff")).toBeCloseTo(21, digits.float32);
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
    expect(mean(even.map((point) => point.mean))).toBeCloseTo(
      mean(steps.map((step) => step.loss)),
      digits.float64Long,
    );
  });

  it("leaves few steps as they are", () => {
    expect(thinLosses(steps.slice(0, 3), 80).map((point) => point.mean)).toEqual(
      steps.slice(0, 3).map((step) => step.loss),
    );
    expect(thinLosses([], 80)).toEqual([]);
  });
});
