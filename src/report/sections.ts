/** The page's sections, each a function of the record. */
import type { AccuracyMatrix, TypeMatrix } from "../core/record.ts";
import { drawAccuracy, drawPasses, drawTimes } from "./charts/charts.ts";
import { rampSteps } from "./charts/colour.ts";
import { drawMatrix, drawTypeMatrix } from "./charts/heatmap.ts";
import { drawLosses, tasksWithLoss } from "./charts/loss.ts";
import { fullWidth, halfWidth } from "./charts/plot.ts";
import { renderProbes } from "./charts/probes.ts";
import { definitionsOf } from "./definitions.ts";
import type { RunFigures } from "./record/figures.ts";
import { flattenConfig, formatCount, formatPercent, formatSeconds, missing } from "./record/format.ts";
import { html, type Markup } from "./record/markup.ts";
import { namesOf, type RunRecord, type TaskRecord } from "./record/record.ts";
import type { Wording } from "./record/wording.ts";
import { describeRouter, formatPasses, rejectionFigures } from "./routing.ts";

/** What a section is made from. */
export interface Page {
  readonly record: RunRecord;
  readonly figures: RunFigures;
  readonly wording: Wording;
}

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
<div class="panel">${legend}<div class="chart keep">${drawAccuracy(figures, record, wording)}</div></div>`;
}

function renderMatrices({ record, figures, wording }: Page): Markup | undefined {
  if (figures.evaluatedTasks === 0) return undefined;
  const narrow = record.cil.length <= 6;
  return html`<p class="note">${wording.matricesNote}</p>
<div class="${narrow ? "pair" : undefined}">${renderMatrix(
    record.cil,
    record.tasks,
    "CIL",
    "Class-incremental",
    `The right ${wording.name} among all learned so far.`,
    wording,
    narrow ? halfWidth : fullWidth,
  )}
${renderMatrix(
  record.til,
  record.tasks,
  "TIL",
  "Task-incremental",
  tilNote(figures),
  wording,
  narrow ? halfWidth : fullWidth,
)}${
  figures.routed === undefined
    ? ""
    : renderMatrix(
        figures.routed.matrix,
        record.tasks,
        "Routed",
        "Routed",
        `The right ${wording.name} among all learned so far, where something says which task a text belongs to.`,
        wording,
        narrow ? halfWidth : fullWidth,
      )
}</div>`;
}

function tilNote({ tilChanged }: RunFigures): string {
  const rule =
    "The task is given. TIL forgetting is zero by construction: an adapter is never touched again once its task is " +
    "learned, so every column is constant. It is a check, not an achievement";
  return tilChanged.length === 0 ? `${rule}.` : `${rule}, and this run fails it.`;
}

const colourScale = html`<p class="scale">0 %<i aria-hidden="true">${Array.from(
  { length: rampSteps },
  (_, step) => html`<b style="background:var(--h${step})"></b>`,
)}</i>100 %</p>`;

function renderMatrix(
  matrix: AccuracyMatrix,
  tasks: readonly TaskRecord[],
  protocol: string,
  title: string,
  note: string,
  wording: Wording,
  width: number,
): Markup {
  return html`<div class="panel"><h3>${title}</h3><p class="legend">${note}</p>
<div class="chart keep">${drawMatrix(matrix, tasks, `${protocol} ${wording.cell}`, width)}</div>
${colourScale}
<details><summary>${title} matrix as a table</summary>${renderMatrixTable(matrix, tasks, `${title} ${wording.cell}`)}</details></div>`;
}

function tableCell(value: number | null | undefined): Markup {
  return value === null || value === undefined
    ? html`<td class="none">${missing}</td>`
    : html`<td>${formatPercent(value)}</td>`;
}

function renderMatrixTable(matrix: AccuracyMatrix, tasks: readonly TaskRecord[], caption: string): Markup {
  return html`<div class="scroll"><table class="matrix"><caption class="legend left">${caption}, %</caption>
