import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { CheckpointError, ConfigError, DataError, messageOf } from "../../core/errors.ts";
import type { Example, Task } from "../files/types.ts";
import { makeExact } from "./exactTokenizer.ts";
import { compileTemplates, type Piece, type Templates } from "./postProcessor.ts";

/** One example as the model reads it, special tokens included, unpadded. */
export interface Encoding {
  readonly ids: readonly number[];
  /** Segment of each token: 0, or 1 in the second text of a pair. */
  readonly typeIds: readonly number[];
  /** Whether tokens were cut off to fit `maxLength`. */
  readonly truncated: boolean;
}

export interface Tokenizer {
  /** SHA-256 of `tokenizer.json`'s bytes, hex. */
  readonly hash: string;
  readonly padId: number;
  /** What `tokenizer_config.json` calls the end of a text; undefined where it does not. */
  readonly endId: number | undefined;
  /** One more than the highest id. */
  readonly vocabularySize: number;
  readonly paddingSide: "left" | "right";
  /**
   * Encodes as transformers does with `truncation=True, max_length=maxLength`.
   *
   * @throws DataError if not a single token remains; BERT's special tokens always do
   * @throws ConfigError if `maxLength` is less than the special tokens
   */
  encode(example: Example, maxLength: number): Encoding;
  /**
   * The tokens of one word of a text that comes split into words, as transformers gives them with
   * `is_split_into_words=True`. Byte-level BPE reads every word as if a space stood before it
   * (`add_prefix_space=True`): without it, transformers refuses or runs the words together.
   *
   * @returns ids without special tokens; none for a word of nothing but what the tokenizer removes
   */
  encodeWord(word: string): readonly number[];
  /**
   * Puts the special tokens of a single text around its ids.
   *
   * @returns also the index of the first of `ids`
   */
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
  try {
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new CheckpointError(`${path} cannot be read`, { cause });
  }
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
  if (ids.length <= count) return ids;
  return side === "right" ? ids.slice(0, count) : ids.slice(ids.length - count);
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

class HuggingFaceTokenizer implements Tokenizer {
  readonly hash: string;
  readonly padId: number;
  readonly endId: number | undefined;
  readonly vocabularySize: number;
  readonly paddingSide: "left" | "right";
  private readonly truncationSide: "left" | "right";
  private readonly library: LibraryTokenizer;
  /** Reads a word as the middle of a text; made when the first word comes. */
  private wordLibrary: LibraryTokenizer | undefined;
  private readonly makeWordLibrary: (() => LibraryTokenizer) | undefined;
  private readonly templates: Templates;

  constructor(
    library: LibraryTokenizer,
    makeWordLibrary: (() => LibraryTokenizer) | undefined,
    templates: Templates,
    config: TokenizerConfig,
    facts: Pick<Tokenizer, "hash" | "padId" | "endId">,
  ) {
    this.library = library;
    this.makeWordLibrary = makeWordLibrary;
    this.templates = templates;
    this.hash = facts.hash;
    this.padId = facts.padId;
    this.endId = facts.endId;
    this.paddingSide = config.padding_side;
    this.truncationSide = config.truncation_side;
    let highest = -1;
    for (const id of library.get_vocab(true).values()) highest = Math.max(highest, id);
    this.vocabularySize = highest + 1;
  }

  private plain(text: string): readonly number[] {
    return this.library.encode(text, { add_special_tokens: false }).ids;
  }

  encode(example: Example, maxLength: number): Encoding {
    const pair = example.textPair !== undefined;
    const template = pair ? this.templates.pair : this.templates.single;
    const room = maxLength - checkMaxLength(maxLength, specialCount(template));
    const first = this.plain(example.text);
    const second = pair ? this.plain(example.textPair ?? "") : [];
    const [firstKept, secondKept] = longestFirst(first.length, second.length, room);
    const { ids, typeIds } = assemble(template, {
      A: keep(first, firstKept, this.truncationSide),
      B: keep(second, secondKept, this.truncationSide),
    });
    if (ids.length === 0)
      throw new DataError(`the text ${excerpt(example.text)} has no tokens`, {
        hint: "This tokenizer adds no special tokens, so an empty text cannot be read: remove it.",
      });
    return { ids, typeIds, truncated: firstKept < first.length || secondKept < second.length };
  }

  encodeWord(word: string): readonly number[] {
    if (word === "") return [];
    this.wordLibrary ??= this.makeWordLibrary?.() ?? this.library;
    return this.wordLibrary.encode(word, { add_special_tokens: false }).ids;
  }

