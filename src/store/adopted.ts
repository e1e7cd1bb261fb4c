/** The folder of an experiment as the store that it may become. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../core/errors.ts";
import { configFile } from "../model/settings/settings.ts";
import { parseEvents } from "../report/record/record.ts";
import { listFolder } from "../workspace/listing.ts";
import { readManifest } from "../workspace/manifest.ts";

const eventsFile = "events.jsonl";

/** What an experiment says of itself at the top of its folder: figures, names of tasks and labels. */
const recordFiles: ReadonlySet<string> = new Set([
  eventsFile,
  "events.out.tfevents.accrete",
  "predictions.jsonl",
  "metrics.json",
  "cil_matrix.csv",
  "til_matrix.csv",
  "routed_matrix.csv",
  "report.html",
]);

/**
 * What a run has yet to learn it learns from its own stream: a task from elsewhere in between would keep it from that for good.
 * @throws StoreError where a run is not finished; a store, and a folder without a record of its events, is let through
 */
export async function requireFinished(folder: string): Promise<void> {
  const manifest = await readManifest(folder);
  if (manifest === undefined || manifest.store !== undefined) return;
  const text = await readFile(join(folder, eventsFile), "utf8").catch(() => undefined);
  if (text === undefined || parseEvents(text).some(({ type }) => type === "run-finished")) return;
  const { length } = manifest.tasks;
  throw new StoreError(
    `${folder}: the run is not finished: it has learned ${length} ${length === 1 ? "task" : "tasks"} so far`,
    { hint: "Finish it first, as it was begun and with --resume: accrete run <config> --resume." },
  );
}

/** Files of the experiment's record, which a change of the store leaves alone; none where it began as a store. */
export async function recordOf(folder: string): Promise<string[]> {
  const record = (await listFolder(folder)).filter((name) => recordFiles.has(name));
  // The settings of a run name its stream, and may list labels.
  return record.length === 0 ? [] : [...record, configFile].sort();
}

/**
 * Said of the figures of a run whose folder goes on learning.
 * @param name what the reader calls it
 * @returns undefined where it is still what the run left
 */
export async function noteOnFigures(folder: string, name: string): Promise<string | undefined> {
  const store = (await readManifest(folder))?.store;
  if (store === undefined) return undefined;
  return `${name} is a store by now, at version ${store.version}: the figures are those of the run, before it learned or forgot anything else.`;
}
