import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/core/errors.ts";
import { createRng } from "../../src/core/random.ts";
import type { TaggedSentence } from "../../src/data/files/tags.ts";
import { sampleAll, sampleGreedily } from "../../src/data/wordSampling.ts";
import {
  buildWordStream,
  countTypes,
  divideTypes,
  loadWordStream,
  maskTypes,
  orderTypes,
  type WordSource,
  type WordStreamSpec,
} from "../../src/data/wordStream.ts";
import { folderWith } from "../support/folders.ts";
import { shared } from "../support/shared.ts";

const wnut = shared("data/wnut17");

const spec: WordStreamSpec = {
  base: 1,
  increment: 1,
  typeOrder: "alphabetical",
  sampling: "all",
  validationFraction: 0,
  overlap: "refuse",
};

let serial = 0;
/** A sentence unlike any other with these tags. */
function sentence(tags: string): TaggedSentence {
  const given = tags === "" ? [] : tags.split(" ");
  return { words: given.map((_, i) => `w${serial++}-${i}`), tags: given };
}

function tagsOf(sentences: readonly TaggedSentence[]): string[] {
  return sentences.map(({ tags }) => tags.join(" "));
}

function source(train: readonly string[], test: readonly string[]): WordSource {
  return { train: train.map(sentence), test: test.map(sentence) };
}

describe("entity types", () => {
  const counts = new Map([
    ["b", 2],
    ["a", 1],
    ["d", 5],
    ["c", 2],
  ]);

  it("are ordered by name, by frequency with ties by name, or as listed", () => {
    expect(orderTypes(counts, "alphabetical")).toEqual(["a", "b", "c", "d"]);
    expect(orderTypes(counts, "frequency")).toEqual(["d", "b", "c", "a"]);
    expect(orderTypes(counts, ["c", "a", "d", "b"])).toEqual(["c", "a", "d", "b"]);
  });

  it.each([
    [["a", "b", "c", "a"], /lists "a" twice/],
    [["a", "b", "c", "e"], /lists "e", of which train has no entity/],
    [["a", "b"], /leaves out "c", "d"/],
  ])("listed as %j are refused", (listed, message) => {
    expect(() => orderTypes(counts, listed)).toThrow(message);
  });

  it("make a first task of base and later ones of increment; the last takes what is left", () => {
    const types = ["a", "b", "c", "d", "e"];
    expect(divideTypes(types, { base: 2, increment: 2 })).toEqual([["a", "b"], ["c", "d"], ["e"]]);
    expect(divideTypes(types, { base: 5, increment: 1 })).toEqual([types]);
    expect(() => divideTypes(types, { base: 6, increment: 1 })).toThrow(/asks for 6 entity types/);
  });
});

describe("a task", () => {
  const given = source(
    ["B-a I-a B-b", "O O", "B-b O", "B-c O B-a", "B-c I-c"],
    ["B-a B-b B-c", "O", "B-c I-c", "B-b"],
  );

  it("sees its own types in training and all types so far in the test", () => {
    const { tasks } = buildWordStream(given, spec, 1);
    expect(tasks.map(({ name, types, labels }) => [name, types, labels])).toEqual([
      ["task-0", ["a"], ["B-a", "I-a"]],
      ["task-1", ["b"], ["B-b", "I-b"]],
      ["task-2", ["c"], ["B-c", "I-c"]],
    ]);
    expect(tasks.map(({ train }) => tagsOf(train))).toEqual([
      ["B-a I-a O", "O O B-a"],
      ["O O B-b", "B-b O"],
      ["B-c O O", "B-c I-c"],
    ]);
    expect(tasks.map(({ test }) => tagsOf(test))).toEqual([
      ["B-a O O", "O", "O O", "O"],
      ["B-a B-b O", "O", "O O", "B-b"],
      ["B-a B-b B-c", "O", "B-c I-c", "B-b"],
    ]);
    for (const { test } of tasks)
      expect(test.map(({ words }) => words)).toEqual(given.test.map(({ words }) => words));
  });

  it("is validated on its own types, on a file or on a part of train", () => {
    const validation = ["B-a B-b", "B-c"].map(sentence);
    const { tasks } = buildWordStream({ ...given, validation }, spec, 1);
    expect(tasks.map((task) => tagsOf(task.validation))).toEqual([
      ["B-a O", "O"],
      ["O B-b", "O"],
      ["O O", "B-c"],
    ]);
    const many = source(
      Array.from({ length: 40 }, (_, i) => (i === 7 ? "B-b" : i % 2 ? "B-a" : "B-a B-a")),
      ["B-a"],
    );
    const split = buildWordStream(many, { ...spec, base: 2, validationFraction: 0.25 }, 3).tasks[0];
    expect(split?.validation).toHaveLength(10);
    expect(split?.train).toHaveLength(30);
    for (let seed = 0; seed < 12; seed++) {
      const half = buildWordStream(many, { ...spec, base: 2, validationFraction: 0.5 }, seed).tasks[0];
      expect(half?.validation).toHaveLength(20);
      expect(tagsOf(half?.train ?? []), `seed ${seed}`).toContain("B-b");
    }
    const all = [...(split?.train ?? []), ...(split?.validation ?? [])].map(({ words }) => words.join(" "));
    expect(new Set(all)).toEqual(new Set(many.train.map(({ words }) => words.join(" "))));
  });
});

