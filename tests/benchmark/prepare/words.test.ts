import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeWordTasks } from "../../../src/benchmark/prepare/encode.ts";
import { typesToIob2 } from "../../../src/benchmark/prepare/entities.ts";
import { parseNote } from "../../../src/benchmark/prepare/i2b2.ts";
import { bracketsToIob2 } from "../../../src/benchmark/prepare/ontonotes.ts";
import { prepareDataset } from "../../../src/benchmark/prepare/prepare.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { isWordLevel, loadContinualWords, readContinualWords } from "../../../src/data/continualWords.ts";
import type { TaggedSentence } from "../../../src/data/files/tags.ts";
import { countTypes } from "../../../src/data/wordStream.ts";
import { refusalOf } from "../../support/errors.ts";
import { folderWith, freshTarget } from "../../support/folders.ts";

const seed = { seed: 1 };

/** Sentences of one entity of two words each, numbered so that no text comes twice. */
function sentencesOf(part: string, types: readonly string[], count: number): TaggedSentence[] {
  return types.flatMap((type) =>
    Array.from({ length: count }, (_, i) => ({
      words: [`${part}${i}`, `${type}word`, `more${type}`],
      tags: ["O", `B-${type}`, `I-${type}`],
    })),
  );
}

/** A line a word, a blank line between sentences. */
function linesOf(
  sentences: readonly TaggedSentence[],
  line: (word: string, tag: string) => string = (word, tag) => `${word} ${tag}`,
): string {
  return sentences
    .map(({ words, tags }) => `${words.map((word, i) => line(word, tags[i] ?? "")).join("\n")}\n\n`)
    .join("");
}

function typesOf(sentences: readonly TaggedSentence[]): string[] {
  return [...countTypes(sentences).keys()].sort();
}

const tagsOf = (type: string) => ["O", `B-${type}`, `I-${type}`];
const outside = ["O", "O", "O"];

const fourTypes = ["PER", "LOC", "ORG", "MISC"];
const twoColumns = (types: readonly string[]) => ({
  "train.txt": linesOf(sentencesOf("a", types, 3)),
  "dev.txt": linesOf(sentencesOf("b", types, 1)),
  "test.txt": linesOf(sentencesOf("c", types, 2)),
});

describe("conll2003", () => {
  test("one type a task by name; train masked to the task, test to what was learned", async () => {
    const to = freshTarget();
    const prepared = await prepareDataset("conll2003", folderWith(twoColumns(fourTypes)), to, seed);
    expect(prepared.tasks.map(({ labels }) => labels)).toEqual([["LOC"], ["MISC"], ["ORG"], ["PER"]]);
    expect(await isWordLevel(to)).toBe(true);
    const tasks = await readContinualWords(to);
    expect(tasks.map((task) => task.labels[0])).toEqual(["B-LOC", "B-MISC", "B-ORG", "B-PER"]);
    expect(tasks.map((task) => typesOf(task.train))).toEqual([["LOC"], ["MISC"], ["ORG"], ["PER"]]);
    expect(tasks.map((task) => typesOf(task.test))).toEqual([
      ["LOC"],
      ["LOC", "MISC"],
      ["LOC", "MISC", "ORG"],
      ["LOC", "MISC", "ORG", "PER"],
    ]);
    expect(tasks.map((task) => task.test.length)).toEqual([8, 8, 8, 8]);
    // The benchmark's dev part keeps the tags of types learned before; ours is masked again when it is read.
    const written: unknown = JSON.parse(readFileSync(join(to, "continual_data.json"), "utf8"));
    expect(written).toMatchObject({
      "3": { dev: { label_idx_cil: ["PER", "LOC", "ORG", "MISC"].map(tagsOf) } },
    });
    expect(written).toMatchObject({
      "0": { dev: { label_idx_cil: [outside, tagsOf("LOC"), outside, outside] } },
    });
    expect(tasks.map((task) => typesOf(task.validation))).toEqual([["LOC"], ["MISC"], ["ORG"], ["PER"]]);
    expect(tasks[2]?.train[0]).toEqual({
      words: ["a0", "ORGword", "moreORG"],
      tags: ["O", "B-ORG", "I-ORG"],
    });
  });

  test("the distributed files: four columns, IOB1, documents marked", async () => {
    const four = (part: string) =>
      `-DOCSTART- -X- O O\n\n${linesOf(
        sentencesOf(part, fourTypes, 3),
        (word, tag) => `${word} NN I-NP ${tag.replace("B-", "I-")}`,
      )}`;
    const to = freshTarget();
    const from = folderWith({ "eng.train": four("a"), "eng.testa": four("b"), "eng.testb": four("c") });
    const { notes } = await prepareDataset("conll2003", from, to, seed);
    expect(notes.filter((note) => note.includes("read as B-"))).toEqual([]);
    const tasks = await readContinualWords(to);
    expect(tasks[0]?.train[0]?.tags).toEqual(["O", "B-LOC", "I-LOC"]);
  });

  test("--base and --increment divide otherwise; a base too large is refused", async () => {
    const from = folderWith(twoColumns(fourTypes));
    const { tasks } = await prepareDataset("conll2003", from, freshTarget(), {
      ...seed,
      base: 2,
      increment: 2,
    });
    expect(tasks.map(({ labels }) => labels)).toEqual([
      ["LOC", "MISC"],
      ["ORG", "PER"],
    ]);
    const tooLarge = prepareDataset("conll2003", from, freshTarget(), { ...seed, base: 5 });
    expect(await refusalOf(tooLarge)).toContain("train has 4");
  });
});

