/** The page's sections, each a function of the record. */
import { type AccuracyMatrix, type OutOfScopeMetrics, probeKinds } from "../core/record.ts";
import { drawAccuracy, drawPasses, drawTimes } from "./charts/charts.ts";
import { drawReliability, drawRoc } from "./charts/curves.ts";
import { drawLosses, tasksWithLoss } from "./charts/loss.ts";
import { halfWidth } from "./charts/plot.ts";
import { definitionsOf } from "./definitions.ts";
import { renderMatrices, renderTypes } from "./matrices.ts";
import { atBothWidths, columnHeads, type Page, renderTable } from "./parts.ts";
import { mean, protocolNames, shownProtocols } from "./record/figures.ts";
import { formatCount, formatPercent, formatSeconds, missing, settingsOf } from "./record/format.ts";
import { html, type Markup, type Part } from "./record/markup.ts";
import { namesOf, type RunRecord, type TaskRecord } from "./record/record.ts";
import type { Wording } from "./record/wording.ts";
import { calibrationFigures, describeRouter, formatPasses, rejectionFigures } from "./routing.ts";

/** A section of the page; where `render` has nothing to show, it is left out, and out of the contents too. */
export interface Section {
  readonly id: string;
  readonly title: (wording: Wording) => string;
  readonly render: (page: Page) => Markup | undefined;
}

export const sections: readonly Section[] = [
  { id: "accuracy", title: (wording) => wording.accuracyTitle, render: renderAccuracy },
  { id: "matrices", title: (wording) => wording.matricesTitle, render: renderMatrices },
  { id: "types", title: () => "Entity types over time", render: renderTypes },
  { id: "probes", title: () => "Probes", render: renderProbes },
  { id: "routing", title: () => "Routing", render: renderRouting },
  { id: "errors", title: () => "What is mixed up", render: renderErrors },
  { id: "loss", title: () => "Training loss", render: renderLosses },
  { id: "cost", title: () => "Cost", render: renderCost },
  { id: "tasks", title: () => "Tasks and labels", render: renderTasks },
  { id: "settings", title: () => "Settings", render: renderSettings },
  { id: "origin", title: () => "Versions and hashes", render: renderOrigin },
  { id: "definitions", title: () => "Definitions", render: renderDefinitions },
];

function renderAccuracy({ record, figures, wording }: Page): Markup | undefined {
  if (figures.evaluatedTasks === 0) return undefined;
  const { routed, baseline } = figures;
  const legend = html`<p class="legend"><span><i class="key"></i>${wording.cilLegend}</span>
${routed && html`<span><i class="key routed"></i>${wording.routedLegend}</span>\n`}<span><i class="key til"></i>${wording.tilLegend}</span>${
    baseline &&
    html`\n<span><i class="key baseline"></i>baseline: ${baseline.method} after the last task, without a network</span>`
  }</p>`;
  return html`<p class="note">${wording.accuracyNote}</p>
<div class="panel">${legend}${atBothWidths((width) => drawAccuracy(figures, record, wording, width))}</div>`;
}

function renderProbes({ record: { probing, tasks } }: Page): Markup | undefined {
  if (probing === undefined) return undefined;
  const kinds = probeKinds.filter((kind) => probing[kind] !== undefined);
  const count = Math.max(...kinds.map((kind) => probing[kind]?.length ?? 0));
  const rows = Array.from({ length: count }, (_, learned) => {
    const name =
      learned === 0 ? html`the backbone alone` : html`${learned - 1} <bdi>${tasks[learned - 1]?.name}</bdi>`;
    const cells = kinds.map((kind) => {
      const row = probing[kind]?.[learned] ?? [];
      return html`<td>${formatPercent(mean(row))}</td><td>${formatPercent(row[learned - 1])}</td>`;
    });
    return html`<tr><th scope="row" class="left">${name}</th>${cells}</tr>\n`;
  });
  const caption = `Mean accuracy over the test texts of all tasks, and
accuracy on those of the adapter's own, %`;
  const heads = columnHeads(kinds.flatMap((kind) => [kind, "own task"]));
  return html`<p class="note">Classifiers fitted to features as they are, on the training texts of all tasks, and asked for
the right one among all classes: first the features of the backbone alone, then those that each task's adapter makes once
it is learned. They measure what an adapter did to the features; as they see later tasks, too, they are no method.</p>
<div class="panel">${renderTable(undefined, caption, ["features of", heads], rows)}</div>`;
}

