/** The folder of an experiment as the store that it may become. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../../core/errors.ts";
import { parseEvents } from "../../report/record.ts";
import { readManifest } from "../manifest.ts";

/**
 * What a run has yet to learn it learns from its own stream: a task from elsewhere in between would keep it from that for good.
 * @throws StoreError where a run is not finished; a store, and a folder without a record of its events, is let through
 */
export async function requireFinished(folder: string): Promise<void> {
  const manifest = await readManifest(folder);
  if (manifest === undefined || manifest.store !== undefined) return;
  const text = await readFile(join(folder, "events.jsonl"), "utf8").catch(() => undefined);
  if (text === undefined || parseEvents(text).some(({ type }) => type === "run-finished")) return;
  const { length } = manifest.tasks;
  throw new StoreError(
    `${folder}: the run is not finished: it has learned ${length} ${length === 1 ? "task" : "tasks"} so far`,
    { hint: "Finish it first, as it was begun and with --resume: accrete run <config> --resume." },
  );
}