describe("fewnerd", () => {
  const types = Array.from({ length: 12 }, (_, i) => `art-kind${i}`);
  const typed = (part: string) =>
    linesOf(sentencesOf(part, types, 2), (word, tag) => `${word}\t${tag.replace(/^[BI]-/, "")}`);
  const files = {
    "supervised/train.txt": typed("a"),
    "supervised/dev.txt": typed("b"),
    "supervised/test.txt": typed("c"),
  };

  test("types in a row become entities; capitals; types in an order shuffled by seed", async () => {
    const to = freshTarget();
    const { tasks } = await prepareDataset("fewnerd", folderWith(files), to, seed);
    const order = tasks.flatMap(({ labels }) => labels);
    expect(tasks.map(({ labels }) => labels.length)).toEqual([6, 6]);
    expect(order.toSorted()).toEqual(types.map((type) => type.toUpperCase()).sort());
    expect(order).not.toEqual(order.toSorted());
    const read = await readContinualWords(to);
    const shapes = read[0]?.train.map(({ tags }) => tags.join(" ").replaceAll(/\d+/g, "n"));
    expect(shapes?.[0]).toBe("O B-ART-KINDn I-ART-KINDn");
  });

  test("a change of type begins an entity", () => {
    expect(typesToIob2(["O", "A", "A", "B", "O", "B", "A"])).toEqual([
      "O",
      "B-A",
      "I-A",
      "B-B",
      "O",
      "B-B",
      "B-A",
    ]);
  });

  test("a line without a type is refused by number", async () => {
    const from = folderWith({ ...files, "supervised/dev.txt": "one\tO\ntwo\n" });
    expect(await refusalOf(prepareDataset("fewnerd", from, freshTarget(), seed))).toMatch(
      /dev\.txt: line 2: expected a word, a tab and a type, got "two"/,
    );
  });
});

