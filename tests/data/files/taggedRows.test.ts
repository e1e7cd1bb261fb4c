import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataError } from "../../../src/core/errors.ts";
import { readLabelled, readTagged } from "../../../src/data/files/items.ts";
import { failureOf } from "../../support/errors.ts";
import { folderWith } from "../../support/folders.ts";
import { goldensFolder } from "../../support/goldens.ts";

const ada = { words: ["Ada", "Lovelace", "spoke"], tags: ["B-PER", "I-PER", "O"] };
const features = (column: string, names: readonly string[]) => ({
  [column]: { feature: { names, _type: "ClassLabel" }, _type: "Sequence" },
});

function read(rows: readonly unknown[], others: Readonly<Record<string, string>> = {}) {
  const content = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  return readTagged(join(folderWith({ "a.jsonl": content, ...others }), "a.jsonl"));
}

const refusal = (...given: Parameters<typeof read>) => failureOf(read(...given), DataError);

describe("JSONL of words with tags", () => {
  it("is read under either name, in any scheme", async () => {
    const rows = [
      { tokens: ada.words, ner_tags: ["B-PER", "E-PER", "O"] },
      { words: ["Oslo"], tags: ["S-LOC"] },
      { tokens: [], ner_tags: [] },
    ];
    expect(await read(rows)).toEqual({
      sentences: [ada, { words: ["Oslo"], tags: ["B-LOC"] }],
      notes: [expect.stringContaining("tags are in BIOES")],
    });
  });

  const numbered = [{ id: "0", tokens: ada.words, ner_tags: [1, 2, 0] }];
  const names = ["O", "B-PER", "I-PER"];
  it.each([
    ["dataset_info.json", JSON.stringify({ features: features("ner_tags", names) })],
    ["dataset_infos.json", JSON.stringify({ default: { features: features("ner_tags", names) } })],
    [
      "README.md",
      "---\nlicense: mit\ndataset_info:\n  features:\n  - name: ner_tags\n    sequence:\n      class_label:\n        names:\n          '1': B-PER\n          '0': O\n          '2': I-PER\n---\n# A card\n",
    ],
  ])("takes the names of numbers from %s beside it", async (name, content) => {
    const { sentences, notes } = await read(numbered, { [name]: content });
    expect(sentences).toEqual([ada]);
    expect(notes).toEqual([expect.stringMatching(`the tags are numbers, named by .*${name}`)]);
  });

  it.each([
    ["numbers without names", numbered, /line 1, word 1: the tag is the number 1, and nothing says its name/],
    ["as many tags as words", [{ tokens: ["a"], tags: [] }], /line 1: 1 words, but 0 tags/],
    ["words that are none", [{ tokens: "a b", tags: ["O"] }], /line 1: tokens must be a list of words/],
    ["tags that are none", [{ tokens: ["a"], tags: "O" }], /line 1: tags must be a list of tags/],
    ["a type alone", [{ tokens: ["a"], tags: ["PER"] }], /line 1, word 1: "PER" is not a tag: no B- or I-/],
    [
      "mixed schemes",
      [
        { tokens: ["a"], tags: ["U-x"] },
        { tokens: ["b"], tags: ["S-x"] },
      ],
      /line 2, word 1: "S-x" is a tag of BIOES, those before are BILOU/,
    ],
    [
      "a labelled text",
      [{ text: "a", label: "x" }],
      /line 1: words are tagged here, and that is a labelled text/,
    ],
    ["something else", [{ sentence: "a", spans: [] }], /line 1: has neither .* it has sentence, spans/],
  ])("refuses %s", async (_, rows, message) => {
    expect((await refusal(rows)).message).toMatch(message);
  });

  it("refuses a number beyond the names", async () => {
    const description = JSON.stringify({ features: features("ner_tags", ["O"]) });
    const error = await refusal(numbered, { "dataset_info.json": description });
    expect(error.message).toMatch(/line 1, word 1: the tag 1 has no name: .*dataset_info\.json has 1/);
  });
});

