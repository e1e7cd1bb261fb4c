import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { catalogue, datasetNames } from "../../../src/benchmark/prepare/catalogue.ts";
import { encodeSentenceTasks } from "../../../src/benchmark/prepare/encode.ts";
import { prepareDataset } from "../../../src/benchmark/prepare/prepare.ts";
import { tacredLabel } from "../../../src/benchmark/prepare/relations.ts";
import { topicLabel } from "../../../src/benchmark/prepare/topics.ts";
import { packageRoot } from "../../../src/core/packageInfo.ts";
import { readContinual } from "../../../src/data/continual.ts";
import { isWordLevel } from "../../../src/data/continualWords.ts";
import type { LabelledExample } from "../../../src/data/files/types.ts";
import { refusalOf } from "../../support/errors.ts";
import { folderWith, freshTarget } from "../../support/folders.ts";

const seed = { seed: 1 };

function byText(rows: readonly LabelledExample[]): Readonly<Record<string, string>> {
  return Object.fromEntries(rows.map(({ text, label }) => [text, label]));
}

/** Classes with the same number of texts in each part; no text stands in two parts. */
function rows(part: string, labels: readonly string[], count: number): { text: string; label: string }[] {
  return labels.flatMap((label) =>
    Array.from({ length: count }, (_, i) => ({ text: `${part} ${label} ${i}`, label })),
  );
}

const intents = Array.from({ length: 30 }, (_, i) => `intent_${i}`);
const clincRows = (part: string, count: number) =>
  rows(part, intents, count).map(({ text, label }) => [text, label]);
const clinc = {
  train: [...clincRows("train", 2), ["TEST intent_3 0 ", "intent_3"]],
  val: clincRows("val", 1),
  test: clincRows("test", 1),
  oos_val: [],
  oos_test: [],
};

describe("clinc150", () => {
  test("15 tasks in order of first appearance, spaces for underscores, overlap dropped and counted", async () => {
    const to = freshTarget();
    const prepared = await prepareDataset(
      "clinc150",
      folderWith({ "data_full.json": JSON.stringify(clinc) }),
      to,
      seed,
    );
    expect(prepared.tasks).toHaveLength(15);
    expect(prepared.tasks[0]).toEqual({ labels: ["intent 0", "intent 1"], train: 4, validation: 2, test: 2 });
    expect(prepared.notes).toEqual([expect.stringContaining("Dropped 1 train row whose text is in test")]);
    const source = await readContinual(to);
    expect(source.train).toHaveLength(60);
    expect(byText(source.test)["test intent_3 0"]).toBe("intent 3");
    expect(await isWordLevel(to)).toBe(false);
  });

  test("a label_dict.json orders the classes", async () => {
    const order = Object.fromEntries(intents.map((label, i) => [label, 29 - i]));
    const from = folderWith({
      "data_full.json": JSON.stringify(clinc),
      "label_dict.json": JSON.stringify(order),
    });
    const { tasks } = await prepareDataset("clinc150", from, freshTarget(), seed);
    expect(tasks[0]?.labels).toEqual(["intent 29", "intent 28"]);
  });
});

describe("banking77", () => {
  const labels = Array.from({ length: 14 }, (_, i) => `card_${i}`);
  const csv = (part: string, count: number) =>
    `text,category\n${rows(part, labels, count)
      .map(({ text, label }) => `"${text}",${label}\n`)
      .join("")}`;
  const files = {
    "train.csv": csv("train", 10),
    "test.csv": csv("test", 2),
    "categories.json": JSON.stringify(labels.toReversed()),
  };

  test("validation comes out of train and never out of test; classes in the order of categories.json", async () => {
    const to = freshTarget();
    const { tasks } = await prepareDataset("banking77", folderWith(files), to, seed);
    expect(tasks).toHaveLength(7);
    expect(tasks[0]).toEqual({ labels: ["card 13", "card 12"], train: 18, validation: 2, test: 4 });
    const source = await readContinual(to);
    const validation = source.validation ?? [];
    expect(validation).toHaveLength(14);
    expect(validation.every(({ text }) => text.startsWith("train "))).toBe(true);
    const trained = new Set(source.train.map(({ text }) => text));
    expect(validation.filter(({ text }) => trained.has(text))).toEqual([]);
    expect(source.test.every(({ text }) => text.startsWith("test "))).toBe(true);
  });

  test("equal seeds give equal bytes, another seed another validation part", async () => {
    const from = folderWith(files);
    const make = async (n: number) => {
      const to = freshTarget();
      await prepareDataset("banking77", from, to, { seed: n });
      return readFileSync(join(to, "continual_data.json"), "utf8");
    };
    const first = await make(1);
    expect(await make(1)).toBe(first);
    expect(await make(2)).not.toBe(first);
  });

  test("a missing file is named with all that are expected, and nothing is written", async () => {
    const { "categories.json": _, ...partial } = files;
    const to = freshTarget();
    const message = await refusalOf(prepareDataset("banking77", folderWith(partial), to, seed));
    expect(message).toContain("has no categories.json");
    expect(message).toContain("train.csv; test.csv; categories.json");
    expect(readdirSync(dirname(to))).toEqual([]);
  });

  test("entity flags are refused, and so is a full target", async () => {
    const full = folderWith({ "mine.txt": "" });
    expect(await refusalOf(prepareDataset("banking77", folderWith(files), full, seed))).toContain(
      "not empty",
    );
    expect(readdirSync(full)).toEqual(["mine.txt"]);
    const options = { seed: 1, base: 2 };
    expect(await refusalOf(prepareDataset("banking77", folderWith(files), freshTarget(), options))).toContain(
      "--base: banking77 has classes",
    );
  });
});

