/** A comparison as a page: accuracy against what an answer costs, and the table behind it. */
import * as Plot from "@observablehq/plot";
import { draw, fullWidth, heights, namedAxis, spread } from "./charts/plot.ts";
import {
  type ComparedProtocol,
  type ComparedRow,
  type Comparison,
  comparedProtocols,
  comparisonCells,
  comparisonColumns,
  formatSpread,
} from "./comparison.ts";
import { renderDocument, renderNotice } from "./document.ts";
import { formatPercent, shorten } from "./record/format.ts";
import { html, type Markup } from "./record/markup.ts";

interface Look {
  readonly colour: string;
  /** Tells points where their colours do not. */
  readonly symbol: "circle" | "diamond" | "square";
  readonly legend: string;
}

const looks: { readonly [P in ComparedProtocol]: Look } = {
  "CIL exact": { colour: "var(--cil)", symbol: "circle", legend: "● CIL exact: every adapter answers" },
  "CIL routed": { colour: "var(--routed)", symbol: "diamond", legend: "◆ CIL routed: a router chooses" },
  TIL: { colour: "var(--til)", symbol: "square", legend: "■ TIL: the task is given" },
};

const margins = { marginLeft: 58, marginRight: 210, marginTop: 30, marginBottom: 44 } as const;

/** Pixels of a label across, of a line of text, and from a point to its label. */
const labelWidth = 200;
const lineHeight = 15;
const labelGap = 14;

const colourOf = (row: ComparedRow) => looks[row.protocol].colour;
const passesOf = (row: ComparedRow) => row.passesPerExample.mean;
const heightOf = (row: ComparedRow) => row.accuracy.mean;
const deviationOf = (row: ComparedRow) => row.accuracy.standardDeviation ?? 0;

interface Frame {
  readonly height: number;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

/** Pixels that passes grow e-fold on. */
function pixelsAcross([from, to]: Frame["x"]): number {
  return (fullWidth - margins.marginLeft - margins.marginRight) / Math.log(to / from);
}

/** Rows whose labels could stand on each other, from left to right: those that begin within a label's width. */
function clusters(rows: readonly ComparedRow[], [from, to]: Frame["x"]): readonly ComparedRow[][] {
  const across = pixelsAcross([from, to]);
  const place = (row: ComparedRow) => Math.log(passesOf(row) / from) * across;
  const found: ComparedRow[][] = [];
  for (const row of rows.toSorted((a, b) => passesOf(a) - passesOf(b))) {
    const last = found.at(-1);
    if (last?.[0] !== undefined && place(row) - place(last[0]) < labelWidth) last.push(row);
    else found.push([row]);
  }
  return found;
}

function frameOf(rows: readonly ComparedRow[]): Frame {
  const lowest = rows.flatMap((row) => [heightOf(row) - deviationOf(row), row.baseline?.mean ?? 1]);
  const x = [0.9, Math.max(2, ...rows.map(passesOf)) * 1.35] as const;
  const most = Math.max(...clusters(rows, x).map(({ length }) => length), 0);
  return {
    height: Math.max(380, 120 + most * lineHeight),
    x,
    y: [Math.max(0, Math.min(...lowest) - 0.03), 1],
  };
}

/** A name beside each point, moved up or down where others are near; a thin line then leads to it. */
function labels(rows: readonly ComparedRow[], { height, x, y }: Frame): Plot.Markish[] {
  const gap = ((y[1] - y[0]) * lineHeight) / (height - margins.marginTop - margins.marginBottom);
  return clusters(rows, x).flatMap((cluster) => {
    const places = spread(cluster.map(heightOf), gap, y[1] + gap);
    const right = Math.max(...cluster.map(passesOf)) * Math.exp(labelGap / pixelsAcross(x));
    return cluster.flatMap((row, i) => [
      Plot.link([row], {
        x1: passesOf,
        y1: heightOf,
        x2: right,
        y2: () => places[i],
        stroke: colourOf(row),
        strokeOpacity: 0.45,
        strokeWidth: 0.75,
      }),
      Plot.text([row], {
        x: () => right,
        y: () => places[i],
        text: () => `${shorten(row.run, 22)}, ${row.protocol}`,
        dx: 3,
        textAnchor: "start",
        fill: colourOf(row),
      }),
    ]);
  });
}

/** Each height once, as far as it can be seen. */
function baselinesOf(rows: readonly ComparedRow[]): readonly number[] {
  const baselines = rows.flatMap(({ protocol, baseline }) =>
    protocol === "TIL" ? [] : (baseline?.mean ?? []),
  );
  return [...new Map(baselines.map((baseline) => [formatPercent(baseline), baseline])).values()];
}

/** Accuracy over passes an example, the passes on a logarithmic axis; bars are one standard deviation each way. */
function drawAccuracyOverPasses(rows: readonly ComparedRow[]): Markup {
  const frame = frameOf(rows);
  const ticks = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500].filter((tick) => tick <= frame.x[1]);
  const baselines = baselinesOf(rows);
  return draw({
    ariaLabel: "Accuracy against forward passes an example",
    width: fullWidth,
    height: frame.height,
    ...margins,
    x: { type: "log", domain: frame.x, label: null },
    y: { domain: frame.y, label: null },
    marks: [
      ...heights(6, (value) => `${formatPercent(value)} %`),
      namedAxis(ticks, "forward passes an example"),
      Plot.ruleY(baselines, { stroke: "var(--muted)", strokeDasharray: "2 4" }),
      Plot.text(baselines, {
        x: frame.x[0],
        y: (baseline: number) => baseline,
        text: () => "baseline",
        dx: 4,
        dy: -7,
        textAnchor: "start",
        fill: "var(--muted)",
      }),
      ...labels(rows, frame),
      Plot.ruleX(rows, {
        x: passesOf,
        y1: (row: ComparedRow) => heightOf(row) - deviationOf(row),
        y2: (row: ComparedRow) => heightOf(row) + deviationOf(row),
        stroke: colourOf,
      }),
      ...comparedProtocols.map((protocol) =>
        Plot.dot(
          rows.filter((row) => row.protocol === protocol),
          {
            x: passesOf,
            y: heightOf,
            r: 4.5,
            symbol: looks[protocol].symbol,
            fill: colourOf,
            stroke: "var(--panel)",
            title: (row: ComparedRow) => `${row.run}, ${row.protocol}: ${formatSpread(row.accuracy)} %`,
          },
        ),
      ),
    ],
  });
}

