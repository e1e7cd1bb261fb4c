/** What a run's figures are called, by what it labels. */
import type { RunLevel } from "../../core/record.ts";
import { html, type Markup } from "./markup.ts";

export interface Wording {
  /** What is chosen among. */
  readonly name: string;
  readonly names: string;
  /** What the cells of the matrices hold. */
  readonly cell: string;
  readonly accuracyTitle: string;
  readonly accuracyNote: Markup;
  readonly matricesTitle: string;
  readonly matricesNote: Markup;
  readonly cilLegend: string;
  readonly tilLegend: string;
  readonly routedLegend: string;
  /** The headline figure, at the end of a run and before. */
  readonly headline: string;
  readonly headlineMarkup: Markup;
  readonly headlineSoFar: string;
  readonly second: string;
  /** What follows the second figure where it stands in small print. */
  readonly secondNote: string;
  readonly incremental: string;
  /** The headline after each task, and how it is put together. */
  readonly averages: string;
  readonly averagesNote: string;
  readonly pointNote: (tasks: number) => string;
  readonly tasksNote: Markup;
  /** What TIL's column holds where it must not have changed. */
  readonly tilChanged: string;
}

export const wordings: { readonly [L in RunLevel]: Wording } = {
  sentence: {
    name: "label",
    names: "labels",
    cell: "accuracy",
    accuracyTitle: "Accuracy as tasks arrive",
    accuracyNote: html`Mean accuracy over the test texts of all tasks learned so far, after each task.
Choosing among more labels is harder, so the class-incremental curve falls even where nothing is forgotten;
a dotted line, where it is high enough to be drawn, is what guessing would give.`,
    matricesTitle: "Accuracy matrices",
    matricesNote: html`Each row is measured after learning one more task, each column is one task's test
texts, in percent. Read down a column to see a task being forgotten. All matrices share one colour scale.`,
    cilLegend: "CIL: any label learned so far",
    tilLegend: "TIL: the task is given",
    routedLegend: "routed: any label learned so far, a router chooses the task",
    headline: "average accuracy A_T",
    headlineMarkup: html`average accuracy <i>A</i><sub>T</sub>`,
    headlineSoFar: "average accuracy so far",
    second: "accuracy over samples",
    secondNote: "over samples",
    incremental: "average incremental accuracy",
    averages: "average accuracy",
    averagesNote: "mean over tasks",
    pointNote: (tasks) => `mean of ${tasks} ${tasks === 1 ? "task" : "tasks"}`,
    tasksNote: html`the texts of each, and its accuracy in percent`,
    tilChanged: "Task-incremental accuracy changed after learning",
  },
  word: {
    name: "entity type",
    names: "types",
    cell: "F1",
    accuracyTitle: "Micro F1 as tasks arrive",
    accuracyNote: html`Micro F1 of whole entities on the shared test set, after each task; entities of types not learned
yet are not looked for. More types are harder to keep apart, so the class-incremental curve falls even where nothing is
forgotten.`,
    matricesTitle: "F1 matrices",
    matricesNote: html`Each row is measured after learning one more task, each column is the micro F1 over one task's
entity types on the shared test set, in percent. Read down a column to see a task being forgotten. All matrices share
one colour scale.`,
    cilLegend: "CIL: any type learned so far",
    tilLegend: "TIL: each task's own types by its own adapter",
    routedLegend: "routed: any type learned so far, a router chooses the tasks",
    headline: "micro F1",
    headlineMarkup: html`micro F1`,
    headlineSoFar: "micro F1 so far",
    second: "macro F1",
    secondNote: "macro F1",
    incremental: "average incremental F1",
    averages: "micro F1",
    averagesNote: "over all entities",
    pointNote: (tasks) => `types of ${tasks} ${tasks === 1 ? "task" : "tasks"}`,
    tasksNote: html`the sentences of each, and the micro F1 of its types in percent`,
    tilChanged: "Task-incremental F1 changed after learning",
  },
};
