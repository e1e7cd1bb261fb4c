/** What is read of a model folder's tokenizer files; the library reads the rest of tokenizer.json. */
import { z } from "zod";

export const partSchema = z.looseObject({ type: z.string() });

/** What is read of a tokenizer.json before the library reads all of it. */
export const tokenizerFileSchema = z.looseObject({
  added_tokens: z
    .array(
      z.object({
        id: z.number(),
        content: z.string(),
        single_word: z.boolean().default(false),
        lstrip: z.boolean().default(false),
        rstrip: z.boolean().default(false),
        normalized: z.boolean().default(true),
        special: z.boolean().default(false),
      }),
    )
    .default([]),
  normalizer: partSchema.nullish(),
  pre_tokenizer: partSchema.nullish(),
  post_processor: z.unknown(),
  decoder: partSchema.nullish(),
  model: z.looseObject({ type: z.string().optional(), vocab: z.unknown() }),
  padding: z.looseObject({ pad_id: z.number() }).nullish(),
});
export type TokenizerFile = z.infer<typeof tokenizerFileSchema>;
export type FileToken = TokenizerFile["added_tokens"][number];

const tokenSchema = z.union([
  z.string(),
  z.looseObject({ content: z.string() }).transform(({ content }) => content),
]);
const addedTokenSchema = z.object({
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().optional(),
  special: z.boolean().default(false),
});

export const namedTokens = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;
export type NamedToken = (typeof namedTokens)[number];

/** What is read of tokenizer_config.json. */
export const tokenizerConfigSchema = z.looseObject({
  tokenizer_class: z.string().nullish(),
  bos_token: tokenSchema.nullish(),
  eos_token: tokenSchema.nullish(),
  unk_token: tokenSchema.nullish(),
  sep_token: tokenSchema.nullish(),
  pad_token: tokenSchema.nullish(),
  cls_token: tokenSchema.nullish(),
  mask_token: tokenSchema.nullish(),
  padding_side: z.enum(["left", "right"]).optional(),
  truncation_side: z.enum(["left", "right"]).default("right"),
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
  add_prefix_space: z.boolean().nullish(),
  trim_offsets: z.boolean().nullish(),
  split_by_punct: z.boolean().nullish(),
  legacy: z.boolean().nullish(),
  split_special_tokens: z.boolean().nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: z.boolean().nullish(),
  model_max_length: z.number().nullish(),
  added_tokens_decoder: z.record(z.string(), addedTokenSchema).optional(),
});
export type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

/** special_tokens_map.json, which older versions of transformers saved beside. */
export const specialTokensMapSchema = tokenizerConfigSchema.partial();

/** added_tokens.json: tokens and their ids. */
export const addedTokensSchema = z.record(z.string(), z.number());

/** What sentence-transformers says about the texts a model is given. */
export const sentenceConfigSchema = z.looseObject({
  max_seq_length: z.number().nullish(),
  do_lower_case: z.boolean().nullish(),
});
