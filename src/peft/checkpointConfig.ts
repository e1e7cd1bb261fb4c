/** LoRA in peft's `adapter_config.json`: what we write into it, and what we accept from it. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { ownHead } from "../nn/families.ts";
import { headTensorNames, isTable } from "./checkpointKeys.ts";
import { defaultTargetModules } from "./targets.ts";
import type { LoraSpec, SavedAdapter } from "./types.ts";

/** The classification heads go inside the adapter's file; `CAUSAL_LM` uses the model's own; else there is none there. */
export const taskTypes = ["SEQ_CLS", "TOKEN_CLS", "CAUSAL_LM", "FEATURE_EXTRACTION"] as const;
export type TaskType = (typeof taskTypes)[number];

/** The modules that peft saves beside the adapter, by its own rule for the type. */
const ownModules: { readonly [T in TaskType]: readonly string[] | null } = {
  SEQ_CLS: ["classifier", "score"],
  TOKEN_CLS: ["classifier", "score"],
  CAUSAL_LM: null,
  FEATURE_EXTRACTION: null,
};

/** The same, with the parts of a family's head that peft would leave in the model. */
export function modulesToSave(
  taskType: TaskType,
  architecture: SavedAdapter["architecture"],
): readonly string[] | null {
  const own = ownModules[taskType];
  if (own === null || architecture === undefined) return own;
  const names = ownHead(architecture, taskType === "TOKEN_CLS" ? "word" : "sentence")?.names.values() ?? [];
  const modules = new Set([...names].map(moduleOf));
  return [...[...modules].filter((name) => !own.includes(name)), ...own];
}

/** The module at the top of a model that a head's tensor belongs to. */
export function moduleOf(name: string): string {
  return name.slice(0, name.indexOf("."));
}

/** The peft whose fields these are. */
export const peftVersion = "0.21.2";

export interface LoraConfig {
  readonly spec: LoraSpec;
  /** Layers are chosen by more than `targetModules`, so only the tensors tell which. */
  readonly narrowed: boolean;
}

/** Every field of peft's LoraConfig that we leave as peft does. */
const constantFields = {
  alora_invocation_tokens: null,
  arrow_config: null,
  auto_mapping: null,
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  loftq_config: {},
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  monteclora_config: null,
  peft_type: "LORA",
  peft_version: peftVersion,
  qalora_group_size: 16,
  revision: null,
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_qalora: false,
  velora_config: null,
};

