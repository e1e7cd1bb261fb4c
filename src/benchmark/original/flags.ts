/** The flags of the original that the method PEFT reads, with its defaults, and what becomes of each. */
import { z } from "zod";

const yes = new Set(["true", "1", "yes"]);
const no = new Set(["false", "0", "no", ""]);

/** The original takes any text for true, `False` too; here a text says what it says. */
function toBoolean(value: unknown): unknown {
  const text = String(value).toLowerCase();
  return yes.has(text) ? true : no.has(text) ? false : value;
}

function toNumber(value: unknown): unknown {
  if (typeof value !== "string" || value.trim() === "") return value;
  const number = Number(value);
  return Number.isNaN(number) ? value : number;
}

/** Python's `None` and nothing are the same to a person. */
function toText(value: unknown): unknown {
  return value === null || value === "None" ? "" : typeof value === "number" ? String(value) : value;
}

const integer = z.preprocess(toNumber, z.int());
const float = z.preprocess(toNumber, z.number());
const flag = z.preprocess(toBoolean, z.boolean());
const text = z.preprocess(toText, z.string());
/** `--name a b`, a list in the file, or one word. */
const list = z.preprocess(
  (value) => {
    const given = toText(value);
    return given === "" ? [] : typeof given === "string" ? [given] : given;
  },
  z.array(z.string().min(1)),
);
const oneOf = <const T extends readonly string[]>(names: T) =>
  z.preprocess((value) => (value === null ? "None" : value), z.enum(names));

export const originalSchema = z.strictObject({
  method: text.default("SEQ"),
  il_mode: oneOf(["CIL", "TIL", "IIL"]).default("CIL"),
  dataset: text.default("clinc150_task15"),
  classification_type: oneOf(["auto", "sentence-level", "word-level"]).default("auto"),
  backbone: text.default("EleutherAI/pythia-70m-deduped"),
  backbone_type: oneOf(["auto", "generative", "discriminative"]).default("auto"),
  backbone_extract_token: oneOf(["cls_token", "last_token"]).default("last_token"),
  backbone_revision: text.default(""),
  backbone_random_init: flag.default(false),
  backbone_max_new_token: integer.default(10),
  PEFT_type: oneOf(["PromptTuning", "LoRA", "None"]).default("PromptTuning"),
  Sub_PEFT_type: oneOf(["None", "NewLoRA"]).exactOptional(),
  PEFT_num_virtual_tokens: integer.default(10),
  PEFT_prompt_tuning_init_text: text.default("auto"),
  PEFT_lora_r: integer.default(4),
  PEFT_lora_alpha: float.default(8),
  PEFT_lora_bias: text.default("none"),
  PEFT_lora_dropout: float.default(0.1),
  PEFT_lora_target_modules: list.default([]),
  classifier: oneOf(["None", "Linear", "CosineLinear"]).default("None"),
  prompt_type: oneOf([
    "auto",
    "default",
    "none",
    "qa",
    "relation_classification_qa",
    "relation_classification_state",
    "relation_classification_state_no_pos",
  ]).default("auto"),
  lr: float.default(1e-5),
  classifier_lr: float.default(1e-3),
  weight_decay: float.default(5e-4),
  batch_size: integer.default(4),
  max_seq_length: integer.default(-1),
  training_epochs: integer.default(10),
  early_stop: integer.default(-1),
  evaluate_interval: integer.default(-1),
  info_per_steps: integer.default(25),
  info_per_epochs: integer.default(1),
  seed: z
    .preprocess((value) => toNumber(toText(value)), z.union([z.int().min(0), z.literal("")]))
    .default(""),
  dump_path: text.default("experiments"),
  exp_prefix: text.default("default"),
  save_ckpt: flag.default(false),
  is_replay: flag.default(false),
  Replay_buffer_size: integer.default(100),
  Replay_batch_level: flag.default(true),
  Replay_fix_budge_each_class: flag.default(false),
  Replay_sampling_algorithm: text.default("random"),
  is_probing: flag.default(false),
  probing_n_feature: integer.default(1),
  save_probing_classifiers: flag.default(false),
  save_features_before_after_IL: flag.default(false),
  backbone_cache_path: text.default(".."),
  is_wandb: flag.default(false),
  wandb_project: text.default(""),
  wandb_entity: text.default(""),
  wandb_name: text.default("default"),
  logger_filename: text.default("train.log"),
});

export type OriginalValues = Readonly<z.output<typeof originalSchema>>;
export type FlagName = keyof OriginalValues;

export interface FlagMeaning {
  /** Our settings that it decides; none where it has no part here. */
  readonly ours: readonly string[];
  readonly note: string;
}

const unused = (note: string): FlagMeaning => ({ ours: [], note });
const to = (ours: string, note = ""): FlagMeaning => ({ ours: ours.split(" "), note });

