/** From the original's flags to our configuration, in the keys of its schema. */
import { basename, join } from "node:path";
import type { ConfigIssue } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import type { PromptName } from "../../data/encoding/prompts.ts";
import { knownDataset } from "./datasets.ts";
import type { FlagName, OriginalValues } from "./flags.ts";
import { otherMethods } from "./methods.ts";

type Tree = Readonly<Record<string, unknown>>;

export interface TranslationContext {
  /** The YAML file; it names the run. */
  readonly file?: string;
  readonly dataFolder: string;
  readonly wordLevel: boolean;
  /** The data set's name as the folder's files have it. */
  readonly recorded?: string | undefined;
  /** Take the original's way where ours differs on purpose. */
  readonly faithful: boolean;
  readonly explicit: ReadonlySet<FlagName>;
}

export interface Translation {
  readonly raw: Tree;
  /** Where this run differs from what the original would do, a sentence each. */
  readonly deviations: readonly string[];
  readonly issues: readonly {
    readonly flag: FlagName;
    readonly expected: string;
    readonly received: string;
  }[];
}

interface Draft {
  readonly values: OriginalValues;
  readonly context: TranslationContext;
  readonly deviations: string[];
  readonly issues: { flag: FlagName; expected: string; received: string }[];
}

function refuse(draft: Draft, flag: FlagName, expected: string, received = String(draft.values[flag])): void {
  draft.issues.push({ flag, expected, received });
}

/** What the original can do and this program cannot, by name. */
function refuseMethods(draft: Draft): void {
  const { values, context } = draft;
  const { method } = values;
  if (method !== "PEFT") {
    const other = otherMethods[method];
    const near = nearest(method, ["PEFT", ...Object.keys(otherMethods)]);
    const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
    const received = other === undefined ? `${method}, which the original has not${hint}` : method;
    const replays = other?.replays === true ? ", and nothing is replayed or generated to train on again" : "";
    const left = context.explicit.has("method") ? "" : ", the original's default";
    refuse(draft, "method", `PEFT: it is the only method here${replays}`, `${received}${left}`);
  }
  if (values.is_replay) refuse(draft, "is_replay", "False: nothing is replayed");
  if (values.backbone_random_init)
    refuse(draft, "backbone_random_init", "False: a backbone keeps its weights");
  if (values.il_mode === "IIL")
    refuse(draft, "il_mode", "CIL or TIL: instance-incremental learning is not here");
  if (values.PEFT_type === "None") refuse(draft, "PEFT_type", "LoRA or PromptTuning");
}

function initOf({ values, context }: Draft): unknown {
  const text = values.PEFT_prompt_tuning_init_text;
  if (text === "") return "random";
  if (text !== "auto") return { text };
  const known = knownDataset(values.dataset, context.recorded)?.initText;
  return known === undefined ? "auto" : { text: known };
}

function selectorOf(draft: Draft): Tree {
  const { values, context } = draft;
  if (values.Sub_PEFT_type === "NewLoRA") return { selector: "newlora" };
  if (values.Sub_PEFT_type !== undefined || values.PEFT_type !== "LoRA") return {};
  if (context.faithful) return { selector: "newlora" };
  draft.deviations.push("Sub_PEFT_type is absent, which means none here (--faithful: NewLoRA).");
  return {};
}

function methodOf(draft: Draft): Tree {
  const { values } = draft;
  const selector = selectorOf(draft);
  if (values.PEFT_type === "PromptTuning")
    return {
      adapter: "prompt-tuning",
      virtualTokens: values.PEFT_num_virtual_tokens,
      init: initOf(draft),
      ...selector,
    };
  const targets = values.PEFT_lora_target_modules;
  return {
    adapter: "lora",
    rank: values.PEFT_lora_r,
    alpha: values.PEFT_lora_alpha,
    dropout: values.PEFT_lora_dropout,
    bias: values.PEFT_lora_bias,
    ...(targets.length === 0 ? {} : { targetModules: [...targets] }),
    ...selector,
  };
}

const heads = { None: "none", Linear: "linear", CosineLinear: { kind: "cosine", scale: 1 } } as const;

function isWordLevel({ values, context }: Draft): boolean {
  if (values.classification_type !== "auto") return values.classification_type === "word-level";
  const known = knownDataset(values.dataset, context.recorded)?.level;
  return known === undefined ? context.wordLevel : known === "word";
}

function featureOf(draft: Draft): Tree {
  const { values, context, deviations } = draft;
  if (values.classifier === "None" || isWordLevel(draft)) return {};
  const prompted = values.PEFT_type === "PromptTuning";
  if (values.backbone_extract_token === "last_token") {
    if (prompted && values.backbone_type !== "generative")
      deviations.push(
        "last_token under prompt tuning is the text's last token; an encoder in the original reads the one as many places before it as there are virtual tokens.",
      );
    return { feature: { pooling: "last", normalize: false } };
  }
  if (values.backbone_type === "generative")
    refuse(draft, "backbone_extract_token", "last_token, with a generative backbone");
  if (prompted && context.faithful) return { feature: { pooling: "peft-first", normalize: false } };
  if (prompted)
    deviations.push(
      "cls_token under prompt tuning is the text's own [CLS] (--faithful: the first virtual token).",
    );
  return { feature: { pooling: "cls", normalize: false } };
}

