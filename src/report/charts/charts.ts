import * as Plot from "@observablehq/plot";
import type { RunLevel } from "../../core/record.ts";
import type { RunFigures } from "../record/figures.ts";
import { formatPercent, formatSeconds } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import { evaluationOf, type RunRecord, type TaskRecord } from "../record/record.ts";
import type { Wording } from "../record/wording.ts";
import { draw, fullWidth, halfWidth, spread, taskTicks } from "./plot.ts";

const seriesNames = ["CIL", "routed", "TIL"] as const;
type Series = (typeof seriesNames)[number];

interface Point {
  readonly task: number;
  readonly value: number;
  readonly series: Series;
}

function pointsOf(values: readonly number[], series: Series): Point[] {
  return values.map((value, task) => ({ task, value, series }));
}

interface Pencil {
  readonly colour: string;
  /** Dashes tell a curve where its colour does not. */
  readonly dashes?: string;
}

const pencils: { readonly [S in Series]: Pencil } = {
  CIL: { colour: "var(--cil)" },
  routed: { colour: "var(--routed)", dashes: "7 3" },
  TIL: { colour: "var(--til)" },
};

const seriesColour = ({ series }: { readonly series: Series }) => pencils[series].colour;

/** A curve a protocol: dashes are a mark's, not a point's. */
function curves(points: readonly Point[]): Plot.Markish[] {
  return seriesNames.map((series) => {
    const { colour, dashes } = pencils[series];
    return Plot.line(
      points.filter((point) => point.series === series),
      {
        x: "task",
        y: "value",
        stroke: colour,
        strokeWidth: 2.25,
        ...(dashes !== undefined && { strokeDasharray: dashes }),
      },
    );
  });
}

/** What guessing among the labels so far would give, after each task; words have no such line. */
const guesses: { readonly [L in RunLevel]: (tasks: readonly TaskRecord[]) => readonly number[] } = {
  sentence: (tasks) => {
    const seen = new Set<string>();
    return tasks.map(({ labels }) => {
      for (const label of labels) seen.add(label);
      return 1 / Math.max(1, seen.size);
    });
  },
  word: () => [],
};

const accuracyHeight = 330;
const accuracyMargins = { marginLeft: 44, marginRight: 104, marginTop: 26, marginBottom: 40 } as const;

