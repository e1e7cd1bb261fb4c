/** Which tags compete for a word, and how a word's tag is read from its first token. */
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseTags, tagsInPlay } from "../../../src/continual/taskTypes/wordPrediction.ts";
import type { Logits } from "../../../src/continual/types.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { softmax } from "../../../src/core/softmax.ts";
import { loadTokenizer } from "../../../src/data/encoding/tokenizerFolder.ts";
import { encodeWords } from "../../../src/data/encoding/wordEncoding.ts";

const own = [
  ["O", "B-x", "I-x"],
  ["O", "B-y"],
] as const;
/** With `outside: first` later heads have no O. */
const first = [own[0], ["B-y"]] as const;

const rows = (...values: readonly (readonly number[])[]) => values.map((row) => Float32Array.from(row));
const close = (value: number) => expect.closeTo(value, 6);

/** (T, C) */
function logitsOf(...tokens: readonly (readonly number[])[]): Logits {
  return {
    rows: tokens.length,
    classes: tokens[0]?.length ?? 0,
    values: Float32Array.from(tokens.flat()),
  };
}

const encodingOf = (firstTokens: readonly (number | null)[]) => ({
  ids: firstTokens.map(() => 0),
  typeIds: firstTokens.map(() => 0),
  truncated: firstTokens.includes(null),
  firstTokens,
  end: firstTokens.length,
  cutWords: firstTokens.filter((token) => token === null).length,
});

describe("tags in play", () => {
  test("with an O of its own in every head, O is there once and stands at 0", () => {
    const { tags, compete } = tagsInPlay(own, "own");
    expect(tags).toEqual(["O", "B-x", "I-x", "B-y"]);
    expect(compete(rows([1, 3, 2], [4, 6.5]))).toEqual([0, 2, 1, 2.5]);
  });

  test("then what they are compared by is log p(tag) − log p(O) of the same head", () => {
    const logit = fc.float({ min: -10, max: 10, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(logit, logit, logit), fc.tuple(logit, logit), (one, other) => {
        const { compete } = tagsInPlay(own, "own");
        const [p, q] = [softmax(Float32Array.from(one)), softmax(Float32Array.from(other))];
        const expected = [
          0,
          Math.log(p[1]!) - Math.log(p[0]!),
          Math.log(p[2]!) - Math.log(p[0]!),
          Math.log(q[1]!) - Math.log(q[0]!),
        ];
        expect(compete(rows(one, other))).toEqual(expected.map((value) => expect.closeTo(value, 4)));
      }),
    );
  });

  test("a head's level does not matter then: raising all its logits changes nothing", () => {
    const { compete } = tagsInPlay(own, "own");
    expect(compete(rows([1, 3, 2], [104, 106.5]))).toEqual(compete(rows([1, 3, 2], [4, 6.5])));
  });

  test("with the first task's O for all, logits stand side by side as they are", () => {
    const { tags, compete } = tagsInPlay(first, "first");
    expect(tags).toEqual(["O", "B-x", "I-x", "B-y"]);
    expect(compete(rows([1, 3, 2], [4]))).toEqual([1, 3, 2, 4]);
  });

  test("one head alone is the same with both rules", () => {
    for (const rule of ["own", "first"] as const) {
      const { tags, compete } = tagsInPlay([own[0]], rule);
      expect(tags).toEqual(own[0]);
      expect(compete(rows([1, 3, 2]))).toEqual([1, 3, 2]);
    }
  });
});