<thead><tr><th scope="col" class="left">after learning</th>${matrix.map(
    (_, task) => html`<th scope="col" title="${tasks[task]?.name}">${task}</th>`,
  )}</tr></thead>
<tbody>${matrix.map(
    (row, task) =>
      html`<tr><th scope="row" class="left">${task} <bdi>${tasks[task]?.name}</bdi></th>${row.map(tableCell)}</tr>\n`,
  )}</tbody></table></div>`;
}

function renderTypes({ record, figures }: Page): Markup | undefined {
  const types = figures.cil.typeMatrix;
  if (types === undefined) return undefined;
  return html`<p class="note">F1 of each entity type on the shared test set after each task, in percent, when it is looked
for among all types learned so far. Read along a row to see a type being forgotten.</p>
<div class="panel"><h3>Class-incremental</h3>
<div class="chart keep">${drawTypeMatrix(types, record.tasks, fullWidth)}</div>
${colourScale}
<details><summary>Entity types as a table</summary>${renderTypeTable(types, record)}</details></div>`;
}

function renderTypeTable({ types, f1, forgetting }: TypeMatrix, { tasks }: RunRecord): Markup {
  const scores = tasks.findLast(({ wordsEvaluated }) => wordsEvaluated !== undefined)?.wordsEvaluated;
  const after = f1[0]?.map(
    (_, task) => html`<th scope="col" title="after ${tasks[task]?.name}">${task}</th>`,
  );
  const rows = types.map((type, i) => {
    const score = scores?.cil.perType[type];
    return html`<tr><th scope="row" class="left"><bdi>${type}</bdi></th>${f1[i]?.map(tableCell)}${tableCell(forgetting[i])}
${tableCell(score?.precision)}${tableCell(score?.recall)}<td>${score?.support ?? missing}</td>${tableCell(scores?.til.perType[type]?.f1)}</tr>\n`;
  });
  return html`<div class="scroll"><table class="matrix"><caption class="legend left">F1 after each task; then how far it fell
from its best, precision, recall and entities in the test set, and F1 where the task is given, now; %</caption>
<thead><tr><th scope="col" class="left">type</th>${after}<th scope="col">fell by</th><th scope="col">precision</th><th scope="col">recall</th>
<th scope="col">entities</th><th scope="col">TIL F1</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function renderRouting({ record, figures: { routed, outOfScope }, wording }: Page): Markup | undefined {
  if (routed?.router === undefined && outOfScope === undefined) return undefined;
  const { router } = routed ?? {};
  const figures: (readonly [string, string])[] =
    routed === undefined
      ? []
      : [
          [wording.averages, `${formatPercent(routed.headline)} %`],
          ...(routed.firstPass === undefined
            ? []
            : [["first pass alone", `${formatPercent(routed.firstPass)} %`] as const]),
          ...(routed.taskAccuracy === undefined
            ? []
            : [["task found", `${formatPercent(routed.taskAccuracy)} %`] as const]),
          ["forgetting, points", formatPercent(routed.forgetting)],
          ["forward passes an example", formatPasses(routed.passesPerExample)],
        ];
  return html`<p class="note">A router on the frozen backbone's features says which class and task a text belongs to; where it
is not sure, adapters may be asked in a second pass.${router && html` It is ${describeRouter(router, record.header.config)}.`}</p>
${settingsList([...figures, ...(outOfScope === undefined ? [] : rejectionFigures(outOfScope))])}`;
}

function renderLosses({ record }: Page): Markup | undefined {
  if (tasksWithLoss(record.tasks).length === 0) return undefined;
  return html`<p class="note">Cross-entropy on the training batches of each task, over its steps; all panels share
their axes. The line is a mean over neighbouring steps, the band reaches from their lowest to their highest loss.</p>
<div class="panel"><div class="chart keep">${drawLosses(record.tasks)}</div></div>`;
}

