/** A worker's part of a trial: fetch what it reads, run it in a child process, and put its folder into the store. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ArtefactStore } from "../../artefacts/store.ts";
import { type ArtefactCache, publishFolder } from "../../artefacts/tree.ts";
import { StoreError } from "../../core/errors.ts";
import { type PieceName, pieceFolder } from "../../experiment/pieces.ts";
import { manifestFile } from "../../workspace/manifest.ts";
import { runChild } from "../childRun.ts";
import { runArguments } from "../executor.ts";
import { type Progress, readProgress } from "../trialState.ts";
import { jobIdOf, piecesOf, progressName, resultName, type TrialJobData } from "./jobs.ts";
import type { PieceProcesses } from "./pieceProcess.ts";

export interface WorkOptions {
  readonly store: ArtefactStore;
  readonly cache: ArtefactCache;
  /** Takes the trials' folders and logs while they run. */
  readonly scratch: string;
  /** For pieces of runs. */
  readonly processes: PieceProcesses;
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

/** The child ended without having reached the goal. */
export class TrialFailure extends StoreError {
  readonly childExit: number | null;
  readonly log: string;

  constructor(trial: string, childExit: number | null, log: string) {
    const lines = log.trim().split("\n");
    super(`${trial}: ${lines.at(-1) || `its process ended with ${childExit}`}`, { exitCode: 1 });
    this.childExit = childExit;
    this.log = log;
  }
}

const watchMs = 1_000;

/** Puts the folder into the store after every task, so that whoever takes over repeats at most one. */
async function keepProgress(
  data: TrialJobData,
  folder: string,
  { store, onProgress }: WorkOptions,
  known: number,
  done: AbortSignal,
): Promise<void> {
  let kept = known;
  while (!done.aborted) {
    await sleep(watchMs, undefined, { signal: done }).catch(() => {});
    try {
      const progress = await readProgress(folder);
      onProgress(progress);
      if (progress.evaluated <= kept || done.aborted) continue;
      const before = await store.readName(progressName(data));
      // Of two that work on the same trial either's folder will do.
      await store.setName(progressName(data), await publishFolder(store, folder, [manifestFile]), before);
      kept = progress.evaluated;
    } catch {
      // A store that does not answer now is asked again; the trial itself goes on.
    }
  }
}

/** The folder as far as anybody has brought it. @returns tasks that are evaluated there */
async function takeUp(data: TrialJobData, folder: string, { store, cache }: WorkOptions): Promise<number> {
  const latest = (await store.readName(progressName(data)))?.value ?? data.from;
  await rm(folder, { recursive: true, force: true });
  if (latest === undefined) return 0;
  await cache.copy(latest, folder);
  return (await readProgress(folder)).evaluated;
}

async function placesOf({ inputs }: TrialJobData, cache: ArtefactCache): Promise<string[]> {
  const places: string[] = [];
  for (const [key, { tree, file }] of Object.entries(inputs)) {
    const folder = await cache.folder(tree);
    places.push("--at", `${key}=${file === undefined ? folder : join(folder, file)}`);
  }
  return places;
}

/** Sets pieces that others computed side by side. */
async function gatherPieces(
  wanted: readonly TrialJobData[],
  folder: string,
  { store, cache }: WorkOptions,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const data of wanted) {
    const { trial, piece } = data;
    const there = await store.readName(resultName(data));
    if (there === undefined || piece === undefined)
      throw new StoreError(`${trial}: a piece of it was computed, and its result is gone`, { exitCode: 1 });
    await symlink(await cache.folder(there.value), pieceFolder(folder, piece));
  }
}

interface Scratch {
  readonly folder: string;
  readonly pieces: string;
  readonly log: string;
  /** Of the configuration and what it names. */
  readonly args: readonly string[];
}

async function computePiece(
  data: TrialJobData,
  piece: PieceName,
  { pieces, args }: Scratch,
  options: WorkOptions,
): Promise<string> {
  if (piece.part === "answers")
    await gatherPieces([{ ...data, piece: { ...piece, part: "learn" } }], pieces, options);
  const { exitCode, log } = await options.processes.compute(args, { piece, folder: pieces }, options.signal);
  options.signal.throwIfAborted();
  if (exitCode !== 0) throw new TrialFailure(data.trial, exitCode, log);
  return await publishFolder(options.store, pieceFolder(pieces, piece));
}

async function runTrial(data: TrialJobData, scratch: Scratch, options: WorkOptions): Promise<string> {
  const { folder, pieces, log, args } = scratch;
  const { store, signal } = options;
  const known = await takeUp(data, folder, options);
  if (data.pieces !== undefined) await gatherPieces(piecesOf(data).flat(), pieces, options);
  const done = new AbortController();
  const keeping = keepProgress(data, folder, options, known, done.signal);
  const [config = "", ...places] = args;
  const own = [...runArguments(config, data), "--at", `out=${folder}`, ...places];
  const whole = data.pieces === undefined ? own : [...own, "--pieces", pieces];
  await options.processes.giveWay();
  const end = await runChild(whole, { log, signal }).finally(() => {
    done.abort();
    return keeping;
  });
  signal.throwIfAborted();
  const reached =
    existsSync(join(folder, "metrics.json")) ||
    (data.tasks !== undefined && (await readProgress(folder)).evaluated >= data.tasks);
  if (!reached) throw new TrialFailure(data.trial, end.exitCode, end.log);
  return await publishFolder(store, folder, [manifestFile]);
}

/**
 * Brings a trial to its goal, or learns one of its tasks.
 * @returns the tree of its folder, which is committed under the job's name
 * @throws TrialFailure where its process failed
 */
export async function workOn(data: TrialJobData, options: WorkOptions): Promise<string> {
  const { store, cache, scratch } = options;
  const name = resultName(data);
  // A job that is delivered twice.
  const there = await store.readName(name);
  if (there !== undefined) return there.value;
  // Of its own: the same job may be delivered once more while this one is at it.
  const own = await mkdtemp(join(scratch, `${jobIdOf(data)}-`));
  try {
    const config = join(await cache.folder(data.config), "config.yaml");
    const args = [config, ...(await placesOf(data, cache))];
    const place = { folder: join(own, "run"), pieces: join(own, "pieces"), log: join(own, "log"), args };
    const tree =
      data.piece === undefined
        ? await runTrial(data, place, options)
        : await computePiece(data, data.piece, place, options);
    if (await store.setName(name, tree, undefined)) return tree;
    return (await store.readName(name))?.value ?? tree;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}