describe("chosen tags", () => {
  test("own: a type wins by how far it is above its own head's O, and O where none is above it", () => {
    const encodings = [encodingOf([0, 1])];
    const perTask = [[logitsOf([1, 3, 2], [5, 1, 1])], [logitsOf([4, 6.5], [9, 8])]];
    const [[one, two] = []] = chooseTags(encodings, perTask, tagsInPlay(own, "own"));
    // Side by side the second head's O would win the first word, with logits 1, 3, 2, 4, 6.5.
    const all = [0, 2, 1, 2.5].map(Math.exp);
    const total = all.reduce((sum, value) => sum + value, 0);
    expect(one).toEqual({ tag: "B-y", probability: close(Math.exp(2.5) / total) });
    const none = [0, -4, -4, -1].map(Math.exp).reduce((sum, value) => sum + value, 0);
    expect(two).toEqual({ tag: "O", probability: close(1 / none) });
  });

  test("first: the largest logit wins, whatever head it is of; the first of equals", () => {
    const encodings = [encodingOf([0, 1, 2])];
    const perTask = [[logitsOf([1, 3, 2], [5, 1, 1], [2, 2, 2])], [logitsOf([4], [4], [2])]];
    const [words = []] = chooseTags(encodings, perTask, tagsInPlay(first, "first"));
    expect(words.map(({ tag }) => tag)).toEqual(["B-y", "O", "O"]);
    const total = [1, 3, 2, 4].map(Math.exp).reduce((sum, value) => sum + value, 0);
    expect(words[0]?.probability).toEqual(close(Math.exp(4) / total));
    expect(words[2]?.probability).toEqual(close(1 / 4));
  });

  test("are read on each word's first token; a word without one is O, and surely", async () => {
    const tokenizer = await loadTokenizer(join(packageRoot, "tests/goldens/tokenizers/bert-uncased"));
    const words = ["\u200b", "pneumonoultramicroscopic", "a", "table"];
    const encoding = encodeWords(tokenizer, words, 128);
    const firsts = encoding.firstTokens.filter((token) => token !== null);
    const wanted = new Map([
      [firsts[0], 1],
      [firsts[2], 2],
    ]);
    // Tokens that begin no word speak for I-x, and are not asked.
    const tokens = encoding.ids.map((_, token) => {
      const slot = firsts.includes(token) ? (wanted.get(token) ?? 0) : 2;
      return [0, 1, 2].map((each) => (each === slot ? 9 : 0));
    });
    for (const rule of ["own", "first"] as const) {
      const [chosen = []] = chooseTags([encoding], [[logitsOf(...tokens)]], tagsInPlay([own[0]], rule));
      expect(chosen.map(({ tag }) => tag)).toEqual(["O", "B-x", "O", rule === "own" ? "O" : "I-x"]);
      expect(chosen[0]).toEqual({ tag: "O", probability: 1 });
    }
    const cut = encodingOf([1, null, null]);
    const [chosen = []] = chooseTags(
      [cut],
      [[logitsOf([9, 0, 0], [0, 0, 9], [9, 0, 0])]],
      tagsInPlay([own[0]], "own"),
    );
    expect(chosen.map(({ tag }) => tag)).toEqual(["O", "O", "O"]);
  });

  test("own: together they can stand beside each other, first: each is chosen by itself", () => {
    const sentence = [encodingOf([0, 1, 2])];
    // The likeliest of each word are I-x, I-x, B-x; an entity must begin.
    const perTask = [[logitsOf([0, 2, 3], [0, 0, 4], [0, 5, 1])]];
    const tagsBy = (rule: "own" | "first") =>
      chooseTags(sentence, perTask, tagsInPlay([own[0]], rule)).map((words) => words.map(({ tag }) => tag));
    expect(tagsBy("first")).toEqual([["I-x", "I-x", "B-x"]]);
    expect(tagsBy("own")).toEqual([["B-x", "I-x", "B-x"]]);
    // Nothing goes on behind a word without a token.
    const gap = [encodingOf([0, null, 1])];
    const chosen = chooseTags(gap, [[logitsOf([0, 5, 0], [0, 0, 9])]], tagsInPlay([own[0]], "own"));
    expect(chosen.map((words) => words.map(({ tag }) => tag))).toEqual([["B-x", "O", "O"]]);
  });
});
