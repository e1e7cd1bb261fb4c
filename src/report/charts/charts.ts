import * as Plot from "@observablehq/plot";
import type { RunLevel } from "../../core/record.ts";
import {
  evaluationSeconds,
  type Protocol,
  type ProtocolFigures,
  protocolNames,
  type RunFigures,
  shownProtocols,
} from "../record/figures.ts";
import { formatPercent, formatSeconds } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import type { RunRecord, TaskRecord } from "../record/record.ts";
import type { Wording } from "../record/wording.ts";
import { draw, heights, namedAxis, spread, taskTicks } from "./plot.ts";

interface Point {
  readonly task: number;
  readonly value: number;
  readonly protocol: Protocol;
}

const colourOf = (protocol: Protocol) => `var(--${protocol})`;

function pointsOf(figures: RunFigures, read: (figures: ProtocolFigures) => readonly number[]): Point[] {
  return shownProtocols(figures).flatMap(({ protocol, figures: own }) =>
    read(own).map((value, task) => ({ task, value, protocol })),
  );
}

/** A curve a protocol, then the dots. Dashes tell a curve where its colour does not; they are a mark's, not a point's. */
function curves(points: readonly Point[], dots: Plot.DotOptions): Plot.Markish[] {
  const lines = (["cil", "routed", "til"] as const).map((protocol) =>
    Plot.line(
      points.filter((point) => point.protocol === protocol),
      {
        x: "task",
        y: "value",
        stroke: colourOf(protocol),
        strokeWidth: 2.25,
        ...(protocol === "routed" && { strokeDasharray: "7 3" }),
      },
    ),
  );
  const fill = ({ protocol }: Point) => colourOf(protocol);
  return [...lines, Plot.dot(points, { x: "task", y: "value", fill, stroke: "var(--panel)", ...dots })];
}

/** What guessing among the labels so far would give, after each task; words have no such line. */
function guessesOf(tasks: readonly TaskRecord[], level: RunLevel): readonly number[] {
  const seen = new Set<string>();
  if (level === "word") return [];
  return tasks.map(({ labels }) => {
    for (const label of labels) seen.add(label);
    return 1 / Math.max(1, seen.size);
  });
}

const accuracyHeight = 330;
const accuracyMargins = { marginLeft: 44, marginRight: 120, marginTop: 26, marginBottom: 40 } as const;

/** The headline figure after each task, every protocol, what guessing would give, and the baseline. */
export function drawAccuracy(
  figures: RunFigures,
  { tasks, level }: RunRecord,
  wording: Wording,
  width: number,
): Markup {
  const points = pointsOf(figures, ({ averages }) => averages);
  const guessed = guessesOf(tasks.slice(0, figures.cil.averages.length), level);
  const chance = guessed.map((value, task) => ({ task, value }));
  const lastTask = Math.max(1, figures.totalTasks - 1);
  const lowest = lowestOf(figures, points);
  const named = figures.routed === undefined ? "class-incremental" : "class-incremental, routed";
  const averages = wording.averages.charAt(0).toUpperCase() + wording.averages.slice(1);
  return draw({
    ariaLabel: `${averages} after each task, ${named} and task-incremental`,
    width,
    height: accuracyHeight,
    ...accuracyMargins,
    x: { domain: [0, lastTask], label: null },
    y: { domain: [lowest, 1], label: null },
    marks: [
      ...heights(tensFrom(lowest), (value) => `${Math.round(value * 100)} %`),
      namedAxis(taskTicks(figures.totalTasks, width), "after learning task"),
      Plot.line(
        chance.filter(({ value }) => value >= lowest),
        { x: "task", y: "value", stroke: "var(--muted)", strokeDasharray: "2 4" },
      ),
      ...baselineMarks(figures, lastTask),
      ...curves(points, {
        r: 3.4,
        strokeWidth: 1.5,
        title: ({ protocol, task, value }: Point) =>
          `${protocolNames[protocol]} after task ${task}: ${formatPercent(value)} %, ${wording.pointNote(task + 1)}`,
      }),
      ...endLabels(
        endsOf(figures, guessed.at(-1)).filter(({ value }) => value >= lowest),
        figures.evaluatedTasks - 1,
        1 - lowest,
      ),
    ],
  });
}

/** Where the axis begins: a round figure below every curve and the baseline; what guessing gives may lie below. */
function lowestOf({ baseline }: RunFigures, points: readonly Point[]): number {
  const values = [...points.map(({ value }) => value), ...(baseline ? [baseline.cil, baseline.til] : [])];
  const least = Math.min(1, ...values);
  // A fifth of the whole at least is shown.
  return Math.max(0, Math.min(8, Math.floor(least * 10 - 0.5)) / 10);
}

