/** Stores on a tiny model. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Prediction } from "../../src/continual/answers.ts";
import { decodeContributions } from "../../src/continual/statistics/contributionFile.ts";
import { ClassStatistics } from "../../src/continual/statistics/statistics.ts";
import { statisticsFile } from "../../src/model/taskFiles.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { foldersOf } from "../../src/workspace/manifest.ts";
import { readStore } from "../../src/workspace/reading.ts";
import { temporaryFolder } from "./folders.ts";
import { writeTinyModel } from "./tinyModels.ts";
import { jsonl, texts } from "./tinyStreams.ts";

export const settings = {
  training: { epochs: 3, batchSize: 4, learningRate: 1e-2, headLearningRate: 5e-2 },
  threads: 1,
} as const;

export const questions = texts(["aa", "bb", "cc", "dd", "ee"], "test", 3).map(({ text }) => text);

/** A folder with a tiny model, and stores on it that are closed with the test. */
export async function workshop() {
  const folder = await temporaryFolder();
  const backbone = join(folder, "model");
  await writeTinyModel(backbone);
  return {
    folder,
    at: (name: string) => join(folder, name),
    open: (name: string, changes: object = {}, background = false): Promise<Store> =>
      openStore(join(folder, name), { create: { backbone, ...settings, ...changes }, background }),
  };
}

/** Everything that a store's statistics hold, to the last bit. */
export async function statisticsOf(folder: string): Promise<readonly string[]> {
  const { tasks } = await readStore(folder);
  const files = tasks
    .flatMap(foldersOf)
    .filter(({ files }) => statisticsFile in files)
    .map((each) => join(folder, each.folder, statisticsFile));
  const decoded = await Promise.all(
    files.map(async (path) => decodeContributions(await readFile(path), path)),
  );
  const [first] = decoded;
  if (first === undefined) return [];
  const all = decoded.flatMap(({ contributions }) => contributions);
  return ClassStatistics.empty(first.constants)
    .with(all)
    .contributions.map(({ id }) => id);
}

/** Labels and scores; which task a label was learned in is no matter of statistics. */
export function answers(predictions: readonly Prediction[]) {
  return predictions.map(({ label, score, top, passes }) => ({ label, score, top, passes }));
}

/** Answers without the number of the version that gave them. */
export function unversioned(predictions: readonly Prediction[]) {
  return predictions.map(({ version: _, ...answer }) => answer);
}

/** Files of a store's routers, below its folder for them. */
export async function fittedFiles(store: string): Promise<readonly string[]> {
  const found = await readdir(join(store, "router"), { recursive: true }).catch(() => []);
  return found.filter((path) => path.includes(".")).sort();
}

export const statisticsOnly = { statisticsOnly: true } as const;

/** A folder with a model, data files named by their labels, and places for stores. */
export async function furnish(folder: string) {
  await writeTinyModel(join(folder, "model"));
  for (const labels of [["aa", "bb"], ["cc", "dd"], ["ee"]])
    await writeFile(join(folder, `${labels.join("")}.jsonl`), jsonl(texts(labels, "train", 10)));
  return (name: string) => join(folder, name);
}
