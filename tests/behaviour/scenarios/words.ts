/** Entities: a tag a word. */
import type { RunScenario, Settings, StatisticsRouter } from "../scenario.ts";
import { cosine, lora, prompt, router, tiny, types } from "./settings.ts";

const { feature: _, ...rest } = tiny;
const base: Settings = { ...rest, level: "word", outside: "first", router: "none" };
const onBert = { kind: "run", backbone: "bert", data: "words", stream: types } as const;
const greedy = { ...types, typeOrder: "frequency", sampling: "greedy", base: 2, increment: 1 };

function routed(
  name: string,
  kind: StatisticsRouter["kind"],
  changes: Partial<StatisticsRouter>,
  method: Settings["method"] = lora,
): RunScenario {
  const settings = {
    ...base,
    method,
    router: { ...router(kind, [0, 1]), unlabelled: "outside", ...changes },
  } as const;
  return { ...onBert, name, settings, sensitive: true };
}

export const words: readonly RunScenario[] = [
  { ...onBert, name: "words-lora-linear", settings: base },
  {
    ...onBert,
    name: "words-lora-linear-resumed",
    settings: base,
    interrupt: { task: 0 },
    equals: "words-lora-linear",
  },
  { ...onBert, name: "words-lora-cosine", stream: greedy, settings: { ...base, head: cosine } },
  { ...onBert, name: "words-prompt-linear", settings: { ...base, method: prompt } },
  { ...onBert, name: "words-prompt-cosine", settings: { ...base, method: prompt, head: cosine } },
  {
    ...onBert,
    name: "words-llama-linear",
    backbone: "llama",
    settings: { ...base, method: { ...lora, targetModules: ["q_proj", "v_proj"] } },
  },
  routed("words-routed-lda", "lda", { featureAdapter: "first" }),
  routed("words-routed-prompt-nearest-mean", "nearest-mean", { featureAdapter: "none" }, prompt),
  routed("words-second-pass-auto", "nearest-mean", {
    featureAdapter: "first",
    topTasks: 2,
    secondPass: "auto",
  }),
  routed("words-second-pass-always", "lda", { featureAdapter: "none", secondPass: "always" }),
];
