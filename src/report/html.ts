import type { RunLevel } from "../core/record.ts";
import { rasterScript, rasterStyle } from "./charts/raster.ts";
import { renderDocument, renderNotice } from "./document.ts";
import { isLarge } from "./matrices.ts";
import type { Page } from "./parts.ts";
import { type Protocol, type ProtocolFigures, type RunFigures, summarize } from "./record/figures.ts";
import {
  formatBytes,
  formatCount,
  formatPercent,
  formatPoints,
  formatSeconds,
  formatTime,
  missing,
  plural,
} from "./record/format.ts";
import { html, type Markup, type Part } from "./record/markup.ts";
import type { RunRecord } from "./record/record.ts";
import { wordings } from "./record/wording.ts";
import { formatPasses } from "./routing.ts";
import { sections } from "./sections.ts";

/** A run as one HTML file. The same record gives the same bytes. An unfinished run is shown as far as it has come. */
export function renderHtml(record: RunRecord): string {
  const figures = summarize(record);
  const wording = wordings[record.level];
  const page: Page = { record, figures, wording };
  const shown = sections.flatMap(({ id, title: titleFor, render }) => {
    const body = render(page);
    return body === undefined ? [] : [{ id, title: titleFor(wording), body }];
  });
  const { name: backbone } = record.header.backbone;
  // The last part of a path or hub id; the whole stands among the versions.
  const baseName = backbone.split(/[\\/]/).findLast((part) => part !== "") ?? backbone;
  const title = `${countOf(figures.totalTasks, "task")}, ${countOf(figures.totalLabels, wording.name)} on ${baseName}`;
  return renderDocument({
    title: `${title} – Accrete run report`,
    header: html`
<p class="eyebrow"><b>Accrete</b> run report ${renderState(figures)}</p>
<h1>${title}</h1>
<p class="lede">${renderLede(record.level, figures)}</p>
<p class="facts">${renderFacts(record)}</p>
${renderCards(page)}
${renderNotices(page)}
<nav aria-label="Contents">${shown.map(({ id, title: name }) => html`<a href="#${id}">${name}</a>`)}</nav>
`,
    main: shown.map(
      ({ id, title: name, body }) => html`<section id="${id}"><h2>${name}</h2>\n${body}</section>\n`,
    ),
    extra: isLarge(record) ? { style: rasterStyle, script: rasterScript } : undefined,
    footer: `Made by accrete-lm ${record.header.accreteVersion} from the run's own record, events.jsonl and metrics.json.
Files hold fractions; this page shows percent.`,
  });
}

function countOf(count: number, noun: string): string {
  return plural(count, noun, formatCount(count));
}

function renderState({ finished, evaluatedTasks, totalTasks }: RunFigures): Markup {
  return finished
    ? html`<span class="state">finished</span>`
    : html`<span class="state open">not finished: ${evaluatedTasks} of ${countOf(totalTasks, "task")}</span>`;
}

/** The result in one sentence, for someone who reads no further. */
function renderLede(level: RunLevel, { cil, til, ...figures }: RunFigures): Markup {
  const { evaluatedTasks, totalTasks, seenLabels, finished } = figures;
  if (evaluatedTasks === 0)
    return html`No task has been learned and evaluated yet, of ${countOf(totalTasks, "task")}.`;
  const after = `After ${finished ? "all " : ""}${countOf(evaluatedTasks, "task")}`;
  const { routed } = figures;
  const best = routed !== undefined && (routed.headline ?? 0) >= (cil.headline ?? 0) ? routed : cil;
  const passes = `${formatPasses(best.passesPerExample)} forward ${best.passesPerExample === 1 ? "pass" : "passes"}`;
  const way = best === cil ? "every adapter answers" : `a router chooses, ${passes} a text`;
  const [any, own] = [formatPercent(best.headline), formatPercent(til.headline)];
  return level === "word"
    ? html`${after}, entities of
${countOf(seenLabels, "type")} are found with a micro F1 of <b>${any} %</b> when all of them are
looked for at once (${way}), and of <b>${own} %</b> when each task's own adapter looks for its own
types.`
    : html`${after}, the right one of
${countOf(seenLabels, "label")} is named for <b>${any} %</b> of the test texts when nothing
but the text is given (${way}), and for <b>${own} %</b> when the text's task is given too
(means over tasks).`;
}

function renderFacts({ header, startedAt }: RunRecord): string {
  return [
    `seed ${header.seed}`,
    `${formatCount(header.trainableParametersPerTask)} trained parameters a task, ${formatCount(header.backbone.parameters)} frozen`,
    header.platform,
    formatTime(startedAt),
  ].join(" · ");
}

type Card = readonly [name: Part, value: string, unit: string, more: string, tone?: Protocol | undefined];

