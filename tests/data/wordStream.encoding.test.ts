import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { collateTargets, tokenTargets, wordSlots, wordTags } from "../../src/continual/taskTypes/wordTargets.ts";
import { ConfigError, DataError, GraphError } from "../../src/core/errors.ts";
import { collate } from "../../src/data/encoding/batching.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizer.ts";
import { encodeAllWords, encodeWords } from "../../src/data/encoding/wordEncoding.ts";
import { folderWith } from "../support/folders.ts";
import { goldenTokenizer } from "../support/shared.ts";

const goldens = fileURLToPath(new URL("../goldens/tokenizers", import.meta.url));
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

describe("targets of tokens", () => {
  const labels = ["B-PER", "I-PER"];
  const slots = wordSlots([{ labels }]);
  const words = ["\u200b", "pneumonoultramicroscopic", "a", "table"];
  const tags = ["B-PER", "B-PER", "O", "I-PER"];

  it("stand on the first token of each word that has one", async () => {
    const encoding = encodeWords(await loadTokenizer(uncased), words, 128);
    const targets = tokenTargets(encoding, tags, slots);
    const first = encoding.firstTokens[1] ?? -1;
    expect(encoding.firstTokens[0]).toBeNull();
    expect(first).toBe(1);
    expect(targets).toHaveLength(encoding.ids.length);
    expect(targets.filter((target) => target !== -100)).toEqual([1, 0, 2]);
    expect(targets[first]).toBe(1);
    expect(targets[0]).toBe(-100);
    expect(targets.at(-1)).toBe(-100);
  });

  it("come back as tags, and a word without a token as O", async () => {
    const encoding = encodeWords(await loadTokenizer(uncased), words, 128);
    const predicted = tokenTargets(encoding, tags, slots);
    expect(wordTags(encoding, predicted, slots)).toEqual(["O", "B-PER", "O", "I-PER"]);
    expect(() => wordTags(encoding, predicted, ["O"])).toThrow(/slot 1 is none of 1/);
    const cut = encodeWords(await loadTokenizer(uncased), ["a", ...words], 3);
    expect(wordTags(cut, [9, 2, 9], slots)).toEqual(["I-PER", "O", "O", "O", "O"]);
  });

  it("of several tasks follow O in learning order", () => {
    expect(wordSlots([{ labels }, { labels: ["B-LOC", "I-LOC"] }])).toEqual([
      "O",
      "B-PER",
      "I-PER",
      "B-LOC",
      "I-LOC",
    ]);
  });

  it("of another task, or of other words, are refused", async () => {
    const encoding = encodeWords(await loadTokenizer(uncased), ["a"], 8);
    expect(() => tokenTargets(encoding, ["B-LOC"], slots)).toThrow(/"B-LOC" is none of the task's/);
    expect(() => tokenTargets(encoding, [], slots)).toThrow(DataError);
  });

  it.each(["right", "left"] as const)("lie under their tokens, padded on the %s", async (side) => {
    const tokenizer = await loadTokenizer(uncased);
    const sentences = [["a", "table"], ["book"], ["book", "a", "table"]];
    const { encodings } = encodeAllWords(
      tokenizer,
      sentences.map((given) => ({ words: given })),
      16,
    );
    const targets = encodings.map((encoding) =>
      tokenTargets(
        encoding,
        encoding.firstTokens.map(() => "I-PER"),
        slots,
      ),
    );
    const batch = collate(encodings, tokenizer.padId, side);
    const { labels: slotsOf, weights, counted } = collateTargets(targets, side);
    expect(counted).toBe(6);
    expect(slotsOf.dims).toEqual([batch.size, batch.length]);
    expect(weights.dims).toEqual(slotsOf.dims);
    const firsts = encodings.flatMap(({ ids, firstTokens }) => firstTokens.map((i) => ids[i ?? -1]));
    const on = [...weights.data.keys()].filter((i) => weights.data[i] !== 0);
    expect(on.map((i) => Number(batch.inputIds.data[i]))).toEqual(firsts);
    expect(on.every((i) => weights.data[i] === Math.fround(1 / 6) && slotsOf.data[i] === 2n)).toBe(true);
    expect([...slotsOf.data].filter((slot) => slot !== 0n)).toHaveLength(6);
    expect(() => collateTargets([])).toThrow(GraphError);
  });
});
