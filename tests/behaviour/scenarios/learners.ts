/** Learners in memory. */
import type { LearnerScenario, Settings } from "../scenario.ts";
import { cosine, lora, prompt, tiny, training } from "./settings.ts";

const { feature: _, ...rest } = tiny;
const tasks = ["task-0", "task-1"];
const onBert = { kind: "learner", backbone: "bert", data: "letters", tasks } as const;
const answering: Settings = {
  ...rest,
  method: { ...lora, targetModules: ["q_proj", "v_proj"] },
  head: { kind: "none" },
  prompt: "default",
  training: { ...training, maxLength: 64 },
};

export const learners: readonly LearnerScenario[] = [
  { ...onBert, name: "learner-sentences", settings: { ...tiny, head: cosine } },
  { ...onBert, name: "learner-sentences-prompt", settings: { ...tiny, method: prompt } },
  { ...onBert, name: "learner-words", data: "words", settings: { ...rest, level: "word", outside: "first" } },
  { ...onBert, name: "learner-answers", backbone: "llama", data: "commands", settings: answering },
];
