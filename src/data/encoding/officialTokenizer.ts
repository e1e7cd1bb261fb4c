/**
 * The Rust library `tokenizers`, which transformers itself calls, compiled to WebAssembly: the same ids on every system
 * and with every version of Node. `tools/tokenizers` makes the file `tokenizers.wasm`.
 */
import { z } from "zod";
import { CheckpointError, DataError } from "../../core/errors.ts";
import { builtinModule } from "../../portable/builtin.ts";
import { runBefore } from "../../portable/deadline.ts";

const call = z.custom<(...args: readonly number[]) => number>((value) => typeof value === "function");
const exportsSchema = z.object({
  memory: z.custom<WebAssembly.Memory>((value) => value instanceof WebAssembly.Memory),
  allocate: call,
  release: call,
  numbers: call,
  text: call,
  text_length: call,
  create: call,
  add_tokens: call,
  set_post_processor: call,
  split_special: call,
  encode: call,
  encode_ids: call,
  encode_words: call,
  decode: call,
  token_to_id: call,
  highest_id: call,
});
type Library = z.infer<typeof exportsSchema>;

/** Where each token of a text comes from. */
export interface Spans {
  readonly ids: readonly number[];
  /** Offsets of each token's first character and behind its last, in UTF-16 units as JavaScript counts them. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** The word of each token: where a text was split before the model read it, or which of the words given. */
  readonly words: readonly (number | null)[];
}

/** An entry of `added_tokens`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

const NO_WORD = 0xffff_ffff;
/** UTF-8 takes at most three bytes for a UTF-16 unit. */
const BYTES_A_UNIT = 3;

/** For one call: patterns backtrack, and some algorithms take the square of a word's length. */
const deadlineMs = { "a text": 10_000, "its patterns": 18_000 } as const;
/** Shorter texts are read in time where no pattern is the file's own. */
const longUnits = 10_000;

let compiled: WebAssembly.Module | undefined;

/** Compiles the library where there are no files to read it from: a browser fetches its bytes first. */
export async function provideTokenizerLibrary(bytes: Uint8Array): Promise<void> {
  compiled = await WebAssembly.compile(bytes);
}

function readLibrary(): WebAssembly.Module {
  const files = builtinModule?.("node:fs");
  if (files === undefined)
    throw new CheckpointError("the tokenizer library tokenizers.wasm was not loaded", {
      hint: "Open models with accrete-lm/web, which fetches it.",
    });
  return new WebAssembly.Module(files.readFileSync(new URL("tokenizers.wasm", import.meta.url)));
}

function newLibrary(): Library {
  compiled ??= readLibrary();
  return exportsSchema.parse({ ...new WebAssembly.Instance(compiled).exports });
}

/**
 * One tokenizer, in an instance of its own: its memory goes when it does. After a call that had to be stopped the next one
 * begins with an instance that is set up anew.
 */
export class OfficialTokenizer {
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Whether patterns of the file's own are matched. */
  readonly #patterned: boolean;
  /** What makes an instance this tokenizer. */
  readonly #setup: (() => void)[] = [];
  #running: Library | undefined;
  #tokenizer = 0;
  #view = new Uint32Array();
  #scratch = 0;
  #scratchBytes = 0;
  /** Of what the library works on. */
  #units = 0;

