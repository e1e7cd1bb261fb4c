/** Every set that can be prepared: its files, its reader, and how it is divided where nothing else is asked for. */
import type { Rng } from "../../core/random.ts";
import { readConll2003, readFewNerd, readWnut17 } from "./entities.ts";
import { readI2b2 } from "./i2b2.ts";
import { readBanking77, readClinc150 } from "./intents.ts";
import type { SentenceSource, WordSourceWithNotes } from "./kinds.ts";
import type { DatasetName } from "./names.ts";
import { readOntoNotes } from "./ontonotes.ts";
import type { RawFolder } from "./rawFolder.ts";
import { readFewRel, readTacred } from "./relations.ts";
import { readTopics, topicFolders } from "./topics.ts";

interface Entry {
  /** What it is, for help and docs. */
  readonly title: string;
  /** The files expected in the raw folder, one a line of help. */
  readonly expected: readonly string[];
}

interface SentenceEntry extends Entry {
  readonly level: "sentence";
  readonly tasks: number;
  read(raw: RawFolder, rng: Rng): Promise<SentenceSource>;
}

interface WordEntry extends Entry {
  readonly level: "word";
  /** Entity types of the first task, and of each later one. */
  readonly base: number;
  readonly increment: number;
  readonly typeOrder: "alphabetical" | "shuffled" | "frequency";
  read(raw: RawFolder, rng: Rng): Promise<WordSourceWithNotes>;
}

export type CatalogueEntry = SentenceEntry | WordEntry;

export const catalogue: { readonly [K in DatasetName]: CatalogueEntry } = {
  clinc150: {
    title: "CLINC150, intents",
    level: "sentence",
    tasks: 15,
    expected: ["data_full.json", "label_dict.json, where there is one"],
    read: readClinc150,
  },
  banking77: {
    title: "Banking77, intents",
    level: "sentence",
    tasks: 7,
    expected: ["train.csv", "test.csv", "categories.json"],
    read: readBanking77,
  },
  fewrel: {
    title: "FewRel, relations",
    level: "sentence",
    tasks: 8,
    expected: ["val_wiki.json", "pid2name.json", "train_wiki.json, where there is one"],
    read: readFewRel,
  },
  tacred: {
    title: "TACRED, relations",
    level: "sentence",
    tasks: 8,
    expected: ["train.json", "dev.json", "test.json (or in data/json/)"],
    read: readTacred,
  },
  topic3: {
    title: "AG News, DBpedia and Yahoo! Answers, topics",
    level: "sentence",
    tasks: 5,
    expected: topicFolders.map((folder) => `${folder} with classes.txt, train.csv and test.csv`),
    read: readTopics,
  },
  conll2003: {
    title: "CoNLL-2003, entities",
    level: "word",
    base: 1,
    increment: 1,
    typeOrder: "alphabetical",
    expected: ["eng.train (or train.txt)", "eng.testa (or dev.txt)", "eng.testb (or test.txt)"],
    read: readConll2003,
  },
  fewnerd: {
    title: "Few-NERD (supervised), entities",
    level: "word",
    base: 6,
    increment: 6,
    typeOrder: "shuffled",
    expected: ["train.txt", "dev.txt", "test.txt (or in supervised/)"],
    read: readFewNerd,
  },
  ontonotes5: {
    title: "OntoNotes 5, entities",
    level: "word",
    base: 8,
    increment: 2,
    typeOrder: "alphabetical",
    expected: ["*_conll files below train/, development/ and test/", "or train.txt, dev.txt, test.txt"],
    read: readOntoNotes,
  },
  i2b2: {
    title: "i2b2 2014 de-identification, entities",
    level: "word",
    base: 8,
    increment: 2,
    typeOrder: "alphabetical",
    expected: [".xml notes below folders training… and testing…", "or train.txt, dev.txt, test.txt"],
    read: readI2b2,
  },
  wnut17: {
    title: "WNUT17, entities",
    level: "word",
    base: 2,
    increment: 2,
    typeOrder: "frequency",
    expected: [
      "wnut17train.conll (or train.conll)",
      "emerging.dev.conll (or dev.conll)",
      "emerging.test.annotated (or test.conll)",
    ],
    read: readWnut17,
  },
};
