import * as Plot from "@observablehq/plot";
import type { RunLevel } from "../core/record.ts";
import type { RunFigures } from "./figures.ts";
import { formatPercent, formatSeconds } from "./format.ts";
import type { Markup } from "./markup.ts";
import { draw, fullWidth, halfWidth, taskTicks } from "./plot.ts";
import { evaluationOf, type RunRecord, type TaskRecord } from "./record.ts";
import type { Wording } from "./wording.ts";

interface Point {
  readonly task: number;
  readonly value: number;
  readonly series: "CIL" | "TIL";
}

function pointsOf(values: readonly number[], series: Point["series"]): Point[] {
  return values.map((value, task) => ({ task, value, series }));
}

const seriesColour = (point: Point) => (point.series === "CIL" ? "var(--cil)" : "var(--til)");

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

/** The headline figure after each task, both protocols, and what guessing would give. */
export function drawAccuracy(figures: RunFigures, { tasks, level }: RunRecord, wording: Wording): Markup {
  const points = [...pointsOf(figures.cil.averages, "CIL"), ...pointsOf(figures.til.averages, "TIL")];
  const chance = guesses[level](tasks.slice(0, figures.cil.averages.length)).map((value, task) => ({
    task,
    value,
  }));
  const lastTask = Math.max(1, figures.totalTasks - 1);
  return draw({
    ariaLabel: `${capitalised(wording.averages)} after each task, class-incremental and task-incremental`,
    width: fullWidth,
    height: 330,
    marginLeft: 44,
    marginRight: 64,
    marginTop: 26,
    marginBottom: 40,
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
      Plot.text(chance.slice(-1), {
        x: "task",
        y: "value",
        text: () => "guessing",
        dx: 9,
        textAnchor: "start",
        fill: "var(--muted)",
      }),
      ...accuracyLines(points, wording),
    ],
  });
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function accuracyLines(points: readonly Point[], wording: Wording): Plot.Markish[] {
  const cil = points.findLast((point) => point.series === "CIL");
  const til = points.findLast((point) => point.series === "TIL");
  const close = cil !== undefined && til !== undefined && Math.abs(til.value - cil.value) < 0.06;
  const endLabel = (end: Point | undefined, dy: number) =>
    Plot.text(end === undefined ? [] : [end], {
      x: "task",
      y: "value",
      text: (point: Point) => `${point.series} ${formatPercent(point.value)}`,
      dx: 9,
      dy,
      textAnchor: "start",
      fill: seriesColour,
      fontWeight: 650,
    });
  return [
    Plot.line(points, { x: "task", y: "value", z: "series", stroke: seriesColour, strokeWidth: 2.25 }),
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
    // Where the curves end close together, the labels step aside.
    endLabel(cil, close ? 8 : 0),
    endLabel(til, close ? -8 : 0),
  ];
}

/** Forward passes a prediction costs after each task. */
export function drawPasses(tasks: readonly TaskRecord[], figures: RunFigures): Markup {
  const passes = tasks.flatMap((task) => evaluationOf(task) ?? []);
  const points = [
    ...pointsOf(
      passes.map(({ cil }) => cil.passesPerExample),
      "CIL",
    ),
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
      Plot.line(points, { x: "task", y: "value", z: "series", stroke: seriesColour, strokeWidth: 2.25 }),
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
