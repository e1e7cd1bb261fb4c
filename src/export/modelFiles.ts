/** The files beside the weights of a model as transformers and transformers.js read them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorCode } from "../core/errors.ts";
import { families } from "../nn/families.ts";
import { maxTokensOf } from "./source.ts";
import type { ExportSource } from "./types.ts";

/** Copied as they are, where the model has them. */
const tokenizerFiles = [
  "tokenizer.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "spiece.model",
  "spm.model",
  "tokenizer.model",
  "sentencepiece.bpe.model",
  "sentence_bert_config.json",
];
const tokenizerConfig = "tokenizer_config.json";

const objectSchema = z.record(z.string(), z.unknown());

async function readOptional(folder: string, name: string): Promise<Buffer | undefined> {
  try {
    return await readFile(join(folder, name));
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return undefined;
    throw cause;
  }
}

export const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The tokenizer's files; its configuration says where this store cuts texts. */
export async function tokenizerFilesOf(source: ExportSource): Promise<Map<string, Uint8Array | string>> {
  const { path } = source.model.loaded.folder;
  const files = new Map<string, Uint8Array | string>();
  for (const name of tokenizerFiles) {
    const bytes = await readOptional(path, name);
    if (bytes !== undefined) files.set(name, bytes);
  }
  const own = await readOptional(path, tokenizerConfig);
  const config = own === undefined ? {} : objectSchema.parse(JSON.parse(own.toString("utf8")));
  files.set(tokenizerConfig, asJson({ ...config, model_max_length: maxTokensOf(source) }));
  return files;
}

/** What a class of transformers does with a model. */
export type ModelUse = "ForSequenceClassification" | "ForTokenClassification" | "ForCausalLM" | "Model";

/** How a model is written into config.json. */
export interface ConfigChanges {
  readonly use: ModelUse;
  /** Names of the classes, in the order of the logits. */
  readonly labels?: readonly string[];
  /** Where weights are written anew: their type. */
  readonly dtype?: "float32";
}

/** The backbone's config.json, for a model with these classes. */
export function configOf({ model }: ExportSource, { use, labels, dtype }: ConfigChanges): string {
  const { folder, backbone, tokenizer } = model.loaded;
  const config = objectSchema.parse(folder.config);
  const { torch_dtype, ...rest } = config;
  const numbered = (labels ?? []).map((label, i) => [String(i), label] as const);
  return asJson({
    ...(dtype === undefined ? config : { ...rest, dtype }),
    architectures: [families[backbone.config.architecture].className + use],
    ...(labels !== undefined && {
      id2label: Object.fromEntries(numbered),
      label2id: Object.fromEntries(numbered.map(([i, label]) => [label, Number(i)])),
      ...(use === "ForSequenceClassification" && { problem_type: "single_label_classification" }),
    }),
    // A decoder's classifier looks for the last token that is no padding.
    ...(backbone.kind === "decoder" && { pad_token_id: config.pad_token_id ?? tokenizer.padId }),
    "transformers.js_config": { dtype: "fp32" },
  });
}
