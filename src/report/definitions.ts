import { html, type Markup } from "./markup.ts";

export interface Definition {
  readonly name: string;
  readonly formula: Markup;
  readonly text: string;
}

const sub = (base: string, index: string) => html`<i>${base}</i><sub>${index}</sub>`;
const a = (k: string, j: string) => html`<i>a</i><sub>${k},${j}</sub>`;
const sum = (range: string) => html`Σ<sub>${range}</sub>`;

/** Every figure of the page: its formula, its sign, and where others define it differently. */
export const definitions: readonly Definition[] = [
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
    formula: html`(1/<i>T</i>) ${sum("k=1…T")} ${sub("A", "k")}`,
    text:
      "The mean of the averages after each task (iCaRL, Rebuffi et al. 2017, who average over samples rather than " +
      "tasks). Higher is better.",
  },
  {
    name: "Forgetting",
    formula: html`(1/(<i>T</i>−1)) ${sum("j<T")} (max<sub>k</sub> ${a("k", "j")} − ${a("T", "j")})`,
    text:
      "How far each earlier task fell from its best, in points; never negative, lower is better. After Chaudhry et " +
      "al. 2018, whose maximum leaves the last row out. Avalanche takes first − last instead. TIL's is 0 by construction.",
  },
  {
    name: "Backward transfer (BWT)",
    formula: html`(1/(<i>T</i>−1)) ${sum("j<T")} (${a("T", "j")} − ${a("j", "j")})`,
    text:
      "What later learning did to earlier tasks, in points; negative where they suffered, higher is better (GEM, " +
      "Lopez-Paz & Ranzato 2017).",
  },
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
