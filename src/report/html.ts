import type { RunLevel } from "../core/record.ts";
import type { ProtocolFigures, RoutedFigures, RunFigures } from "./record/figures.ts";
import { summarize } from "./record/figures.ts";
import {
  formatBytes,
  formatCount,
  formatPercent,
  formatPoints,
  formatSeconds,
  formatTime,
  missing,
} from "./record/format.ts";
import { html, Markup, type Part } from "./record/markup.ts";
import type { RunRecord } from "./record/record.ts";
import { wordings } from "./record/wording.ts";
import { formatPasses } from "./routing.ts";
import { type Page, sections } from "./sections.ts";
import { buildStyle } from "./style.ts";

/**
 * A run as one HTML file that needs nothing else: no script, no font, no picture from elsewhere; light and dark by
 * the reader's setting. The same record gives the same bytes. An unfinished run is shown as far as it has come.
 */
export function renderHtml(record: RunRecord): string {
  const figures = summarize(record);
  const wording = wordings[record.level];
  const page: Page = { record, figures, wording };
  const shown = sections.flatMap(({ id, title: titleFor, render }) => {
    const body = render(page);
    return body === undefined ? [] : [{ id, title: titleFor(wording), body }];
  });
  const title = titleOf(page);
  return html`${new Markup("<!doctype html>")}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – Accrete run report</title>
<style>${new Markup(buildStyle())}</style>
</head>
<body>
<header class="top">
<p class="eyebrow"><b>Accrete</b> run report ${renderState(figures)}</p>
<h1>${title}</h1>
${ledes[record.level](figures)}
<p class="facts">${renderFacts(record)}</p>
${renderCards(page)}
${renderNotices(page)}
<nav aria-label="Contents">${shown.map(({ id, title: name }) => html`<a href="#${id}">${name}</a>`)}</nav>
</header>
<main>
${shown.map(({ id, title: name, body }) => html`<section id="${id}"><h2>${name}</h2>\n${body}</section>\n`)}
</main>
<footer><p>Made by accrete-lm ${record.header.accreteVersion} from the run's own record, events.jsonl and metrics.json.
Files hold fractions; this page shows percent.</p></footer>
</body>
</html>
`.text;
}

function titleOf({ record: { header }, figures, wording }: Page): string {
  return `${plural(figures.totalTasks, "task")}, ${plural(figures.totalLabels, wording.name)} on ${baseName(header.backbone.name)}`;
}

/** The last part of a path or hub id; the whole stands among the versions. */
function baseName(name: string): string {
  return name.split(/[\\/]/).findLast((part) => part !== "") ?? name;
}

function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function renderState({ finished, evaluatedTasks, totalTasks }: RunFigures): Markup {
  return finished
    ? html`<span class="state">finished</span>`
    : html`<span class="state open">not finished: ${evaluatedTasks} of ${plural(totalTasks, "task")}</span>`;
}

/** The result in one sentence, for someone who reads no further. */
const ledes: { readonly [L in RunLevel]: (figures: RunFigures) => Markup } = {
  sentence: (figures) => {
    const { cil, til, evaluatedTasks, seenLabels, finished } = figures;
    if (evaluatedTasks === 0) return emptyLede(figures);
    return html`<p class="lede">After ${finished ? "all " : ""}${plural(evaluatedTasks, "task")}, the right one of
${plural(seenLabels, "label")} is named for <b>${formatPercent(cil.headline)} %</b> of the test texts when nothing
but the text is given, and for <b>${formatPercent(til.headline)} %</b> when the text's task is given too
(means over tasks).</p>`;
  },
  word: (figures) => {
    const { cil, til, evaluatedTasks, seenLabels, finished } = figures;
    if (evaluatedTasks === 0) return emptyLede(figures);
    return html`<p class="lede">After ${finished ? "all " : ""}${plural(evaluatedTasks, "task")}, entities of
${plural(seenLabels, "type")} are found with a micro F1 of <b>${formatPercent(cil.headline)} %</b> when all of them are
looked for at once, and of <b>${formatPercent(til.headline)} %</b> when each task's own adapter looks for its own
types.</p>`;
  },
};

function emptyLede({ totalTasks }: RunFigures): Markup {
  return html`<p class="lede">No task has been learned and evaluated yet, of ${plural(totalTasks, "task")}.</p>`;
}

function renderFacts({ header, startedAt }: RunRecord): string {
  return [
    `seed ${header.seed}`,
    `${formatCount(header.trainableParametersPerTask)} trained parameters a task, ${formatCount(header.backbone.parameters)} frozen`,
    header.platform,
    formatTime(startedAt),
  ].join(" · ");
}

interface Card {
  readonly name: Part;
  readonly value: string;
  readonly unit?: string;
  readonly more: string;
  readonly tone?: "cil" | "til" | "routed";
}