/** The headline figure after each task, every protocol, what guessing would give, and the baseline. */
export function drawAccuracy(figures: RunFigures, { tasks, level }: RunRecord, wording: Wording): Markup {
  const { cil, til, routed } = figures;
  const points = [
    ...pointsOf(cil.averages, "CIL"),
    ...pointsOf(routed?.averages ?? [], "routed"),
    ...pointsOf(til.averages, "TIL"),
  ];
  const guessed = guesses[level](tasks.slice(0, cil.averages.length));
  const chance = guessed.map((value, task) => ({ task, value }));
  const lastTask = Math.max(1, figures.totalTasks - 1);
  const named = routed === undefined ? "class-incremental" : "class-incremental, routed";
  return draw({
    ariaLabel: `${capitalised(wording.averages)} after each task, ${named} and task-incremental`,
    width: fullWidth,
    height: accuracyHeight,
    ...accuracyMargins,
    x: { domain: [0, lastTask], label: null },
    y: { domain: [0, 1], label: null },
    marks: [
      Plot.gridY([0, 0.2, 0.4, 0.6, 0.8, 1], { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY([0, 0.2, 0.4, 0.6, 0.8, 1], {
        tickSize: 0,
        tickFormat: (value: number) => `${Math.round(value * 100)} %`,
      }),
      Plot.axisX(taskTicks(figures.totalTasks), {
        tickSize: 0,
        tickFormat: String,
        label: "after learning task",
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.line(chance, { x: "task", y: "value", stroke: "var(--muted)", strokeDasharray: "2 4" }),
      ...baselineMarks(figures, lastTask),
      ...curves(points),
      Plot.dot(points, {
        x: "task",
        y: "value",
        r: 3.4,
        fill: seriesColour,
        stroke: "var(--panel)",
        strokeWidth: 1.5,
        title: (point: Point) =>
          `${point.series} after task ${point.task}: ${formatPercent(point.value)} %, ${wording.pointNote(point.task + 1)}`,
      }),
      ...endLabels(endsOf(figures, guessed.at(-1)), figures.evaluatedTasks - 1),
    ],
  });
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What stands at the right end of a curve or line. */
interface End {
  readonly value: number;
  readonly text: string;
  readonly colour: string;
  readonly weight: number;
}

function endsOf({ cil, til, routed, baseline }: RunFigures, guessed: number | undefined): readonly End[] {
  const curve = (series: Series, averages: readonly number[] = []): readonly End[] =>
    averages.slice(-1).map((value) => ({
      value,
      text: `${series} ${formatPercent(value)}`,
      colour: pencils[series].colour,
      weight: 650,
    }));
  const line = (name: string, value: number | undefined, colour: string): readonly End[] =>
    value === undefined ? [] : [{ value, text: name, colour, weight: 400 }];
  return [
    ...curve("CIL", cil.averages),
    ...curve("routed", routed?.averages),
    ...curve("TIL", til.averages),
    ...line(`CIL baseline ${formatPercent(baseline?.cil)}`, baseline?.cil, pencils.CIL.colour),
    ...line(`TIL baseline ${formatPercent(baseline?.til)}`, baseline?.til, pencils.TIL.colour),
    ...line("guessing", guessed, "var(--muted)"),
  ];
}

/** Of the y axis, for a line of text. */
const lineOfText = 15 / (accuracyHeight - accuracyMargins.marginTop - accuracyMargins.marginBottom);

/** Labels at the right end, each as near to its value as the others let it. */
function endLabels(ends: readonly End[], task: number): Plot.Markish[] {
  const places = spread(
    ends.map(({ value }) => value),
    lineOfText,
    1 + lineOfText / 2,
  );
  return ends.map(({ text, colour, weight }, i) =>
    Plot.text([text], {
      x: () => task,
      y: () => places[i],
      text: String,
      dx: 9,
      textAnchor: "start",
      fill: colour,
      fontWeight: weight,
    }),
  );
}

/** The baseline is measured once, after the last task: a dash there for each protocol. */
function baselineMarks({ baseline }: RunFigures, lastTask: number): Plot.Markish[] {
  if (baseline === undefined) return [];
  const dash = (value: number, colour: string) =>
    Plot.ruleY([value], {
      x1: lastTask - lastTask / 24,
      x2: lastTask,
      stroke: colour,
      strokeWidth: 1.75,
      strokeDasharray: "3 2",
    });
  return [dash(baseline.cil, pencils.CIL.colour), dash(baseline.til, pencils.TIL.colour)];
}

/** Forward passes a prediction costs after each task. */
export function drawPasses(tasks: readonly TaskRecord[], figures: RunFigures): Markup {
  const passes = tasks.flatMap((task) => evaluationOf(task) ?? []);
  const points = [
    ...pointsOf(
      passes.map(({ cil }) => cil.passesPerExample),
      "CIL",
    ),
    ...pointsOf(figures.routed?.passes ?? [], "routed"),
    ...pointsOf(
      passes.map(({ til }) => til.passesPerExample),
      "TIL",
    ),
  ];
  const most = Math.max(2, ...points.map(({ value }) => value));
  const ticks = wholeTicks(most);
  return draw({
    ariaLabel: "Forward passes of the backbone for one prediction, after each task",
    ...smallChart(figures.totalTasks),
    y: { domain: [0, most], label: null },
    marks: [
      Plot.gridY(ticks, { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY(ticks, { tickSize: 0, tickFormat: String }),
      taskAxis(figures.totalTasks),
      ...curves(points),
      Plot.dot(points, { x: "task", y: "value", r: 2.8, fill: seriesColour, stroke: "var(--panel)" }),
    ],
  });
}

function smallChart(totalTasks: number) {
  return {
    width: halfWidth,
    height: 230,
    marginLeft: 40,
    marginRight: 12,
    marginTop: 12,
    marginBottom: 38,
    x: { domain: [-0.5, Math.max(1, totalTasks) - 0.5], label: null },
  } as const;
}

/** About five whole numbers from 0: passes come in wholes. */
function wholeTicks(most: number): number[] {
  const every = Math.max(1, Math.ceil(most / 5));
  return Array.from({ length: Math.floor(most / every) + 1 }, (_, index) => index * every);
}

function taskAxis(totalTasks: number): Plot.Markish {
  return Plot.axisX(taskTicks(totalTasks), {
    tickSize: 0,
    tickFormat: String,
    label: "task",
    labelAnchor: "center",
    labelArrow: "none",
  });
}

/** Seconds of learning and of evaluation for each task, one on the other. */
export function drawTimes(tasks: readonly TaskRecord[], figures: RunFigures): Markup {
  const bars = tasks.flatMap((each) => {
    const { task, learned } = each;
    const learning = learned?.seconds ?? 0;
    const whole = learning + (evaluationOf(each)?.seconds ?? 0);
    return [
      { task, from: 0, to: learning, what: "learning", colour: "var(--ink)" },
      { task, from: learning, to: whole, what: "evaluation", colour: "var(--muted)" },
    ].filter((bar) => bar.to > bar.from);
  });
  type Bar = (typeof bars)[number];
  return draw({
    ariaLabel: "Seconds of learning and evaluation for each task",
    ...smallChart(figures.totalTasks),
    y: { domain: [0, Math.max(0.01, ...bars.map((bar) => bar.to))], label: null },
    marks: [
      Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
      Plot.axisY({ tickSize: 0, ticks: 5 }),
      taskAxis(figures.totalTasks),
      Plot.rect(bars, {
        x1: (bar: Bar) => bar.task - 0.34,
        x2: (bar: Bar) => bar.task + 0.34,
        y1: "from",
        y2: "to",
        fill: (bar: Bar) => bar.colour,
        fillOpacity: (bar: Bar) => (bar.what === "learning" ? 0.82 : 0.42),
        title: (bar: Bar) => `task ${bar.task}, ${bar.what}: ${formatSeconds(bar.to - bar.from)}`,
      }),
    ],
  });
}
