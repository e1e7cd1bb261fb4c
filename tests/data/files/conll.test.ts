import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { findEntities } from "../../../src/continual/taskTypes/entityMetrics.ts";
import { DataError } from "../../../src/core/errors.ts";
import { readConll } from "../../../src/data/files/conll.ts";
import { toIob2 } from "../../../src/data/files/tags.ts";
import { countTypes } from "../../../src/data/wordStream.ts";
import { failureOf } from "../../support/errors.ts";
import { folderWith } from "../../support/folders.ts";
import { goldensFolder } from "../../support/goldens.ts";
import { shared } from "../../support/shared.ts";

const wnut = shared("data/wnut17");

function read(content: string | Uint8Array) {
  return readConll(join(folderWith({ "a.conll": content }), "a.conll"));
}

const refusal = (content: string | Uint8Array) => failureOf(read(content), DataError);

describe("a CoNLL file", () => {
  const expected = [
    { words: ["EU", "rejects"], tags: ["B-ORG", "O"] },
    { words: ["Peter", "Blackburn"], tags: ["B-PER", "I-PER"] },
  ];

  it.each([
    ["tabs", "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"],
    ["spaces", "EU B-ORG\nrejects O\n\nPeter B-PER\nBlackburn I-PER"],
    [
      "several spaces and more columns",
      "EU  NNP  B-NP B-ORG\nrejects VBZ B-VP O \n\nPeter N B-NP B-PER\nBlackburn N I-NP I-PER\n",
    ],
    [
      "empty columns between tabs",
      "EU\t\tB-ORG\nrejects\tVBZ\tO\n\t\t\nPeter\tN\tB-PER\nBlackburn\tN\tI-PER\n",
    ],
    ["carriage returns", "EU\tB-ORG\r\nrejects\tO\r\n\r\nPeter\tB-PER\r\nBlackburn\tI-PER\r\n"],
    [
      "many blank lines and a byte order mark",
      "\uFEFF\n\nEU B-ORG\nrejects O\n \n\t\n\nPeter B-PER\nBlackburn I-PER\n\n\n",
    ],
    ["tabs at the ends of lines", "EU\tB-ORG\t\nrejects\tO\t\t\n\t\nPeter\tB-PER\t\nBlackburn\tI-PER\n"],
    [
      "comments before sentences, as MultiCoNER has them",
      "# id 5239d808\tdomain=en\nEU _ _ B-ORG\nrejects _ _ O\n\n\n# id 7 vitamin B-12\nPeter _ _ B-PER\nBlackburn _ _ I-PER\n",
    ],
    [
      "numbered words and tags of two layers, as GermEval has them",
      "#\thttp://example.org\t[2026-11-30]\n1\tEU\tB-ORG\tO\n2\trejects\tO\tB-LOC\n\n1\tPeter\tB-PER\tO\n2\tBlackburn\tI-PER\tO\n",
    ],
    [
      "the columns of CoNLL-U",
      "# text = EU rejects\n1\tEU\teu\tX\t_\t_\t2\tx\t_\tB-ORG\n2\trejects\t_\tX\t_\t_\t0\tx\t_\tO\n\n1-2\tPeter Blackburn\t_\t_\t_\t_\t_\t_\t_\t_\n1\tPeter\t_\tX\t_\t_\t2\tx\t_\tB-PER\n2\tBlackburn\t_\tX\t_\t_\t0\tx\t_\tI-PER\n",
    ],
    [
      "documents",
      "-DOCSTART- -X- -X- O\n\nEU B-ORG\nrejects O\n-DOCSTART- O\nPeter B-PER\nBlackburn I-PER\n",
    ],
  ])("with %s is read", async (_, content) => {
    expect(await read(content)).toEqual({ sentences: expected, notes: [] });
  });

  it("has its words in the column that is named, the tag before them too", async () => {
    const path = join(folderWith({ "a.conll": "B-ORG\tEU\nO\trejects\n" }), "a.conll");
    expect((await readConll(path, { wordColumn: 2 })).sentences).toEqual([expected[0]]);
    const error = await failureOf(readConll(path, { wordColumn: 3 }), DataError);
    expect(error.message).toMatch(/a\.conll: the word is to be in column 3, but its lines have 2/);
  });

  it("may begin a sentence with the word #", async () => {
    expect((await read("# B-x\nb O\n")).sentences).toEqual([{ words: ["#", "b"], tags: ["B-x", "O"] }]);
  });

  it.each([
    ["BIOES", "EU S-ORG\nrejects O\n\nPeter B-PER\nBlackburn E-PER\n"],
    ["BILOU", "EU U-ORG\nrejects O\n\nPeter B-PER\nBlackburn L-PER\n"],
  ])("in %s is read, and says so", async (scheme, content) => {
    const { sentences, notes } = await read(content);
    expect(sentences).toEqual(expected);
    expect(notes).toEqual([expect.stringContaining(`tags are in ${scheme}; read as B- and I-.`)]);
  });

  it("in BIOES with ends that are not marked says where", async () => {
    const { sentences, notes } = await read("a S-x\nb B-x\nc O\nd E-x\n");
    expect(sentences.map(({ tags }) => tags.join(" "))).toEqual(["B-x B-x O B-x"]);
    expect(notes.slice(1)).toEqual([
      expect.stringContaining("1 I- or E- tag without a beginning before, the first in line 4"),
      expect.stringContaining("the end of 1 entity is not marked as BIOES has it, the first in line 2"),
    ]);
  });

  it("keeps words of every kind, and types with hyphens", async () => {
    const { sentences } = await read('"\tO\n\u00a0\tO\n,\tO\nLord of\tB-creative-work\n#\tI-creative-work\n');
    expect(sentences).toEqual([
      {
        words: ['"', "\u00a0", ",", "Lord of", "#"],
        tags: ["O", "O", "O", "B-creative-work", "I-creative-work"],
      },
    ]);
    expect((await read("")).sentences).toEqual([]);
  });

  it("with an I- that nothing begins reads it as a beginning, and says where", async () => {
    const file = await read("a I-PER\nb I-PER\nc I-LOC\n\nd I-LOC\ne O\nf B-LOC\ng I-LOC\n");
    expect(file.sentences.map(({ tags }) => tags.join(" "))).toEqual([
      "B-PER I-PER B-LOC",
      "B-LOC O B-LOC I-LOC",
    ]);
    expect(file.notes).toEqual([
      expect.stringContaining("3 I- tags without a beginning before, the first in line 1"),
    ]);
  });

  it.each([
    ["a word alone", "a O\nb\n", /a\.conll, line 2: the word "b" has no tag/],
    ["an empty last column", "a\tO\n\nb\t\n", /a\.conll, line 3: the word "b" has no tag/],
    ["no word", "a\tO\n\tO\n", /line 2: there is a tag but no word/],
    ["a lost column", "a N B-NP O\nb N B-NP\n", /line 2: 3 columns, but the lines before have 4/],
    ["a tag of BMES", "a O\nb M-PER\n", /line 2: "M-PER" is not a tag: M- and W- are marks of BMES/],
    ["brackets", "a (PERSON*\n", /line 1: "\(PERSON\*" is not a tag: these are the brackets of CoNLL-2012/],
    ["a tag that is a mark alone", "a O\nb B\n", /line 2: "B" is not a tag: it has no entity type/],
    [
      "mixed schemes",
      "a S-PER\nb O\n\nc U-LOC\n",
      /line 4: "U-LOC" is a tag of BILOU, those before are BIOES/,
    ],
    ["a tag in lower case", "a o\n", /line 1: "o" is not a tag/],
    ["a tag without a type", "a O\nb B-\n", /line 2: "B-" is not a tag/],
    ["a type alone", "a PER\n", /line 1: "PER" is not a tag/],
  ])("with %s is refused by line", async (_, content, message) => {
    const error = await refusal(content);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(/B-type|one scheme/);
  });

  it("that is missing, or not UTF-8, is refused", async () => {
    expect((await refusal(Buffer.from("a\tO\n\xe9\tO\n", "latin1"))).message).toMatch(/line 2: .*not UTF-8/);
    await expect(readConll("/nowhere/a.conll")).rejects.toThrow(/does not exist/);
  });
});

