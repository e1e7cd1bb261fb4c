/**
 * The tokenizer classes of transformers 5. Most of them take no more than vocabulary, merges and charsmap of a
 * tokenizer.json, and lay out the rest themselves, by what tokenizer_config.json says.
 */
import { type NamedToken, partSchema, type TokenizerConfig, type TokenizerFile } from "./tokenizerSchemas.ts";

/** The parts of a tokenizer.json that a class lays out, and the tokens that it names where the folder does not. */
export interface Layout {
  readonly parts: Readonly<Record<string, unknown>>;
  readonly model: Readonly<Record<string, unknown>>;
  /** Post-processor by the ids of the named tokens; absent where the file's own stays. */
  readonly frame?: (token: (name: NamedToken) => readonly [string, number]) => unknown;
}

export interface TokenizerClass {
  readonly names: Partial<Record<NamedToken, string>>;
  readonly paddingSide?: "left";
  readonly lay: (file: TokenizerFile, config: TokenizerConfig, name: (token: NamedToken) => string) => Layout;
}

const sequence = (id: "A" | "B", type: number) => ({ Sequence: { id, type_id: type } });
const special = (id: string, type: number) => ({ SpecialToken: { id, type_id: type } });

function template(
  single: readonly object[],
  pair: readonly object[],
  tokens: readonly (readonly [string, number])[],
) {
  const special_tokens = Object.fromEntries(
    tokens.map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
  );
  return { type: "TemplateProcessing", single, pair, special_tokens };
}

/** [CLS] A [SEP], and B [SEP] of type 1. */
const bertFrame: NonNullable<Layout["frame"]> = (token) => {
  const [cls, sep] = [token("cls_token"), token("sep_token")];
  const single = [special(cls[0], 0), sequence("A", 0), special(sep[0], 0)];
  return template(single, [...single, sequence("B", 1), special(sep[0], 1)], [cls, sep]);
};

/** <s> A </s>, and </s> B </s>, all of type 0. */
const xlmFrame: NonNullable<Layout["frame"]> = (token) => {
  const [bos, eos] = [token("bos_token"), token("eos_token")];
  const end = special(eos[0], 0);
  const single = [special(bos[0], 0), sequence("A", 0), end];
  return template(single, [...single, end, sequence("B", 0), end], [bos, eos]);
};

const robertaFrame =
  (trimOffsets: boolean, prefixSpace: boolean): NonNullable<Layout["frame"]> =>
  (token) => ({
    type: "RobertaProcessing",
    sep: token("sep_token"),
    cls: token("cls_token"),
    trim_offsets: trimOffsets,
    add_prefix_space: prefixSpace,
  });

const byteLevel = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };
const metaspace = (scheme: "always" | "never" | "first", split = true) => ({
  type: "Metaspace",
  replacement: "▁",
  prepend_scheme: scheme,
  split,
});

function wordPiece(
  file: TokenizerFile,
  config: TokenizerConfig,
  unknown: string,
): Pick<Layout, "parts" | "model"> {
  return {
    parts: {
      normalizer: {
        type: "BertNormalizer",
        clean_text: true,
        handle_chinese_chars: config.tokenize_chinese_chars ?? true,
        strip_accents: config.strip_accents ?? null,
        lowercase: config.do_lower_case ?? true,
      },
      pre_tokenizer: { type: "BertPreTokenizer" },
      decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    },
    model: {
      type: "WordPiece",
      unk_token: unknown,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: file.model.vocab,
    },
  };
}

function bytePairs(file: TokenizerFile, settings: Readonly<Record<string, unknown>> = {}) {
  const { vocab, merges } = file.model;
  return {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: "",
    end_of_word_suffix: "",
    fuse_unk: false,
    byte_fallback: false,
    vocab,
    merges: merges ?? [],
    ...settings,
  };
}

function unigram(file: TokenizerFile, unknown: number) {
  return { type: "Unigram", unk_id: unknown, vocab: file.model.vocab, byte_fallback: false };
}

function unigramIndex(file: TokenizerFile, token: string): number {
  const { vocab } = file.model;
  return Array.isArray(vocab) ? vocab.findIndex((entry) => Array.isArray(entry) && entry[0] === token) : -1;
}

/** The charsmap among the normalizers of a tokenizer.json, all that these classes keep of them. */
function charsmap({ normalizer }: TokenizerFile): unknown {
  if (normalizer === null || normalizer === undefined) return null;
  const parts = Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer];
  return parts.find((part) => partSchema.safeParse(part).data?.type === "Precompiled") ?? null;
}

function sentencePiece(file: TokenizerFile, { add_prefix_space: prefix }: TokenizerConfig) {
  const words = metaspace(prefix === false ? "never" : "always");
  return {
    normalizer: charsmap(file),
    pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, words] },
    decoder: words,
  };
}

const bertNames = {
  unk_token: "[UNK]",
  sep_token: "[SEP]",
  pad_token: "[PAD]",
  cls_token: "[CLS]",
  mask_token: "[MASK]",
} as const;
const robertaNames = {
  bos_token: "<s>",
  eos_token: "</s>",
  sep_token: "</s>",
  cls_token: "<s>",
  unk_token: "<unk>",
  pad_token: "<pad>",
  mask_token: "<mask>",
} as const;
const gptNames = {
  unk_token: "<|endoftext|>",
  bos_token: "<|endoftext|>",
  eos_token: "<|endoftext|>",
} as const;

const bert: TokenizerClass = {
  names: bertNames,
  lay: (file, config, name) => ({ ...wordPiece(file, config, name("unk_token")), frame: bertFrame }),
};

