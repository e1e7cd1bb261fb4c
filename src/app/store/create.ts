/** Beginning a store. */
import { existsSync } from "node:fs";
import { mkdir, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { StoreError } from "../../core/errors.ts";
import { sha256Json } from "../../io/hash.ts";
import { acquireLock, lockFile } from "../../io/lock.ts";
import { loadBackbone, readArchitecture } from "../backbone.ts";
import { requireCombination } from "../combinations.ts";
import { readYaml } from "../config.ts";
import { manifestFile } from "../manifest.ts";
import type { Override } from "../overrides.ts";
import { collectVersions } from "../packageInfo.ts";
import { checkRouter } from "../routing.ts";
import { configFile, listFolder } from "../runFolder.ts";
import { resolveStructure } from "../structure.ts";
import { resolveSettings, type StoreConfig, type StoreSettings, writeSettings } from "./settings.ts";
import { readStore, StoreFolder } from "./storeFolder.ts";

/** What an interrupted beginning leaves beside its lock. */
export function isLeftover(name: string): boolean {
  return name === configFile || name.startsWith(".tmp-");
}

/**
 * Lets through what an interrupted beginning left: settings of a store, without a first version.
 * @throws StoreError if the folder holds something
 */
export async function refuseFull(folder: string): Promise<void> {
  const entries = (await listFolder(folder)).filter((name) => name !== lockFile && !name.startsWith(".tmp-"));
  const [only] = entries;
  if (only === undefined) return;
  if (
    entries.length === 1 &&
    only === configFile &&
    !("stream" in (await readYaml(join(folder, configFile))))
  )
    return;
  const isStore = entries.includes("manifest.json");
  throw new StoreError(
    `${folder}: ${isStore ? "holds a store or a run already" : "exists and is not empty"}`,
    {
      hint: isStore ? "Teach it with accrete learn." : "Choose another folder.",
    },
  );
}

export interface CreateOptions {
  /** As `--set` gives them; they beat the configuration. */
  readonly overrides?: readonly Override[];
  readonly signal?: AbortSignal;
}

/**
 * Begins an empty store.
 * @throws ConfigError, CheckpointError for settings or a backbone that cannot be used
 * @throws StoreError if the folder is not empty
 */
export async function createStore(
  folder: string,
  config: StoreConfig,
  { overrides = [], signal }: CreateOptions = {},
): Promise<StoreSettings> {
  const path = resolve(folder);
  const settings = resolveSettings(config, overrides);
  await refuseFull(path);
  const { method, head, level } = settings;
  const family = await readArchitecture(settings.backbone, settings.backboneRevision, signal);
  requireCombination({ family, adapter: method.adapter, head: head.kind, level }, settings.backbone);
  const loaded = await loadBackbone(settings.backbone, settings.backboneRevision, signal);
  const { feature } = resolveStructure(settings, loaded);
  checkRouter(settings, loaded);
  signal?.throwIfAborted();
  await writeStore(path, settings, {
    schemaVersion: 1,
    versions: collectVersions(),
    backbone: {
      source: settings.backbone,
      ...(loaded.folder.commit === undefined ? {} : { revision: loaded.folder.commit }),
      hash: loaded.folder.hash,
      tokenizerHash: loaded.tokenizer.hash,
      architecture: loaded.backbone.config.architecture,
    },
    configHash: sha256Json(settings),
    seed: settings.seed,
    feature,
    tasks: [],
  });
  return settings;
}

async function writeStore(
  path: string,
  settings: StoreSettings,
  manifest: Parameters<typeof StoreFolder.begin>[1],
): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new StoreError(`${path}: the store's folder cannot be made`, { cause });
  }
  await using _ = await acquireLock(path);
  // Another process may have come between the look and the lock.
  await refuseFull(path);
  await writeSettings(path, settings);
  await StoreFolder.begin(path, manifest, "begun");
}

/** What a store has where nothing was learned. */
const emptyStore = [manifestFile, configFile, "adapters", "cache"];

/** Takes back the beginning of a store that learned nothing; one that somebody taught meanwhile stays. */
export async function takeBack(folder: string): Promise<void> {
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