it("tags turned into IOB2 hold the same entities in both modes, and turn into themselves", () => {
  const tag = fc.constantFrom("O", "B-x", "I-x", "B-y", "I-y");
  fc.assert(
    fc.property(fc.array(tag, { maxLength: 10 }), (given) => {
      const { tags, changed } = toIob2(given, String);
      expect(findEntities(tags)).toEqual(findEntities(given));
      expect(findEntities(tags, "strict")).toEqual(findEntities(given));
      expect(toIob2(tags, String)).toMatchObject({ tags, changed: [] });
      expect(changed).toEqual([...given.keys()].filter((i) => tags[i] !== given[i]));
    }),
  );
});

describe("seqeval", () => {
  const { cases } = z
    .object({
      cases: z.array(
        z.object({
          scheme: z.string().nullable(),
          tags: z.array(z.string()),
          entities: z.array(z.tuple([z.string(), z.number(), z.number()])),
        }),
      ),
    })
    .parse(JSON.parse(readFileSync(join(goldensFolder, "seqeval", "schemes.json"), "utf8")));

  it.each(cases.map((each) => [each.tags.join(" "), each] as const))(
    "finds the same entities in %s",
    (_, each) => {
      const { tags } = toIob2(each.tags, String);
      const found = findEntities(tags, "strict").map(({ type, start, end }) => [type, start, end]);
      expect(found).toEqual(each.entities);
    },
  );
});

describe("WNUT17", () => {
  it.skipIf(wnut.absent).each([
    ["train", 3394],
    ["dev", 1009],
    ["test", 1287],
  ])(wnut.titled("is read whole: %s"), async (split, sentences) => {
    const path = join(wnut.path, `${split}.conll`);
    const file = await readConll(path);
    const lines = readFileSync(path, "utf8").split("\n");
    const words = file.sentences.flatMap((sentence) => sentence.words);
    expect(file.sentences).toHaveLength(sentences);
    expect(file.notes).toEqual([]);
    expect(words).toEqual(lines.filter((line) => line.trim() !== "").map((line) => line.split("\t")[0]));
    const begun = lines.filter((line) => line.includes("\tB-")).length;
    expect([...countTypes(file.sentences).values()].reduce((a, b) => a + b)).toBe(begun);
  });
});
