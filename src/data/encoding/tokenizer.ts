import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { CheckpointError, ConfigError, DataError, errorCode, messageOf } from "../../core/errors.ts";
import { sha256 } from "../../io/hash.ts";
import type { Example } from "../files/types.ts";
import { makeExact } from "./exactTokenizer.ts";
import { compileTemplates, type Piece } from "./postProcessor.ts";

/** One example as the model reads it, special tokens included, unpadded. */
export interface Encoding {
  readonly ids: readonly number[];
  /** Segment of each token: 0, or 1 in the second text of a pair. */
  readonly typeIds: readonly number[];
  readonly truncated: boolean;
}

export interface Tokenizer {
  /** SHA-256 of `tokenizer.json`'s bytes, hex. */
  readonly hash: string;
  readonly padId: number;
  /** What `tokenizer_config.json` calls the end of a text; undefined where it does not. */
  readonly endId: number | undefined;
  readonly vocabularySize: number;
  readonly paddingSide: "left" | "right";
  /**
   * Encodes as transformers does with `truncation=True, max_length=maxLength`.
   * @throws DataError if not a single token remains; BERT's special tokens always do
   * @throws ConfigError if `maxLength` is less than the special tokens
   */
  encode(example: Example, maxLength: number): Encoding;
  /**
   * The tokens of one word of a text that comes split into words, as transformers gives them with
   * `is_split_into_words=True`. Byte-level BPE reads every word as if a space stood before it
   * (`add_prefix_space=True`): without it, transformers refuses or runs the words together.
   * @returns ids without special tokens; none for a word of nothing but what the tokenizer removes
   */
  encodeWord(word: string): readonly number[];
  /** Puts the special tokens of a single text around its ids. @returns also the index of the first of `ids` */
  frame(ids: readonly number[]): Pick<Encoding, "ids" | "typeIds"> & { readonly start: number };
  /** The text of `ids`, special tokens left out. */
  decode(ids: readonly number[]): string;
}

const partSchema = z.looseObject({ type: z.string() });
const preTokenizerSchema = z.looseObject({
  type: z.string(),
  get pretokenizers() {
    return z.array(preTokenizerSchema).optional();
  },
});
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.number(), content: z.string(), special: z.boolean() })),
  normalizer: partSchema.nullable(),
  pre_tokenizer: preTokenizerSchema.nullable(),
  post_processor: z.unknown(),
  decoder: partSchema.nullable(),
  model: z.looseObject({}),
  padding: z.looseObject({ pad_id: z.number() }).nullish(),
});

type TokenizerFile = z.infer<typeof tokenizerSchema>;

const tokenSchema = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)])
  .nullish();
const configSchema = z.looseObject({
  pad_token: tokenSchema,
  eos_token: tokenSchema,
  padding_side: z.enum(["left", "right"]).default("right"),
  truncation_side: z.enum(["left", "right"]).default("right"),
});
type TokenizerConfig = z.infer<typeof configSchema>;

async function readOptional(path: string): Promise<Buffer | undefined> {
  return await readFile(path).catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return undefined;
    throw new CheckpointError(`${path} cannot be read`, { cause });
  });
}

function parse<T>(path: string, bytes: Buffer, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new CheckpointError(`${path} is not valid JSON`, { hint: "Download or save it again.", cause });
  }
  const result = schema.safeParse(json);
  if (!result.success)
    throw new CheckpointError(`${path} does not look like a tokenizer's: ${z.prettifyError(result.error)}`, {
      hint: "Accrete reads the tokenizer.json and tokenizer_config.json that transformers saves.",
    });
  return result.data;
}

/** How many tokens of each text stay, as Rust's `LongestFirst`: the longer text gives way first. */
export function longestFirst(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second];
  const swap = first > second;
  let short = swap ? second : first;
  let long = Math.max(short, room - short);
  if (short > room) long = short;
  if (short + long > room) {
    short = Math.floor(room / 2);
    long = short + (room % 2);
  }
  return swap ? [long, short] : [short, long];
}

function keep(ids: readonly number[], count: number, side: "left" | "right"): readonly number[] {
  return side === "right" ? ids.slice(0, count) : ids.slice(Math.max(0, ids.length - count));
}

function specialCount(template: readonly Piece[]): number {
  return template.reduce((sum, piece) => sum + (piece.kind === "special" ? piece.ids.length : 0), 0);
}

function assemble(template: readonly Piece[], sequences: { A: readonly number[]; B: readonly number[] }) {
  const ids: number[] = [];
  const typeIds: number[] = [];
  for (const piece of template) {
    for (const id of piece.kind === "special" ? piece.ids : sequences[piece.sequence]) {
      ids.push(id);
      typeIds.push(piece.typeId);
    }
  }
  return { ids, typeIds };
}

/** @throws ConfigError if the special tokens alone are longer than `maxLength` */
export function checkMaxLength(maxLength: number, special: number): number {
  if (maxLength >= special) return special;
  throw new ConfigError(`maxLength ${maxLength} leaves no room for the tokenizer's special tokens`, {
    hint: `It adds ${special} to every text: raise training.maxLength well above that.`,
    issues: [{ path: "training.maxLength", expected: `more than ${special}`, received: String(maxLength) }],
  });
}

