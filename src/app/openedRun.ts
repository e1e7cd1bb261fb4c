import { join } from "node:path";
import { CheckpointError, StoreError } from "../core/errors.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import type { SavedAdapter } from "../peft/types.ts";
import { type LoadedBackbone, loadBackbone } from "./backbone.ts";
import { loadConfig, type ResolvedConfig } from "./config.ts";
import { configFile, RunFolder } from "./runFolder.ts";
import type { OpenRunOptions } from "./types.ts";

/** A task as a run saved it. */
export interface SavedTask {
  readonly name: string;
  readonly saved: SavedAdapter;
  /** The adapter's folder, for messages. */
  readonly where: string;
  /** File name in that folder → SHA-256 of its bytes. */
  readonly files: Readonly<Record<string, string>>;
}

export interface OpenedRun {
  /** The run's folder. */
  readonly path: string;
  readonly config: ResolvedConfig;
  readonly loaded: LoadedBackbone;
  /** In the order of learning; at least one. */
  readonly tasks: readonly SavedTask[];
}

/**
 * Reads a run or store folder with the backbone that it names, which is checked by its hash and may lie elsewhere now.
 * @throws StoreError if the folder is no run, or no task was learned yet
 * @throws CheckpointError if the backbone is another one, or an adapter is damaged
 */
export async function readRun(folder: string, options: OpenRunOptions = {}): Promise<OpenedRun> {
  const run = await RunFolder.open(folder);
  const { manifest, path } = run;
  if (manifest.tasks.length === 0)
    throw new StoreError(`${folder}: no task has been learned yet`, { hint: "finish the run with --resume" });
  const { source, revision, hash } = manifest.backbone;
  const place = options.backbone ?? source;
  const loaded = await loadBackbone(
    place,
    options.backbone === undefined ? revision : undefined,
    options.signal,
  );
  if (loaded.folder.hash !== hash)
    throw new CheckpointError(
      `${place}: is not the backbone of this run: hash ${loaded.folder.hash}, the run names ${hash}`,
      {
        hint: "give the folder of the backbone it was trained on with --backbone",
      },
    );
  const tasks: SavedTask[] = [];
  for (const entry of manifest.tasks) {
    if (entry.statisticsOnly !== undefined) continue;
    const where = await run.adapterFolder(entry);
    const { files } = entry.adapter;
    tasks.push({ name: entry.name, saved: await readPeftFolder(where), where, files });
  }
  const { config } = await loadConfig(join(path, configFile));
  return { path, config, loaded, tasks };
}
