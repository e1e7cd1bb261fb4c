/** The loss of each task while it was learned: thinned, then drawn as one small panel a task. */
import * as Plot from "@observablehq/plot";
import type { EventOf } from "../../core/record.ts";
import { shorten } from "../record/format.ts";
import type { Markup } from "../record/markup.ts";
import type { TaskRecord } from "../record/record.ts";
import { draw, halfWidth, heights, nameOf } from "./plot.ts";
import { mostDrawnTasks } from "./raster.ts";

/** A stretch of steps: its mean loss, and between which losses it lay. */
export interface LossPoint {
  /** The stretch's middle, in [0, 1] of the task's steps. */
  readonly at: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/**
 * At most `points` stretches of equally many steps, so that a page's size does not grow with a run's length.
 * A stretch keeps its extremes: a spike stays visible.
 */
export function thinLosses(steps: readonly EventOf<"step">[], points: number): LossPoint[] {
  const count = Math.min(points, steps.length);
  return Array.from({ length: count }, (_, index) => {
    const stretch = steps.slice(
      Math.floor((index * steps.length) / count),
      Math.floor(((index + 1) * steps.length) / count),
    );
    const losses = stretch.map((step) => step.loss);
    const first = stretch[0]!;
    const end = stretch[stretch.length - 1]!;
    return {
      at: (first.step + end.step) / 2 / Math.max(1, first.totalSteps, end.step),
      mean: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      low: Math.min(...losses),
      high: Math.max(...losses),
    };
  });
}

export function tasksWithLoss(tasks: readonly TaskRecord[]): readonly TaskRecord[] {
  return tasks.filter((task) => task.steps.length > 0);
}

/** Points of each task's line. With many tasks there are fewer, so that the drawing does not grow with them. */
function pointsOf(tasks: number): number {
  return tasks <= mostDrawnTasks ? 80 : Math.max(12, Math.floor((80 * mostDrawnTasks) / tasks));
}

interface Panel {
  readonly column: number;
  readonly row: number;
}

/** One small panel a task, all on the same axes: how far each task's loss came down, and how evenly. */
export function drawLosses(tasks: readonly TaskRecord[], width: number): Markup {
  const shown = tasksWithLoss(tasks);
  const columns = width < halfWidth ? 2 : Math.min(5, Math.max(3, shown.length));
  const rows = Math.ceil(shown.length / columns);
  const panelOf = (index: number): Panel => ({ column: index % columns, row: Math.floor(index / columns) });
  const points = shown.flatMap((task, index) =>
    thinLosses(task.steps, pointsOf(shown.length)).map((point) => ({ ...point, ...panelOf(index) })),
  );
  const heads = shown.map((task, index) => ({
    ...panelOf(index),
    text: `${task.task}  ${shorten(nameOf(tasks, task.task), 22)}`,
  }));
  const facet = { fx: "column", fy: "row" } as const;
  return draw({
    ariaLabel: "Training loss of each task over its steps",
    width,
    height: 34 + rows * 122,
    marginLeft: 34,
    marginRight: 6,
    marginTop: 24,
    marginBottom: 10,
    fx: { axis: null, padding: 0.07 },
    fy: { axis: null, padding: 0.22 },
    x: { domain: [0, 1], axis: null },
    y: {
      domain: [0, points.reduce((most, { high }) => Math.max(most, high), 0.01)],
      label: null,
      nice: true,
    },
    marks: [
      ...heights(3),
      Plot.areaY(points, { ...facet, x: "at", y1: "low", y2: "high", fill: "var(--cil)", fillOpacity: 0.18 }),
      Plot.line(points, { ...facet, x: "at", y: "mean", stroke: "var(--cil)", strokeWidth: 1.5 }),
      Plot.text(heads, {
        ...facet,
        text: "text",
        frameAnchor: "top-left",
        dy: -15,
        fontWeight: 600,
        textAnchor: "start",
      }),
    ],
  });
}
