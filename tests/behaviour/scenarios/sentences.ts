/** Adapters and heads of sentences, without anything that routes. */
import type { FlagsScenario, RunScenario, Settings } from "../scenario.ts";
import { cosine, lora, mini, named, prompt, threeTasks, tiny, training, twoTasks } from "./settings.ts";

const onMini = { kind: "run", backbone: "mini", data: "demo", stream: named } as const;
const short = { ...named, firstTasks: 2 };
const onBert = { kind: "run", backbone: "bert", data: "letters", stream: twoTasks } as const;

function method(changes: Partial<typeof lora>): typeof lora {
  return { ...lora, ...changes };
}

const wide: Settings = { ...tiny, training: { ...training, epochs: 6, earlyStopping: { patience: 1 } } };

const flags = {
  method: "PEFT",
  backbone_extract_token: "cls_token",
  prompt_type: "none",
  lr: "1e-2",
  classifier_lr: "1e-2",
  weight_decay: "5e-4",
  batch_size: "4",
  max_seq_length: "32",
  training_epochs: "1",
  early_stop: "-1",
  seed: "1",
};
const loraFlags = {
  ...flags,
  PEFT_type: "LoRA",
  PEFT_lora_r: "4",
  PEFT_lora_alpha: "8",
  PEFT_lora_bias: "none",
  PEFT_lora_dropout: "0.1",
  PEFT_lora_target_modules: "query",
};

const runs: readonly RunScenario[] = [
  { ...onMini, name: "lora-linear", settings: mini },
  { ...onMini, name: "lora-linear-resumed", settings: mini, interrupt: { task: 0 }, equals: "lora-linear" },
  { ...onMini, stream: short, name: "lora-cosine", settings: { ...mini, head: cosine } },
  { ...onMini, stream: short, name: "prompt-linear", settings: { ...mini, method: prompt } },
  { ...onMini, stream: short, name: "top-layers", settings: { ...mini, method: method({ layers: 2 }) } },
  {
    ...onMini,
    stream: short,
    name: "in-a-prompt",
    settings: { ...mini, prompt: "Sentence: {text} Intent:" },
  },
  {
    ...onBert,
    name: "lora-rslora-all-modules-fixed-cosine",
    settings: {
      ...tiny,
      method: method({ rslora: true, dropout: 0, targetModules: ["query", "key", "value", "dense"] }),
      head: { kind: "cosine", scale: 16 },
      feature: { pooling: "mean", normalize: true },
    },
  },
  {
    ...onBert,
    name: "lora-bias-lora-only",
    settings: {
      ...tiny,
      feature: { pooling: "cls", normalize: false },
      method: method({ bias: "lora_only" }),
    },
  },
  {
    ...onBert,
    name: "lora-bias-all",
    settings: { ...tiny, feature: { pooling: "cls", normalize: true }, method: method({ bias: "all" }) },
  },
  {
    ...onBert,
    name: "prompt-random-peft-first",
    settings: {
      ...tiny,
      method: { ...prompt, init: "random" },
      feature: { pooling: "peft-first", normalize: false },
    },
  },
  {
    ...onBert,
    name: "prompt-vocab-cosine",
    settings: { ...tiny, method: { ...prompt, init: "vocab" }, head: cosine },
  },
  { ...onBert, name: "early-stopping", stream: threeTasks, settings: wide },
  {
    ...onBert,
    name: "shuffled-classes-cosine-schedule",
    stream: { ...threeTasks, classOrder: "shuffled", seed: 5, validationFraction: 0.2 },
    withoutValidation: true,
    settings: {
      ...tiny,
      training: { ...training, schedule: "cosine", warmup: 0, gradientClipping: 0, weightDecay: 0.1 },
      seed: 3,
    },
  },
  {
    ...onBert,
    name: "backbone-dropout-constant-schedule",
    settings: {
      ...tiny,
      training: { ...training, schedule: "constant", backboneDropout: true, batchSize: 5 },
    },
  },
  {
    ...onBert,
    name: "probing",
    settings: tiny,
    probing: ["linear", "cosine", "prototype", "cosine-prototype"],
  },
  {
    ...onBert,
    backbone: "llama",
    name: "llama-linear",
    settings: {
      ...tiny,
      method: method({ targetModules: ["q_proj", "v_proj"] }),
      feature: { pooling: "last", normalize: false },
    },
  },
  {
    ...onBert,
    backbone: "gpt2",
    name: "gpt2-prompt-linear",
    settings: { ...tiny, method: prompt, feature: { pooling: "last", normalize: false } },
  },
];

const withFlags: readonly FlagsScenario[] = [
  {
    kind: "flags",
    name: "original-lora",
    backbone: "bert",
    data: "letters",
    flags: { ...loraFlags, Sub_PEFT_type: "None", classifier: "Linear" },
  },
  {
    kind: "flags",
    name: "original-newlora",
    backbone: "bert",
    data: "letters",
    flags: { ...loraFlags, Sub_PEFT_type: "NewLoRA", classifier: "CosineLinear" },
  },
  {
    kind: "flags",
    name: "original-prompt-faithful",
    backbone: "bert",
    data: "letters",
    faithful: true,
    flags: {
      ...flags,
      PEFT_type: "PromptTuning",
      PEFT_num_virtual_tokens: "5",
      PEFT_prompt_tuning_init_text: "number of a text",
      classifier: "CosineLinear",
    },
  },
];

export const sentences = [...runs, ...withFlags];
