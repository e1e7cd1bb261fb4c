/**
 * Trains the embedded backbone's vocabulary on the corpus:
 * `npx tsx tools/backbone/vocabulary.ts --corpus /tmp/accrete-corpus/corpus.txt`.
 * Writes tokenizer.json, tokenizer_config.json and vocab.txt to models/accrete-mini (or --out), and beside the corpus
 * entries.txt: what each entry spells, a line each, for the teacher to say where its embedding starts.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError } from "../../src/core/errors.ts";
import { specialTokens, trainWordPiece } from "./wordpiece.ts";

const modelMaxLength = 128;

const idOf = (token: (typeof specialTokens)[number]): number => specialTokens.indexOf(token);

function templateProcessing(): object {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const segment = (id: string, typeId: number) => ({ Sequence: { id, type_id: typeId } });
  const first = [special("[CLS]"), segment("A", 0), special("[SEP]")];
  return {
    type: "TemplateProcessing",
    single: first,
    pair: [...first, segment("B", 1), { SpecialToken: { id: "[SEP]", type_id: 1 } }],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [idOf("[CLS]")], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [idOf("[SEP]")], tokens: ["[SEP]"] },
    },
  };
}

/** The vocabulary as the `tokenizers` library's file, with BERT's normaliser, pre-tokenizer and template. */
export function tokenizerJson(vocabulary: readonly string[]): object {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: templateProcessing(),
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    },
  };
}

export function tokenizerConfig(): object {
  return {
    tokenizer_class: "BertTokenizer",
    do_lower_case: true,
    strip_accents: null,
    tokenize_chinese_chars: true,
    model_max_length: modelMaxLength,
    pad_token: "[PAD]",
    unk_token: "[UNK]",
    cls_token: "[CLS]",
    sep_token: "[SEP]",
    mask_token: "[MASK]",
  };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      corpus: { type: "string" },
      out: { type: "string", default: fileURLToPath(new URL("../../models/accrete-mini/", import.meta.url)) },
      size: { type: "string", default: "8000" },
    },
  });
  if (values.corpus === undefined) throw new ConfigError("vocabulary: --corpus <file> is needed");
  const texts = readFileSync(values.corpus, "utf8").split("\n");
  const vocabulary = trainWordPiece(texts, { total: Number(values.size), merges: 1500, rareCharacter: 20 });
  mkdirSync(values.out, { recursive: true });
  const write = (name: string, content: string) => writeFileSync(path.join(values.out, name), content);
  write("tokenizer.json", `${JSON.stringify(tokenizerJson(vocabulary), null, 1)}\n`);
  write("tokenizer_config.json", `${JSON.stringify(tokenizerConfig(), null, 2)}\n`);
  write("vocab.txt", `${vocabulary.join("\n")}\n`);
  const spelling = vocabulary.map((entry) => entry.replace(/^##(?=.)/, ""));
  writeFileSync(path.join(path.dirname(values.corpus), "entries.txt"), `${spelling.join("\n")}\n`);
  process.stderr.write(`${vocabulary.length} entries in ${values.out}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