it("with sampling: every each task trains on all sentences, its own types labelled", () => {
  const given = source(["B-x O", "B-y", "O"], ["B-x"]);
  const asked = { ...spec, base: 1, increment: 1, sampling: "every", validationFraction: 0 } as const;
  const { tasks, notes } = buildWordStream(given, asked, 1);
  expect(tasks.map(({ train }) => tagsOf(train))).toEqual([
    ["B-x O", "O", "O"],
    ["O O", "B-y", "O"],
  ]);
  expect(notes).toContain("Sampling every: the tasks train on 3, 3 of 3 sentences.");
});

describe("greedy sampling", () => {
  it("gives a sentence to the rarest of its types with room, and others by chance", () => {
    // Two shares of three: b is the rarer type.
    const sentences = ["B-a B-b", "B-b", "B-a", "B-a B-b", "B-a B-b", "O"].map(sentence);
    const counts = new Map([
      ["a", 5],
      ["b", 4],
    ]);
    const sampled = sampleGreedily(sentences, [["a"], ["b"]], counts, createRng(1));
    expect(sampled.map(tagsOf)).toEqual([
      ["B-a", "B-a B-b", "O"],
      ["B-a B-b", "B-b", "B-a B-b"],
    ]);
  });

  it("gives each task a share by its number of types, each sentence at most once, and is decided by the seed", () => {
    const tags = fc.array(fc.constantFrom("O", "B-a", "B-b", "B-c"), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(tags, { maxLength: 30 }), fc.nat(100), (given, seed) => {
        const sentences = given.map((one) => sentence(one.join(" ")));
        const division = [["c", "a"], ["b"]];
        const sample = () => sampleGreedily(sentences, division, countTypes(sentences), createRng(seed));
        const sampled = sample();
        expect(sampled.map(({ length }) => length)).toEqual([
          Math.floor((2 * sentences.length) / 3),
          Math.floor(sentences.length / 3),
        ]);
        expect(new Set(sampled.flat()).size).toBe(sampled.flat().length);
        expect(sample()).toEqual(sampled);
      }),
    );
  });

  it("of all sentences takes those with a type, as often as tasks want them", () => {
    const [both, none, one] = ["B-a B-b", "O", "B-b I-b"].map(sentence);
    const all = [both, none, one].filter((given) => given !== undefined);
    expect(sampleAll(all, [["a"], ["b"]])).toEqual([[both], [both, one]]);
  });
});

describe("masking", () => {
  it("keeps what is kept, whole, and nothing else", () => {
    const tag = fc.constantFrom("O", "B-a", "I-a", "B-b", "I-b", "B-c");
    fc.assert(
      fc.property(fc.array(tag, { maxLength: 8 }), (tags) => {
        const [masked] = maskTypes([{ words: tags, tags }], ["a", "c"]);
        expect(masked?.tags).toEqual(tags.map((one) => (one.endsWith("b") ? "O" : one)));
        expect(masked?.words).toBe(tags);
      }),
    );
  });
});