function renderRouting({
  record,
  figures: { routed, outOfScope, calibration },
  wording,
}: Page): Markup | undefined {
  if (routed?.router === undefined && outOfScope === undefined) return undefined;
  const figures: readonly (readonly [string, number | undefined])[] = [
    [wording.averages, routed?.headline],
    ["first pass alone", routed?.firstPass],
    ["immediate router", routed?.immediate],
    ["task found", routed?.taskAccuracy],
  ];
  const settings: readonly Setting[] = [
    ...figures.flatMap(([name, value]): Setting[] =>
      value === undefined ? [] : [[name, `${formatPercent(value)} %`]],
    ),
    ...(routed === undefined
      ? []
      : [
          ["forgetting, points", formatPercent(routed.forgetting)] as const,
          ["forward passes an example", formatPasses(routed.passesPerExample)] as const,
        ]),
    ...(calibration === undefined ? [] : calibrationFigures(calibration)),
    ...(outOfScope === undefined ? [] : rejectionFigures(outOfScope)),
  ];
  return html`<p class="note">A router on the frozen backbone's features says which class and task a text belongs to; where it
is not sure, adapters may be asked in a second pass.${
    routed?.router && html` It is ${describeRouter(routed.router, record.header)}.`
  }</p>
${settingsList(settings)}
${renderScores(record, outOfScope?.roc)}`;
}

/** Whether scores are probabilities, and how well they tell texts of no known class. */
function renderScores({ answers }: RunRecord, roc: OutOfScopeMetrics["roc"]): Markup | undefined {
  const { reliability = [] } = answers ?? {};
  const panels = [
    reliability.length > 0 &&
      html`<div class="panel"><h3>Reliability</h3><p class="legend">How often answers with a score are right; on the diagonal a score is a probability</p>
${atBothWidths((width) => drawReliability(reliability, width), halfWidth)}</div>\n`,
    roc !== undefined &&
      html`<div class="panel"><h3>Texts of no known class</h3><p class="legend">The share of them that is found, by the share of texts in scope that is rejected with them</p>
${atBothWidths((width) => drawRoc(roc, width), halfWidth)}</div>`,
  ].filter((panel) => typeof panel === "object");
  return panels.length === 0 ? undefined : html`<div class="pair below">${panels}</div>`;
}

/** Rows of a list that are shown at once; the others open. */
const SHOWN = 12;

function renderErrors({ record: { answers } }: Page): Markup | undefined {
  if (answers === undefined) return undefined;
  const { protocol, items, wrong, confusions, perClass } = answers;
  const pairs = confusions.map(
    ({ gold, label, count }) =>
      html`<tr><th scope="row" class="left"><bdi>${gold}</bdi></th><td class="left">${label === null ? "none of the known ones" : html`<bdi>${label}</bdi>`}</td><td>${count}</td></tr>\n`,
  );
  const classes = perClass.map(
    ({ label, items: own, accuracy }) =>
      html`<tr><th scope="row" class="left"><bdi>${label}</bdi></th><td>${formatPercent(accuracy)}</td><td>${own}</td></tr>\n`,
  );
  return html`<p class="note">The ${protocol === "routed" ? "routed" : "class-incremental"} answers after the last task:
${formatCount(wrong)} of ${formatCount(items)} are wrong. <code>accrete errors</code> shows their texts.</p>
<div class="pair"><div class="panel"><h3>Most confused</h3>${shortTable(["right", html`<th scope="col" class="left">answered</th>`, columnHeads(["texts"])], pairs)}</div>
<div class="panel"><h3>Hardest labels</h3>${shortTable(["label", columnHeads(["accuracy, %", "texts"])], classes)}</div></div>`;
}

/** The first rows of a table, and all of them on demand. */
function shortTable(heads: readonly Part[], rows: readonly Markup[]): Markup {
  const first = renderTable(undefined, "", heads, rows.slice(0, SHOWN));
  if (rows.length <= SHOWN) return first;
  return html`${first}<details><summary>${formatCount(rows.length - SHOWN)} more</summary>${renderTable(undefined, "", heads, rows.slice(SHOWN))}</details>`;
}

function renderLosses({ record }: Page): Markup | undefined {
  if (tasksWithLoss(record.tasks).length === 0) return undefined;
  return html`<p class="note">Cross-entropy on the training batches of each task, over its steps; all panels share
their axes. The line is a mean over neighbouring steps, the band reaches from their lowest to their highest loss.</p>
<div class="panel">${atBothWidths((width) => drawLosses(record.tasks, width))}</div>`;
}

function renderCost({ record, figures }: Page): Markup | undefined {
  if (figures.evaluatedTasks === 0) return undefined;
  return html`<p class="note">Exact class-incremental prediction runs the backbone once for every learned adapter.
Times are wall clock on the machine named below.</p>
<div class="pair"><div class="panel"><h3>Forward passes per prediction</h3>
<p class="legend"><span><i class="key"></i>CIL</span> ${
    figures.routed && html`<span><i class="key routed"></i>routed</span> `
  }<span><i class="key til"></i>TIL</span></p>
${atBothWidths((width) => drawPasses(figures, width), halfWidth)}</div>
<div class="panel"><h3>Seconds per task</h3>
<p class="legend"><span><i class="key" style="background:var(--ink);opacity:.82"></i>learning, ${formatSeconds(figures.trainSeconds)} in all</span>
<span><i class="key" style="background:var(--muted);opacity:.42"></i>evaluating all tasks so far, ${formatSeconds(figures.evalSeconds)}</span></p>
${atBothWidths((width) => drawTimes(record.tasks, figures, width), halfWidth)}</div></div>`;
}