  frame(ids: readonly number[]) {
    const template = this.templates.single;
    const before = template.slice(
      0,
      template.findIndex(({ kind }) => kind === "sequence"),
    );
    return { ...assemble(template, { A: ids, B: [] }), start: specialCount(before) };
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return "";
    return this.library.decode([...ids], { skip_special_tokens: true });
  }
}

function findEndId(library: LibraryTokenizer, { eos_token }: TokenizerConfig): number | undefined {
  return typeof eos_token === "string" ? library.token_to_id(eos_token) : undefined;
}

function findPadId(
  library: LibraryTokenizer,
  config: TokenizerConfig,
  padding: { readonly pad_id: number } | null | undefined,
): number {
  for (const token of [config.pad_token, "[PAD]", "<pad>"]) {
    const id = typeof token === "string" ? library.token_to_id(token) : undefined;
    if (id !== undefined) return id;
  }
  // Decoders often have none; what stands on padding is masked, so any id serves.
  return padding?.pad_id ?? findEndId(library, config) ?? 0;
}

function buildLibrary(path: string, file: TokenizerFile, config: TokenizerConfig): LibraryTokenizer {
  let library: LibraryTokenizer;
  try {
    library = new LibraryTokenizer(file, config);
  } catch (cause) {
    throw new CheckpointError(`${path} cannot be used: ${messageOf(cause)}`, {
      hint: "WordPiece (BERT) and byte-level BPE (RoBERTa) tokenizers work.",
      cause,
    });
  }
  makeExact(library, file.pre_tokenizer);
  return library;
}

/** Undefined where words need no library of their own: their pre-tokenizer is not byte-level, or has the space. */
function wordLibraryMaker(path: string, file: TokenizerFile, config: TokenizerConfig) {
  const preTokenizer = file.pre_tokenizer;
  if (preTokenizer?.type !== "ByteLevel" || preTokenizer.add_prefix_space === true) return undefined;
  const spaced = { ...file, pre_tokenizer: { ...preTokenizer, add_prefix_space: true } };
  return () => buildLibrary(path, spaced, config);
}

/**
 * Loads `tokenizer.json` (and `tokenizer_config.json`, where there is one) of a model's folder.
 *
 * Ids equal transformers' fast tokenizers: special tokens by the file's own post-processor, its own truncation
 * and padding ignored.
 *
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
  const templates = compileTemplates(path, file.post_processor);
  const library = buildLibrary(path, file, config);
  const hash = createHash("sha256").update(bytes).digest("hex");
  return new HuggingFaceTokenizer(library, wordLibraryMaker(path, file, config), templates, config, {
    hash,
    padId: findPadId(library, config, file.padding),
    endId: findEndId(library, config),
  });
}

/**
 * Encodes many examples.
 *
 * @param what names them in messages, e.g. `train of task-0`
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
 * Encodes many examples, one by one.
 *
 * @returns the encodings in order, and how many of them were cut
 * @throws DataError of `encode`, with what and which example it was in front
 */
export function encodeEach<E extends { readonly truncated: boolean }>(
  examples: readonly Example[],
  encode: (example: Example) => E,
  what: string,
): { encodings: E[]; truncated: number } {
  const encodings = examples.map((example, i) => {
    try {
      return encode(example);
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      const hint = cause.hint === undefined ? {} : { hint: cause.hint };
      throw new DataError(`${what}, number ${i + 1}: ${cause.message}`, { ...hint, cause });
    }
  });
  return { encodings, truncated: encodings.filter(({ truncated }) => truncated).length };
}

function tellsEmptyTexts(tokenizer: Tokenizer, maxLength: number): boolean {
  try {
    tokenizer.encode({ text: "" }, maxLength);
    return false;
  } catch (error) {
    if (error instanceof DataError) return true;
    throw error;
  }
}

/**
 * Finds texts without a token before the first task is learned, and not in the middle of the fifth. Costs nothing
 * with a tokenizer that adds special tokens.
 *
 * @throws DataError naming task, split and example (counted from 1)
 * @throws ConfigError if `maxLength` is less than the special tokens
 */
export function checkTexts(tokenizer: Tokenizer, tasks: readonly Task[], maxLength: number): void {
  if (!tellsEmptyTexts(tokenizer, maxLength)) return;
  for (const task of tasks)
    for (const split of ["train", "validation", "test"] as const)
      encodeAll(tokenizer, task[split], maxLength, `task ${task.name}, ${split}`);
}
