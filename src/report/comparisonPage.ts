/** A comparison as a page: accuracy against what an answer costs, and the table behind it. */
import * as Plot from "@observablehq/plot";
import { draw, fullWidth, heights, namedAxis, phoneWidth, spread, taskTicks } from "./charts/plot.ts";
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

interface Margins {
  readonly marginLeft: number;
  readonly marginRight: number;
  readonly marginTop: number;
  readonly marginBottom: number;
}

/** Labels stand at the right, across a phone without their protocol. */
function marginsAt(width: number): Margins {
  const sides =
    width < fullWidth ? { marginLeft: 44, marginRight: 112 } : { marginLeft: 58, marginRight: 210 };
  return { ...sides, marginTop: 30, marginBottom: 44 };
}

function labelOf({ run, protocol }: ComparedRow, phone: boolean): string {
  return phone ? shorten(run, 15) : `${shorten(run, 22)}, ${protocol}`;
}

/** Pixels of a label across, of a line of text, and from a point to its label. */
const labelWidth = 200;
const lineHeight = 15;
const labelGap = 14;

const colourOf = (row: ComparedRow) => looks[row.protocol].colour;
const passesOf = (row: ComparedRow) => row.passesPerExample.mean;
const heightOf = (row: ComparedRow) => row.accuracy.mean;
const deviationOf = (row: ComparedRow) => row.accuracy.standardDeviation ?? 0;