const prompts = {
  default: "default",
  none: "none",
  qa: "qa",
  relation_classification_qa: "relation-qa",
  relation_classification_state: "relation",
  relation_classification_state_no_pos: "relation-no-pos",
} as const satisfies { readonly [P in Exclude<OriginalValues["prompt_type"], "auto">]: PromptName };

/** Words have no prompt in the original; `none` before a classifier is how texts go in anyway. */
function promptOf(draft: Draft): Tree {
  const { values, context, deviations } = draft;
  if (isWordLevel(draft)) return {};
  const known = knownDataset(values.dataset, context.recorded)?.prompt;
  if (values.prompt_type === "auto" && known === undefined && values.classifier !== "None") {
    deviations.push(
      `prompt_type auto goes by the dataset's name, and ${basename(values.dataset)} is none of the original's: texts go before the classifier as they are.`,
    );
    return {};
  }
  if (values.prompt_type === "auto" && known === undefined)
    refuse(
      draft,
      "prompt_type",
      `a prompt by name, as auto goes by the dataset's name and ${basename(values.dataset)} is none of the original's`,
    );
  const prompt = values.prompt_type === "auto" ? (known ?? "none") : prompts[values.prompt_type];
  return prompt === "none" && values.classifier !== "None" ? {} : { prompt };
}

function probingOf(draft: Draft): Tree {
  const { values, deviations } = draft;
  if (!values.is_probing) return {};
  if (values.classifier === "None" || isWordLevel(draft)) {
    deviations.push(
      "is_probing is left out: probes read sentences' vectors here, with a classifier; the original probes without one and at word level, too.",
    );
    return {};
  }
  deviations.push(
    "is_probing: before the first task the backbone alone is probed, and dropout is off; the original probes the first task's fresh adapter, with dropout.",
  );
  if (values.il_mode === "TIL")
    deviations.push(
      "is_probing: probes choose among the classes of all tasks; under il_mode TIL the original fits them task by task.",
    );
  return { probing: true };
}

function maxLengthOf({ values, context }: Draft): number {
  if (values.max_seq_length !== -1) return values.max_seq_length;
  return knownDataset(values.dataset, context.recorded)?.maxLength ?? 128;
}

function trainingOf(draft: Draft): Tree {
  const { values, context, deviations } = draft;
  const { weight_decay: weightDecay, early_stop: patience } = values;
  if (values.classifier !== "None" && weightDecay !== 0.01)
    deviations.push(
      `weight_decay ${weightDecay} holds for the head too, which in the original has torch's default of 0.01.`,
    );
  const stops = patience > 0 && !context.faithful;
  if (stops)
    deviations.push("early_stop is obeyed; the original's PEFT method never reads it (nor does --faithful).");
  return {
    epochs: values.training_epochs,
    batchSize: values.batch_size,
    learningRate: values.lr,
    headLearningRate: values.classifier_lr,
    weightDecay,
    maxLength: maxLengthOf(draft),
    // What the original's loop does, whatever its flags say: torch's AdamW at a constant rate, nothing clipped, and
    // the whole model in training mode.
    schedule: "constant",
    warmup: 0,
    gradientClipping: 0,
    backboneDropout: true,
    ...(stops ? { earlyStopping: { patience } } : {}),
  };
}

function outOf({ values, context }: Draft): string {
  const stem = context.file === undefined ? undefined : basename(context.file).split(".")[0];
  return join(
    values.dump_path === "" ? "." : values.dump_path,
    stem === undefined ? values.exp_prefix : `${values.exp_prefix}-${stem}`,
  );
}

/** Translates flags that are each in their range. The configuration's paths are relative to the working directory. */
export function translate(values: OriginalValues, context: TranslationContext): Translation {
  const draft: Draft = { values, context, deviations: [], issues: [] };
  refuseMethods(draft);
  if (!context.explicit.has("seed"))
    draft.deviations.push("seed is not given: 1 here, where the original draws anew each time.");
  const raw = {
    backbone: values.backbone,
    ...(values.backbone_revision === "" ? {} : { backboneRevision: values.backbone_revision }),
    method: methodOf(draft),
    head: heads[values.classifier],
    ...(isWordLevel(draft) ? { level: "word", outside: "first", router: "none" } : { level: "sentence" }),
    ...featureOf(draft),
    ...promptOf(draft),
    // The original looks for no texts that train and test share; its own files have some.
    stream: { path: context.dataFolder, format: "continual", allowOverlap: true },
    training: trainingOf(draft),
    ...probingOf(draft),
    seed: values.seed === "" ? 1 : values.seed,
    out: outOf(draft),
  };
  return { raw, deviations: draft.deviations, issues: draft.issues };
}

/** Paths of our settings → the flag that decides them, for refusals of our schema. */
export function flagBehind(
  issue: ConfigIssue,
  meanings: Readonly<Record<string, { readonly ours: readonly string[] }>>,
): string | undefined {
  const covering = (ours: string) =>
    issue.path === ours || issue.path.startsWith(`${ours}.`) || ours.startsWith(`${issue.path}.`);
  const exact = Object.entries(meanings).find(([, { ours }]) => ours.includes(issue.path));
  return (exact ?? Object.entries(meanings).find(([, { ours }]) => ours.some(covering)))?.[0];
}