function renderLegend(rows: readonly ComparedRow[]): Markup {
  const shown = comparedProtocols.filter((protocol) => rows.some((row) => row.protocol === protocol));
  return html`<p class="legend">${shown.map(
    (protocol) => html`<span style="color:${looks[protocol].colour}">${looks[protocol].legend}</span> `,
  )}</p>`;
}

const leftColumns: ReadonlySet<string> = new Set(["run", "protocol"]);

function renderRow(row: ComparedRow): Markup {
  const [run, protocol, ...figures] = comparisonCells(row, "(below the baseline)");
  return html`<tr><th scope="row" class="left"><bdi>${run}</bdi></th><td class="left">${protocol}</td>${figures.map(
    (figure) => html`<td>${figure}</td>`,
  )}</tr>\n`;
}

export function renderComparisonPage({ rows, notes }: Comparison, version: string): string {
  const notice = notes.length === 0 ? undefined : renderNotice("Read with care", notes);
  return renderDocument({
    title: "Accrete: runs compared",
    header: html`<p class="eyebrow"><b>Accrete</b> comparison</p><h1>Accuracy and what it costs</h1>${notice}`,
    main: html`<section id="plot"><h2>Accuracy against passes</h2>
<p class="note">After the last task: the share of right answers (at word level micro F1), and how many times the backbone runs
for one of them, without caches. Up and to the left is better. TIL is told the task, the other two are not. The baseline is a classifier of spellings without a network, for CIL.</p>
<div class="panel">${renderLegend(rows)}<div class="chart keep">${drawAccuracyOverPasses(rows)}</div></div></section>
<section id="table"><h2>Figures</h2>
<div class="panel scroll"><table><thead><tr>${comparisonColumns.map(
      (name) => html`<th scope="col" class="${leftColumns.has(name) ? "left" : undefined}">${name}</th>`,
    )}</tr></thead><tbody>${rows.map(renderRow)}</tbody></table></div>
<p class="note">Mean ± sample standard deviation over the seeds; times and memory are those of the whole run, the mean over the seeds.</p></section>`,
    footer: `Made by accrete-lm ${version} from the runs' own records.`,
  });
}
