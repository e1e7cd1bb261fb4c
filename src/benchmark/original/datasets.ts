/** What the original knows of its prepared datasets by their folder's name. */
import { basename } from "node:path";
import type { PromptName } from "../../data/encoding/prompts.ts";

interface KnownDataset {
  readonly level: "sentence" | "word";
  readonly maxLength?: number;
  /** The prompt that `prompt_type: auto` stands for. */
  readonly prompt?: PromptName;
  /** The text that `PEFT_prompt_tuning_init_text: auto` stands for. */
  readonly initText?: string;
}

const intent = "Classify the intent of this sentence:";
const relation = {
  prompt: "relation",
  initText: "Classify the relationship in this sentence:",
} as const;

const known: ReadonlyMap<string, KnownDataset> = new Map([
  ["clinc150_task15", { level: "sentence", maxLength: 50, prompt: "default", initText: intent }],
  ["banking77_task7", { level: "sentence", maxLength: 64, prompt: "default", initText: intent }],
  ["fewrel_task8", { level: "sentence", maxLength: 100, ...relation }],
  ["tacred_task8", { level: "sentence", maxLength: 128, ...relation }],
  [
    "topic3datasets_task5",
    {
      level: "sentence",
      maxLength: 256,
      prompt: "default",
      initText: "Classify the topic of this sentence:",
    },
  ],
  ["conll2003", { level: "word" }],
  ["fewnerd_task11_base6_inc6", { level: "word", maxLength: 128 }],
  ["i2b2_task5_base8_inc2", { level: "word", maxLength: 128 }],
  ["i2b2_task1_base16_inc0", { level: "word", maxLength: 128 }],
  ["ontonotes5_task6_base8_inc2", { level: "word", maxLength: 128 }],
  ["ontonotes5_task1_base18_inc0", { level: "word", maxLength: 128 }],
]);

/** @param dataset a name, or a folder whose last part is one */
export function knownDataset(dataset: string): KnownDataset | undefined {
  return known.get(basename(dataset));
}