/** The beginning of a text, fit for a message. */
export function excerpt(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

function loadLibrary(path: string, file: TokenizerFile, config: TokenizerConfig): LibraryTokenizer {
  try {
    const library = new LibraryTokenizer(file, config);
    makeExact(library, file.pre_tokenizer);
    return library;
  } catch (cause) {
    throw new CheckpointError(`${path} cannot be used: ${messageOf(cause)}`, {
      hint: "WordPiece (BERT) and byte-level BPE (RoBERTa) tokenizers work.",
      cause,
    });
  }
}

function buildTokenizer(path: string, file: TokenizerFile, config: TokenizerConfig, hash: string): Tokenizer {
  const { single, pair } = compileTemplates(path, file.post_processor);
  const library = loadLibrary(path, file, config);
  const { pre_tokenizer: preTokenizer } = file;
  const { truncation_side: side } = config;
  let wordLibrary: LibraryTokenizer | undefined;
  const idsOf = (text: string, reader = library): readonly number[] =>
    reader.encode(text, { add_special_tokens: false }).ids;
  const idOf = (token: string | null | undefined) =>
    typeof token === "string" ? library.token_to_id(token) : undefined;
  const endId = idOf(config.eos_token);
  const padId = idOf(config.pad_token) ?? idOf("[PAD]") ?? idOf("<pad>") ?? file.padding?.pad_id;
  let highest = -1;
  for (const id of library.get_vocab(true).values()) highest = Math.max(highest, id);
  return {
    hash,
    // Decoders often have none; what stands on padding is masked, so any id serves.
    padId: padId ?? endId ?? 0,
    endId,
    vocabularySize: highest + 1,
    paddingSide: config.padding_side,
    encode({ text, textPair }, maxLength) {
      const template = textPair === undefined ? single : pair;
      const room = maxLength - checkMaxLength(maxLength, specialCount(template));
      const first = idsOf(text);
      const second = textPair === undefined ? [] : idsOf(textPair);
      const [firstKept, secondKept] = longestFirst(first.length, second.length, room);
      const { ids, typeIds } = assemble(template, {
        A: keep(first, firstKept, side),
        B: keep(second, secondKept, side),
      });
      if (ids.length === 0)
        throw new DataError(`the text ${excerpt(text)} has no tokens`, {
          hint: "This tokenizer adds no special tokens, so an empty text cannot be read: remove it.",
        });
      return { ids, typeIds, truncated: firstKept < first.length || secondKept < second.length };
    },
    encodeWord(word) {
      if (word === "") return [];
      // Byte-level words are read as if a space stood before each, by a library that adds it.
      wordLibrary ??=
        preTokenizer?.type === "ByteLevel" && preTokenizer.add_prefix_space !== true
          ? loadLibrary(path, { ...file, pre_tokenizer: { ...preTokenizer, add_prefix_space: true } }, config)
          : library;
      return idsOf(word, wordLibrary);
    },
    frame(ids) {
      const before = single.slice(
        0,
        single.findIndex(({ kind }) => kind === "sequence"),
      );
      return { ...assemble(single, { A: ids, B: [] }), start: specialCount(before) };
    },
    decode: (ids) => (ids.length === 0 ? "" : library.decode([...ids], { skip_special_tokens: true })),
  };
}

/**
 * Loads `tokenizer.json` (and `tokenizer_config.json`, where there is one) of a model's folder.
 *
 * Ids equal transformers' fast tokenizers: special tokens by the file's own post-processor, its own truncation
 * and padding ignored.
 * @throws CheckpointError if the file is missing, damaged, or of a kind that is not known
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, "tokenizer.json");
  const bytes = await readOptional(path);
  if (bytes === undefined)
    throw new CheckpointError(`${folder} has no tokenizer.json`, {
      hint: `Save it with transformers: AutoTokenizer.from_pretrained("${basename(folder)}").save_pretrained(folder).`,
    });
  const file = parse(path, bytes, tokenizerSchema);
  const configPath = join(folder, "tokenizer_config.json");
  const config = parse(configPath, (await readOptional(configPath)) ?? Buffer.from("{}"), configSchema);
  return buildTokenizer(path, file, config, sha256(bytes));
}

/**
 * Encodes many examples.
 * @returns the encodings in order, and how many of them were cut to `maxLength`
 * @throws DataError naming the example (counted from 1) that has no tokens
 */
export function encodeAll(
  tokenizer: Tokenizer,
  examples: readonly Example[],
  maxLength: number,
  what = "text",
): { encodings: Encoding[]; truncated: number } {
  return encodeEach(examples, (example) => tokenizer.encode(example, maxLength), what);
}

/**
 * Encodes many items, one by one.
 * @returns the encodings in order, and how many of them were cut
 * @throws DataError of `encode`, with what and which item it was in front
 */
export function encodeEach<T, E extends { readonly truncated: boolean }>(
  items: readonly T[],
  encode: (item: T) => E,
  what: string,
): { encodings: E[]; truncated: number } {
  const encodings = items.map((item, i) => {
    try {
      return encode(item);
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      const hint = cause.hint === undefined ? {} : { hint: cause.hint };
      throw new DataError(`${what}, number ${i + 1}: ${cause.message}`, { ...hint, cause });
    }
  });
  return { encodings, truncated: encodings.filter(({ truncated }) => truncated).length };
}
