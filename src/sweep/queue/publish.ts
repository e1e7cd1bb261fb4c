/** From a trial to a job: what it reads is put into the artefact store, each file once. */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { publishAlone, publishFolder } from "../../artefacts/tree.ts";
import { namedFiles } from "../../config/places.ts";
import type { ResolvedConfig } from "../../config/schema.ts";
import { CheckpointError, ConfigError } from "../../core/errors.ts";
import { packageVersion } from "../../core/packageInfo.ts";
import { hasOwnAnswers, isDivisible } from "../../experiment/pieces.ts";
import { loadTasks } from "../../experiment/stream.ts";
import { sha256Json } from "../../io/hash.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import type { TrialJob } from "../executor.ts";
import { configPath, runPath } from "../sweepFolder.ts";
import type { JobInput, TrialJobData } from "./jobs.ts";

export interface JobOrigin {
  /** The sweep's folder, name and identity. */
  readonly out: string;
  readonly sweep: string;
  readonly plan: string;
  /** Whether tasks are jobs of their own. */
  readonly split: boolean;
}

/** @throws ConfigError for what a worker could not have */
function refuseCode({ extensions }: ResolvedConfig): void {
  if (extensions === undefined) return;
  throw new ConfigError("extensions: a queue's workers are given data, and no code", {
    hint: "Run this sweep here (--jobs), or with --shard on machines that have the same files.",
  });
}

/** Tasks that can be learned apart; undefined where the trial is one job. */
async function countPieces({ config }: TrialJob["trial"]): Promise<TrialJobData["pieces"]> {
  if (!isDivisible(config)) return undefined;
  const { tasks } = await loadTasks(config);
  return tasks.length > 1 ? { tasks: tasks.length, answers: hasOwnAnswers(config) } : undefined;
}

/** Puts what trials name into the store; what several name goes there once. */
export class Publisher {
  readonly #store: ArtefactStore;
  readonly #known = new Map<string, Promise<JobInput>>();

  constructor(store: ArtefactStore) {
    this.#store = store;
  }

  /** @throws CheckpointError where nothing is there */
  #input(path: string): Promise<JobInput> {
    const known = this.#known.get(path) ?? this.#publish(path);
    this.#known.set(path, known);
    return known;
  }

  async #publish(path: string): Promise<JobInput> {
    const found = await stat(path).catch((cause: unknown) => {
      throw new CheckpointError(`${path}: is not there, and workers would need it`, { cause });
    });
    if (found.isDirectory()) return { tree: await publishFolder(this.#store, path) };
    const file = basename(path);
    return { tree: await publishAlone(this.#store, path, file), file };
  }

  async jobOf(
    { trial, tasks, validate }: TrialJob,
    { out, sweep, plan, split }: JobOrigin,
  ): Promise<TrialJobData> {
    refuseCode(trial.config);
    const inputs: Record<string, JobInput> = {};
    // The model that ships is everywhere, and a worker fetches a hub's model as any run does.
    for (const [key, path] of namedFiles(trial.config))
      if (key !== "backbone" || existsSync(path)) inputs[key] = await this.#input(path);
    const folder = runPath(out, trial);
    const pieces = split && tasks === undefined ? await countPieces(trial) : undefined;
    const begun = existsSync(folder) ? await publishFolder(this.#store, folder, [manifestFile]) : undefined;
    const config = await publishAlone(this.#store, configPath(out, trial), "config.yaml");
    const version = packageVersion();
    return {
      version,
      sweep,
      plan,
      trial: trial.name,
      // Other data under the same paths is another trial.
      identity: sha256Json({ version, plan, trial: trial.name, config, inputs }),
      config,
      inputs,
      ...(begun !== undefined && { from: begun }),
      ...(tasks !== undefined && { tasks }),
      validate,
      ...(pieces !== undefined && { pieces }),
    };
  }
}
