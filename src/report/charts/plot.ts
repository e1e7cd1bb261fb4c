/** What every drawing shares. Colours are the style sheet's variables, so one drawing serves both themes. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { withoutControls } from "../record/format.ts";
import { Markup } from "../record/markup.ts";
import type { TaskRecord } from "../record/record.ts";

/** Pixels of a drawing across the page, and across half of it. */
export const fullWidth = 966;
export const halfWidth = 455;
/** Across a phone, inside a panel. */
export const phoneWidth = 318;

/** Plot draws into whatever document it is given; nothing of it is kept. */
export function draw(options: Plot.PlotOptions & { readonly ariaLabel: string }): Markup {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg: { readonly outerHTML: string } = Plot.plot({ ...options, document, className: "plot" });
  return new Markup(svg.outerHTML.replace("<svg ", '<svg role="img" '));
}

/** Horizontal lines across a drawing, and the figures at their left. @param ticks where, or about how many */
export function heights(ticks: number | number[], tickFormat?: (value: number) => string): Plot.Markish[] {
  return [
    Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks }),
    Plot.axisY({ tickSize: 0, ticks, ...(tickFormat && { tickFormat }) }),
  ];
}

export function namedAxis(ticks: number[], label: string): Plot.Markish {
  return Plot.axisX(ticks, {
    tickSize: 0,
    tickFormat: String,
    label,
    labelAnchor: "center",
    labelArrow: "none",
  });
}

/** A task's name as it may stand in a document. */
export function nameOf(tasks: readonly TaskRecord[], task: number): string {
  return withoutControls(tasks[task]?.name ?? `task-${task}`);
}

/** Whole task numbers, at most about a dozen of them, half as many across a phone. */
export function taskTicks(count: number, width = fullWidth): number[] {
  const every = Math.max(1, Math.ceil(count / (width < halfWidth ? 8 : 15)));
  return Array.from({ length: Math.ceil(count / every) }, (_, index) => index * every);
}

/**
 * Moves numbers apart until neighbours are a gap away from each other, all of them together as little as can be (least
 * squares, by pooling neighbours that are too near).
 * @param most no number is moved above it
 * @returns in the order of `values`
 */
export function spread(values: readonly number[], gap: number, most = Infinity): readonly number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]! || b - a);
  // Less the gaps below it, a number may equal its neighbour and must not be less.
  const pools: { sum: number; count: number }[] = [];
  for (const [place, i] of order.entries()) {
    let pool = { sum: values[i]! - place * gap, count: 1 };
    for (let below = pools.at(-1); below !== undefined; below = pools.at(-1)) {
      if (below.sum / below.count <= pool.sum / pool.count) break;
      pool = { sum: pool.sum + below.sum, count: pool.count + below.count };
      pools.pop();
    }
    pools.push(pool);
  }
  const highest = most - (values.length - 1) * gap;
  const means = pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count));
  const moved = [...values];
  order.forEach((i, place) => {
    moved[i] = Math.min(means[place]!, highest) + place * gap;
  });
  return moved;
}