/** Python's `json.dumps(value, indent=2, sort_keys=True)`, with its 0.0 for a float that is whole. */
export function dumpsLikePython(
  fields: Readonly<Record<string, unknown>>,
  floats: ReadonlySet<string> = new Set(),
): string {
  const members = Object.keys(fields)
    .sort()
    .map((key) => {
      const value = fields[key];
      const text =
        floats.has(key) && Number.isInteger(value)
          ? `${String(value)}.0`
          : JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
      return `  ${JSON.stringify(key)}: ${text}`;
    });
  return `{\n${members.join(",\n")}\n}`.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The text that peft itself would write, field for field. */
export function encodeLoraConfig(
  spec: LoraSpec,
  taskType: TaskType,
  { baseModel, architecture }: Pick<SavedAdapter, "baseModel" | "architecture">,
): string {
  const fields = {
    ...constantFields,
    // GPT-2's linear layers store their weight (in, out), which peft notes of its own accord.
    fan_in_fan_out: architecture === "gpt2",
    alpha_pattern: spec.alphaPattern ?? {},
    base_model_name_or_path: baseModel === "" ? null : baseModel,
    bias: spec.bias,
    layers_to_transform: spec.layers ?? null,
    lora_alpha: spec.alpha,
    lora_dropout: spec.dropout,
    modules_to_save: modulesToSave(taskType, architecture),
    r: spec.rank,
    rank_pattern: spec.rankPattern ?? {},
    target_modules: spec.targetModules,
    task_type: taskType,
    use_dora: spec.dora ?? false,
    use_rslora: spec.rslora,
  };
  return dumpsLikePython(fields, new Set(["lora_dropout"]));
}

const schema = z.looseObject({
  r: z.number().int().positive(),
  lora_alpha: z.number().default(8),
  lora_dropout: z.number().min(0).max(1).default(0),
  bias: z.enum(["none", "all", "lora_only"]).default("none"),
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  rank_pattern: z.record(z.string(), z.number().int().positive()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
  layers_to_transform: z.union([z.number().int(), z.array(z.number().int())]).nullish(),
});

function isUnset(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** peft repeats the others at loading, and they change the base's own weights. */
const harmlessInits: readonly unknown[] = [undefined, true, false, "gaussian", "eva", "orthogonal"];

/** Modules of heads, by the first part of their tensors' names; and tables, which are applied where they were saved. */
const headModules: ReadonlySet<string> = new Set([...headTensorNames(undefined)].map(moduleOf));

function areHeadModules(value: unknown): boolean {
  if (isUnset(value)) return true;
  if (!Array.isArray(value)) return false;
  return value.every(
    (name) => headModules.has(name) || (typeof name === "string" && isTable(`${name}.weight`)),
  );
}

/** @throws CheckpointError if an adapter trained more of the backbone than its head. */
export function checkHeadModules(value: unknown, path: string): void {
  if (!areHeadModules(value))
    throw new CheckpointError(
      `${path}: not supported: modules_to_save: ${JSON.stringify(value)} (trained modules other than the head and the word embeddings)`,
    );
}

/** Fields that change what the adapter computes in a way that Accrete does not have; anything else is let through. */
const refusals: Readonly<Record<string, readonly [allowed: (value: unknown) => boolean, what: string]>> = {
  layer_replication: [isUnset, "replicated layers"],
  target_parameters: [isUnset, "LoRA on bare parameters"],
  trainable_token_indices: [isUnset, "trained token embeddings"],
  lora_bias: [isUnset, "a bias on lora_B"],
  use_qalora: [isUnset, "QALoRA"],
  use_bdlora: [isUnset, "block-diagonal LoRA"],
  alora_invocation_tokens: [isUnset, "activated LoRA"],
  kasa_config: [isUnset, "KaSA"],
  arrow_config: [isUnset, "Arrow routing"],
  monteclora_config: [isUnset, "MonteCLoRA"],
  init_lora_weights: [
    (value) => harmlessInits.includes(value),
    "an initialisation that changes the base's weights",
  ],
  modules_to_save: [areHeadModules, "trained modules other than the head and the word embeddings"],
};

function checkSupported(fields: Readonly<Record<string, unknown>>, path: string): void {
  const refused = Object.entries(refusals)
    .filter(([key, [allowed]]) => !allowed(fields[key]))
    .map(([key, [, what]]) => `${key}: ${JSON.stringify(fields[key])} (${what})`);
  if (refused.length > 0)
    throw new CheckpointError(`${path}: not supported: ${refused.join("; ")}`, {
      hint: "Accrete reads LoRA and DoRA, optionally rank-stabilised, with ranks and alphas by layer.",
    });
}

/** @throws CheckpointError if it is no LoRA configuration, or asks for something that Accrete does not have. */
export function parseLoraConfig(json: unknown, path: string): LoraConfig {
  const parsed = schema.safeParse(json);
  if (!parsed.success)
    throw new CheckpointError(`${path}: is no LoRA configuration:\n${z.prettifyError(parsed.error)}`);
  const fields = parsed.data;
  checkSupported(fields, path);
  const layers = [fields.layers_to_transform ?? []].flat();
  return {
    spec: {
      rank: fields.r,
      alpha: fields.lora_alpha,
      dropout: fields.lora_dropout,
      bias: fields.bias,
      targetModules: fields.target_modules ?? defaultTargetModules("bert"),
      rslora: fields.use_rslora ?? false,
      ...(fields.use_dora === true && { dora: true }),
      ...(layers.length > 0 && { layers }),
      ...(!isUnset(fields.rank_pattern) && { rankPattern: fields.rank_pattern ?? {} }),
      ...(!isUnset(fields.alpha_pattern) && { alphaPattern: fields.alpha_pattern ?? {} }),
    },
    narrowed: !isUnset(fields.layers_pattern) || !isUnset(fields.exclude_modules),
  };
}
