/** Prompt tuning in peft's `adapter_config.json`. */
import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import {
  checkHeadModules,
  dumpsLikePython,
  modulesToSave,
  peftVersion,
  type TaskType,
} from "./checkpointConfig.ts";
import { PROMPT_EMBEDDINGS } from "./promptTuning.ts";
import type { PromptInit, PromptTuningAdapter, PromptTuningSpec, SavedAdapter } from "./types.ts";

/** Our name of an initialisation → peft's. */
const inits: { readonly [K in PromptInit]: string } = {
  random: "RANDOM",
  text: "TEXT",
  vocab: "SAMPLE_VOCAB",
};

/** The text that peft itself would write, field for field. */
export function encodePromptConfig(
  saved: SavedAdapter,
  { spec, tensors }: PromptTuningAdapter,
  taskType: TaskType,
): string {
  const baseModel = saved.baseModel === "" ? null : saved.baseModel;
  const isText = spec.init === "text";
  return dumpsLikePython({
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    inference_mode: true,
    modules_to_save: modulesToSave(taskType, saved.architecture),
    num_attention_heads: saved.depth?.heads ?? null,
    num_layers: saved.depth?.layers ?? null,
    num_transformer_submodules: 1,
    num_virtual_tokens: spec.virtualTokens,
    peft_type: "PROMPT_TUNING",
    peft_version: peftVersion,
    prompt_tuning_init: inits[spec.init],
    prompt_tuning_init_text: isText ? (spec.text ?? "") : null,
    revision: null,
    task_type: taskType,
    token_dim: tensors.get(PROMPT_EMBEDDINGS)?.dims[1] ?? null,
    tokenizer_kwargs: null,
    // peft refuses a text without a tokenizer, though it only reads it in training.
    tokenizer_name_or_path: isText ? (baseModel ?? "unknown") : null,
  });
}

const schema = z.looseObject({
  num_virtual_tokens: z.int().positive(),
  num_transformer_submodules: z.literal(1).nullish(),
  num_layers: z.int().positive().nullish(),
  num_attention_heads: z.int().positive().nullish(),
  prompt_tuning_init: z.enum(["RANDOM", "TEXT", "SAMPLE_VOCAB"]).default("RANDOM"),
  prompt_tuning_init_text: z.string().nullish(),
  modules_to_save: z.unknown(),
});

export interface PromptConfig {
  readonly spec: PromptTuningSpec;
  readonly depth?: NonNullable<SavedAdapter["depth"]>;
}

/** @throws CheckpointError if it is no prompt tuning, or asks for something that Accrete does not have. */
export function parsePromptConfig(json: unknown, path: string): PromptConfig {
  const parsed = schema.safeParse(json);
  if (!parsed.success)
    throw new CheckpointError(
      `${path}: is no prompt tuning configuration:\n${z.prettifyError(parsed.error)}`,
    );
  const fields = parsed.data;
  checkHeadModules(fields.modules_to_save, path);
  const { num_virtual_tokens: virtualTokens, prompt_tuning_init_text: text } = fields;
  const { num_layers: layers, num_attention_heads: heads } = fields;
  const spec = {
    RANDOM: { virtualTokens, init: "random" },
    TEXT: { virtualTokens, init: "text", text: text ?? "" },
    SAMPLE_VOCAB: { virtualTokens, init: "vocab" },
  } as const;
  return { spec: spec[fields.prompt_tuning_init], ...(layers && heads && { depth: { layers, heads } }) };
}
