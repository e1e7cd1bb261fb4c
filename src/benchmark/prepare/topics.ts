/** Three sets of topics as one stream: AG News, DBpedia and Yahoo! Answers (Zhang, Zhao and LeCun 2015). */
import { createReadStream } from "node:fs";
import { parse } from "csv-parse";
import { DataError } from "../../core/errors.ts";
import type { Rng } from "../../core/random.ts";
import { readLines, unreadable } from "../../data/files/lines.ts";
import type { LabelledExample } from "../../data/files/types.ts";
import type { SentenceSource } from "./catalogue.ts";
import { misshapen, type RawFolder, requireFile } from "./rawFolder.ts";

/** Topics of Yahoo! Answers that AG News has too, under nearly the same name. */
const shared = ["Sports", "Business & Finance", "Science & Mathematics"];

/** The three sets: the folder's name in the benchmark and at the publisher's, and the classes left out. */
const parts: readonly { readonly folders: readonly [string, string]; readonly leftOut: readonly string[] }[] =
  [
    { folders: ["agnews", "ag_news_csv"], leftOut: [] },
    { folders: ["dbpedia", "dbpedia_csv"], leftOut: [] },
    { folders: ["yahoo", "yahoo_answers_csv"], leftOut: shared },
  ];

/** Texts kept of each class; the sets have 1.4 million rows together. */
const largest = { train: 3000, test: 2000 } as const;

/** `OfficeHolder` → `Office Holder`; `Sci/Tech` in full. */
export function topicLabel(name: string): string {
  if (name === "Sci/Tech") return "Science and Technology";
  return name
    .replaceAll("&", "and")
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ")
    .replace(" Of ", " of ");
}

/** Where a class has more texts than are wanted, each of them stays with the same chance (reservoir sampling). */
class Sample {
  readonly examples: LabelledExample[] = [];
  readonly #rng: Rng;
  readonly #size: number;
  #seen = 0;

  constructor(size: number, rng: Rng) {
    this.#size = size;
    this.#rng = rng;
  }

  add(example: LabelledExample): void {
    this.#seen++;
    const full = this.examples.length === this.#size;
    const place = full ? this.#rng.integer(this.#seen) : this.examples.length;
    if (place < this.#size) this.examples[place] = example;
  }
}

/** The publisher writes a line break inside a text as a backslash and an n. */
function joinCells(cells: readonly string[]): string {
  const texts = cells.map((cell) => cell.replaceAll("\\n", " ").trim());
  return texts.filter((text) => text !== "").join(" ");
}

async function readClasses(raw: RawFolder, path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { text } of readLines(path)) if (text.trim() !== "") names.push(text.trim());
  if (names.length === 0) throw misshapen(raw, path, "names no class");
  return names;
}

async function sampleRows(
  raw: RawFolder,
  path: string,
  classes: readonly string[],
  samples: ReadonlyMap<string, Sample>,
): Promise<void> {
  const stream = createReadStream(path);
  const parser = parse({ relaxColumnCount: true, skipEmptyLines: true });
  stream.on("error", (error) => parser.destroy(error));
  const rows: AsyncIterable<readonly string[]> = stream.pipe(parser);
  let number = 0;
  try {
    for await (const [first = "", ...cells] of rows) {
      number++;
      const name = /^\d+$/.test(first) ? classes[Number(first) - 1] : undefined;
      if (name === undefined)
        throw misshapen(
          raw,
          path,
          `row ${number}: the class is ${JSON.stringify(first)}, not a number from 1 to ${classes.length}`,
        );
      const text = joinCells(cells);
      if (text !== "") samples.get(name)?.add({ text, label: topicLabel(name) });
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw unreadable(path, cause);
  }
}

/**
 * AG News, DBpedia and Yahoo! Answers together: 25 classes, at most 3,000 texts of each to learn and 2,000 to test,
 * in an order shuffled by seed. None of them has a validation part, so one is split from train.
 */
export async function readTopics(raw: RawFolder, rng: Rng): Promise<SentenceSource> {
  const files: string[] = [];
  const rows: { train: LabelledExample[]; test: LabelledExample[] } = { train: [], test: [] };
  for (const { folders, leftOut } of parts) {
    const find = (name: string) => requireFile(raw, ...folders.map((folder) => `${folder}/${name}`));
    const classesFile = await find("classes.txt");
    files.push(classesFile);
    const classes = await readClasses(raw, classesFile);
    for (const split of ["train", "test"] as const) {
      const path = await find(`${split}.csv`);
      files.push(path);
      const draw = rng.fork(folders[0], split);
      const wanted = classes.filter((name) => !leftOut.includes(name));
      const samples = new Map(wanted.map((name) => [name, new Sample(largest[split], draw.fork(name))]));
      await sampleRows(raw, path, classes, samples);
      for (const { examples } of samples.values()) for (const example of examples) rows[split].push(example);
    }
  }
  const notes = [`Left out what both Yahoo! Answers and AG News have: ${shared.join(", ")}.`];
  return { source: { ...rows, files, overlap: "drop" }, classOrder: "shuffled", notes };
}
