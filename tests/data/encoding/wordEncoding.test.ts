import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConfigError, DataError } from "../../../src/core/errors.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { encodeAllWords, encodeWords } from "../../../src/data/encoding/wordEncoding.ts";
import { folderWith } from "../../support/folders.ts";
import { goldenTokenizer } from "../../support/shared.ts";

const goldens = fileURLToPath(new URL("../../goldens/tokenizers", import.meta.url));
const uncased = join(goldens, "bert-uncased");

const casesSchema = z.array(
  z.object({
    words: z.array(z.string()),
    maxLength: z.number(),
    ids: z.array(z.number()),
    typeIds: z.array(z.number()),
    firstTokens: z.array(z.number().nullable()),
    cutWords: z.number(),
  }),
);

describe.each(["bert-cased", "bert-uncased", "roberta", "minilm-l6"])(
  "words of %s are encoded as by transformers",
  (name) => {
    const golden = goldenTokenizer(name);
    it.skipIf(golden.absent)(golden.titled("on every case"), async () => {
      const tokenizer = await loadTokenizer(golden.path);
      const cases = casesSchema.parse(JSON.parse(readFileSync(join(goldens, name, "words.json"), "utf8")));
      expect(cases.length).toBeGreaterThan(100);
      expect(cases.some(({ cutWords }) => cutWords > 0)).toBe(true);
      for (const { words, maxLength, ...expected } of cases) {
        const { truncated, end, ...encoding } = encodeWords(tokenizer, words, maxLength);
        const framing = tokenizer.frame([]);
        expect(encoding.ids.slice(end)).toEqual(framing.ids.slice(framing.start));
        expect({ words, maxLength, ...encoding }).toEqual({ words, maxLength, ...expected });
        expect(truncated).toBe(expected.cutWords > 0);
      }
    });
  },
);

describe("a sentence of words", () => {
  it("is cut between words, and says how many it lost", async () => {
    const tokenizer = await loadTokenizer(uncased);
    const words = ["book", "a", "pneumonoultramicroscopic", "table"];
    const whole = encodeWords(tokenizer, words, 64);
    const third = whole.firstTokens[2] ?? 0;
    const cut = encodeWords(tokenizer, words, third + 2);
    expect(cut.ids).toEqual([...whole.ids.slice(0, third), whole.ids.at(-1)]);
    expect(cut).toMatchObject({ cutWords: 2, truncated: true, firstTokens: [1, 2, null, null] });
    const all = encodeAllWords(tokenizer, [{ words }, { words: ["a"] }], third + 2);
    expect(all).toMatchObject({ truncated: 1, cutWords: 2 });
  });

  it("needs room for the special tokens, and a token where there are none", async () => {
    const bert = JSON.parse(readFileSync(join(uncased, "tokenizer.json"), "utf8"));
    const bare = folderWith({ "tokenizer.json": JSON.stringify({ ...bert, post_processor: null }) });
    const [tokenizer, plain] = await Promise.all([loadTokenizer(uncased), loadTokenizer(bare)]);
    expect(() => encodeWords(tokenizer, ["a"], 1)).toThrow(ConfigError);
    expect(encodeWords(plain, ["book"], 8)).toMatchObject({ firstTokens: [0], cutWords: 0 });
    const bad = () => encodeAllWords(plain, [{ words: ["a"] }, { words: ["\u0001"] }], 8, "test of task-2");
    expect(bad).toThrow(DataError);
    expect(bad).toThrow(/^test of task-2, number 2: the sentence .* has no tokens$/);
  });
});
