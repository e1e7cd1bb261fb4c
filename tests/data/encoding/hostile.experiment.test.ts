/**
 * Tokenizer files whose patterns backtrack without end, and texts on which they do. ACCRETE_ATTACK=1 tries every pattern: one that
 * the clock ends takes ten seconds.
 */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CheckpointError } from "../../../src/core/errors.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { failureOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/folders.ts";

async function encodedBy(work: () => unknown): Promise<void> {
  work();
}

interface Hostile {
  readonly pattern?: string;
  readonly model?: object;
}

const wordLevel = { type: "WordLevel", vocab: { "[UNK]": 0, a: 1 }, unk_token: "[UNK]" };

async function write({ pattern, model = wordLevel }: Hostile): Promise<string> {
  const folder = await temporaryFolder();
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: pattern === undefined ? null : split,
    post_processor: null,
    decoder: null,
    model,
  };
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(file));
  return folder;
}

/** Patterns that need lookahead, each with a text that it takes more than minutes to read. */
const hostile = {
  "the cube of the length": ["a*a*(?![a]|$)", "a".repeat(3000)],
  "two to the length": ["(a+)+(?=b)", "a".repeat(60)],
  "alternatives by case": ["(?i)(?:a+){2,9}(?!a|$)", "aA".repeat(2000)],
} as const;
const tried = Object.keys(hostile).slice(0, process.env.ACCRETE_ATTACK === "1" ? undefined : 2);

test.each(tried)(
  "%s: the text is refused within 20 s, and the next one is read",
  async (kind) => {
    const [pattern, text] = hostile[kind as keyof typeof hostile];
    const tokenizer = await loadTokenizer(await write({ pattern }));
    expect(tokenizer.encode({ text: "a" }, 8).ids).toEqual([1]);
    const start = performance.now();
    const failure = await failureOf(encodedBy(() => tokenizer.encode({ text }, 8)));
    expect(failure).toBeInstanceOf(CheckpointError);
    expect(failure.message).toMatch(/the tokenizer library (takes more than 10 s for a text|stopped: .*)/);
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(tokenizer.encode({ text: "a" }, 8).ids).toEqual([1]);
  },
  60_000,
);

test("a pattern that takes for ever to compile is refused by its length", async () => {
  await expect(loadTokenizer(await write({ pattern: "a".repeat(3_000_000) }))).rejects.toThrow(
    /a pattern has more than 10000 characters/,
  );
});

test("a word of a million letters ends, whatever length the file allows", async () => {
  const vocab = { "[UNK]": 0, a: 1, "##a": 2 };
  const model = {
    type: "WordPiece",
    vocab,
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 1e9,
  };
  const tokenizer = await loadTokenizer(await write({ model }));
  const start = performance.now();
  const failure = await failureOf(encodedBy(() => tokenizer.encode({ text: "a".repeat(1_000_000) }, 8)));
  expect(failure.message).toMatch(/takes more than 10 s for a text/);
  expect(performance.now() - start).toBeLessThan(20_000);
  expect(tokenizer.encode({ text: "aa" }, 8).ids).toEqual([1, 2]);
}, 60_000);

test("the library imports nothing that could read, write or contact anything", () => {
  const module = new WebAssembly.Module(readFileSync("src/data/encoding/tokenizers.wasm"));
  expect(WebAssembly.Module.imports(module)).toEqual([]);
});

test("the library has 1.5 GiB of memory at most", async () => {
  const module = new WebAssembly.Module(readFileSync("src/data/encoding/tokenizers.wasm"));
  const { memory } = new WebAssembly.Instance(module).exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("no memory");
  const pages = memory.buffer.byteLength / 65_536;
  expect(() => memory.grow(24_577 - pages)).toThrow(RangeError);
});
