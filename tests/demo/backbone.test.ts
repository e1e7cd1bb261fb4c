import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createRng } from "../../src/core/random.ts";
import { float32 } from "../../src/core/tensor.ts";
import { loadTokenizer } from "../../src/data/encoding/tokenizerFolder.ts";
import { buildCorpus, checkNothingHeldOut, wordKey } from "../../tools/backbone/corpus.ts";
import { generateSentences } from "../../tools/backbone/grammar/generate.ts";
import { readBenchmarks } from "../../tools/backbone/sources.ts";
import { principalAxes, warmStart } from "../../tools/backbone/warmStart.ts";
import { parseSynset } from "../../tools/backbone/wordnet.ts";
import { preTokenize, trainWordPiece } from "../../tools/backbone/wordpiece.ts";
import { generateDemo, normalise } from "../../tools/demo/generate.ts";
import { digits } from "../support/tolerances.ts";

const modelFolder = fileURLToPath(new URL("../../models/accrete-mini/", import.meta.url));
const dataFolder = fileURLToPath(new URL("../../../shared/data", import.meta.url));
const demo = generateDemo();
const demoTexts = [...demo.train, ...demo.validation, ...demo.test].map(({ text }) => text);

describe("corpus", () => {
  it("drops what is held out, in whatever order, case and punctuation its words stand", () => {
    const { texts, counts } = buildCorpus(
      { one: ["The lamp is on.", "on the lamp is", "Is it on?"], two: ["is it ON?", "A lamp", "?!"] },
      ["the LAMP is on"],
    );
    expect([...texts].sort()).toEqual(["A lamp", "Is it on?"]);
    expect(counts).toEqual({ one: { kept: 1, heldOut: 2 }, two: { kept: 1, heldOut: 0 } });
  });

  it("refuses a corpus that holds a held-out sentence, and names it", () => {
    expect(() => checkNothingHeldOut(["fine", "Book  A Flight"], ["book a flight"])).toThrow(
      /Book {2}A Flight/,
    );
    expect(() => checkNothingHeldOut(["fine"], ["book a flight"])).not.toThrow();
  });

  it("makes its own sentences as a function of the seed, none of them the demo's", () => {
    const sentences = generateSentences(3000, 1);
    expect(generateSentences(3000, 1)).toEqual(sentences);
    expect(generateSentences(3000, 2)).not.toEqual(sentences);
    expect(new Set(sentences).size).toBe(3000);
    for (const sentence of sentences) expect(sentence).not.toMatch(/[{}]|\ba [aeio](?!ne)|\bthe the\b/);
    // The grammar alone may come upon a demo sentence by chance; the corpus drops it, and this sample has none.
    const forbidden = new Set(demoTexts.map(wordKey));
    expect(
      buildCorpus({ sentences }, demoTexts).texts.filter((text) => forbidden.has(wordKey(text))),
    ).toEqual([]);
  });

  it("reads a synset's lemmas, definition and examples", () => {
    const line =
      '00001740 02 r 02 a_cappella 0 a_capella 0 002 \\ 02260096 a 0202 | without accompaniment; "they sang a cappella"  ';
    expect(parseSynset(line, new Map([["4 00001740", 7]]))).toEqual({
      lemmas: ["a cappella", "a capella"],
      definition: "without accompaniment",
      examples: ["they sang a cappella"],
      frequency: 7,
      remote: false,
    });
    expect(parseSynset("  1 This software and database is being provided", new Map())).toBeUndefined();
  });
});

describe.skipIf(!existsSync(dataFolder))("benchmark sources (skipped where ../shared/data is absent)", () => {
  it("keeps training and held-out texts apart", () => {
    const { train, heldOut } = readBenchmarks(dataFolder);
    expect(train.clinc150.length).toBe(15_100);
    expect(train.banking77.length).toBe(10_003);
    expect(heldOut.length).toBeGreaterThan(3000 + 4500 + 1100 + 3080);
    const { texts } = buildCorpus(train, heldOut);
    const tested = new Set(heldOut.map(normalise));
    expect(texts.filter((text) => tested.has(normalise(text)))).toEqual([]);
    expect(texts.length).toBeGreaterThan(27_000);
  });
});

