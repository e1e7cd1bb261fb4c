/** Routers on statistics of the classes, at sentences. */
import type { RunScenario } from "../scenario.ts";
import { lora, mini, named, oneTask, prompt, router, threeTasks, tiny, twoTasks } from "./settings.ts";

const onBert = { kind: "run", backbone: "bert", data: "letters", stream: threeTasks } as const;
const onMini = { kind: "run", backbone: "mini", data: "demo", stream: named } as const;

/** Each kind with its tasks: those that take seconds to fit are fitted once or twice. */
const kinds = [
  { kind: "nearest-mean", stream: threeTasks },
  { kind: "lda", stream: threeTasks },
  { kind: "ranpac", stream: oneTask },
  { kind: "softmax", stream: twoTasks, sensitive: true },
  { kind: "network", stream: threeTasks, sensitive: true },
  { kind: "ensemble", stream: oneTask, sensitive: true },
  { kind: "auto", stream: oneTask },
] as const;

export const routed: readonly RunScenario[] = [
  ...kinds.map(
    ({ kind, ...rest }): RunScenario => ({
      ...onBert,
      ...rest,
      name: `routed-${kind}`,
      settings: { ...tiny, router: router(kind, [0, 1]) },
    }),
  ),
  {
    ...onBert,
    name: "routed-lda-resumed",
    settings: { ...tiny, router: router("lda", [0, 1]) },
    interrupt: { task: 1 },
    equals: "routed-lda",
  },
  { ...onMini, name: "routed-lda-mini", settings: { ...mini, router: router("lda", [0, 2, 4]) } },
  {
    ...onMini,
    name: "second-pass-always",
    stream: { ...named, firstTasks: 2 },
    settings: { ...mini, router: { ...router("lda", [0, 2, 4]), topTasks: 2, secondPass: "always" } },
  },
  {
    ...onBert,
    name: "second-pass-unsure",
    settings: { ...tiny, router: { ...router("nearest-mean", [0, 1]), secondPass: "unsure" } },
  },
  {
    ...onMini,
    name: "routed-lda-top-layers",
    stream: { ...named, firstTasks: 2 },
    settings: { ...mini, method: { ...lora, layers: 2 }, router: router("lda", [0, 3, 4]) },
  },
  {
    ...onBert,
    name: "routed-prompt-nearest-mean",
    settings: { ...tiny, method: prompt, router: router("nearest-mean", [1]) },
  },
  {
    ...onBert,
    name: "rejecting-lda",
    outOfScope: true,
    settings: { ...tiny, router: { ...router("lda", [0, 1]), rejectRate: 0.1 } },
  },
];