function renderCards(page: Page): Markup {
  return html`<dl class="cards">${cardsOf(page).map(
    ({ name, value, unit, more, tone }) => html`<div class="card ${tone}"><dt>${name}</dt>
<dd><div class="value">${value}${value === missing ? undefined : html`<span class="unit">${unit}</span>`}</div><div class="more">${more}</div></dd></div>
`,
  )}</dl>`;
}

function headlineName({ figures, wording }: Page): Markup {
  return figures.finished ? wording.headlineMarkup : html`${wording.headlineSoFar}`;
}

function taskFound({ taskAccuracy }: RoutedFigures): string {
  return taskAccuracy === undefined ? "" : `the task found for ${formatPercent(taskAccuracy)} % of texts; `;
}

function cardsOf(page: Page): readonly Card[] {
  const { figures, wording } = page;
  const { cil, til, finished } = figures;
  const average = (name: string, tone: "cil" | "til", { headline, second }: ProtocolFigures): Card => ({
    name: html`${name} ${headlineName(page)}`,
    value: formatPercent(headline),
    unit: "%",
    more: second === undefined ? wording.averagesNote : `${formatPercent(second)} % ${wording.secondNote}`,
    tone,
  });
  const undefinedFigure = finished ? "needs a second task" : "known at the end of the run";
  return [
    average("CIL", "cil", cil),
    average("TIL", "til", til),
    ...(cil.exactMatch === undefined
      ? []
      : [
          {
            name: "CIL exact match of free answers",
            value: formatPercent(cil.exactMatch),
            unit: "%",
            more: `TIL ${formatPercent(til.exactMatch)} %; all other figures choose among the labels`,
          },
        ]),
    ...(figures.routed === undefined
      ? []
      : [
          {
            tone: "routed" as const,
            name: html`Routed ${headlineName(page)}`,
            value: formatPercent(figures.routed.headline),
            unit: "%",
            more: `${taskFound(figures.routed)}${formatPasses(figures.routed.passesPerExample)} forward passes`,
          },
        ]),
    ...(figures.baseline === undefined
      ? []
      : [
          {
            name: "Baseline, CIL",
            value: formatPercent(figures.baseline.cil),
            unit: "%",
            more: `TIL ${formatPercent(figures.baseline.til)} %; ${figures.baseline.method}, without a network`,
          },
        ]),
    {
      name: `CIL ${wording.incremental}`,
      value: formatPercent(cil.incremental),
      unit: "%",
      more: `TIL ${formatPercent(til.incremental)} %`,
    },
    {
      name: "CIL forgetting",
      value: formatPercent(cil.forgetting),
      unit: "points",
      more: cil.forgetting === undefined ? undefinedFigure : "best − last, lower is better",
    },
    {
      name: "CIL backward transfer",
      value: formatPoints(cil.backwardTransfer),
      unit: "points",
      more: cil.backwardTransfer === undefined ? undefinedFigure : "last − first, higher is better",
    },
    ...(cil.forwardTransfer === undefined
      ? []
      : [
          {
            name: "CIL forward transfer",
            value: formatPoints(cil.forwardTransfer),
            unit: "points",
            more: `TIL ${formatPoints(til.forwardTransfer)} points; the task to come, against an untrained adapter`,
          },
        ]),
    {
      name: "CIL forward passes per example",
      value: formatPasses(cil.passesPerExample),
      more: `TIL ${formatPasses(til.passesPerExample)}; without caches`,
    },
    {
      name: finished ? "Training time" : "Training time so far",
      value: formatSeconds(figures.trainSeconds),
      more: `evaluation ${formatSeconds(figures.evalSeconds)}`,
    },
    {
      name: "Peak memory",
      value: formatBytes(figures.peakRssBytes),
      more: figures.peakRssBytes === undefined ? "known at the end of the run" : "resident, whole process",
    },
  ];
}

function renderNotices({ record: { warnings }, figures, wording }: Page): Markup {
  const { finished, evaluatedTasks, totalTasks, tilChanged } = figures;
  const changed =
    tilChanged.length === 0
      ? undefined
      : html`<div class="notice"><h2>${wording.tilChanged}</h2><p>Adapters are never touched
again once their task is learned, so this must not happen. Tasks: ${tilChanged.join(", ")}.</p></div>`;
  const below =
    figures.belowBaseline.length === 0
      ? undefined
      : html`<div class="notice"><h2>Below the baseline: ${figures.belowBaseline.join(", ")}</h2><p>A classifier that sees
nothing but how words are spelt does better there.</p></div>`;
  const open = finished
    ? undefined
    : html`<div class="notice"><h2>This run is not finished</h2><p>It has learned and evaluated ${evaluatedTasks} of
${plural(totalTasks, "task")}; the figures below are those so far. It continues with <code>accrete run --resume</code>.</p></div>`;
  const notes =
    warnings.length === 0
      ? undefined
      : html`<div class="notice"><h2>${warnings.length === 1 ? "A note" : "Notes"} from the run</h2><ul>${warnings.map(
          (warning) => html`<li>${warning}</li>`,
        )}</ul></div>`;
  return html`${open}${changed}${below}${notes}`;
}