const qwenWords =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

export const tokenizerClasses = {
  BertTokenizer: bert,
  DistilBertTokenizer: bert,
  ElectraTokenizer: bert,
  MPNetTokenizer: {
    names: { ...robertaNames, unk_token: "[UNK]" },
    lay: (file, config, name) => ({
      ...wordPiece(file, config, name("unk_token")),
      frame: robertaFrame(true, false),
    }),
  },
  RobertaTokenizer: {
    names: robertaNames,
    lay: (file, { add_prefix_space: prefix, trim_offsets: trim }) => ({
      parts: {
        normalizer: null,
        pre_tokenizer: { ...byteLevel, add_prefix_space: prefix ?? false },
        decoder: byteLevel,
      },
      model: bytePairs(file),
      frame: robertaFrame(trim ?? true, prefix ?? false),
    }),
  },
  XLMRobertaTokenizer: {
    names: robertaNames,
    lay: (file, config) => ({
      parts: sentencePiece(file, config),
      model: unigram(file, 3),
      frame: xlmFrame,
    }),
  },
  CamembertTokenizer: {
    names: robertaNames,
    lay: (file, config, name) => ({
      parts: sentencePiece(file, config),
      model: unigram(file, Math.max(0, unigramIndex(file, name("unk_token")))),
      frame: xlmFrame,
    }),
  },
  DebertaV2Tokenizer: {
    names: { ...bertNames, bos_token: "[CLS]", eos_token: "[SEP]" },
    lay: (file, config, name) => {
      const words = metaspace((config.add_prefix_space ?? true) ? "always" : "first");
      const unknown = unigramIndex(file, name("unk_token"));
      return {
        parts: {
          normalizer: {
            type: "Sequence",
            normalizers: [
              ...(config.do_lower_case ? [{ type: "Lowercase" }] : []),
              { type: "Replace", pattern: { Regex: "\\s{2,}|[\\n\\r\\t]" }, content: " " },
              { type: "NFC" },
              { type: "Strip", strip_left: false, strip_right: true },
            ],
          },
          pre_tokenizer: {
            type: "Sequence",
            pretokenizers: [
              ...(config.split_by_punct ? [{ type: "Punctuation", behavior: "Isolated" }] : []),
              words,
            ],
          },
          decoder: words,
        },
        model: unigram(file, unknown < 0 ? 1 : unknown),
        frame: bertFrame,
      };
    },
  },
  GPT2Tokenizer: {
    names: gptNames,
    lay: (file, { add_prefix_space: prefix }) => ({
      parts: {
        normalizer: null,
        pre_tokenizer: { ...byteLevel, add_prefix_space: prefix ?? false },
        decoder: byteLevel,
      },
      model: bytePairs(file),
    }),
  },
  GPTNeoXTokenizer: {
    names: { ...gptNames, pad_token: "<|padding|>" },
    lay: (file, { add_prefix_space: prefix, trim_offsets: trim }) => ({
      parts: {
        normalizer: { type: "NFC" },
        pre_tokenizer: { ...byteLevel, add_prefix_space: prefix ?? false, trim_offsets: trim ?? true },
        decoder: byteLevel,
      },
      model: bytePairs(file),
      frame: () => null,
    }),
  },
  LlamaTokenizer: {
    names: { unk_token: "<unk>", bos_token: "<s>", eos_token: "</s>" },
    paddingSide: "left",
    lay: (file, { add_prefix_space: given, legacy }) => {
      const prefix = given ?? true;
      const scheme = prefix ? (legacy ? "always" : "first") : "never";
      return {
        parts: {
          normalizer: null,
          pre_tokenizer: metaspace(scheme, false),
          decoder: {
            type: "Sequence",
            decoders: [
              { type: "Replace", pattern: { String: "▁" }, content: " " },
              { type: "ByteFallback" },
              { type: "Fuse" },
              ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
            ],
          },
        },
        model: bytePairs(file, {
          fuse_unk: true,
          byte_fallback: true,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
        }),
      };
    },
  },
  Qwen2Tokenizer: {
    names: { unk_token: "<|endoftext|>", eos_token: "<|endoftext|>", pad_token: "<|endoftext|>" },
    lay: (file, { add_prefix_space: prefix }) => ({
      parts: {
        normalizer: { type: "NFC" },
        pre_tokenizer: {
          type: "Sequence",
          pretokenizers: [
            { type: "Split", pattern: { Regex: qwenWords }, behavior: "Isolated", invert: false },
            { ...byteLevel, add_prefix_space: prefix ?? false, use_regex: false },
          ],
        },
        decoder: byteLevel,
      },
      model: bytePairs(file),
    }),
  },
  GemmaTokenizer: {
    names: {
      unk_token: "<unk>",
      bos_token: "<bos>",
      eos_token: "<eos>",
      pad_token: "<pad>",
      mask_token: "<mask>",
    },
    paddingSide: "left",
    lay: (file, _config, name) => ({
      parts: {
        normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
        pre_tokenizer: {
          type: "Split",
          pattern: { String: " " },
          behavior: "MergedWithPrevious",
          invert: false,
        },
        decoder: {
          type: "Sequence",
          decoders: [
            { type: "Replace", pattern: { String: "▁" }, content: " " },
            { type: "ByteFallback" },
            { type: "Fuse" },
          ],
        },
      },
      model: bytePairs(file, {
        fuse_unk: true,
        byte_fallback: true,
        unk_token: name("unk_token"),
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
      }),
    }),
  },
} as const satisfies Record<string, TokenizerClass>;

export type TokenizerClassName = keyof typeof tokenizerClasses;