describe("data that cannot be learned from", () => {
  it.each([
    [
      "a test type unseen in train",
      source(["B-person"], ["B-persn I-persn", "B-persn"]),
      /test has an entity type that train has not: "persn" \(2 B- tags\)/,
    ],
    ["no entity in train", source(["O"], ["O"]), /train has no entity/],
    ["no test", source(["B-a"], []), /test has no sentences/],
  ])("%s is refused", (_, given, message) => {
    expect(() => buildWordStream(given, spec, 1)).toThrow(DataError);
    expect(() => buildWordStream(given, spec, 1)).toThrow(message);
  });

  it("hints at the type that was meant, in validation too", () => {
    const given = { ...source(["B-person"], ["O"]), validation: [sentence("B-persn")] };
    expect(() => buildWordStream(given, spec, 1)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining("validation has"),
        hint: 'Did you mean "person"?',
      }),
    );
  });

  it("greedy shares that leave a task without a type are refused", () => {
    const given = source(["B-a B-b", "O", "O", "O"], ["B-a"]);
    expect(() => buildWordStream(given, { ...spec, sampling: "greedy" }, 1)).toThrow(
      /task task-1 has no training sentence with "b"/,
    );
  });

  it("sentences of train that test has too are refused, dropped or kept", () => {
    const shared = { words: ["Hello", "World"], tags: ["O", "B-a"] };
    const given: WordSource = {
      train: [{ ...shared, words: ["hello", "world"] }, sentence("B-a"), sentence("B-b")],
      test: [shared],
    };
    expect(() => buildWordStream(given, spec, 1)).toThrow(
      /shares sentences with test: 1 sentence, e\.g\. "hello world"/,
    );
    const dropped = buildWordStream(given, { ...spec, overlap: "drop" }, 1);
    expect(dropped.tasks[0]?.train).toHaveLength(1);
    expect(dropped.notes[0]).toMatch(/^Dropped 1 train sentence /);
    const kept = buildWordStream(given, { ...spec, overlap: "allow" }, 1);
    expect(kept.tasks[0]?.train).toHaveLength(2);
    expect(kept.notes.join(" ")).toContain("allowOverlap");
  });
});

describe("a stream from files", () => {
  it("names stray tags by line, hashes the files, and counts what it made", async () => {
    const folder = folderWith({
      "train.conll": "a B-x\n\nb I-x\nc O\n\nd B-y\n\ne B-z\n",
      "test.conll": "f B-x\n",
    });
    const files = { train: join(folder, "train.conll"), test: join(folder, "test.conll") };
    const stream = await loadWordStream(files, { ...spec, base: 1, increment: 3 }, 1);
    expect(stream.tasks.map(({ types }) => types)).toEqual([["x"], ["y", "z"]]);
    expect(stream.dataHash).toMatch(/^[0-9a-f]{64}$/);
    expect(stream.notes).toEqual([
      `${files.train}: 1 I- tag without a beginning before, the first in line 3; read as B-.`,
      "The last task has 2 types, fewer than increment asks for.",
      "Sampling all: the tasks train on 2, 2 of 4 sentences.",
      'Test has no entity of "y", "z".',
    ]);
    const other = folderWith({ "train.conll": "a B-x\nb O\n", "test.conll": "f B-x\n" });
    const changed = await loadWordStream({ ...files, train: join(other, "train.conll") }, spec, 1);
    expect(changed.dataHash).not.toBe(stream.dataHash);
  });

  it.skipIf(wnut.absent)(
    wnut.titled("WNUT17 is three tasks of two types, the most frequent first"),
    async () => {
      const files = {
        train: join(wnut.path, "train.conll"),
        validation: join(wnut.path, "dev.conll"),
        test: join(wnut.path, "test.conll"),
      };
      const asked: WordStreamSpec = {
        ...spec,
        base: 2,
        increment: 2,
        typeOrder: "frequency",
        sampling: "greedy",
      };
      const stream = await loadWordStream(files, asked, 1);
      expect(stream.tasks.map(({ types }) => types)).toEqual([
        ["person", "location"],
        ["group", "corporation"],
        ["product", "creative-work"],
      ]);
      expect(stream.tasks.map(({ train }) => train.length)).toEqual([1131, 1131, 1131]);
      for (const { train, validation, test, types } of stream.tasks) {
        expect([...countTypes(train).keys()].sort()).toEqual([...types].sort());
        expect([...countTypes(validation).keys()].sort()).toEqual([...types].sort());
        expect(validation).toHaveLength(1009);
        expect(test).toHaveLength(1287);
      }
      const seen = stream.tasks.map(({ test }) => [...countTypes(test).values()].reduce((a, b) => a + b));
      expect(seen).toEqual([429 + 150, 429 + 150 + 165 + 66, 1079]);
      expect(await loadWordStream(files, asked, 1)).toEqual(stream);
      const other = await loadWordStream(files, asked, 2);
      expect(other.tasks[0]?.train).not.toEqual(stream.tasks[0]?.train);
      const all = await loadWordStream(files, { ...asked, sampling: "all" }, 1);
      expect(all.tasks.every(({ train }) => train.every(({ tags }) => tags.some((tag) => tag !== "O")))).toBe(
        true,
      );
      expect(all.tasks.map(({ train }) => countTypes(train))).toEqual(
        all.tasks.map(({ types }) => countTypesOf(types)),
      );
    },
  );
});

/** Entities of WNUT17's train, by grep. */
const wnutTrain: Readonly<Record<string, number>> = {
  corporation: 221,
  "creative-work": 140,
  group: 264,
  location: 548,
  person: 660,
  product: 142,
};

function countTypesOf(types: readonly string[]): Map<string, number> {
  return new Map(types.map((type) => [type, wnutTrain[type] ?? 0]));
}
