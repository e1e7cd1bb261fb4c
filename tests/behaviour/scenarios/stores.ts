/** Stores that go on learning. */
import type { Settings, StoreScenario } from "../scenario.ts";
import { mini, router, threeTasks, tiny } from "./settings.ts";

const lda: Settings = { ...tiny, router: router("lda", [0, 1]) };
const onBert = { kind: "store", backbone: "bert", data: "letters", settings: lda } as const;
const all = [{ learn: "task-0" }, { learn: "task-1" }, { learn: "task-2" }] as const;

export const stores: readonly StoreScenario[] = [
  { ...onBert, name: "store-two-tasks", steps: [all[0], { ask: "after one" }, all[1]] },
  {
    ...onBert,
    name: "store-mini",
    backbone: "mini",
    data: "demo",
    settings: { ...mini, router: router("nearest-mean", [0, 2, 4]) },
    steps: [{ learn: "travel" }, { learn: "kitchen", statisticsOnly: true }, { learn: "music" }],
  },
  {
    ...onBert,
    name: "store-statistics-only",
    settings: { ...tiny, router: router("lda", [1]) },
    steps: all.map(({ learn }) => ({ learn, statisticsOnly: true })),
  },
  {
    ...onBert,
    name: "store-learn-class",
    steps: [
      all[0],
      { learnClass: "cc", examples: 5 },
      { learnClass: "ee", examples: 5, task: "cc" },
      { learnClass: "aa", examples: 7 },
      { learnClass: "cc", examples: 8 },
    ],
  },
  { ...onBert, name: "store-forget-class", steps: [...all, { forget: { class: "dd" } }] },
  { ...onBert, name: "store-forget-task", steps: [...all, { forget: { task: "task-1" } }] },
  {
    ...onBert,
    name: "store-rollback",
    steps: [
      all[0],
      all[1],
      { forget: { class: "aa" } },
      { ask: "without aa" },
      { rollback: "previous" },
      { ask: "back" },
      all[2],
      { rollback: 2 },
    ],
  },
  {
    ...onBert,
    name: "store-merge",
    merge: [
      [all[0], { learnClass: "ee", examples: 6 }],
      [all[1], { learnClass: "ee", examples: 9 }],
    ],
    steps: [],
  },
  {
    ...onBert,
    name: "store-second-pass-unsure",
    settings: { ...tiny, router: { ...router("lda", [0, 1]), secondPass: "unsure" } },
    steps: all.slice(0, 2),
  },
  {
    ...onBert,
    name: "store-from-run",
    begin: {
      kind: "run",
      name: "store-from-run",
      backbone: "bert",
      data: "letters",
      stream: { ...threeTasks, firstTasks: 2 },
      settings: lda,
    },
    steps: [{ ask: "as the run left it" }, all[2]],
  },
];
