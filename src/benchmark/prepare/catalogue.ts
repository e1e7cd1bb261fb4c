/** Every set that can be prepared: its files, its reader, and how it is divided by default. Readers are imported when they run. */
import type { Rng } from "../../core/random.ts";
import type { Source } from "../../data/source.ts";
import type { WordSource } from "../../data/wordStream.ts";
import type { RawFolder } from "./rawFolder.ts";

export interface SentenceSource {
  readonly source: Source;
  /** Every label, in the order in which tasks take them; default: as they first appear in train. */
  readonly classOrder?: readonly string[] | "shuffled";
  /** What the reader should know, one sentence each. */
  readonly notes?: readonly string[];
}

export interface WordSourceWithNotes {
  readonly source: WordSource;
  readonly notes?: readonly string[];
}

interface Entry<S> {
  /** The files expected in the raw folder, one a line of help. */
  readonly expected: readonly string[];
  read(raw: RawFolder, rng: Rng): Promise<S>;
}

export interface SentenceEntry extends Entry<SentenceSource> {
  readonly level: "sentence";
  readonly tasks: number;
}

export interface WordEntry extends Entry<WordSourceWithNotes> {
  readonly level: "word";
  /** Entity types of the first task, and of each later one. */
  readonly base: number;
  readonly increment: number;
  readonly typeOrder: "alphabetical" | "shuffled" | "frequency";
}

export const catalogue = {
  clinc150: {
    level: "sentence",
    tasks: 15,
    expected: ["data_full.json", "label_dict.json, where there is one"],
    read: async (raw, rng) => (await import("./intents.ts")).readClinc150(raw, rng),
  },
  banking77: {
    level: "sentence",
    tasks: 7,
    expected: ["train.csv", "test.csv", "categories.json"],
    read: async (raw, rng) => (await import("./intents.ts")).readBanking77(raw, rng),
  },
  fewrel: {
    level: "sentence",
    tasks: 8,
    expected: ["val_wiki.json", "pid2name.json", "train_wiki.json, where there is one"],
    read: async (raw, rng) => (await import("./relations.ts")).readFewRel(raw, rng),
  },
  tacred: {
    level: "sentence",
    tasks: 8,
    expected: ["train.json", "dev.json", "test.json (or in data/json/)"],
    read: async (raw) => (await import("./relations.ts")).readTacred(raw),
  },
  topic3: {
    level: "sentence",
    tasks: 5,
    expected: [
      "agnews/ (or ag_news_csv/) with classes.txt, train.csv and test.csv",
      "dbpedia/ (or dbpedia_csv/) with classes.txt, train.csv and test.csv",
      "yahoo/ (or yahoo_answers_csv/) with classes.txt, train.csv and test.csv",
    ],
    read: async (raw, rng) => (await import("./topics.ts")).readTopics(raw, rng),
  },
  conll2003: {
    level: "word",
    base: 1,
    increment: 1,
    typeOrder: "alphabetical",
    expected: ["eng.train (or train.txt)", "eng.testa (or dev.txt)", "eng.testb (or test.txt)"],
    read: async (raw) => (await import("./entities.ts")).readConll2003(raw),
  },
  fewnerd: {
    level: "word",
    base: 6,
    increment: 6,
    typeOrder: "shuffled",
    expected: ["train.txt", "dev.txt", "test.txt (or in supervised/)"],
    read: async (raw) => (await import("./entities.ts")).readFewNerd(raw),
  },
  ontonotes5: {
    level: "word",
    base: 8,
    increment: 2,
    typeOrder: "alphabetical",
    expected: ["*_conll files below train/, development/ and test/", "or train.txt, dev.txt, test.txt"],
    read: async (raw) => (await import("./ontonotes.ts")).readOntoNotes(raw),
  },
  i2b2: {
    level: "word",
    base: 8,
    increment: 2,
    typeOrder: "alphabetical",
    expected: [".xml notes below folders training… and testing…", "or train.txt, dev.txt, test.txt"],
    read: async (raw, rng) => (await import("./i2b2.ts")).readI2b2(raw, rng),
  },
  wnut17: {
    level: "word",
    base: 2,
    increment: 2,
    typeOrder: "frequency",
    expected: [
      "wnut17train.conll (or train.conll)",
      "emerging.dev.conll (or dev.conll)",
      "emerging.test.annotated (or test.conll)",
    ],
    read: async (raw) => (await import("./entities.ts")).readWnut17(raw),
  },
} satisfies Readonly<Record<string, SentenceEntry | WordEntry>>;

export type DatasetName = keyof typeof catalogue;

export const datasetNames: readonly string[] = Object.keys(catalogue);