function renderTasks({ record, figures, wording }: Page): Markup {
  const columns: readonly (readonly [string, (task: TaskRecord, index: number) => string])[] = [
    ["train", ({ started }) => formatCount(started?.trainExamples)],
    ["validation", ({ started }) => formatCount(started?.validationExamples)],
    ["test", ({ started }) => formatCount(started?.testExamples)],
    ["steps", ({ started }) => formatCount(started?.totalSteps)],
    ["learned in", ({ learned }) => formatSeconds(learned?.seconds)],
    ["best validation", bestValidation],
    ["CIL at first", (_, task) => formatPercent(record.cil[task]?.[task])],
    ["CIL fell by", (_, task) => formatPercent(fallOf(record.cil, task))],
    ...shownProtocols(figures).map(
      ({ protocol, figures: { matrix } }) =>
        [
          `${protocolNames[protocol]} now`,
          (_: TaskRecord, task: number) => formatPercent(matrix.at(-1)?.[task]),
        ] as const,
    ),
  ];
  const rows = record.tasks.map(
    (
      task,
      index,
    ) => html`<tr class="task"><th scope="row">${index}</th><th scope="row" class="left"><bdi>${task.name}</bdi></th>
${columns.map(([, read]) => html`<td>${read(task, index)}</td>`)}</tr>
<tr><td></td><td class="labels" colspan="${columns.length + 1}">${remarksOf(task, wording)}${namesOf(task).map((label) => html`<bdi>${label}</bdi> `)}</td></tr>\n`,
  );
  return html`<p class="note">In the order in which they were learned: ${wording.tasksNote}
when it had just been learned and after ${figures.finished ? "the last task" : "the latest evaluation"}.</p>
<div class="panel scroll"><table><thead><tr><th scope="col"></th><th scope="col" class="left">task</th>${columnHeads(columns.map(([name]) => name))}</tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

/** How far a task's column lies below its best by now. */
function fallOf(matrix: AccuracyMatrix, task: number): number | undefined {
  const column = matrix.slice(task).flatMap((row) => row[task] ?? []);
  const last = column.at(-1);
  return last === undefined || column.length < 2 ? undefined : Math.max(...column) - last;
}

function bestValidation({ epochs }: TaskRecord): string {
  const known = epochs.flatMap(({ validationAccuracy }) => validationAccuracy ?? []);
  return known.length === 0 ? missing : formatPercent(Math.max(...known));
}

function remarksOf(task: TaskRecord, { name, names }: Wording): string {
  const { stoppedEarly = false, truncatedTexts = 0 } = task.learned ?? {};
  const count = namesOf(task).length;
  const remarks = [
    `${count} ${count === 1 ? name : names}`,
    ...(stoppedEarly ? ["stopped early"] : []),
    ...(truncatedTexts > 0 ? [`${truncatedTexts} texts cut to length`] : []),
  ];
  return `${remarks.join(", ")}: `;
}

type Setting = readonly [name: string, value: string];

function settingsList(entries: readonly Setting[], wide = false): Markup {
  return html`<div class="panel"><dl class="settings${wide ? " wide" : ""}">${entries.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`,
  )}</dl></div>`;
}

function renderSettings({ record }: Page): Markup {
  return html`<p class="note">As resolved: the configuration file, the command line and the defaults together.</p>
${settingsList(settingsOf(record.header))}`;
}

function renderOrigin({ record: { header, startedAt, lastEventAt, resumes } }: Page): Markup {
  return settingsList(
    [
      ["backbone", header.backbone.name],
      ["backbone parameters", `${formatCount(header.backbone.parameters)}, frozen`],
      ["trained parameters per task", formatCount(header.trainableParametersPerTask)],
      ...(header.selectorParameters === undefined
        ? []
        : [["selection network's parameters, shared", formatCount(header.selectorParameters)] as const]),
      ["backbone hash", header.backbone.hash],
      ["data hash", header.dataHash],
      ["seed", String(header.seed)],
      ["Accrete", header.accreteVersion],
      ["engine", header.engineVersion],
      ["Node.js", header.nodeVersion],
      ["platform", header.platform],
      ["started", startedAt],
      ["last event", lastEventAt],
      ["times resumed", String(resumes)],
    ],
    true,
  );
}

function renderDefinitions({ record }: Page): Markup {
  return html`<dl class="definitions">${definitionsOf(record.level).map(
    ({ name, formula, text }) =>
      html`<div><dt>${name}</dt><dd><span class="formula">${formula}</span>${text}</dd></div>\n`,
  )}</dl>`;
}