describe("ontonotes5", () => {
  const types = Array.from({ length: 10 }, (_, i) => `T${i}`);
  const gold = (part: string) => {
    const rows = linesOf(sentencesOf(part, types, 2), (word, tag) => {
      const cell = tag.startsWith("B-") ? `(${tag.slice(2)}*` : tag.startsWith("I-") ? "*)" : "*";
      return `bn/x 0 0 ${word} NN (TOP* - - - Speaker_A ${cell} (ARG0*) -`;
    });
    return `#begin document (bn/x); part 000\n${rows}#end document\n`;
  };

  test("the brackets of CoNLL-2012, every English file below each part, without the New Testament", async () => {
    const to = freshTarget();
    const from = folderWith({
      "data/train/data/english/annotations/bn/x.v4_gold_conll": gold("a"),
      "data/train/data/english/annotations/pt/y.v4_gold_conll": "not to be read",
      "data/train/data/chinese/annotations/bn/z.v4_gold_conll": "not to be read",
      "data/development/data/english/annotations/bn/x.v4_gold_conll": gold("b"),
      "data/test/data/english/annotations/bn/x.v4_gold_conll": gold("c"),
    });
    const { tasks } = await prepareDataset("ontonotes5", from, to, seed);
    expect(tasks.map(({ labels }) => labels)).toEqual([types.slice(0, 8), types.slice(8)]);
    const read = await readContinualWords(to);
    expect(read[0]?.train[0]).toEqual({ words: ["a0", "T0word", "moreT0"], tags: ["O", "B-T0", "I-T0"] });
  });

  test("brackets", () => {
    expect(bracketsToIob2(["(ORG*", "*", "*)", "*", "(GPE)", "(A*)"])).toEqual([
      "B-ORG",
      "I-ORG",
      "I-ORG",
      "O",
      "B-GPE",
      "B-A",
    ]);
    for (const broken of [["(A*"], ["*)"], ["(A*", "(B*)"], ["x"]])
      expect(bracketsToIob2(broken)).toBeUndefined();
  });

  test("brackets that do not match are refused by line; two columns are read as they are", async () => {
    const broken = gold("a").replace("Speaker_A *)", "Speaker_A *");
    const from = folderWith({ "train/a_conll": broken, "dev/b_conll": gold("b"), "test/c_conll": gold("c") });
    expect(await refusalOf(prepareDataset("ontonotes5", from, freshTarget(), seed))).toMatch(
      /a_conll: brackets do not match in the sentence that ends before line 5/,
    );
    const { tasks } = await prepareDataset("ontonotes5", folderWith(twoColumns(types)), freshTarget(), seed);
    expect(tasks).toHaveLength(2);
  });
});

describe("i2b2", () => {
  const kinds = [
    "AGE",
    "CITY",
    "COUNTRY",
    "DATE",
    "DOCTOR",
    "HOSPITAL",
    "IDNUM",
    "MEDICALRECORD",
    "STATE",
    "ZIP",
  ];

  /** A note with a line for each kind; positions are counted here as in the published files. */
  function note(part: string, spoil = 0): string {
    let text = "\n";
    const tags = kinds.map((kind, i) => {
      text += `Seen ${part}${i}, `;
      const start = text.length + spoil;
      const value = `${kind} of & ${part}`;
      text += `${value}.\n`;
      const end = start + value.length;
      const shown = value.replace("&", "&amp;");
      return `<PHI id="P${i}" start="${start}" end="${end}" text="${shown}" TYPE="${kind}" comment="" />`;
    });
    return `<?xml version="1.0" encoding="UTF-8" ?>\n<deIdi2b2>\n<TEXT><![CDATA[${text}]]></TEXT>\n<TAGS>\n${tags.join("\n")}\n</TAGS>\n</deIdi2b2>\n`;
  }
  const raw = { dataset: "i2b2", path: "/", expected: [] };

  test("spans become tags of words; every tenth note is for validation", async () => {
    const training = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`training-PHI-Gold-Set1/${i}.xml`, note(`n${i}`)]),
    );
    const from = folderWith({ ...training, "testing-PHI-Gold-fixed/1.xml": note("t") });
    const to = freshTarget();
    const { tasks, notes } = await prepareDataset("i2b2", from, to, seed);
    expect(tasks.map(({ labels }) => labels.length)).toEqual([8, 2]);
    expect(tasks[0]?.validation).toBe(2 * kinds.length);
    expect(notes).toContainEqual("Set 2 of 20 training notes aside for validation.");
    const read = await readContinualWords(to);
    expect(read[1]?.test.at(-1)).toEqual({
      words: ["Seen", "t9", ",", "ZIP", "of", "&", "t", "."],
      tags: ["O", "O", "O", "B-ZIP", "I-ZIP", "I-ZIP", "I-ZIP", "O"],
    });
  });

  test("rare types are left out; a copy with shifted positions is refused", () => {
    const [first] = parseNote(raw, "x.xml", note("a").replace('TYPE="AGE"', 'TYPE="FAX"'));
    expect(first?.tags).toEqual(["O", "O", "O", "O", "O", "O", "O", "O"]);
    expect(() => parseNote(raw, "x.xml", note("a", 1))).toThrow(/x\.xml: the tag P0 is said to be/);
    expect(() => parseNote(raw, "x.xml", "<TEXT></TEXT>")).toThrow(/no TEXT and TAGS/);
  });

  test("what is expected is told where there are no notes", async () => {
    expect(await refusalOf(prepareDataset("i2b2", folderWith({}), freshTarget(), seed))).toContain(
      "testing…",
    );
  });
});

