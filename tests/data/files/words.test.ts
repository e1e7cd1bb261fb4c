import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toCharacterSpans } from "../../../src/data/files/spans.ts";
import { cutWords, locateWords, splitAtBlanks } from "../../../src/data/files/words.ts";

describe("a text is cut into words", () => {
  it.each([
    ["I live in Oslo.", ["I", "live", "in", "Oslo", "."]],
    ["Rome, Bern!", ["Rome", ",", "Bern", "!"]],
    ["She's 3.14 m", ["She's", "3.14", "m"]],
    ["我爱北京", ["我", "爱", "北京"]],
    ["ฉันรักกรุงเทพ", ["ฉัน", "รัก", "กรุงเทพ"]],
    ["in Zu\u0308rich 👩‍🚀 now", ["in", "Zu\u0308rich", "👩‍🚀", "now"]],
    [" \t\n\u00a0", []],
  ])("%s", (text, words) => {
    expect(cutWords(text).words).toEqual(words);
  });

  it("whose places are exact, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        for (const { words, starts } of [cutWords(text), splitAtBlanks(text)]) {
          expect(words.map((word, i) => text.slice(starts[i], starts[i]! + word.length))).toEqual(words);
          expect(words.join("").replace(/\s/gu, "")).toBe(text.replace(/\s/gu, ""));
          expect(locateWords(text, words)).toEqual(starts);
        }
      }),
    );
  });

  it("that are found again one after another, or not at all", () => {
    expect(locateWords("a  b a", ["a", "a"])).toEqual([0, 5]);
    expect(locateWords("a b", ["b", "a"])).toBeUndefined();
  });
});

it("places in UTF-16 code units become places in characters", () => {
  const text = "👩‍🚀 Oslo";
  const start = text.indexOf("Oslo");
  expect(toCharacterSpans(text, [{ type: "place", start, end: start + 4 }])).toEqual([
    { label: "place", start: [...text].indexOf("O"), end: [...text].length },
  ]);
});