function renderCost({ record, figures }: Page): Markup | undefined {
  if (figures.evaluatedTasks === 0) return undefined;
  return html`<p class="note">Exact class-incremental prediction runs the backbone once for every learned adapter.
Times are wall clock on the machine named below.</p>
<div class="pair"><div class="panel"><h3>Forward passes per prediction</h3>
<p class="legend"><span><i class="key"></i>CIL</span> ${
    figures.routed && html`<span><i class="key routed"></i>routed</span> `
  }<span><i class="key til"></i>TIL</span></p>
<div class="chart">${drawPasses(record.tasks, figures)}</div></div>
<div class="panel"><h3>Seconds per task</h3>
<p class="legend"><span><i class="key" style="background:var(--ink);opacity:.82"></i>learning, ${formatSeconds(figures.trainSeconds)} in all</span>
<span><i class="key" style="background:var(--muted);opacity:.42"></i>evaluating all tasks so far, ${formatSeconds(figures.evalSeconds)}</span></p>
<div class="chart">${drawTimes(record.tasks, figures)}</div></div></div>`;
}

function renderTasks({ record, figures, wording }: Page): Markup {
  const cil = record.cil.at(-1);
  const til = record.til.at(-1);
  const routed = figures.routed?.matrix.at(-1);
  const rows = record.tasks.map(
    (
      task,
      index,
    ) => html`<tr class="task"><th scope="row">${index}</th><th scope="row" class="left"><bdi>${task.name}</bdi></th>
<td>${optionalCount(task.started?.trainExamples)}</td><td>${optionalCount(task.started?.validationExamples)}</td><td>${optionalCount(task.started?.testExamples)}</td>
<td>${optionalCount(task.started?.totalSteps)}</td><td>${formatSeconds(task.learned?.seconds)}</td><td>${bestValidation(task)}</td>
<td>${formatPercent(record.cil[index]?.[index])}</td><td>${formatPercent(cil?.[index])}</td>${
      routed && html`<td>${formatPercent(routed[index])}</td>`
    }<td>${formatPercent(til?.[index])}</td></tr>
<tr><td></td><td class="labels" colspan="${routed === undefined ? 10 : 11}">${remarksOf(task, wording)}${namesOf(task).map((label) => html`<bdi>${label}</bdi> `)}</td></tr>\n`,
  );
  return html`<p class="note">In the order in which they were learned: ${wording.tasksNote}
when it had just been learned and after ${figures.finished ? "the last task" : "the latest evaluation"}.</p>
<div class="panel scroll"><table><thead><tr><th scope="col"></th><th scope="col" class="left">task</th><th scope="col">train</th><th scope="col">validation</th><th scope="col">test</th>
<th scope="col">steps</th><th scope="col">learned in</th><th scope="col">best validation</th><th scope="col">CIL at first</th><th scope="col">CIL now</th>${
    routed && html`<th scope="col">routed now</th>`
  }<th scope="col">TIL now</th></tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

function optionalCount(count: number | undefined): string {
  return count === undefined ? missing : formatCount(count);
}

function bestValidation({ epochs }: TaskRecord): string {
  const known = epochs.flatMap(({ validationAccuracy }) =>
    validationAccuracy === undefined ? [] : [validationAccuracy],
  );
  return known.length === 0 ? missing : formatPercent(Math.max(...known));
}

function remarksOf(task: TaskRecord, { name, names }: Wording): string {
  const { learned } = task;
  const count = namesOf(task).length;
  const remarks = [
    ...(learned?.stoppedEarly === true ? ["stopped early"] : []),
    ...(learned !== undefined && learned.truncatedTexts > 0
      ? [`${learned.truncatedTexts} texts cut to length`]
      : []),
  ];
  return `${[`${count} ${count === 1 ? name : names}`, ...remarks].join(", ")}: `;
}

function settingsList(entries: readonly (readonly [string, string])[], wide = false): Markup {
  return html`<div class="panel"><dl class="settings${wide ? " wide" : ""}">${entries.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`,
  )}</dl></div>`;
}

function renderSettings({ record }: Page): Markup {
  return html`<p class="note">As resolved: the configuration file, the command line and the defaults together.</p>
${settingsList(flattenConfig(record.header.config))}`;
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
