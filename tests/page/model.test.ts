/** What the page works with, without a browser. */
import { describe, expect, test } from "vitest";
import { ago, bytes, count, duration, percent, sayError } from "../../src/page/model/say.ts";
import { byClass, cellsOf, linesOf, readFileText } from "../../src/page/model/texts.ts";
import { tokenIn } from "../../src/page/model/token.ts";
import { marked, piecesOf, taggedOf, wordsOf } from "../../src/page/model/words.ts";

describe("pasted and dropped texts", () => {
  test("are lines without blanks around them, each once", () => {
    expect(linesOf("  one \r\n\r\ntwo\none\n")).toEqual(["one", "two"]);
  });

  test("come with their labels from JSON lines, and what cannot be read is counted", () => {
    const lines = [
      '{"text": "a", "label": "x"}',
      '{"text": "b"}',
      "{",
      '{"words": ["A"], "tags": ["O"]}',
      "3",
    ];
    expect(readFileText("rows.jsonl", lines.join("\n"))).toEqual({
      texts: ["b"],
      examples: [{ text: "a", label: "x" }],
      sentences: [{ words: ["A"], tags: ["O"] }],
      unread: 2,
    });
  });

  test("come from CSV with and without a head, with commas and quotes in cells", () => {
    expect(cellsOf('"a, ""b""",c, d')).toEqual(['a, "b"', "c", "d"]);
    const { examples } = readFileText("rows.csv", 'label,text\nx,"hello, you"\ny,bye\n');
    expect(examples).toEqual([
      { text: "hello, you", label: "x" },
      { text: "bye", label: "y" },
    ]);
    expect(readFileText("rows.csv", "hello,x\n").examples).toEqual([{ text: "hello", label: "x" }]);
    expect(readFileText("rows.txt", "a,b\n").texts).toEqual(["a,b"]);
  });

  test("are put together by class, each once", () => {
    const rows = [
      { text: "a", label: "x" },
      { text: "b", label: "y" },
      { text: "a", label: "x" },
    ];
    expect([...byClass(rows)]).toEqual([
      ["x", ["a"]],
      ["y", ["b"]],
    ]);
  });
});

describe("entities", () => {
  const text = "😀 Ada Lovelace, of London.";
  const words = wordsOf(text);

  test("have their places in characters, whatever stands before them", () => {
    expect(words.map((word) => word.text)).toEqual(["😀", "Ada", "Lovelace", ",", "of", "London", "."]);
    expect(words[1]).toEqual({ text: "Ada", start: 2, end: 5 });
  });

  test("are pieces of the text, which put together are the text", () => {
    const pieces = piecesOf(text, words, [{ type: "person", start: 2, end: 14 }]);
    expect(pieces.map(({ before, text }) => before + text).join("")).toBe(text);
    expect(pieces[1]).toMatchObject({ text: "Ada Lovelace", words: [1, 2], entity: { type: "person" } });
  });

  test("are marked anew, and become tags", () => {
    const person = marked(words, [], 2, 1, "person");
    const both = marked(words, person, 5, 5, "place");
    expect(taggedOf(words, both).tags).toEqual(["O", "B-person", "I-person", "O", "O", "B-place", "O"]);
    expect(taggedOf(words, marked(words, both, 2, 2, undefined)).tags).toEqual([
      "O",
      "O",
      "O",
      "O",
      "O",
      "B-place",
      "O",
    ]);
  });
});

describe("the token", () => {
  test.each([
    ["#token=abc", "abc", ""],
    ["#token=a%2Bb", "a+b", ""],
    ["#/ask?token=abc", "abc", "#/ask"],
    ["#/ask", undefined, "#/ask"],
    ["", undefined, ""],
  ])("in %j is %j", (fragment, token, rest) => {
    expect(tokenIn(fragment)).toEqual({ token, rest });
  });
});

describe("in words", () => {
  test("numbers and times", () => {
    expect([0, 0.004, 0.5, 0.992, 0.99999, 1].map(percent)).toEqual([
      "0 %",
      "under 1 %",
      "50 %",
      "99.2 %",
      "99.9 %",
      "100 %",
    ]);
    expect([count(1, "class", "classes"), count(1200, "text")]).toEqual(["1 class", "1,200 texts"]);
    expect([bytes(1), bytes(1536), bytes(25e6)]).toEqual(["1 byte", "1.5 kB", "25 MB"]);
    expect([duration(5), duration(120), duration(5400)]).toEqual(["5 s", "2 min", "1 h 30 min"]);
    const now = Date.parse("2026-01-02T12:00:00Z");
    expect(ago("2026-01-02T11:59:50Z", now)).toBe("just now");
    expect(ago("2026-01-02T11:00:00Z", now)).toBe("1 h 0 min ago");
  });

  test("errors", () => {
    expect(sayError(new TypeError("Failed to fetch"))).toBe(
      "The server cannot be reached. Check that it is running.",
    );
    expect(sayError(Object.assign(new Error("x"), { code: "READ_ONLY" }))).toMatch(/only answers/);
    expect(sayError(Object.assign(new Error('class "a" is new'), { code: "STORE" }))).toBe(
      'Class "a" is new.',
    );
  });
});
