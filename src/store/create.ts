/** Beginning a store: empty, or built of others beside its place and put there when it is whole. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { requireCombination } from "../config/combinations.ts";
import { contradictions, readYaml } from "../config/load.ts";
import { applyOverrides, type Override } from "../config/overrides.ts";
import type { ModelConfig } from "../config/schema.ts";
import type { LoadedBackbone } from "../continual/types.ts";
import { ConfigError, StoreError } from "../core/errors.ts";
import { collectVersions } from "../core/packageInfo.ts";
import { sha256Json } from "../io/hash.ts";
import { acquireLock, lockFile, refuseHeld } from "../io/lock.ts";
import { requireMergeable } from "../model/merging.ts";
import { openModel } from "../model/openModel.ts";
import { loadBackbone, readArchitecture } from "../model/settings/backbone.ts";
import {
  configFile,
  loadModelSettings,
  type ModelSettings,
  readModelSettings,
  toSettingsYaml,
  withStoreDefaults,
} from "../model/settings/settings.ts";
import { isTemporary, listBegun, listFolder } from "../workspace/listing.ts";
import { type ManifestHeader, manifestFile } from "../workspace/manifest.ts";
import { readStore } from "../workspace/reading.ts";
import { routerFolder } from "../workspace/routers.ts";
import { Workspace } from "../workspace/workspace.ts";

/**
 * Lets through what an interrupted beginning left: settings of a store, without a first version.
 * @throws StoreError if the folder holds something
 */
async function refuseFull(folder: string): Promise<void> {
  const entries = await listBegun(folder);
  const [only] = entries;
  if (only === undefined) return;
  if (
    entries.length === 1 &&
    only === configFile &&
    !("stream" in (await readYaml(join(folder, configFile))))
  )
    return;
  const isStore = entries.includes(manifestFile);
  throw new StoreError(
    `${folder}: ${isStore ? "holds a store or a run already" : "exists and is not empty"}`,
    {
      hint: isStore ? "Teach it with accrete learn." : "Choose another folder.",
    },
  );
}

/** What a manifest says of a backbone and of what is learned with it. */
export function headerOf(
  settings: ModelSettings,
  loaded: LoadedBackbone,
  feature: ManifestHeader["feature"],
): Omit<ManifestHeader, "configHash"> {
  return {
    versions: collectVersions(),
    backbone: {
      source: settings.backbone,
      ...(loaded.folder.commit !== undefined && { revision: loaded.folder.commit }),
      hash: loaded.folder.hash,
      tokenizerHash: loaded.tokenizer.hash,
      architecture: loaded.backbone.config.architecture,
    },
    seed: settings.seed,
    feature,
  };
}

function configHashOf({ promptTask: _, ...settings }: ModelSettings): string {
  return sha256Json(settings);
}

export interface CreateOptions {
  /** As `--set` gives them; they beat the configuration. */
  readonly overrides?: readonly Override[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Stores forget and merge unless they are told otherwise: each task stands on its own. */
function independent(settings: ModelSettings): ModelSettings {
  const { router, level } = settings;
  if (settings.level === "word" && settings.outside === "first")
    throw new StoreError("outside: first: all heads of a store would compare with its first task's O", {
      hint: "Use outside: own, the default; or learn with accrete run.",
    });
  if (level !== "word" || router === undefined || router.featureAdapter !== undefined) return settings;
  return { ...settings, router: { ...router, featureAdapter: "none" } };
}

/**
 * Begins an empty store.
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used
 * @throws StoreError if the folder is not empty
 */
export async function createStore(
  folder: string,
  config: ModelConfig,
  { overrides = [], signal }: CreateOptions = {},
): Promise<ModelSettings> {
  const path = resolve(folder);
  const settings = independent(await loadModelSettings(config, "the store's settings", overrides));
  await refuseFull(path);
  const { method, head, level, backbone, backboneRevision, precision } = settings;
  const family = await readArchitecture(backbone, backboneRevision, signal);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, backbone);
  const loaded = await loadBackbone(backbone, { revision: backboneRevision, precision, signal });
  // Opened once for its refusals, before anything is written.
  await using model = await openModel(withStoreDefaults(settings), loaded, { trunks: "memory" });
  const header = headerOf(settings, loaded, model.feature);
  signal?.throwIfAborted();
  await makeFolder(path);
  // Another process may have come between the look and the lock.
  await using workspace = await Workspace.open(path, {}, () => refuseFull(path));
  await begin(workspace, { settings, header });
  return settings;
}

/**
 * Whether a store that is there was begun with settings that are asked for now.
 * @throws ConfigError naming those that differ
 */
export async function requireSettings(
  folder: string,
  config: ModelConfig,
  overrides: readonly Override[] = [],
): Promise<void> {
  const asked = independent(await loadModelSettings(config, "the store's settings", overrides));
  const given = applyOverrides({ ...config }, overrides).raw;
  const issues = contradictions(given, asked, independent(await readModelSettings(folder)));
  if (issues.length > 0)
    throw new ConfigError(`${folder}: was begun with other settings`, {
      issues,
      hint: "Leave create out to open the store as it is; a backbone that lies elsewhere now goes into the option backbone.",
    });
}

async function makeFolder(path: string): Promise<string | undefined> {
  return await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw new StoreError(`${path}: the store's folder cannot be made`, { cause });
  });
}

