import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { promptTemplate } from "../../../src/data/encoding/prompts.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { encodeInWindows } from "../../../src/data/encoding/windows.ts";

const goldens = join(packageRoot, "tests/goldens/tokenizers");
const text = `${"Le café naïf, 你好 and 👋🏽 more — ".repeat(7)}the end`;

describe.each(["bert-uncased", "roberta"])("windows of %s", (name) => {
  it("hold every token of the text once, in order, each with the special tokens of a text", async () => {
    const tokenizer = await loadTokenizer(join(goldens, name));
    const { ids: whole } = tokenizer.encode({ text }, 10_000);
    for (const maxLength of [3, 7, 16, whole.length - 1]) {
      const { windows = [], truncated } = encodeInWindows(tokenizer, undefined, { text }, maxLength);
      expect(truncated).toBe(false);
      const parts = windows.map(({ ids }) => ids);
      expect(parts.every((ids) => ids[0] === whole[0] && ids.at(-1) === whole.at(-1))).toBe(true);
      expect([whole[0], ...parts.flatMap((ids) => ids.slice(1, -1)), whole.at(-1)]).toEqual(whole);
      expect(windows.map(({ textTokens }) => textTokens)).toEqual(parts.map((ids) => ids.length - 2));
      expect(parts.slice(0, -1).every((ids) => ids.length === maxLength)).toBe(true);
      expect(windows.every(({ typeIds, ids }) => typeIds.join() === ids.map(() => 0).join())).toBe(true);
    }
  });

  it("a text that fits is read as ever, a pair too", async () => {
    const tokenizer = await loadTokenizer(join(goldens, name));
    const pair = { text: "one two", textPair: "three" };
    for (const example of [{ text: "one two" }, { text: "" }, pair])
      expect(encodeInWindows(tokenizer, undefined, example, 30)).toEqual(tokenizer.encode(example, 30));
  });

  it("in a prompt each has the prompt's words, and the next part of the text", async () => {
    const tokenizer = await loadTokenizer(join(goldens, name));
    const template = promptTemplate("[{text}]");
    const { windows = [] } = encodeInWindows(tokenizer, template, { text }, 20);
    expect(windows.length).toBeGreaterThan(3);
    expect(windows.every(({ ids }) => ids.length <= 20)).toBe(true);
    const plain = (words: string) => words.replace(/[[\]\s]/g, "").toLowerCase();
    const read = windows.map(({ ids }) => tokenizer.decode(ids));
    expect(read.every((words) => plain(words) !== words.replace(/\s/g, "").toLowerCase())).toBe(true);
    const { ids } = tokenizer.encode({ text }, 10_000);
    expect(plain(read.join(""))).toBe(plain(tokenizer.decode(ids)));
    const [first] = windows;
    const alone = tokenizer.encode({ text: "[]" }, 30).ids.length;
    expect(first?.textTokens).toBe((first?.ids.length ?? 0) - alone);
    expect(encodeInWindows(tokenizer, template, { text: "one" }, 30).windows).toBeUndefined();
  });

  it("a whole book costs no more than its windows", async () => {
    const tokenizer = await loadTokenizer(join(goldens, name));
    const book = "word after word ".repeat(8000);
    const started = performance.now();
    const { windows = [] } = encodeInWindows(tokenizer, promptTemplate("[{text}]"), { text: book }, 128);
    expect(windows.length).toBeGreaterThan(100);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("refuses a pair that is too long, and a prompt that leaves no room", async () => {
    const tokenizer = await loadTokenizer(join(goldens, name));
    expect(() => encodeInWindows(tokenizer, undefined, { text, textPair: "three" }, 8)).toThrow(
      /the pair of texts that begins with "Le café.* is longer than 8 tokens, and pairs are not cut into windows/,
    );
    expect(() =>
      encodeInWindows(tokenizer, promptTemplate("a very long prompt {text}"), { text }, 6),
    ).toThrow(/takes \d+ tokens with no more than a letter of the text/);
  });
});