test("fewrel: train_wiki joins val_wiki, fifths of each relation, entities marked", async () => {
  const instance = (word: string) => ({
    tokens: ["The", word, "crosses", "a", "river"],
    h: [word, "Q1", [[1]]],
    t: ["a river", "Q2", [[3, 4]]],
  });
  const relation = (id: number) => Array.from({ length: 10 }, (_, i) => instance(`bridge${id}x${i}`));
  const ids = Array.from({ length: 16 }, (_, i) => i);
  const part = (from: number, to: number) =>
    JSON.stringify(Object.fromEntries(ids.slice(from, to).map((id) => [`P${id}`, relation(id)])));
  const files = {
    "train_wiki.json": part(8, 16),
    "val_wiki.json": part(0, 8),
    "pid2name.json": JSON.stringify(Object.fromEntries(ids.map((id) => [`P${id}`, [`relation ${id}`, "x"]]))),
  };
  const to = freshTarget();
  const { tasks, notes } = await prepareDataset("fewrel", folderWith(files), to, seed);
  expect(notes).toEqual([]);
  expect(tasks).toHaveLength(8);
  expect(tasks[0]).toEqual({ labels: ["relation 8", "relation 9"], train: 12, validation: 4, test: 4 });
  const { train, validation = [], test: tested } = await readContinual(to);
  const texts = byText([...train, ...validation, ...tested]);
  expect(Object.keys(texts)).toHaveLength(160);
  expect(texts["The [E11] bridge3x7 [E12] crosses [E21] a river [E22]"]).toBe("relation 3");
  const alone = await prepareDataset(
    "fewrel",
    folderWith({ "val_wiki.json": part(0, 16), "pid2name.json": files["pid2name.json"] }),
    freshTarget(),
    seed,
  );
  expect(alone.notes).toEqual([expect.stringContaining("16 relations of val_wiki.json alone")]);
});

describe("tacred", () => {
  const relations = [
    ...Array.from({ length: 15 }, (_, i) => `per:thing_${i}`),
    "org:city_of_headquarters",
    "no_relation",
    "per:country_of_death",
  ];
  const split = (part: string) =>
    relations.map((relation, i) => ({
      id: `${part}${i}`,
      relation,
      token: ["Tom", part, `w${i}`, "left", "Rome", "."],
      subj_start: 0,
      subj_end: 1,
      obj_start: 4,
      obj_end: 4,
      subj_type: "PERSON",
    }));
  const files = (folder: string) =>
    Object.fromEntries(
      ["train", "dev", "test"].map((part) => [`${folder}${part}.json`, JSON.stringify(split(part))]),
    );

  test("subject and object marked, abbreviations written out, relations that are none left out", async () => {
    const to = freshTarget();
    const { tasks, notes } = await prepareDataset("tacred", folderWith(files("data/json/")), to, seed);
    expect(tasks.map(({ labels }) => labels.length)).toEqual([2, 2, 2, 2, 2, 2, 2, 2]);
    expect(notes).toEqual(["Left out 6 rows of no_relation and per:country_of_death."]);
    const { train, validation = [] } = await readContinual(to);
    expect(byText(train)["[E11] Tom train [E12] w15 left [E21] Rome [E22] ."]).toBe(
      "organization related: city of headquarters",
    );
    expect(validation).toHaveLength(16);
  });

  test("labels are those of the benchmark", () => {
    expect(tacredLabel("per:stateorprovinces_of_residence")).toBe(
      "person related: state or provinces of residence",
    );
    expect(tacredLabel("per:cities_of_residence")).toBe("person related: city of residence");
    expect(tacredLabel("org:top_members/employees")).toBe("organization related: top members/employees");
  });

  test("a span behind the last token is refused by file and row", async () => {
    const broken = split("train").map((row, i) => (i === 2 ? { ...row, obj_end: 6 } : row));
    const from = folderWith({ ...files(""), "train.json": JSON.stringify(broken) });
    expect(await refusalOf(prepareDataset("tacred", from, freshTarget(), seed))).toMatch(
      /train\.json: row 2:/,
    );
  });
});