/** What a store begins with. */
export interface Beginning {
  readonly settings: ModelSettings;
  readonly header: Omit<ManifestHeader, "configHash">;
}

async function begin(workspace: Workspace, { settings, header }: Beginning): Promise<void> {
  await workspace.writeFiles(new Map([[configFile, new TextEncoder().encode(toSettingsYaml(settings))]]));
  await workspace.begin({ ...header, configHash: configHashOf(settings) }, "begun");
}

/** What a store has where nothing was learned. */
const emptyStore = [manifestFile, configFile, "adapters", routerFolder];

/** Removes a store that learned nothing; one that somebody taught meanwhile stays. */
export async function removeIfEmpty(folder: string): Promise<void> {
  const path = resolve(folder);
  if (!existsSync(join(path, manifestFile))) return;
  {
    await using _ = await acquireLock(path);
    const { store, tasks } = await readStore(path);
    if (store.version > 1 || tasks.length > 0) return;
    for (const name of emptyStore) await rm(join(path, name), { recursive: true, force: true });
  }
  // Where it holds somebody's files after all, it stays.
  await rmdir(path).catch(() => {});
}

/** Named by the place that it is for. */
const buildFolder = /^\.tmp-build-(.+)-\d+-[0-9a-f]{8}$/;

function buildFolderFor(path: string): string {
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  return join(dirname(path), `.tmp-build-${basename(path)}-${unique}`);
}

async function isHeld(folder: string): Promise<boolean> {
  return await refuseHeld(folder).then(
    () => false,
    () => true,
  );
}

/** Who builds holds the lock of the place; what nobody holds is a dead process's. */
async function removeDeadBuilds(parent: string): Promise<void> {
  for (const name of await listFolder(parent)) {
    const place = buildFolder.exec(name)?.[1];
    if (place === undefined) continue;
    // In this order: at the end the lock moves from the place into the folder that takes it.
    if ((await isHeld(join(parent, place))) || (await isHeld(join(parent, name)))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

/**
 * Puts a folder where an empty one is, whose lock this process holds and goes on holding.
 * @throws StoreError where something came there meanwhile; it stays
 */
async function putInPlace(beside: string, path: string): Promise<void> {
  await refuseFull(path);
  for (const name of await listFolder(path))
    if (name === configFile || isTemporary(name))
      await rm(join(path, name), { recursive: true, force: true });
  await rename(join(path, lockFile), join(beside, lockFile));
  try {
    await rmdir(path);
    await rename(beside, path);
  } catch (cause) {
    throw new StoreError(`${path}: something else was written there meanwhile, which stays`, {
      cause,
      hint: "Choose another folder.",
    });
  }
}

async function build<T>(
  path: string,
  beginning: Beginning,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const beside = buildFolderFor(path);
  try {
    await mkdir(beside);
    {
      await using workspace = await Workspace.open(beside);
      await begin(workspace, beginning);
    }
    const result = await fill(beside);
    await putInPlace(beside, path);
    return result;
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Begins a store, builds it beside its place, and puts it there when it is whole. The place is locked all the while, so
 * that nobody begins anything there.
 * @param beginning asked once the place is known to be free
 * @param fill teaches it
 * @throws StoreError if the place is not free
 */
export async function buildBeside<T>(
  out: string,
  beginning: () => Promise<Beginning>,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const path = resolve(out);
  await refuseFull(path);
  const begun = await beginning();
  await removeDeadBuilds(dirname(path));
  const made = await makeFolder(path);
  try {
    await using _ = await acquireLock(path);
    // Another process may have come between the look and the lock.
    await refuseFull(path);
    return await build(path, begun, fill);
  } catch (error) {
    // Where it holds somebody's files after all, it stays.
    if (made !== undefined) await rmdir(path).catch(() => {});
    throw error;
  }
}

/**
 * What the union of two stores begins with: the settings of the first. Where that has no adapters, those of the second
 * come with their settings, so that it does not matter which one comes first.
 * @throws StoreError where one is no store
 */
export async function unionOf(first: string, second: string): Promise<Beginning> {
  const [ours, theirs] = [await readStore(first), await readStore(second)];
  const [settings, others] = [await readModelSettings(first), await readModelSettings(second)];
  requireMergeable(withStoreDefaults(settings), first);
  requireMergeable(withStoreDefaults(others), second);
  const { versions, backbone, seed, feature } = ours;
  const header = { versions, backbone, seed, feature };
  const hasAdapters = (tasks: typeof ours.tasks) =>
    tasks.some(({ statisticsOnly }) => statisticsOnly === undefined);
  if (hasAdapters(ours.tasks) || !hasAdapters(theirs.tasks)) return { settings, header };
  const { method, head, training } = others;
  return { settings: { ...settings, method, head, training }, header };
}