function renderCards(page: Page): Markup {
  return html`<dl class="cards">${cardsOf(page).map(
    ([name, value, unit, more, tone]) => html`<div class="card ${tone}"><dt>${name}</dt>
<dd><div class="value">${value}${value === missing ? undefined : html`<span class="unit">${unit}</span>`}</div><div class="more">${more}</div></dd></div>
`,
  )}</dl>`;
}

function cardsOf({ figures, wording }: Page): readonly Card[] {
  const { cil, til, routed, baseline, finished, peakRssBytes } = figures;
  const headline = finished ? wording.headlineMarkup : html`${wording.headlineSoFar}`;
  const percent = (name: Part, value: number | undefined, more: string, tone?: Protocol): Card =>
    [name, formatPercent(value), "%", more, tone] as const;
  const average = ({ second }: ProtocolFigures) =>
    second === undefined ? wording.averagesNote : `${formatPercent(second)} % ${wording.secondNote}`;
  const found = routed?.taskAccuracy;
  const taskFound = found === undefined ? "" : `the task found for ${formatPercent(found)} % of texts; `;
  const atEnd = "known at the end of the run";
  const unlessUndefined = (figure: number | undefined, note: string) =>
    figure !== undefined ? note : finished ? "needs a second task" : atEnd;
  const exactNote = `TIL ${formatPercent(til.exactMatch)} %; all other figures choose among the labels`;
  const transferNote = `TIL ${formatPoints(til.forwardTransfer)} points; the task to come, against an untrained adapter`;
  const bestMinusLast = unlessUndefined(cil.forgetting, "best − last, lower is better");
  const lastMinusFirst = unlessUndefined(cil.backwardTransfer, "last − first, higher is better");
  const cards: readonly (Card | undefined | false)[] = [
    routed &&
      percent(
        html`Routed ${headline}`,
        routed.headline,
        `${taskFound}${formatPasses(routed.passesPerExample)} forward ${routed.passesPerExample === 1 ? "pass" : "passes"}`,
        "routed",
      ),
    percent(html`CIL ${headline}`, cil.headline, average(cil), "cil"),
    percent(html`TIL ${headline}`, til.headline, average(til), "til"),
    cil.exactMatch !== undefined && percent("CIL exact match of free answers", cil.exactMatch, exactNote),
    baseline &&
      percent(
        "Baseline, CIL",
        baseline.cil,
        `TIL ${formatPercent(baseline.til)} %; ${baseline.method}, without a network`,
      ),
    percent(`CIL ${wording.incremental}`, cil.incremental, `TIL ${formatPercent(til.incremental)} %`),
    ["CIL forgetting", formatPercent(cil.forgetting), "points", bestMinusLast],
    ["CIL backward transfer", formatPoints(cil.backwardTransfer), "points", lastMinusFirst],
    cil.forwardTransfer !== undefined && [
      "CIL forward transfer",
      formatPoints(cil.forwardTransfer),
      "points",
      transferNote,
    ],
    [
      "CIL forward passes per example",
      formatPasses(cil.passesPerExample),
      "",
      `TIL ${formatPasses(til.passesPerExample)}; without caches`,
    ],
    [
      finished ? "Training time" : "Training time so far",
      formatSeconds(figures.trainSeconds),
      "",
      `evaluation ${formatSeconds(figures.evalSeconds)}`,
    ],
    [
      "Peak memory",
      formatBytes(peakRssBytes),
      "",
      peakRssBytes === undefined ? atEnd : "resident, whole process",
    ],
  ];
  return cards.filter((card) => typeof card === "object");
}

function renderNotices({ record: { warnings }, figures, wording }: Page): Markup {
  const { finished, evaluatedTasks, totalTasks, tilChanged, belowBaseline } = figures;
  const notices = [
    !finished &&
      renderNotice(
        "This run is not finished",
        html`<p>It has learned and evaluated ${evaluatedTasks} of
${countOf(totalTasks, "task")}; the figures below are those so far. It continues with <code>accrete run --resume</code>.</p>`,
      ),
    tilChanged.length > 0 &&
      renderNotice(
        wording.tilChanged,
        html`<p>Adapters are never touched
again once their task is learned, so this must not happen. Tasks: ${tilChanged.join(", ")}.</p>`,
      ),
    belowBaseline.length > 0 &&
      renderNotice(
        `Below the baseline: ${belowBaseline.join(", ")}`,
        html`<p>A classifier that sees
nothing but how words are spelt does better there.</p>`,
      ),
    warnings.length > 0 &&
      renderNotice(`${warnings.length === 1 ? "A note" : "Notes"} from the run`, warnings),
  ];
  return html`${notices.filter((notice) => notice !== false)}`;
}