describe("the word level of the two-file layout", () => {
  const sentence = (tags: readonly string[]): TaggedSentence => ({
    words: tags.map((_, i) => `w${i}`),
    tags,
  });
  const mixed = sentence(["B-x", "I-x", "O", "B-y", "B-x"]);
  const task = (type: string) => ({
    labels: [`B-${type}`, `I-${type}`],
    train: [mixed],
    validation: [mixed],
    test: [mixed],
  });

  function write(change: (text: string) => string = (text) => text): string {
    const to = folderWith({});
    for (const [name, content] of encodeWordTasks(["x", "y"].map(task)))
      writeFileSync(join(to, name), change(Buffer.from(content).toString()));
    return to;
  }

  test("files that kept every tag, as the benchmark's script writes them, are masked when read", async () => {
    const tasks = await readContinualWords(write());
    expect(tasks.map(({ train }) => train[0]?.tags)).toEqual([
      ["B-x", "I-x", "O", "O", "B-x"],
      ["O", "O", "O", "B-y", "O"],
    ]);
    expect(tasks.map(({ test: tested }) => tested[0]?.tags)).toEqual([
      ["B-x", "I-x", "O", "O", "B-x"],
      mixed.tags,
    ]);
    expect(tasks[1]).toMatchObject({ name: "task-1", types: ["y"], labels: ["B-y", "I-y"] });
  });

  test("as a stream: the last task's test for all, train sentences that test has told of or refused", async () => {
    const folder = write();
    const { tasks, notes } = await loadContinualWords(folder, "allow");
    expect(tasks.map(({ test: tested }) => tested[0]?.tags)).toEqual([
      ["B-x", "I-x", "O", "O", "B-x"],
      mixed.tags,
    ]);
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/^Task task-0: Train keeps 1 sentence/);
    expect(await refusalOf(loadContinualWords(folder, "refuse"))).toContain(
      "train shares sentences with test",
    );
  });

  test.each([
    ["a tag too few", '["w0","w1",', '["w1",', /task 0, train\[0\]: 4 words, 5 tags/],
    ["a type of no task", '"B-y","B-x"', '"B-z","B-x"', /the type "z" is in no task/],
    ["pairs out of order", '"B-x","I-x"', '"I-x","B-x"', /task 0 are no pairs|disagree|says otherwise/],
  ])("%s", async (_, from, to, message) => {
    const folder = write((text) => text.replace(from, to).replace(from, to));
    expect(await refusalOf(readContinualWords(folder))).toMatch(message);
  });
});

const real = join(packageRoot, "..", "shared", "data", "wnut17");
test.skipIf(!existsSync(real))("wnut17, the published files (needs the folder ../shared/data)", async () => {
  const to = freshTarget();
  await prepareDataset("wnut17", real, to, seed);
  const tasks = await readContinualWords(to);
  expect(tasks.map(({ types }) => types)).toEqual([
    ["person", "location"],
    ["group", "corporation"],
    ["product", "creative-work"],
  ]);
  expect(tasks.map(({ test: tested }) => tested.length)).toEqual([1287, 1287, 1287]);
  expect([...countTypes(tasks[2]?.test ?? []).values()].reduce((a, b) => a + b)).toBe(1079);
});