function tensFrom(lowest: number): number[] {
  const step = lowest < 0.5 ? 2 : 1;
  const first = Math.ceil((lowest * 10) / step) * step;
  return Array.from({ length: Math.floor((10 - first) / step) + 1 }, (_, i) => (first + i * step) / 10);
}

interface End {
  readonly text: string;
  readonly value: number;
  readonly colour: string;
  readonly isCurve: boolean;
}

function endsOf(figures: RunFigures, guessed: number | undefined): readonly End[] {
  const curves = shownProtocols(figures).map(({ protocol, figures: { averages } }) => {
    const value = averages.at(-1);
    const text = `${protocolNames[protocol]} ${formatPercent(value)}`;
    return { text, value, colour: colourOf(protocol), isCurve: true };
  });
  const { cil, til } = figures.baseline ?? {};
  const lines = [
    { text: `CIL baseline ${formatPercent(cil)}`, value: cil, colour: colourOf("cil") },
    { text: `TIL baseline ${formatPercent(til)}`, value: til, colour: colourOf("til") },
    { text: "guessing", value: guessed, colour: "var(--muted)" },
  ];
  return [...curves, ...lines.map((line) => ({ ...line, isCurve: false }))].flatMap(({ value, ...end }) =>
    value === undefined ? [] : [{ ...end, value }],
  );
}

/** Of the y axis, for a line of text. */
const lineOfText = 15 / (accuracyHeight - accuracyMargins.marginTop - accuracyMargins.marginBottom);

/** Labels at the right end, each as near to its value as the others let it. */
function endLabels(ends: readonly End[], task: number, range: number): Plot.Markish[] {
  const line = lineOfText * range;
  const places = spread(
    ends.map(({ value }) => value),
    line,
    1 + line / 2,
  );
  return ends.map(({ text, colour, isCurve }, i) =>
    Plot.text([text], {
      x: () => task,
      y: () => places[i],
      text: String,
      dx: 9,
      textAnchor: "start",
      fill: colour,
      fontWeight: isCurve ? 650 : 400,
    }),
  );
}

/** The baseline is measured once, after the last task: a dash there for each protocol. */
function baselineMarks({ baseline }: RunFigures, lastTask: number): Plot.Markish[] {
  if (baseline === undefined) return [];
  return (["cil", "til"] as const).map((protocol) =>
    Plot.ruleY([baseline[protocol]], {
      x1: lastTask - lastTask / 24,
      x2: lastTask,
      stroke: colourOf(protocol),
      strokeWidth: 1.75,
      strokeDasharray: "3 2",
    }),
  );
}

/** Forward passes a prediction costs after each task. */
export function drawPasses(figures: RunFigures, width: number): Markup {
  const points = pointsOf(figures, ({ passes }) => passes);
  const most = Math.max(2, ...points.map(({ value }) => value));
  // About five whole numbers from 0: passes come in wholes.
  const every = Math.max(1, Math.ceil(most / 5));
  const ticks = Array.from({ length: Math.floor(most / every) + 1 }, (_, index) => index * every);
  return draw({
    ariaLabel: "Forward passes of the backbone for one prediction, after each task",
    ...smallChart(figures.totalTasks, width),
    y: { domain: [0, most], label: null },
    marks: [
      ...heights(ticks, String),
      namedAxis(taskTicks(figures.totalTasks, width), "task"),
      ...curves(points, { r: 2.8 }),
    ],
  });
}

function smallChart(totalTasks: number, width: number) {
  return {
    width,
    height: 230,
    marginLeft: 40,
    marginRight: 12,
    marginTop: 12,
    marginBottom: 38,
    x: { domain: [-0.5, Math.max(1, totalTasks) - 0.5], label: null },
  } as const;
}

/** Seconds of learning and of evaluation for each task, one on the other. */
export function drawTimes(tasks: readonly TaskRecord[], figures: RunFigures, width: number): Markup {
  const bars = tasks.flatMap((each) => {
    const { task, learned } = each;
    const learning = learned?.seconds ?? 0;
    const whole = learning + (evaluationSeconds(each) ?? 0);
    return [
      { task, from: 0, to: learning, what: "learning", colour: "var(--ink)" },
      { task, from: learning, to: whole, what: "evaluation", colour: "var(--muted)" },
    ].filter((bar) => bar.to > bar.from);
  });
  type Bar = (typeof bars)[number];
  return draw({
    ariaLabel: "Seconds of learning and evaluation for each task",
    ...smallChart(figures.totalTasks, width),
    y: { domain: [0, Math.max(0.01, ...bars.map((bar) => bar.to))], label: null },
    marks: [
      ...heights(5),
      namedAxis(taskTicks(figures.totalTasks, width), "task"),
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