describe("topic3", () => {
  const classes = {
    ag_news_csv: ["World", "Sports", "Sci/Tech"],
    dbpedia_csv: ["OfficeHolder", "MeanOfTransportation", "Film"],
    yahoo: ["Sports", "Computers & Internet", "Health", "Music", "Family & Relationships"],
  };
  const files = Object.fromEntries(
    Object.entries(classes).flatMap(([folder, names]) => [
      [`${folder}/classes.txt`, `${names.join("\n")}\n`],
      ...["train", "test"].map((part): [string, string] => [
        `${folder}/${part}.csv`,
        names
          .flatMap((_, i) =>
            Array.from(
              { length: 12 },
              (_, j) => `"${i + 1}","${folder} ${part} ${i}.${j}","","says ""no""\\nagain"\n`,
            ),
          )
          .join(""),
      ]),
    ]),
  );

  test("joins the three, leaves out what overlaps, writes names out, shuffles by seed", async () => {
    const to = freshTarget();
    const { tasks, notes } = await prepareDataset("topic3", folderWith(files), to, seed);
    const labels = tasks.flatMap((task) => task.labels);
    expect(tasks.map((task) => task.labels.length)).toEqual([2, 2, 2, 2, 2]);
    expect(labels.toSorted()).toEqual([
      "Computers and Internet",
      "Family and Relationships",
      "Film",
      "Health",
      "Mean of Transportation",
      "Music",
      "Office Holder",
      "Science and Technology",
      "Sports",
      "World",
    ]);
    expect(labels).not.toEqual(labels.toSorted());
    expect(notes[0]).toContain("Sports");
    const { train, test: tested } = await readContinual(to);
    expect(byText(train)['ag_news_csv train 1.3 says "no" again'] ?? "validation").toMatch(
      /Sports|validation/,
    );
    expect(tested).toHaveLength(120);
    expect(tested.every(({ text }) => text.includes(" test "))).toBe(true);
  });

  test("a class that is no number is refused by row", async () => {
    const from = folderWith({ ...files, "yahoo/test.csv": '"1","a","b"\n"six","a","b"\n' });
    expect(await refusalOf(prepareDataset("topic3", from, freshTarget(), seed))).toMatch(
      /yahoo\/test\.csv: row 2: the class is "six", not a number from 1 to 5/,
    );
  });

  test("names", () => {
    expect(["EducationalInstitution", "Sci/Tech", "Business & Finance"].map(topicLabel)).toEqual([
      "Educational Institution",
      "Science and Technology",
      "Business and Finance",
    ]);
  });
});

test("the config has the benchmark's keys", () => {
  const row = (label: string) => ({ text: `a ${label}`, label });
  const tasks = [["x", "y"], ["z"]].map((labels) => ({
    labels,
    train: labels.map(row),
    validation: [],
    test: labels.map(row),
  }));
  const files = encodeSentenceTasks(tasks);
  const parse = (name: string): unknown => JSON.parse(Buffer.from(files.get(name) ?? []).toString());
  expect(parse("continual_config.json")).toEqual({
    NUM_TASK: 2,
    NUM_CLASS: 3,
    LABEL_LIST: [0, 1, 2],
    CLASSNAME_LIST: ["x", "y", "z"],
    CUR_NUM_CLASS: [2, 1],
    CUR_CLASS: [[0, 1], [2]],
    ACCUM_NUM_CLASS: [2, 3],
    PRE_ACCUM_NUM_CLASS: [0, 2],
    label2idx: { x: 0, y: 1, z: 2 },
    idx2label: ["x", "y", "z"],
  });
  const empty = { input: [], target: [], label_idx_cil: [], label_idx_til: [] };
  const z = { input: ["a z"], target: ["z"], label_idx_cil: [2], label_idx_til: [0] };
  expect(parse("continual_data.json")).toMatchObject({ "1": { train: z, dev: empty, test: z } });
});

test("the page lists every set and every file that is looked for", () => {
  const page = readFileSync(join(packageRoot, "docs/prepare.md"), "utf8");
  for (const name of datasetNames) expect(page).toContain(`### ${name}\n`);
  const files = Object.values(catalogue).flatMap(({ expected }) =>
    expected.flatMap((text) => [
      ...text.matchAll(/[\w*.]+\.(?:json|csv|txt|conll|annotated|train|test[ab])/g),
    ]),
  );
  for (const [file] of files) expect(page).toContain(file);
});

const real = join(packageRoot, "..", "shared", "data");
describe.skipIf(!existsSync(real))("the published files (needs the folder ../shared/data)", () => {
  test.each([
    { name: "clinc150", folder: "clinc150", sizes: [14998, 3000, 4500], tasks: 15 },
    { name: "banking77", folder: "banking77", sizes: [8993, 1004, 3080], tasks: 7 },
    { name: "fewrel", folder: "fewrel16", sizes: [6720, 2240, 2240], tasks: 8 },
  ] as const)("$name", async ({ name, folder, sizes, tasks }) => {
    const to = freshTarget();
    await prepareDataset(name, join(real, folder), to, seed);
    const { train, validation = [], test: tested, tasks: plans } = await readContinual(to);
    expect([train.length, validation.length, tested.length]).toEqual(sizes);
    expect(plans).toHaveLength(tasks);
  });
});