interface Frame {
  readonly width: number;
  readonly phone: boolean;
  readonly margins: Margins;
  readonly height: number;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

/** Pixels that passes grow e-fold on. */
function pixelsAcross({ x: [from, to], width, margins }: Pick<Frame, "x" | "width" | "margins">): number {
  return (width - margins.marginLeft - margins.marginRight) / Math.log(to / from);
}

/** Rows whose labels could stand on each other, from left to right: those that begin within a label's width. */
function clusters(
  rows: readonly ComparedRow[],
  frame: Pick<Frame, "x" | "width" | "margins">,
): readonly ComparedRow[][] {
  const across = pixelsAcross(frame);
  const [from] = frame.x;
  const place = (row: ComparedRow) => Math.log(passesOf(row) / from) * across;
  const found: ComparedRow[][] = [];
  for (const row of rows.toSorted((a, b) => passesOf(a) - passesOf(b))) {
    const last = found.at(-1);
    if (last?.[0] !== undefined && place(row) - place(last[0]) < labelWidth) last.push(row);
    else found.push([row]);
  }
  return found;
}

function frameOf(rows: readonly ComparedRow[], width: number): Frame {
  const margins = marginsAt(width);
  const lowest = rows.flatMap((row) => [heightOf(row) - deviationOf(row), row.baseline?.mean ?? 1]);
  const x = [0.9, Math.max(2, ...rows.map(passesOf)) * 1.35] as const;
  const most = Math.max(...clusters(rows, { x, width, margins }).map(({ length }) => length), 0);
  return {
    width,
    phone: width < fullWidth,
    margins,
    height: Math.max(380, 120 + most * lineHeight),
    x,
    y: [Math.max(0, Math.min(...lowest) - 0.03), 1],
  };
}

/** A name beside each point, moved up or down where others are near; a thin line then leads to it. */
function labels(rows: readonly ComparedRow[], frame: Frame): Plot.Markish[] {
  const { height, y, margins, phone } = frame;
  const gap = ((y[1] - y[0]) * lineHeight) / (height - margins.marginTop - margins.marginBottom);
  return clusters(rows, frame).flatMap((cluster) => {
    const places = spread(cluster.map(heightOf), gap, y[1] + gap);
    const right = Math.max(...cluster.map(passesOf)) * Math.exp(labelGap / pixelsAcross(frame));
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
        text: () => labelOf(row, phone),
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
function drawAccuracyOverPasses(rows: readonly ComparedRow[], width: number): Markup {
  const frame = frameOf(rows, width);
  const ticks = (frame.phone ? [1, 3, 10, 30, 100, 300] : [1, 2, 3, 5, 10, 20, 50, 100, 200, 500]).filter(
    (tick) => tick <= frame.x[1],
  );
  const baselines = baselinesOf(rows);
  return draw({
    ariaLabel: "Accuracy against forward passes an example",
    width,
    height: frame.height,
    ...frame.margins,
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

interface CurvePoint {
  readonly task: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

function curveOf({ averages }: ComparedRow): readonly CurvePoint[] {
  return averages.map(({ mean, standardDeviation = 0 }, task) => ({
    task,
    mean,
    low: mean - standardDeviation,
    high: mean + standardDeviation,
  }));
}

/** Each run's headline after each task; bands are one standard deviation over the seeds each way. */
function drawAccuracyOverTasks(rows: readonly ComparedRow[], width: number): Markup | undefined {
  const shown = rows.filter(({ averages }) => averages.length > 1);
  if (shown.length === 0) return undefined;
  const lastTask = Math.max(...shown.map(({ averages }) => averages.length - 1));
  const lowest = Math.min(...shown.flatMap((row) => curveOf(row).map(({ low }) => low)));
  const bottom = Math.max(0, Math.floor(lowest * 20 - 0.5) / 20);
  const phone = width < fullWidth;
  const frame = marginsAt(width);
  const height = Math.max(340, 110 + shown.length * lineHeight);
  const gap = ((1 - bottom) * lineHeight) / (height - frame.marginTop - frame.marginBottom);
  const ends = shown.map((row) => curveOf(row).at(-1)!);
  const places = spread(
    ends.map(({ mean }) => mean),
    gap,
    1 + gap / 2,
  );
  return draw({
    ariaLabel: "Accuracy after each task, every run and protocol",
    width,
    height,
    ...frame,
    x: { domain: [0, lastTask], label: null },
    y: { domain: [bottom, 1], label: null },
    marks: [
      ...heights(6, (value) => `${formatPercent(value)} %`),
      namedAxis(taskTicks(lastTask + 1, width), "after learning task"),
      ...shown.flatMap((row) => [
        Plot.areaY(curveOf(row), {
          x: "task",
          y1: "low",
          y2: "high",
          fill: colourOf(row),
          fillOpacity: 0.16,
        }),
        Plot.line(curveOf(row), { x: "task", y: "mean", stroke: colourOf(row), strokeWidth: 2 }),
      ]),
      ...shown.map((row, i) =>
        Plot.text([row], {
          x: () => ends[i]?.task,
          y: () => places[i],
          text: () => labelOf(row, phone),
          dx: 9,
          textAnchor: "start",
          fill: colourOf(row),
        }),
      ),
    ],
  });
}

function renderOverTasks(rows: readonly ComparedRow[]): Markup | undefined {
  const wide = drawAccuracyOverTasks(rows, fullWidth);
  if (wide === undefined) return undefined;
  return html`<section id="tasks"><h2>Accuracy as tasks arrive</h2>
<p class="note">Mean accuracy over the tasks learned so far (at word level micro F1), after each task; bands are one standard deviation over the seeds each way.</p>
<div class="panel">${renderLegend(rows)}<div class="chart wide">${wide}</div><div class="chart phone">${drawAccuracyOverTasks(rows, phoneWidth)}</div></div></section>`;
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
<div class="panel">${renderLegend(rows)}<div class="chart wide">${drawAccuracyOverPasses(rows, fullWidth)}</div><div class="chart phone">${drawAccuracyOverPasses(rows, phoneWidth)}</div></div></section>
${renderOverTasks(rows)}
<section id="table"><h2>Figures</h2>
<div class="panel scroll"><table><thead><tr>${comparisonColumns.map(
      (name) => html`<th scope="col" class="${leftColumns.has(name) ? "left" : undefined}">${name}</th>`,
    )}</tr></thead><tbody>${rows.map(renderRow)}</tbody></table></div>
<p class="note">Mean ± sample standard deviation over the seeds; times and memory are those of the whole run, the mean over the seeds.</p></section>`,
    footer: `Made by accrete-lm ${version} from the runs' own records.`,
  });
}
