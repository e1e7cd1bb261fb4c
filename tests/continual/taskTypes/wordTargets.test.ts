import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { collateTargets, tokenTargets, wordSlots } from "../../../src/continual/taskTypes/wordTargets.ts";
import { DataError, GraphError } from "../../../src/core/errors.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { collate } from "../../../src/data/encoding/batching.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { encodeAllWords, encodeWords } from "../../../src/data/encoding/wordEncoding.ts";

const uncased = join(packageRoot, "tests/goldens/tokenizers/bert-uncased");

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