  /**
   * @param json the text of a tokenizer.json; its truncation and padding are ignored
   * @param patterned whether it brings regular expressions
   * @throws CheckpointError if the library cannot read it
   */
  constructor(json: string, patterned = false) {
    this.#patterned = patterned;
    this.#setUp(() => {
      const length = this.#write([json]);
      // Without patterns it is read in time that its length bounds.
      this.#units = 0;
      this.#tokenizer = this.#run(() => this.#library.create(this.#scratch + 4, length), "its patterns");
      if (this.#tokenizer === 0) throw new CheckpointError(this.#text());
      this.#free();
    });
  }

  /** Adds tokens as `Tokenizer.add_tokens` does in Python; one that is there already takes the new flags. */
  addTokens(tokens: readonly AddedToken[]): void {
    this.#setUp(() => {
      const length = this.#write([JSON.stringify(tokens)]);
      this.#check(() => this.#library.add_tokens(this.#tokenizer, this.#scratch + 4, length));
    });
  }

  /** @param json as in a tokenizer.json */
  setPostProcessor(json: unknown): void {
    this.#setUp(() => {
      const length = this.#write([JSON.stringify(json ?? null)]);
      this.#check(() => this.#library.set_post_processor(this.#tokenizer, this.#scratch + 4, length));
    });
  }

  /** Whether special tokens that stand in a text are read letter by letter (`split_special_tokens`). */
  splitSpecialTokens(split: boolean): void {
    this.#setUp(() => {
      this.#library.split_special(this.#tokenizer, Number(split));
    });
  }

  #setUp(step: () => void): void {
    this.#revive();
    step();
    this.#setup.push(step);
  }

  /** Sets up another instance where the last one was given up. */
  #revive(): void {
    if (this.#running !== undefined) return;
    this.#running = newLibrary();
    for (const step of this.#setup) step();
  }

  get #library(): Library {
    if (this.#running === undefined) throw new CheckpointError("the tokenizer library stopped");
    return this.#running;
  }

  /** Ids of a text, no special tokens around it. */
  encode(text: string): number[] {
    this.#revive();
    this.#write([text]);
    this.#check(() => this.#library.encode_ids(this.#tokenizer, this.#scratch + 4, this.#scratch, 1));
    const start = this.#library.numbers() / 4;
    return this.#numbers(start + 1, this.#words[start]!);
  }

  /** The same with offsets and words. */
  spans(text: string): Spans {
    this.#revive();
    const length = this.#write([text]);
    this.#check(() => this.#library.encode(this.#tokenizer, this.#scratch + 4, length));
    return this.#spans();
  }

  /** The tokens of a text that comes split into words; offsets count within each word. */
  wordSpans(words: readonly string[]): Spans {
    this.#revive();
    this.#write(words);
    const texts = this.#scratch + 4 * words.length;
    this.#check(() => this.#library.encode_words(this.#tokenizer, texts, this.#scratch, words.length));
    return this.#spans();
  }

  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    this.#revive();
    this.#units = ids.length;
    this.#reserve(4 * ids.length);
    this.#words.set(ids, this.#scratch / 4);
    const skip = Number(skipSpecialTokens);
    this.#check(() => this.#library.decode(this.#tokenizer, this.#scratch, ids.length, skip));
    return this.#text();
  }

  /** Undefined where there is no such token. */
  tokenToId(token: string): number | undefined {
    this.#revive();
    const length = this.#write([token]);
    const id = this.#run(() => this.#library.token_to_id(this.#tokenizer, this.#scratch + 4, length));
    return id < 0 ? undefined : id;
  }

  /** The highest id, added tokens included; -1 where there is no token at all. */
  highestId(): number {
    this.#revive();
    return this.#library.highest_id(this.#tokenizer);
  }

  /** All memory in words of 32 bits. It is another buffer each time that it has grown. */
  get #words(): Uint32Array {
    const { buffer } = this.#library.memory;
    if (this.#view.buffer !== buffer) this.#view = new Uint32Array(buffer);
    return this.#view;
  }

  /** Faster than `Array.from` for the few tokens of a text. */
  #numbers(start: number, count: number): number[] {
    const words = this.#words;
    const numbers = new Array<number>(count);
    for (let i = 0; i < count; i++) numbers[i] = words[start + i]!;
    return numbers;
  }

  /** Writes how many bytes each text has, and behind it the texts. @returns the bytes of them all */
  #write(texts: readonly string[]): number {
    const head = 4 * texts.length;
    let units = 0;
    for (const text of texts) units += text.length;
    this.#units = units;
    this.#reserve(head + BYTES_A_UNIT * units);
    const words = this.#words;
    const start = this.#scratch + head;
    const bytes = new Uint8Array(this.#library.memory.buffer, start, this.#scratchBytes - head);
    let end = 0;
    for (let i = 0; i < texts.length; i++) {
      const { written } = this.#encoder.encodeInto(texts[i]!, end === 0 ? bytes : bytes.subarray(end));
      words[this.#scratch / 4 + i] = written;
      end += written;
    }
    return end;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    this.#free();
    this.#scratchBytes = Math.max(2 * bytes, 4096);
    this.#scratch = this.#run(() => this.#library.allocate(this.#scratchBytes));
  }

  #free(): void {
    if (this.#scratchBytes > 0) this.#library.release(this.#scratch, this.#scratchBytes);
    [this.#scratch, this.#scratchBytes] = [0, 0];
  }

  #text(): string {
    const { memory, text, text_length } = this.#library;
    return this.#decoder.decode(new Uint8Array(memory.buffer, text(), text_length()));
  }

  #spans(): Spans {
    const start = this.#library.numbers() / 4;
    const count = this.#words[start]!;
    const part = (i: number) => this.#numbers(start + 1 + i * count, count);
    const words = part(3).map((word) => (word === NO_WORD ? null : word));
    return { ids: part(0), starts: part(1), ends: part(2), words };
  }

  #check(work: () => number): void {
    if (this.#run(work) < 0)
      throw new DataError(`the tokenizer refuses a text: ${this.#text()}`, {
        hint: "tokenizer.json may lack its unknown token: transformers refuses the same text.",
      });
  }

  /**
   * @param what it is at
   * @throws CheckpointError with the library's own words where it gives up, and where it takes too long
   */
  #run(work: () => number, what: keyof typeof deadlineMs = "a text"): number {
    const long = this.#patterned || this.#units >= longUnits;
    try {
      const done = long ? runBefore(deadlineMs[what], work) : { value: work() };
      if (done !== undefined) return done.value;
    } catch (cause) {
      if (!(cause instanceof WebAssembly.RuntimeError)) throw cause;
      throw this.#giveUp(`stopped: ${this.#text() || cause.message}`, cause);
    }
    throw this.#giveUp(`takes more than ${deadlineMs[what] / 1000} s for ${what}`);
  }

  /** Whatever it was in the middle of, memory and all. */
  #giveUp(why: string, cause?: unknown): CheckpointError {
    this.#running = undefined;
    [this.#scratch, this.#scratchBytes] = [0, 0];
    const hint = "A pattern in tokenizer.json may backtrack without end on such a text.";
    return new CheckpointError(`the tokenizer library ${why}`, { cause, ...(this.#patterned && { hint }) });
  }
}