describe("JSONL of texts with entities", () => {
  const text = "Ada Lovelace spoke.";
  it("becomes words with tags, blanks at the edges left out", async () => {
    const rows = [
      { text, entities: [{ start: 0, end: 13, label: "PER" }] },
      { text: "👩‍🚀 in Oslo", entities: [{ start: 7, end: 11, label: "LOC", word: "Oslo" }] },
      { text: "👩‍🚀 in Oslo", entities: [{ start: 9, end: 13, type: "LOC", score: 0.9, word: "Oslo" }] },
      { text: "nothing", entities: [] },
      { text: "", entities: [] },
    ];
    const oslo = { words: ["👩‍🚀", "in", "Oslo"], tags: ["O", "O", "B-LOC"] };
    const { sentences, notes } = await read(rows);
    expect(sentences).toEqual([
      { words: [...ada.words, "."], tags: [...ada.tags, "O"] },
      oslo,
      oslo,
      { words: ["nothing"], tags: ["O"] },
    ]);
    expect(notes).toEqual([expect.stringContaining("blanks at the edges of 1 entity were left out")]);
  });

  it.each([
    [
      "that overlap",
      [
        { start: 0, end: 12, label: "x" },
        { start: 4, end: 12, label: "y" },
      ],
      /entity 2: "Lovelace" \(4–12\) overlaps another/,
    ],
    [
      "that begin inside a word",
      [{ start: 1, end: 3, label: "x" }],
      /entity 1: "da" \(1–3\) begins inside the word "Ada"/,
    ],
    [
      "that end inside a word",
      [{ start: 4, end: 8, label: "x" }],
      /entity 1: "Love" \(4–8\) ends inside the word "Lovelace"/,
    ],
    [
      "behind the text",
      [{ start: 0, end: 99, label: "x" }],
      /entity 1: 0–99 is no place in a text of 19 characters/,
    ],
    ["of nothing", [{ start: 3, end: 3, label: "x" }], /entity 1: 3–3 is no place/],
    ["of a blank", [{ start: 3, end: 4, label: "x" }], /holds nothing but blanks/],
    ["without a label", [{ start: 0, end: 3 }], /entity 1: label must be a name, got nothing/],
    ["without places", [{ start: "0", end: 3, label: "x" }], /start and end must be whole numbers/],
    [
      "whose word lies elsewhere",
      [{ start: 0, end: 3, label: "x", word: "Ava" }],
      /0–3 covers "Ada", not "Ava"/,
    ],
    ["that are none", ["Ada"], /an entity must be an object/],
  ])("refuses entities %s", async (_, entities, message) => {
    expect((await refusal([{ text, entities }])).message).toMatch(message);
  });
});

describe("any file of tagged words", () => {
  it("is told by its first line where its name says nothing", async () => {
    const folder = folderWith({
      "a.txt": `${JSON.stringify({ tokens: ["a"], tags: ["O"] })}\n`,
      "b.txt": "a O\n",
    });
    const expected = [{ words: ["a"], tags: ["O"] }];
    expect((await readTagged(join(folder, "a.txt"))).sentences).toEqual(expected);
    expect((await readTagged(join(folder, "b.txt"))).sentences).toEqual(expected);
  });

  it("may be Parquet", async () => {
    const path = join(goldensFolder, "parquet", "words.parquet");
    expect(await readTagged(path)).toEqual({
      sentences: [ada, { words: ["yes"], tags: ["O"] }],
      notes: [`${path}: the tags are numbers, named by words.parquet.`],
    });
  });

  it.each([
    ["a.csv", "text,label\n", "a table of labelled texts (CSV)"],
    ["a.json", "[]", "one JSON document"],
    ["a.ann", "T1\tPER 0 3\tAda\n", "brat's standoff format"],
    ["a.txt", '[{"tokens": []}]', "one JSON document"],
    ["b.txt", '<?xml version="1.0"?>', "XML"],
  ])("in another form is refused by the form's name: %s", async (name, content, form) => {
    const error = await failureOf(
      readLabelled(join(folderWith({ [name]: content }), name), "word"),
      DataError,
    );
    expect(error.message).toContain(`words are tagged here, and that is ${form}`);
    expect(error.hint).toContain("CoNLL");
  });
});