describe("WordPiece training", () => {
  const texts = ["Lower low lowest lower", "new newest newer café", "low, low!"];

  it("splits as BERT does: lower case, no accents, punctuation alone", () => {
    expect(preTokenize("Café-au-lait, it's $5!")).toEqual([
      "cafe",
      "-",
      "au",
      "-",
      "lait",
      ",",
      "it",
      "'",
      "s",
      "$",
      "5",
      "!",
    ]);
  });

  it("holds special tokens first, every character, merged pieces, then whole words", () => {
    const size = { total: 150, merges: 3, rareCharacter: 1 };
    const vocabulary = trainWordPiece(texts, size);
    expect(vocabulary.slice(0, 5)).toEqual(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    for (const entry of ["a", "##a", "!", "9", "##9"]) expect(vocabulary).toContain(entry);
    expect(vocabulary).not.toContain("##!");
    // Worked by hand: ##o+##w and l+##o both stand in 6 words, so code points decide; then l+##ow; then ##e+##r,
    // the first of four pairs that stand in 3.
    const merged = vocabulary
      .slice(vocabulary.indexOf("##9") + 1)
      .filter((entry) => /^##..|^[a-z]{2}/.test(entry));
    expect(merged.slice(0, 3)).toEqual(["##ow", "low", "##er"]);
    expect(vocabulary).toContain("newest");
    expect(new Set(vocabulary).size).toBe(vocabulary.length);
    expect(trainWordPiece(texts, size)).toEqual(vocabulary);
    expect(trainWordPiece(texts, { ...size, total: 116 }).length).toBe(116);
  });
});

describe("the shipped vocabulary", () => {
  it("spells every demo sentence without an unknown token, most words whole", async () => {
    const tokenizer = await loadTokenizer(modelFolder);
    const vocabulary = readFileSync(`${modelFolder}vocab.txt`, "utf8").trimEnd().split("\n");
    const unknown = vocabulary.indexOf("[UNK]");
    const ids = demoTexts.map((text) => [...tokenizer.encode({ text }, 128).ids].map(Number));
    expect(ids.filter((row) => row.includes(unknown))).toEqual([]);
    const tokens = ids.flat().map((id) => vocabulary[id] ?? "");
    expect(tokens.filter((token) => token.startsWith("##")).length / tokens.length).toBeLessThan(0.05);
    expect(tokenizer.vocabularySize).toBe(vocabulary.length);
  });

  it("lists the same entries in vocab.txt and tokenizer.json", () => {
    const json: unknown = JSON.parse(readFileSync(`${modelFolder}tokenizer.json`, "utf8"));
    const vocabulary = readFileSync(`${modelFolder}vocab.txt`, "utf8").trimEnd().split("\n");
    expect(json).toMatchObject({
      model: { type: "WordPiece", vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])) },
    });
  });
});

describe("warm start", () => {
  it("finds the axes of a symmetric matrix", () => {
    // Eigenvalues 3 along (1, 1)/√2 and 1 along (1, −1)/√2.
    const [first, second] = principalAxes(Float64Array.of(2, 1, 1, 2), 2);
    const half = Math.SQRT1_2;
    expect(first?.[0]).toBeCloseTo(half, digits.float64);
    expect(first?.[1]).toBeCloseTo(half, digits.float64);
    expect(Math.abs(second?.[0] ?? 0)).toBeCloseTo(half, digits.float64);
    expect((second?.[0] ?? 0) + (second?.[1] ?? 0)).toBeCloseTo(0, digits.float64);
  });

  it("gives back the centred vectors, up to one scale, through the projection when no axis is dropped", () => {
    const rng = createRng(3);
    const [entries, width] = [40, 6];
    const vectors = float32(
      Float32Array.from({ length: entries * width }, () => rng.normal()),
      [entries, width],
    );
    const { embeddings, projection } = warmStart(vectors, width);
    const back = Array.from({ length: entries * width }, (_, i) => {
      const [row, e] = [Math.floor(i / width), i % width];
      let sum = 0;
      for (let d = 0; d < width; d++)
        sum += embeddings.data[row * width + d]! * projection.data[e * width + d]!;
      return sum;
    });
    const mean = (e: number) =>
      vectors.data.reduce((sum, v, i) => (i % width === e ? sum + v / entries : sum), 0);
    const centred = [...vectors.data].map((value, i) => value - mean(i % width));
    const scale = back[0]! / centred[0]!;
    back.forEach((value, i) => {
      expect(value).toBeCloseTo(scale * centred[i]!, digits.float32);
    });
    expect(() => warmStart(vectors, 7)).toThrow(/on 7 axes/);
  });
});
