/** Pages of runs with many tasks: how they grow, and that their pictures and figures are the record's. */
import { inflateSync } from "node:zlib";
import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { rampIndex, rampSteps, ramps } from "../../src/report/charts/colour.ts";
import { mostDrawnTasks } from "../../src/report/charts/raster.ts";
import { renderHtml } from "../../src/report/html.ts";
import { renderTypes } from "../../src/report/matrices.ts";
import { summarize } from "../../src/report/record/figures.ts";
import { buildRunRecord } from "../../src/report/record/record.ts";
import { wordings } from "../../src/report/record/wording.ts";
import { type SyntheticOptions, syntheticEvents } from "../support/records.ts";

const recordOf = (tasks: number, more: SyntheticOptions = {}) =>
  buildRunRecord(syntheticEvents({ tasks, stepsPerTask: 60, ...more }));
const bytesOf = (page: string) => Buffer.byteLength(page);

/** Colours of a PNG's pixels, row by row; undefined where it is transparent. */
function pixelsOf(uri: string): (string | undefined)[][] {
  const bytes = Buffer.from(uri.replace("data:image/png;base64,", ""), "base64");
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    chunks.set(bytes.toString("latin1", at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const part = (name: string) => chunks.get(name) ?? Buffer.alloc(0);
  const [width, height] = [part("IHDR").readUInt32BE(0), part("IHDR").readUInt32BE(4)];
  const rows = inflateSync(part("IDAT"));
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const place = rows[y * (width + 1) + 1 + x] ?? -1;
      const colour = part("PLTE").subarray(3 * place, 3 * place + 3);
      return part("tRNS")[place] === 0 ? undefined : `#${colour.toString("hex")}`;
    }),
  );
}

describe("a page of many tasks", () => {
  const record = recordOf(200, { routed: true });
  const page = renderHtml(record);
  const { document } = parseHTML(page);
  const rasters = [...document.querySelectorAll(".raster")];
  const matrices = [record.cil, record.til, summarize(record).routed?.matrix ?? []];

  it("stays below 2 MB at 200 tasks, and grows much less than their square", () => {
    expect(bytesOf(page)).toBeLessThan(2e6);
    const [half, whole] = [renderHtml(recordOf(100)), renderHtml(recordOf(200))].map(bytesOf);
    expect((whole ?? 0) / (half ?? 0)).toBeLessThan(2.2);
    expect(bytesOf(renderHtml(recordOf(mostDrawnTasks + 1)))).toBeLessThan(
      bytesOf(renderHtml(recordOf(mostDrawnTasks))),
    );
  });

  it("is drawn cell by cell to the last task at which that is so", () => {
    const small = renderHtml(recordOf(mostDrawnTasks));
    expect(small).not.toMatch(/<script|<img|class="raster"|Content-Security-Policy/);
    expect(renderHtml(recordOf(mostDrawnTasks + 1))).toContain('class="raster"');
  });

  it("is the same bytes for the same record", () => {
    expect(renderHtml(recordOf(200, { routed: true }))).toBe(page);
  });

  it("has a picture of every cell in both themes, and every figure as tables round it", () => {
    expect(rasters).toHaveLength(3);
    for (const [i, raster] of rasters.entries()) {
      const matrix = matrices[i] ?? [];
      const figures: (number | null)[][] = JSON.parse(raster.querySelector(".figures").textContent);
      expect(figures).toHaveLength(200);
      for (const [theme, uri] of [
        ["light", raster.querySelector("img").getAttribute("src")],
        ["dark", raster.querySelector("source").getAttribute("srcset")],
      ] as const) {
        const pixels = pixelsOf(uri);
        expect(pixels).toHaveLength(200);
        expect(pixels).toEqual(
          matrix.map((row) =>
            Array.from({ length: 200 }, (_, column) => {
              const value = row[column] ?? null;
              return value === null ? undefined : ramps[theme][rampIndex(value)]?.fill;
            }),
          ),
        );
      }
      const rounded = matrix.map((row) =>
        row.flatMap((value) => (value === null ? [] : [Math.round(10 * Number((100 * value).toFixed(1)))])),
      );
      expect(figures).toEqual(rounded);
    }
    expect(ramps.light).toHaveLength(rampSteps);
  });

  it("has a short table of each, and says where all of them are", () => {
    for (const [i, file] of ["cil_matrix.csv", "til_matrix.csv", "routed_matrix.csv"].entries()) {
      const details = [...document.querySelectorAll("#matrices details")][i];
      expect(details.querySelector("a").getAttribute("href")).toBe(file);
      const cells = [...details.querySelectorAll("tbody tr")].map((row: typeof details) =>
        [...row.querySelectorAll("td")].map((cell: typeof details) => cell.textContent),
      );
      expect(cells).toHaveLength(12);
      expect(cells.every((row) => row.length === 12)).toBe(true);
      expect(cells.at(-1)?.[0]).toBe((100 * (matrices[i]?.at(-1)?.[0] ?? 0)).toFixed(1));
    }
  });

  it("shows entity types over many tasks in the same way", () => {
    const types = Array.from({ length: 50 }, (_, type) => `type ${type}`);
    const f1 = types.map((_, type) =>
      Array.from({ length: 60 }, (_, task) => (task < type ? null : 1 / (1 + task - type))),
    );
    const many = recordOf(60);
    const figures = summarize(many);
    const typeMatrix = { types, f1, forgetting: types.map(() => 0.25) };
    const drawn = renderTypes({
      record: many,
      figures: { ...figures, cil: { ...figures.cil, typeMatrix } },
      wording: wordings.word,
    });
    const { document: part } = parseHTML(`<html><body>${drawn?.text}</body></html>`);
    expect(JSON.parse(part.querySelector("#type-names").textContent)).toEqual(types);
    const rows: (number | null)[][] = JSON.parse(part.querySelector(".figures").textContent);
    expect(rows[49]?.slice(48)).toEqual([null, 1000, 500, 333, 250, 200, 167, 143, 125, 111, 100, 91]);
    const [first, ...cells] = [...part.querySelectorAll("tbody tr")[49].children];
    expect(first.textContent).toBe("type 49");
    // Twelve tasks, then how far it fell and four figures that are not known here.
    expect(cells.map((cell: typeof first) => cell.textContent)).toEqual([
      ...Array.from({ length: 10 }, () => "–"),
      "16.7",
      "9.1",
      "25.0",
      ...Array.from({ length: 4 }, () => "–"),
    ]);
  });

  it("runs its own script alone, and shows text from data as text", () => {
    const nasty = `</script><script>alert(1)</script><img src=x onerror='alert(2)'>\u2028\u0000`;
    const large = renderHtml(recordOf(41, { taskName: (task) => `${nasty}${task}` }));
    const scripts = [...parseHTML(large).document.querySelectorAll("script")];
    // The names, the figures of two matrices, and what shows them.
    expect(scripts.map((script) => script.getAttribute("type"))).toEqual([
      "application/json",
      "application/json",
      "application/json",
      null,
    ]);
    expect(JSON.parse(scripts[0]?.textContent ?? "")[7]).toBe(`${nasty.replace("\u0000", "\ufffd")}7`);
    expect(large.match(/<img/g)).toHaveLength(2);
    expect(large).toMatch(
      /default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'/,
    );
    expect(/<link|<iframe|@import|url\(|\son[a-z]+=|src="(?!data:)/i.test(page)).toBe(false);
  });
});
