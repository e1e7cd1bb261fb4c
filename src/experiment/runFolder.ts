/** The folder of a run: when it may be begun, and when gone on with. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { differingKeys, hashConfig, loadConfig, toResolvedYaml } from "../config/load.ts";
import type { ResolvedConfig } from "../config/schema.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import { lockFile, refuseHeld } from "../io/lock.ts";
import { configFile } from "../model/settings/settings.ts";
import { listBegun } from "../workspace/listing.ts";
import { type Manifest, type ManifestHeader, manifestFile, readManifest } from "../workspace/manifest.ts";
import { pagesFolder } from "../workspace/pages.ts";
import { routerFolder } from "../workspace/routers.ts";
import { Workspace } from "../workspace/workspace.ts";

/** Everything that a run writes at the top of its folder. */
export const runFiles: ReadonlySet<string> = new Set([
  manifestFile,
  configFile,
  lockFile,
  "events.jsonl",
  "predictions.jsonl",
  "metrics.json",
  "cil_matrix.csv",
  "til_matrix.csv",
  "routed_matrix.csv",
  "report.html",
  "profile.json",
  "adapters",
  "versions",
  pagesFolder,
  routerFolder,
]);

export function isRunFile(name: string): boolean {
  return runFiles.has(name) || /^\.tmp-/.test(name);
}

interface RunFolderOptions {
  readonly resume?: boolean | undefined;
  /** Where the folder lies on this machine; default: where the configuration says. */
  readonly at?: string | undefined;
}

function refuseFull(out: string, entries: readonly string[]): void {
  if (entries.length === 0) return;
  throw new StoreError(`${out}: exists and is not empty`, {
    hint: "Continue that run with --resume, or choose another folder with --out.",
  });
}

/** Whether there is a run to continue. @throws StoreError where the files are somebody else's */
function holdsRun(out: string, entries: readonly string[]): boolean {
  if (entries.length === 0) return false;
  if (entries.includes(configFile)) return true;
  throw new StoreError(`${out}: not the folder of a run: it has files, but no ${configFile}`, {
    hint: "Choose another folder with --out.",
  });
}

/** What was learned since does not come from the run's stream, so that going on with it would be another experiment. */
function refuseStore(out: string, manifest: Manifest | undefined): void {
  if (manifest?.store === undefined) return;
  throw new StoreError(`${out}: is a store by now, at version ${manifest.store.version}`, {
    hint: "Go on with accrete learn, or run anew into another folder with --out.",
  });
}

async function refuseOtherConfig(config: ResolvedConfig, at: string): Promise<void> {
  const stored = await loadConfig(join(at, configFile));
  const keys = differingKeys(stored.config, config);
  if (keys.length === 0) return;
  throw new ConfigError(`${at}: was begun with another configuration; different: ${keys.join(", ")}`, {
    hint: `Its settings lie in ${join(at, configFile)}. Restore them, or run anew with --out.`,
  });
}

/**
 * Refuses what `openRunFolder` would refuse, and writes nothing: for before data and model are read.
 * @throws StoreError or ConfigError (exit 2)
 */
export async function checkRunFolder(
  config: ResolvedConfig,
  { resume = false, at = config.out }: RunFolderOptions,
): Promise<void> {
  const entries = await listBegun(at);
  // First, since the folder of a run that is going on is not empty either, and --resume is no way out then.
  await refuseHeld(at);
  if (!resume) return refuseFull(at, entries);
  if (!holdsRun(at, entries)) return;
  refuseStore(at, await readManifest(at));
  await refuseOtherConfig(config, at);
}

export interface OpenedRunFolder {
  readonly workspace: Workspace;
  /** Whether an earlier run is being continued. */
  readonly resumed: boolean;
}

/** Locks the folder and begins a run there, or goes on with the one that is there. */
export async function openRunFolder(
  config: ResolvedConfig,
  { resume = false, at = config.out }: RunFolderOptions,
): Promise<OpenedRunFolder> {
  await mkdir(at, { recursive: true }).catch((cause: unknown) => {
    throw new StoreError(`${at}: the run folder cannot be made`, { cause });
  });
  let resumed = false;
  // Another run may have come and gone between the look and the lock.
  const workspace = await Workspace.open(at, {}, async (manifest) => {
    const entries = await listBegun(at);
    if (!resume) return refuseFull(at, entries);
    resumed = holdsRun(at, entries);
    if (!resumed) return;
    refuseStore(at, manifest);
    await refuseOtherConfig(config, at);
  });
  try {
    if (resumed) await workspace.removeLeftovers();
    else
      await workspace.writeFiles(new Map([[configFile, new TextEncoder().encode(toResolvedYaml(config))]]));
    return { workspace, resumed };
  } catch (error) {
    await workspace[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Writes the manifest without tasks, or on resume checks that backbone, tokenizer, feature and data are those the run
 * began with (an engine or a Node of another version is let through: it is the caller's to warn of).
 * @throws StoreError naming what changed
 */
export async function beginRun(
  workspace: Workspace,
  config: ResolvedConfig,
  header: Omit<ManifestHeader, "configHash">,
): Promise<void> {
  const before = workspace.manifest;
  if (before === undefined) return await workspace.begin({ ...header, configHash: hashConfig(config) });
  const checks = [
    ["the backbone", before.backbone.hash, header.backbone.hash],
    ["the tokenizer", before.backbone.tokenizerHash, header.backbone.tokenizerHash],
    ["the data", before.dataHash, header.dataHash],
    ["the pooling", JSON.stringify(before.feature), JSON.stringify(header.feature)],
  ] as const;
  for (const [what, then, now] of checks)
    if (then !== now)
      throw new StoreError(`${config.out}: ${what} changed since this run began: ${then} then, ${now} now`, {
        hint: "Bring the old one back, or run anew into another folder with --out.",
      });
}
