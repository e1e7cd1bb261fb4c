/** Answers in words, by the decoder's own head. */
import type { RunScenario, Settings } from "../scenario.ts";
import { lora, prompt, router, tiny, training, twoTasks } from "./settings.ts";

const { feature: _, ...rest } = tiny;
const base: Settings = {
  ...rest,
  method: { ...lora, targetModules: ["q_proj", "v_proj"] },
  head: { kind: "none" },
  prompt: "default",
  training: { ...training, epochs: 3, maxLength: 64 },
};
const onLlama = { kind: "run", backbone: "llama", data: "commands", stream: twoTasks } as const;

export const generation: readonly RunScenario[] = [
  { ...onLlama, name: "generation-lora", settings: base },
  {
    ...onLlama,
    name: "generation-lora-resumed",
    settings: base,
    interrupt: { task: 0 },
    equals: "generation-lora",
  },
  { ...onLlama, name: "generation-prompt", settings: { ...base, method: prompt, prompt: "qa" } },
  { ...onLlama, name: "generation-lora-lda", settings: { ...base, router: router("lda", [0, 1]) } },
  {
    ...onLlama,
    name: "generation-prompt-lda",
    settings: { ...base, method: prompt, prompt: "none", router: router("lda", [0, 1]) },
  },
];
