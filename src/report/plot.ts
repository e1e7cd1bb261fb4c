/** What every drawing shares. Colours are the style sheet's variables, so one drawing serves both themes. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { withoutControls } from "./format.ts";
import { Markup } from "./markup.ts";
import type { TaskRecord } from "./record.ts";

/** Pixels of a drawing across the page, and across half of it. */
export const fullWidth = 966;
export const halfWidth = 455;

/** Plot draws into whatever document it is given; nothing of it is kept. */
export function draw(options: Plot.PlotOptions & { readonly ariaLabel: string }): Markup {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg: { readonly outerHTML: string } = Plot.plot({ ...options, document, className: "plot" });
  return new Markup(svg.outerHTML.replace("<svg ", '<svg role="img" '));
}

/** A task's name as it may stand in a document. */
export function nameOf(tasks: readonly TaskRecord[], task: number): string {
  return withoutControls(tasks[task]?.name ?? `task-${task}`);
}

/** Whole task numbers, at most about a dozen of them. */
export function taskTicks(count: number): number[] {
  const every = Math.max(1, Math.ceil(count / 15));
  return Array.from({ length: Math.ceil(count / every) }, (_, index) => index * every);
}
