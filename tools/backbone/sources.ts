import { readFileSync } from "node:fs";
import path from "node:path";
import { parse as parseCsv } from "csv-parse/sync";
import { z } from "zod";
import type { Synset } from "./wordnet.ts";

const clincSchema = z.record(z.string(), z.array(z.tuple([z.string(), z.string()])));
const bankingSchema = z.array(z.object({ text: z.string(), category: z.string() }));

/** Texts the corpus may use, and texts it must never hold. */
export interface Benchmarks {
  readonly train: { readonly [source in "clinc150" | "banking77" | "wnut17"]: readonly string[] };
  readonly heldOut: readonly string[];
}

function readConll(file: string): readonly string[] {
  return readFileSync(file, "utf8")
    .split(/\n\s*\n/)
    .map((block) =>
      block
        .split("\n")
        .map((line) => line.split("\t")[0]?.trim() ?? "")
        .filter((word) => word !== "")
        .join(" "),
    )
    .filter((text) => text !== "");
}

function readBanking(file: string): readonly string[] {
  return bankingSchema.parse(parseCsv(readFileSync(file), { columns: true })).map((row) => row.text);
}

/** Reads the training halves, and everything that a benchmark tests or validates on. */
export function readBenchmarks(folder: string): Benchmarks {
  const clinc = clincSchema.parse(
    JSON.parse(readFileSync(path.join(folder, "clinc150/data_full.json"), "utf8")),
  );
  const clincSplit = (...names: readonly string[]) =>
    names.flatMap((name) => (clinc[name] ?? []).map(([text]) => text));
  return {
    train: {
      clinc150: clincSplit("train", "oos_train"),
      banking77: readBanking(path.join(folder, "banking77/train.csv")),
      wnut17: readConll(path.join(folder, "wnut17/train.conll")),
    },
    heldOut: [
      ...clincSplit("val", "test", "oos_val", "oos_test"),
      ...readBanking(path.join(folder, "banking77/test.csv")),
      ...readConll(path.join(folder, "wnut17/dev.conll")),
      ...readConll(path.join(folder, "wnut17/test.conll")),
    ],
  };
}

const longestDefinition = 30;

const wordCount = (text: string): number => text.split(" ").length;

/** Glosses with their word, usage examples, sets of synonyms, and single words that are in use. */
export function wordNetTexts(synsets: readonly Synset[]): Readonly<Record<string, readonly string[]>> {
  const near = synsets.filter((synset) => !synset.remote || synset.frequency > 0);
  const inUse = near.filter((synset) => synset.frequency > 0);
  return {
    "wordnet glosses": near
      .filter(({ definition }) => wordCount(definition) <= longestDefinition)
      .map(({ lemmas, definition }) => `${lemmas[0]}: ${definition}`),
    "wordnet examples": near.flatMap(({ examples }) => examples.filter((text) => wordCount(text) >= 3)),
    "wordnet synonyms": inUse
      .filter(({ lemmas }) => lemmas.length > 1)
      .map(({ lemmas }) => lemmas.join(", ")),
    "wordnet words": [...new Set(inUse.flatMap(({ lemmas }) => lemmas.slice(0, 2)))],
  };
}
