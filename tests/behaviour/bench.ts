/** Models and data that scenarios share: written once for all of them, and a folder for each to work in. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeSentenceTasks, encodeWordTasks } from "../../src/benchmark/prepare/encode.ts";
import { writeTinyDecoder, writeTinyFamily, writeTinyModel } from "../support/tinyModels.ts";
import { type Dataset, datasets, type Sentence, textTask } from "./data.ts";
import type { BackboneName, DatasetName } from "./scenario.ts";

const shipped = fileURLToPath(new URL("../../models/accrete-mini", import.meta.url));

/** How each tiny model is written; the shipped one lies where it lies. */
const tiny: { readonly [B in Exclude<BackboneName, "mini">]: (folder: string) => Promise<void> } = {
  bert: writeTinyModel,
  "bert-layers": (folder) => writeTinyFamily("bert", folder),
  llama: writeTinyDecoder,
  gpt2: (folder) => writeTinyFamily("gpt2", folder),
};

function conll(sentences: readonly Sentence[]): string {
  const lines = ({ words, tags }: Sentence) => words.map((word, i) => `${word}\t${tags[i]}\n`).join("");
  return sentences.map(lines).join("\n");
}

function jsonl(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

function encodeTwoFiles(data: Dataset): ReadonlyMap<string, Uint8Array> {
  if (data.of === "texts")
    return encodeSentenceTasks(Object.keys(data.tasks).map((task) => textTask(data, task)));
  const tasks = Object.values(data.tasks).map((types, k) => ({
    labels: types.flatMap((type) => [`B-${type}`, `I-${type}`]),
    train: data.train.filter((_, i) => i % 2 === k),
    validation: data.validation,
    test: data.test,
  }));
  return encodeWordTasks(tasks);
}

/** The files of a stream, and in `two-file` the same in the original's layout. */
async function writeData(data: Dataset, folder: string): Promise<void> {
  for (const split of ["train", "validation", "test"] as const) {
    if (data.of === "texts") await writeFile(join(folder, `${split}.jsonl`), jsonl(data[split]));
    else await writeFile(join(folder, `${split}.conll`), conll(data[split]));
  }
  if (data.of === "texts")
    await writeFile(join(folder, "outside.jsonl"), jsonl(data.outOfScope.map((text) => ({ text }))));
  await mkdir(join(folder, "two-file"));
  for (const [name, content] of encodeTwoFiles(data))
    await writeFile(join(folder, "two-file", name), content);
}

export class Bench implements AsyncDisposable {
  private readonly root: string;
  private readonly cacheBefore = process.env.XDG_CACHE_HOME;
  private readonly made = new Map<string, Promise<string>>();

  private constructor(root: string) {
    this.root = root;
    // What the product keeps for a user's other work must not come in here.
    process.env.XDG_CACHE_HOME = join(root, "cache");
  }

  static async open(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), "accrete-behaviour-")));
  }

  /** An empty folder. */
  folder(name: string): Promise<string> {
    return mkdtemp(join(this.root, `${name}-`));
  }

  backbone(name: BackboneName): Promise<string> {
    return name === "mini" ? Promise.resolve(shipped) : this.once(`backbone-${name}`, tiny[name]);
  }

  data(name: DatasetName): Promise<string> {
    return this.once(`data-${name}`, (folder) => writeData(datasets[name], folder));
  }

  private once(name: string, write: (folder: string) => Promise<void>): Promise<string> {
    const make = async () => {
      const folder = join(this.root, name);
      await mkdir(folder);
      await write(folder);
      return folder;
    };
    const made = this.made.get(name) ?? make();
    this.made.set(name, made);
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.cacheBefore === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = this.cacheBefore;
    await rm(this.root, { recursive: true, force: true });
  }
}
