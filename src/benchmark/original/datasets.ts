/** What the original knows of its prepared datasets by their folder's name, or by the name that is recorded in it. */
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

/** By the name that `accrete prepare` has for a set, and records beside the data. */
const prepared: ReadonlyMap<string, KnownDataset> = new Map([
  ["clinc150", { level: "sentence", maxLength: 50, prompt: "default", initText: intent }],
  ["banking77", { level: "sentence", maxLength: 64, prompt: "default", initText: intent }],
  ["fewrel", { level: "sentence", maxLength: 100, ...relation }],
  ["tacred", { level: "sentence", maxLength: 128, ...relation }],
  [
    "topic3",
    {
      level: "sentence",
      maxLength: 256,
      prompt: "default",
      initText: "Classify the topic of this sentence:",
    },
  ],
  ["conll2003", { level: "word" }],
  ["fewnerd", { level: "word", maxLength: 128 }],
  ["i2b2", { level: "word", maxLength: 128 }],
  ["ontonotes5", { level: "word", maxLength: 128 }],
  ["wnut17", { level: "word" }],
]);

/** By the original's name of a prepared folder the set that it holds. */
const folders: ReadonlyMap<string, string> = new Map([
  ["clinc150_task15", "clinc150"],
  ["banking77_task7", "banking77"],
  ["fewrel_task8", "fewrel"],
  ["tacred_task8", "tacred"],
  ["topic3datasets_task5", "topic3"],
  ["conll2003", "conll2003"],
  ["fewnerd_task11_base6_inc6", "fewnerd"],
  ["i2b2_task5_base8_inc2", "i2b2"],
  ["i2b2_task1_base16_inc0", "i2b2"],
  ["ontonotes5_task6_base8_inc2", "ontonotes5"],
  ["ontonotes5_task1_base18_inc0", "ontonotes5"],
]);

/**
 * @param dataset a name, or a folder whose last part is one
 * @param recorded what the folder's files say they are; the name of the folder is looked at first
 */
export function knownDataset(dataset: string, recorded?: string): KnownDataset | undefined {
  return prepared.get(folders.get(basename(dataset)) ?? recorded ?? "");
}
