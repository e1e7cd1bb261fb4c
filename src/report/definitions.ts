import type { RunLevel } from "../core/record.ts";
import { html, type Markup } from "./record/markup.ts";

export interface Definition {
  readonly name: string;
  readonly formula: Markup;
  readonly text: string;
}

const sub = (base: string, index: string) => html`<i>${base}</i><sub>${index}</sub>`;
const sum = (range: string) => html`Σ<sub>${range}</sub>`;
/** A cell of the accuracy matrix, and of the F1 matrix. */
const a = (k: string, j: string) => sub("a", `${k},${j}`);
const f = (k: string, j: string) => sub("f", `${k},${j}`);
const meanOfMeans = (name: string) => html`(1/<i>T</i>) ${sum("k=1…T")} ${sub(name, "k")}`;
const forgettingOf = (cell: typeof a) =>
  html`(1/(<i>T</i>−1)) ${sum("j<T")} (max<sub>k</sub> ${cell("k", "j")} − ${cell("T", "j")})`;
const backwardTransferOf = (cell: typeof a) =>
  html`(1/(<i>T</i>−1)) ${sum("j<T")} (${cell("T", "j")} − ${cell("j", "j")})`;

const ofTexts: readonly Definition[] = [
  {
    name: "Accuracy matrix",
    formula: html`${a("k", "j")} = correct / counted`,
    text:
      "Accuracy on task j's test texts after learning task k, for j ≤ k; tasks count from 1 in these formulas, from 0 " +
      "in the tables. Undefined cells show a dash.",
  },
  {
    name: "Class-incremental (CIL), task-incremental (TIL)",
    formula: html`ŷ = argmax over the labels of tasks 1…<i>k</i> (CIL), of task <i>j</i> (TIL)`,
    text:
      "CIL does not know which task a text belongs to and chooses among all labels learned so far. TIL is told the " +
      "task and uses that task's own adapter and head.",
  },
  {
    name: "Average accuracy",
    formula: html`${sub("A", "T")} = (1/<i>T</i>) ${sum("j=1…T")} ${a("T", "j")}`,
    text: "The last row's mean: every task weighs the same. Higher is better.",
  },
  {
    name: "Accuracy over samples",
    formula: html`${sum("j")} correct<sub>T,j</sub> / ${sum("j")} counted<sub>j</sub>`,
    text: "The last row again, but every test text weighs the same. Higher is better.",
  },
  {
    name: "Average incremental accuracy",
    formula: meanOfMeans("A"),
    text:
      "The mean of the averages after each task (iCaRL, Rebuffi et al. 2017, who average over samples rather than " +
      "tasks). Higher is better.",
  },
  {
    name: "Forgetting",
    formula: forgettingOf(a),
    text:
      "How far each earlier task fell from its best, in points; never negative, lower is better. After Chaudhry et " +
      "al. 2018, whose maximum leaves the last row out. Avalanche takes first − last instead. TIL's is 0 by construction.",
  },
  {
    name: "Backward transfer (BWT)",
    formula: backwardTransferOf(a),
    text:
      "What later learning did to earlier tasks, in points; negative where they suffered, higher is better (GEM, " +
      "Lopez-Paz & Ranzato 2017).",
  },
  {
    name: "Forward transfer (FWT)",
    formula: html`(1/(<i>T</i>−1)) ${sum("j>1")} (${a("j−1", "j")} − ${sub("b", "j")})`,
    text:
      "Of answers in words alone: what earlier learning did to a task before it is learned, in points; b is the accuracy " +
      "with an adapter that has learned nothing. Higher is better (GEM).",
  },
];

const ofRouting: readonly Definition[] = [
  {
    name: "Routed",
    formula: html`ŷ = argmax log <i>p</i>(class) + <i>w</i>·log softmax(head)`,
    text:
      "Any label learned so far, as in CIL, but a router or a network says which task a text belongs to, so not every " +
      "adapter runs. A router's own word is final where no second pass through adapters is asked for or worth it. " +
      "Task found: the share of test texts that are given to their task.",
  },
  {
    name: "Out of scope",
    formula: html`AUROC = P(score of a text out of scope > of one in scope) + ½ P(equal)`,
    text:
      "Texts of no class are the positive kind. FPR at 95 % found: the share of in-scope texts that are rejected where " +
      "95 % of the others are. The threshold is set on held-out training rows, never on texts out of scope.",
  },
];

const ofWords: readonly Definition[] = [
  {
    name: "Entity F1",
    formula: html`F1 = 2·P·R / (P + R), P = correct / predicted, R = correct / gold`,
    text:
      "An entity is right if its type, its first and its last word are, as seqeval counts in its default mode. Micro F1 " +
      "adds the counts of all types up; macro F1 is the mean of the types' F1. All tasks share one test set, in which " +
      "types not learned yet are outside (O).",
  },
  {
    name: "Class-incremental (CIL), task-incremental (TIL)",
    formula: html`ŷ = argmax over O and the labels of tasks 1…<i>k</i> (CIL), of task <i>j</i> (TIL)`,
    text:
      "CIL looks for all types learned so far at once. TIL looks for each task's own types with its own adapter, and adds " +
      "the counts of the tasks up. O is always the first task's.",
  },
  {
    name: "F1 matrix",
    formula: html`${f("k", "j")} = micro F1 over the types of task <i>j</i>`,
    text:
      "On the shared test set after learning task k, for j ≤ k; tasks count from 1 in these formulas, from 0 in the " +
      "tables. Undefined cells show a dash.",
  },
  {
    name: "Average incremental F1",
    formula: meanOfMeans("F"),
    text: "The mean of the micro F1 over all types seen after each task. Higher is better.",
  },
  {
    name: "Forgetting",
    formula: forgettingOf(f),
    text: "How far each earlier task fell from its best, in points; never negative, lower is better. TIL's is 0 by construction.",
  },
  {
    name: "Backward transfer (BWT)",
    formula: backwardTransferOf(f),
    text: "What later learning did to earlier tasks, in points; negative where they suffered, higher is better.",
  },
  {
    name: "Routed",
    formula: html`ŷ = argmax <i>r</i>·log <i>p</i>(tag) + <i>w</i>·log softmax(heads)`,
    text:
      "Any type learned so far, as in CIL, but a router on words' frozen features says which tasks' types a sentence may " +
      "have, and only their adapters run, with the first one for O. The router alone answers where that was best on " +
      "held-out sentences.",
  },
];

const ofRuns: readonly Definition[] = [
  {
    name: "Forward passes per example",
    formula: html`passes of the backbone / predictions`,
    text:
      "What one prediction costs after the last task, without caches. Exact CIL runs every learned adapter, so its " +
      "cost grows with the tasks; TIL runs one.",
  },
  {
    name: "Train and evaluation time",
    formula: html`seconds of wall clock`,
    text:
      "Training is learning all tasks: tokenising, building the graph and starting the engine included; evaluating and " +
      "loading the backbone not.",
  },
  {
    name: "Peak memory",
    formula: html`max resident set size of the process`,
    text: "In decimal units (1 MB = 10⁶ bytes), the mapped model file included as far as it was resident.",
  },
];

export function definitionsOf(level: RunLevel): readonly Definition[] {
  return level === "word" ? [...ofWords, ...ofRuns] : [...ofTexts, ...ofRouting, ...ofRuns];
}
