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
    const words = toText(value);
    return words === "" ? [] : typeof words === "string" ? [words] : words;
  },
  z.array(z.string().min(1)),
);
const oneOf = <const T extends readonly string[]>(names: T) =>
  z.preprocess((value) => (value === null ? "None" : value), z.enum(names));

/** What becomes of a flag; docs/original.md is made from it. */
interface FlagMeaning {
  /** Our settings that it decides; none where it has no part here. */
  readonly ours: readonly string[];
  readonly note: string;
}

const meanings = z.registry<FlagMeaning>();

function to<S extends z.ZodType>(schema: S, ours: string, note = ""): S {
  meanings.add(schema, { ours: ours === "" ? [] : ours.split(" "), note });
  return schema;
}

const unused = <S extends z.ZodType>(schema: S, note: string): S => to(schema, "", note);

const noReplay = "No replay.";
const recordNote = "The record is `events.jsonl`.";

export const originalSchema = z.strictObject({
  method: to(text.default("SEQ"), "method", "`PEFT`; every other method is refused by name."),
  il_mode: unused(
    oneOf(["CIL", "TIL", "IIL"]).default("CIL"),
    "`CIL` and `TIL` are both measured in every run; `IIL` is refused.",
  ),
  dataset: to(
    text.default("clinc150_task15"),
    "stream.path",
    "A folder of the two-file layout, or its name under `./dataset`. The dataset's name is the folder's, else the one that `accrete prepare` recorded in it.",
  ),
  classification_type: to(
    oneOf(["auto", "sentence-level", "word-level"]).default("auto"),
    "level outside",
    "`auto`: by the dataset's name, else by its files. Words are compared with the first head's `O`: `outside: first`.",
  ),
  backbone: to(text.default("EleutherAI/pythia-70m-deduped"), "backbone", "A folder or a hub id."),
  backbone_type: unused(
    oneOf(["auto", "generative", "discriminative"]).default("auto"),
    "Follows from the model; one that contradicts the other flags is refused.",
  ),
  backbone_extract_token: to(
    oneOf(["cls_token", "last_token"]).default("last_token"),
    "feature.pooling",
    "`cls_token`: `cls`, under prompt tuning the text's own (`--faithful`: `peft-first`); `last_token`: `last`.",
  ),
  backbone_revision: to(text.default(""), "backboneRevision"),
  backbone_random_init: unused(flag.default(false), "`True` is refused."),
  backbone_max_new_token: unused(integer.default(10), "Ten, or as many as the longest label needs."),
  PEFT_type: to(
    oneOf(["PromptTuning", "LoRA", "None"]).default("PromptTuning"),
    "method.adapter",
    "`LoRA` or `PromptTuning`.",
  ),
  Sub_PEFT_type: to(
    oneOf(["None", "NewLoRA"]).exactOptional(),
    "method.selector",
    "`NewLoRA`: `newlora`. Absent means none (`--faithful`, with LoRA: `newlora`).",
  ),
  PEFT_num_virtual_tokens: to(integer.default(10), "method.virtualTokens"),
  PEFT_prompt_tuning_init_text: to(
    text.default("auto"),
    "method.init",
    "`auto`: the text that the original has for the dataset, else `auto`; empty: `random`.",
  ),
  PEFT_lora_r: to(integer.default(4), "method.rank"),
  PEFT_lora_alpha: to(float.default(8), "method.alpha"),
  PEFT_lora_bias: to(text.default("none"), "method.bias"),
  PEFT_lora_dropout: to(float.default(0.1), "method.dropout"),
  PEFT_lora_target_modules: to(
    list.default([]),
    "method.targetModules",
    "Empty: peft's for the architecture.",
  ),
  classifier: to(
    oneOf(["None", "Linear", "CosineLinear"]).default("None"),
    "head",
    "`None`: `none`; `Linear`: `linear`; `CosineLinear`: `cosine` with the scale fixed at 1.",
  ),
  prompt_type: to(
    oneOf([
      "auto",
      "default",
      "none",
      "qa",
      "relation_classification_qa",
      "relation_classification_state",
      "relation_classification_state_no_pos",
    ]).default("auto"),
    "prompt",
    "`relation_classification_state`, `…_qa` and `…_state_no_pos`: `relation`, `relation-qa`, `relation-no-pos`; `auto`: by the dataset's name, of another set none before a classifier, while `None` needs one by name. Left out at word level, and where it is `none` before a classifier.",
  ),
  lr: to(float.default(1e-5), "training.learningRate", "Constant, without warm-up or clipping of gradients."),
  classifier_lr: to(float.default(1e-3), "training.headLearningRate"),
  weight_decay: to(
    float.default(5e-4),
    "training.weightDecay",
    "For the head too, which in the original has torch's 0.01.",
  ),
  batch_size: to(integer.default(4), "training.batchSize"),
  max_seq_length: to(
    integer.default(-1),
    "training.maxLength",
    "-1: the original's for the dataset, else 128.",
  ),
  training_epochs: to(integer.default(10), "training.epochs"),
  early_stop: to(
    integer.default(-1),
    "training.earlyStopping",
    "-1: none. The original's PEFT method never reads it; `--faithful` does not either.",
  ),
  evaluate_interval: unused(integer.default(-1), "Evaluated after each task."),
  info_per_steps: unused(integer.default(25), "Progress is always shown."),
  info_per_epochs: unused(integer.default(1), "Progress is always shown."),
  seed: to(
    z.preprocess((value) => toNumber(toText(value)), z.union([z.int().min(0), z.literal("")])).default(""),
    "seed",
    "Absent: 1, where the original draws anew each time.",
  ),
  dump_path: to(
    text.default("experiments"),
    "out",
    "`<dump_path>/<exp_prefix>-<file's name>`, without a time stamp, so that `--resume` finds it.",
  ),
  exp_prefix: to(text.default("default"), "out"),
  save_ckpt: unused(
    flag.default(false),
    "`True`: adapters also as `lora_task_<k>/task-<j>/` for every j ≤ k, each a folder for peft.",
  ),
  is_replay: unused(flag.default(false), "`True` is refused: nothing is replayed."),
  Replay_buffer_size: unused(integer.default(100), noReplay),
  Replay_batch_level: unused(flag.default(true), noReplay),
  Replay_fix_budge_each_class: unused(flag.default(false), noReplay),
  Replay_sampling_algorithm: unused(text.default("random"), noReplay),
  is_probing: to(
    flag.default(false),
    "probing",
    "`True`: all four kinds, among the classes of all tasks, `il_mode: TIL` or not. Left out at word level and without a classifier.",
  ),
  probing_n_feature: unused(integer.default(1), "A probe reads one feature a text."),
  save_probing_classifiers: unused(flag.default(false), "Probes are not kept."),
  save_features_before_after_IL: unused(flag.default(false), "Features are not kept."),
  backbone_cache_path: unused(text.default(".."), "The hub's own cache is used."),
  is_wandb: unused(flag.default(false), recordNote),
  wandb_project: unused(text.default(""), recordNote),
  wandb_entity: unused(text.default(""), recordNote),
  wandb_name: unused(text.default("default"), recordNote),
  logger_filename: unused(text.default("train.log"), recordNote),
});

export type OriginalValues = Readonly<z.output<typeof originalSchema>>;
export type FlagName = keyof OriginalValues;

export const flagMeanings: Readonly<Record<string, FlagMeaning>> = Object.fromEntries(
  Object.entries(originalSchema.shape).map(([name, schema]) => [
    name,
    meanings.get(schema) ?? { ours: [], note: "" },
  ]),
);

export function isFlag(name: string): name is FlagName {
  return Object.hasOwn(originalSchema.shape, name);
}