/** What becomes of each flag; docs/original.md is made from it. */
export const flagMeanings: { readonly [K in FlagName]-?: FlagMeaning } = {
  method: to("method", "`PEFT`; every other method is refused by name."),
  il_mode: unused("`CIL` and `TIL` are both measured in every run; `IIL` is refused."),
  dataset: to("stream.path", "A folder of the two-file layout, or its name under `./dataset`."),
  classification_type: to(
    "level outside",
    "`auto`: by the dataset's name, else by its files. Words are compared with the first head's `O`: `outside: first`.",
  ),
  backbone: to("backbone", "A folder or a hub id."),
  backbone_type: unused("Follows from the model; one that contradicts the other flags is refused."),
  backbone_extract_token: to(
    "feature.pooling",
    "`cls_token`: `cls`, under prompt tuning the text's own (`--faithful`: `peft-first`); `last_token`: `last`.",
  ),
  backbone_revision: to("backboneRevision"),
  backbone_random_init: unused("`True` is refused."),
  backbone_max_new_token: unused("Ten, or as many as the longest label needs."),
  PEFT_type: to("method.adapter", "`LoRA` or `PromptTuning`."),
  Sub_PEFT_type: to(
    "method.selector",
    "`NewLoRA`: `newlora`. Absent means none (`--faithful`, with LoRA: `newlora`).",
  ),
  PEFT_num_virtual_tokens: to("method.virtualTokens"),
  PEFT_prompt_tuning_init_text: to(
    "method.init",
    "`auto`: the text that the original has for the dataset, else `auto`; empty: `random`.",
  ),
  PEFT_lora_r: to("method.rank"),
  PEFT_lora_alpha: to("method.alpha"),
  PEFT_lora_bias: to("method.bias"),
  PEFT_lora_dropout: to("method.dropout"),
  PEFT_lora_target_modules: to("method.targetModules", "Empty: peft's for the architecture."),
  classifier: to(
    "head",
    "`None`: `none`; `Linear`: `linear`; `CosineLinear`: `cosine` with the scale fixed at 1.",
  ),
  prompt_type: to(
    "prompt",
    "`relation_classification_state`, `…_qa` and `…_state_no_pos`: `relation`, `relation-qa`, `relation-no-pos`; `auto`: by the dataset's name. Left out at word level, and where it is `none` before a classifier.",
  ),
  lr: to("training.learningRate", "Constant, without warm-up or clipping of gradients."),
  classifier_lr: to("training.headLearningRate"),
  weight_decay: to("training.weightDecay", "For the head too, which in the original has torch's 0.01."),
  batch_size: to("training.batchSize"),
  max_seq_length: to("training.maxLength", "-1: the original's for the dataset, else 128."),
  training_epochs: to("training.epochs"),
  early_stop: to(
    "training.earlyStopping",
    "-1: none. The original's PEFT method never reads it; `--faithful` does not either.",
  ),
  evaluate_interval: unused("Evaluated after each task."),
  info_per_steps: unused("Progress is always shown."),
  info_per_epochs: unused("Progress is always shown."),
  seed: to("seed", "Absent: 1, where the original draws anew each time."),
  dump_path: to(
    "out",
    "`<dump_path>/<exp_prefix>-<file's name>`, without a time stamp, so that `--resume` finds it.",
  ),
  exp_prefix: to("out"),
  save_ckpt: unused(
    "`True`: adapters also as `lora_task_<k>/task-<j>/` for every j ≤ k, each a folder for peft.",
  ),
  is_replay: unused("`True` is refused: nothing is replayed."),
  Replay_buffer_size: unused("No replay."),
  Replay_batch_level: unused("No replay."),
  Replay_fix_budge_each_class: unused("No replay."),
  Replay_sampling_algorithm: unused("No replay."),
  is_probing: to(
    "probing",
    "`True`: all four kinds, among the classes of all tasks, `il_mode: TIL` or not. Left out at word level and without a classifier.",
  ),
  probing_n_feature: unused("A probe reads one feature a text."),
  save_probing_classifiers: unused("Probes are not kept."),
  save_features_before_after_IL: unused("Features are not kept."),
  backbone_cache_path: unused("The hub's own cache is used."),
  is_wandb: unused("The record is `events.jsonl`."),
  wandb_project: unused("The record is `events.jsonl`."),
  wandb_entity: unused("The record is `events.jsonl`."),
  wandb_name: unused("The record is `events.jsonl`."),
  logger_filename: unused("The record is `events.jsonl`."),
};

export const flagNames: readonly string[] = Object.keys(flagMeanings);

export function isFlag(name: string): name is FlagName {
  return Object.hasOwn(flagMeanings, name);
}
