/** A comparison as a page: accuracy against what an answer costs, and the table behind it. */
import * as Plot from "@observablehq/plot";
import {
  type ComparedProtocol,
  type ComparedRow,
  type Comparison,
  formatPassesSpread,
  formatSpread,
} from "./comparison.ts";
import { formatBytes, formatPercent, formatSeconds, missing } from "./format.ts";
import { html, Markup } from "./markup.ts";
import { draw, fullWidth } from "./plot.ts";
import { buildStyle } from "./style.ts";

const colours: { readonly [P in ComparedProtocol]: string } = {
  "CIL exact": "var(--cil)",
  "CIL routed": "var(--ink)",
  TIL: "var(--til)",
};

/** Accuracy over passes an example, the passes on a logarithmic axis; bars are one standard deviation each way. */
function drawAccuracyOverPasses(rows: readonly ComparedRow[]): Markup {
  const most = Math.max(2, ...rows.map(({ passesPerExample }) => passesPerExample.mean));
  const ticks = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500].filter((tick) => tick <= most * 1.3);
  const low = Math.min(
    ...rows.flatMap(({ accuracy, floor }) => [
      accuracy.mean - (accuracy.standardDeviation ?? 0),
      floor?.mean ?? 1,
    ]),
  );
  const passes = (row: ComparedRow) => row.passesPerExample.mean;
  const off = (row: ComparedRow) => row.accuracy.standardDeviation ?? 0;
  const floors = [
    ...new Set(rows.flatMap(({ protocol, floor }) => (protocol === "TIL" ? [] : (floor?.mean ?? [])))),
  ];
  return draw({
    ariaLabel: "Accuracy against forward passes an example",
    width: fullWidth,
    height: 380,
    marginLeft: 58,
    marginRight: 190,
    marginBottom: 44,
    x: { type: "log", domain: [0.9, most * 1.35], label: null },
    y: { domain: [Math.max(0, low - 0.03), 1], label: null },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 6 }),
      Plot.axisY({ ticks: 6, tickSize: 0, tickFormat: (value: number) => `${formatPercent(value)} %` }),
      Plot.axisX(ticks, {
        tickSize: 0,
        tickFormat: String,
        label: "forward passes an example",
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.ruleY(floors, { stroke: "var(--muted)", strokeDasharray: "2 4" }),
      Plot.text(floors, {
        x: 0.9,
        y: (floor: number) => floor,
        text: () => "floor",
        dx: 4,
        dy: -7,
        textAnchor: "start",
        fill: "var(--muted)",
      }),
      Plot.ruleX(rows, {
        x: passes,
        y1: (row: ComparedRow) => row.accuracy.mean - off(row),
        y2: (row: ComparedRow) => row.accuracy.mean + off(row),
        stroke: (row: ComparedRow) => colours[row.protocol],
      }),
      Plot.dot(rows, {
        x: passes,
        y: (row: ComparedRow) => row.accuracy.mean,
        r: 4.5,
        fill: (row: ComparedRow) => colours[row.protocol],
        stroke: "var(--panel)",
        title: (row: ComparedRow) => `${row.run}, ${row.protocol}: ${formatSpread(row.accuracy)} %`,
      }),
      Plot.text(rows, {
        x: passes,
        y: (row: ComparedRow) => row.accuracy.mean,
        text: (row: ComparedRow) => `${row.run}, ${row.protocol}`,
        dx: 9,
        textAnchor: "start",
        fill: (row: ComparedRow) => colours[row.protocol],
      }),
    ],
  });
}

function renderRow(row: ComparedRow): Markup {
  return html`<tr><th scope="row" class="left"><bdi>${row.run}</bdi></th><td class="left">${row.protocol}</td><td>${row.seeds}</td>
<td>${formatSpread(row.accuracy)}${row.belowFloor ? " (below the floor)" : ""}</td>
<td>${row.floor === undefined ? missing : formatSpread(row.floor)}</td><td>${row.forgetting === undefined ? missing : formatSpread(row.forgetting)}</td>
<td>${formatPassesSpread(row.passesPerExample)}</td><td>${formatSeconds(row.trainSeconds.mean)}</td>
<td>${formatSeconds(row.evalSeconds.mean)}</td><td>${formatBytes(row.peakRssBytes.mean)}</td></tr>\n`;
}

/** One HTML file that needs nothing else. */
export function renderComparisonPage({ rows, notes }: Comparison, version: string): string {
  const notice =
    notes.length === 0
      ? undefined
      : html`<div class="notice"><h2>Read with care</h2><ul>${notes.map((note) => html`<li>${note}</li>`)}</ul></div>`;
  return html`${new Markup("<!doctype html>")}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Accrete: runs compared</title>
<style>${new Markup(buildStyle())}</style>
</head>
<body>
<header class="top"><p class="eyebrow"><b>Accrete</b> comparison</p><h1>Accuracy and what it costs</h1>${notice}</header>
<main>
<section id="plot"><h2>Accuracy against passes</h2>
<p class="note">After the last task: the share of right answers (at word level micro F1), and how many times the backbone runs
for one of them, without caches. Up and to the left is better. TIL is told the task, the other two are not. The floor is a classifier of spellings without a network, for CIL.</p>
<div class="panel"><div class="chart keep">${drawAccuracyOverPasses(rows)}</div></div></section>
<section id="table"><h2>Figures</h2>
<div class="panel scroll"><table><thead><tr><th scope="col" class="left">run</th><th scope="col" class="left">protocol</th><th scope="col">seeds</th>
<th scope="col">accuracy, %</th><th scope="col">floor, %</th><th scope="col">forgetting, points</th><th scope="col">passes</th><th scope="col">learning</th>
<th scope="col">evaluation</th><th scope="col">peak memory</th></tr></thead><tbody>${rows.map(renderRow)}</tbody></table></div>
<p class="note">Mean ± sample standard deviation over the seeds; times and memory are those of the whole run, the mean over the seeds.</p></section>
</main>
<footer><p>Made by accrete-lm ${version} from the runs' own records.</p></footer>
</body>
</html>
`.text;
}
