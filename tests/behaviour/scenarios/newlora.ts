/** The selection network in both its forms. */
import type { RunScenario, Settings } from "../scenario.ts";
import { cosine, lora, mini, named, threeTasks, tiny } from "./settings.ts";

function selects(kind: "newlora" | "newlora-frozen", inference: "soft" | "hard"): Settings["method"] {
  return { ...lora, selector: { kind, inference } };
}

const onBert = { kind: "run", backbone: "bert", data: "letters", stream: threeTasks } as const;

export const newlora: readonly RunScenario[] = [
  { ...onBert, name: "newlora-soft", settings: { ...tiny, method: selects("newlora", "soft") } },
  {
    ...onBert,
    name: "newlora-hard",
    settings: { ...tiny, method: selects("newlora", "hard"), head: cosine },
  },
  {
    ...onBert,
    name: "newlora-frozen-soft",
    settings: { ...tiny, method: selects("newlora-frozen", "soft") },
  },
  {
    ...onBert,
    name: "newlora-frozen-soft-resumed",
    settings: { ...tiny, method: selects("newlora-frozen", "soft") },
    interrupt: { task: 1, steps: 3 },
    equals: "newlora-frozen-soft",
  },
  {
    ...onBert,
    name: "newlora-frozen-named-by-router",
    settings: { ...tiny, router: { kind: "newlora-frozen", topTasks: 1 } },
    equals: "newlora-frozen-soft",
  },
  {
    kind: "run",
    name: "newlora-frozen-hard",
    backbone: "mini",
    data: "demo",
    stream: { ...named, firstTasks: 2 },
    settings: { ...mini, method: selects("newlora-frozen", "hard") },
  },
];
