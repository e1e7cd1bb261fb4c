/**
 * The pieces of `@huggingface/tokenizers` that split text otherwise than the Rust library behind
 * `transformers`, replaced by exact ones. Found by sending every code point through both:
 *
 * - BERT: CJK beyond U+FFFF is not spaced out, a final Σ becomes ς (Rust lowers each character by itself),
 *   and marks, format characters and punctuation younger than Rust's Unicode tables are treated as such.
 * - Byte-level BPE: U+FEFF counts as white space and U+0085 does not; in Rust it is the other way round.
 *
 * Left as they are: decompositions added by Unicode 16, letters added by Unicode 17, and U+FEFF or U+0085 right
 * before a special token that strips the space on its left, such as a literal `<mask>` in a text.
 */
import type { Tokenizer } from "@huggingface/tokenizers";

/** What is used of the library's parts; its published types leave their members open. */
interface Normalizer {
  readonly config: { readonly type: string } & BertNormalizerOptions;
  readonly normalizers?: readonly (Normalizer | null)[];
  normalize: (text: string) => string;
}

interface PreTokenizer {
  readonly tokenizers?: readonly (PreTokenizer | null)[];
  pattern?: RegExp;
  pre_tokenize_text: (text: string) => string[];
}

/** Turns "7fd 897-89f" into the body of a character class. */
function characterClass(ranges: string): string {
  return ranges
    .trim()
    .split(/\s+/)
    .map((range) =>
      range
        .split("-")
        .map((codePoint) => `\\u{${codePoint}}`)
        .join("-"),
    )
    .join("");
}

/** Non-spacing marks and format characters that Rust's tables do not know: it keeps them. */
const YOUNG_MARKS = characterClass(`
  7fd 890-891 897-89f 8ca-8e2 9fe afa-aff b55 c04 c3c d00 d3b-d3c d81 eba ece 180f 1885-1886 1abf-1add
  1ae0-1aeb 1df6-1dfb a82c a8c5 a8ff a9bd 10d24-10d27 10d69-10d6d 10eab-10eac 10efa-10eff 10f46-10f50
  10f82-10f85 11070 11073-11074 110c2 110cd 111c9 111cf 1123e 11241 1133b 113bb-113c0 113ce 113d0 113d2
  113e1-113e2 11438-1143f 11442-11444 11446 1145e 1182f-11837 11839-1183a 1193b-1193c 1193e 11943
  119d4-119d7 119da-119db 119e0 11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 11a59-11a5b
  11a8a-11a96 11a98-11a99 11b60 11b62-11b64 11b66 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0
  11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 11d97
  11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40 11f42 11f5a 13430-13440 13447-13455 1611e-16129 1612d-1612f
  16f4f 16fe4 1cf00-1cf2d 1cf30-1cf46 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e08f
  1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e6e3 1e6e6 1e6ee-1e6ef 1e6f5 1e944-1e94a`);

/** Marks of Rust's tables that Unicode has since declared spacing. */
const OLD_MARKS = characterClass("1734 1171e");

const YOUNG_PUNCTUATION = characterClass(`
  61d 9fd a76 c77 c84 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10ed0 10f55-10f59 10f86-10f89
  113d4-113d5 113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2
  11a3f-11a46 11a9a-11a9c 11a9e-11aa2 11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f
  11fff 12ff1-12ff2 16d6d-16d6f 16e97-16e9a 16fe2 1e5ff 1e95e-1e95f`);

const OLD_PUNCTUATION = characterClass("166d 111c9");

/** The ranges of the original BERT code; the gap before U+2B920 is its own. */
const CJK = characterClass(
  "4e00-9fff 3400-4dbf 20000-2a6df 2a700-2b73f 2b740-2b81f 2b920-2ceaf f900-faff 2f800-2fa1f",
);

const removedByCleaning = new RegExp(
  `[[\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}\\u{FFFD}]--[\\t\\n\\r${YOUNG_MARKS}]]`,
  "gv",
);
const accents = new RegExp(`[[\\p{Mn}${OLD_MARKS}]--[${YOUNG_MARKS}]]`, "gv");
const cjk = new RegExp(`[${CJK}]`, "gv");
const punctuation = `[[\\p{P}!-\\/:-@\\[-\`\\{-~${OLD_PUNCTUATION}]--[${YOUNG_PUNCTUATION}]]`;
const words = new RegExp(`[^\\s[${punctuation}]]+|${punctuation}`, "gv");

const space = "\\p{White_Space}";
const byteLevelWords = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${space}\\p{L}\\p{N}]+|${space}+(?!\\P{White_Space})|${space}+`,
  "gu",
);

interface BertNormalizerOptions {
  readonly clean_text?: boolean;
  readonly handle_chinese_chars?: boolean;
  readonly strip_accents?: boolean | null;
  readonly lowercase?: boolean;
}

/** Rust's `BertNormalizer`: clean, space out CJK, strip accents, lower-case, in this order. */
function normalizeBert(text: string, options: BertNormalizerOptions): string {
  let result = text;
  if (options.clean_text) result = result.replace(removedByCleaning, "").replace(/\s/g, " ");
  if (options.handle_chinese_chars) result = result.replace(cjk, " $& ");
  if (options.strip_accents ?? options.lowercase) result = result.normalize("NFD").replace(accents, "");
  // Σ is the one letter whose lower case depends on its neighbours in JavaScript.
  if (options.lowercase) result = result.replaceAll("Σ", "σ").toLowerCase();
  return result;
}

/** Rust's `BertPreTokenizer`: words, and each punctuation mark by itself. */
function splitBert(text: string): string[] {
  return text.match(words) ?? [];
}

function makeNormalizerExact(part: Normalizer | null): void {
  if (part === null) return;
  part.normalizers?.forEach(makeNormalizerExact);
  const { config } = part;
  if (config.type === "BertNormalizer") part.normalize = (text) => normalizeBert(text, config);
}

/** The library's pre-tokenizers do not keep their type: it stands in `tokenizer.json`, in the same places. */
export interface PreTokenizerConfig {
  readonly type: string;
  readonly pretokenizers?: readonly PreTokenizerConfig[] | undefined;
}

function makePreTokenizerExact(part: PreTokenizer | null, config: PreTokenizerConfig | null): void {
  if (part === null || config === null) return;
  if (config.type === "BertPreTokenizer") part.pre_tokenize_text = splitBert;
  if (config.type === "ByteLevel") part.pattern = byteLevelWords;
  part.tokenizers?.forEach((inner, i) => {
    makePreTokenizerExact(inner, config.pretokenizers?.[i] ?? null);
  });
}

/** Replaces the parts of `tokenizer` that deviate from the Rust library, in place. */
export function makeExact(tokenizer: Tokenizer, preTokenizer: PreTokenizerConfig | null): void {
  makeNormalizerExact(tokenizer.normalizer);
  makePreTokenizerExact(tokenizer.pre_tokenizer, preTokenizer);
}
