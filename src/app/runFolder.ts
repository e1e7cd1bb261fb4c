import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CheckpointError, ConfigError, StoreError } from "../core/errors.ts";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { sha256 } from "../io/hash.ts";
import { acquireLock, lockFile, refuseHeld } from "../io/lock.ts";
import { differingKeys, hashConfig, loadConfig, type ResolvedConfig, toResolvedYaml } from "./config.ts";
import {
  adapterId,
  type Manifest,
  type ManifestHeader,
  type ManifestTask,
  manifestFile,
  readManifest,
  slugFor,
} from "./manifest.ts";

export type { Manifest, ManifestHeader, ManifestTask } from "./manifest.ts";

export const configFile = "config.resolved.yaml";
const temporary = /^\.tmp-/;

/** Everything that a run writes at the top of its folder. */
export const runFiles: ReadonlySet<string> = new Set([
  manifestFile,
  configFile,
  lockFile,
  "events.jsonl",
  "metrics.json",
  "cil_matrix.csv",
  "til_matrix.csv",
  "routed_matrix.csv",
  "routing.json",
  "router.safetensors",
  "detector.safetensors",
  "report.html",
  "adapters",
  "versions",
]);

export function isRunFile(name: string): boolean {
  return runFiles.has(name) || temporary.test(name);
}

/** Names in a folder; none where there is none. @throws StoreError where it is a file, or cannot be read */
export async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause) {
      if (cause.code === "ENOENT") return [];
      if (cause.code === "ENOTDIR") throw new StoreError(`${folder}: is a file, not a folder`, { cause });
    }
    throw new StoreError(`${folder}: cannot be read`, { cause });
  }
}

/** A lock by itself is no work done: its writer may have died before its first file. */
function begun(entries: readonly string[]): boolean {
  return entries.some((name) => name !== lockFile && !temporary.test(name));
}

function refuseFull(out: string, entries: readonly string[]): void {
  if (!begun(entries)) return;
  throw new StoreError(`${out}: exists and is not empty`, {
    hint: "Continue that run with --resume, or choose another folder with --out.",
  });
}

/** What was learned since does not come from the run's stream, so that going on with it would be another experiment. */
function refuseStore(out: string, manifest: Manifest | undefined): void {
  if (manifest?.store === undefined) return;
  throw new StoreError(`${out}: is a store by now, at version ${manifest.store.version}`, {
    hint: "Go on with accrete learn, or run anew into another folder with --out.",
  });
}

/** Whether there is a run to continue. @throws StoreError where the files are somebody else's. */
function holdsRun(out: string, entries: readonly string[]): boolean {
  if (!begun(entries)) return false;
  if (entries.includes(configFile)) return true;
  throw new StoreError(`${out}: not the folder of a run: it has files, but no ${configFile}`, {
    hint: "Choose another folder with --out.",
  });
}

type Lock = Awaited<ReturnType<typeof acquireLock>>;

/** A finished or growing run, for reading; several readers and one writer may share it. */
export class StoredRun {
  readonly path: string;
  readonly manifest: Manifest;

  constructor(path: string, manifest: Manifest) {
    this.path = path;
    this.manifest = manifest;
  }

  /** @throws StoreError where the task is unknown. */
  task(name: string): ManifestTask {
    const found = this.manifest.tasks.find((task) => task.name === name);
    if (found !== undefined) return found;
    const names = this.manifest.tasks.map((task) => task.name).join(", ");
    throw new StoreError(`${this.path}: no task called ${name}`, {
      hint: `It holds: ${names || "no task yet"}.`,
    });
  }

  /**
   * The absolute folder of a task's adapter, each of its files checked against the manifest.
   * @throws CheckpointError naming the file that is missing or damaged.
   */
  async adapterFolder(task: ManifestTask): Promise<string> {
    return verifiedAdapterFolder(this.path, task);
  }
}

/** What to do where a file is missing or damaged, and there is nothing to go back to. */
export const damageHint = "Restore it from a copy, or learn anew in another folder.";

/**
 * The absolute folder of a task's adapter, each of its files checked against the manifest.
 * @param hint what to do where one cannot be used
 * @throws CheckpointError naming the file that is missing or damaged
 */
export async function verifiedAdapterFolder(
  run: string,
  task: ManifestTask,
  hint = damageHint,
): Promise<string> {
  const folder = join(run, task.adapter.folder);
  for (const [name, expected] of Object.entries(task.adapter.files)) {
    const path = join(folder, name);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      throw new CheckpointError(`${path}: the file of task ${task.name} is missing`, { hint, cause });
    }
    const found = sha256(bytes);
    if (found === expected) continue;
    throw new CheckpointError(
      `${path}: the file of task ${task.name} is damaged: SHA-256 ${found}, the manifest says ${expected}`,
      { hint },
    );
  }
  return folder;
}

/**
 * The folder of a run that is being written. It holds the folder's lock: dispose of it.
 * A task that the manifest names is complete; anything else in `adapters/` is what an interruption left.
 */
export class RunFolder implements AsyncDisposable {
  readonly path: string;
  /** Whether an earlier run is being continued. */
  readonly resumed: boolean;
  /** What the broken lock of a dead writer said, to be told to the user. */
  readonly brokenLock: Lock["brokenFrom"];
  readonly #lock: Lock;
  readonly #config: ResolvedConfig;
  #manifest: Manifest | undefined;

  private constructor(config: ResolvedConfig, lock: Lock, resumed: boolean, manifest: Manifest | undefined) {
    this.path = config.out;
    this.resumed = resumed;
    this.brokenLock = lock.brokenFrom;
    this.#lock = lock;
    this.#config = config;
    this.#manifest = manifest;
  }

  /**
   * Refuses what `start` would refuse, and writes nothing: for before data and model are read.
   * @throws StoreError or ConfigError (exit 2) as `create` and `resume`
   */
  static async check(config: ResolvedConfig, options: { readonly resume?: boolean } = {}): Promise<void> {
    const entries = await listFolder(config.out);
    // First, since the folder of a run that is going on is not empty either, and --resume is no way out then.
    await refuseHeld(config.out);
    if (options.resume !== true) return refuseFull(config.out, entries);
    if (!holdsRun(config.out, entries)) return;
    refuseStore(config.out, await readManifest(config.out));
    await refuseOtherConfig(config);
  }

  /** `resume` where asked for, else `create`. */
  static start(config: ResolvedConfig, options: { readonly resume?: boolean } = {}): Promise<RunFolder> {
    return options.resume === true ? RunFolder.resume(config) : RunFolder.create(config);
  }

  /** @throws StoreError (exit 2) where `out` is not empty, or another run is writing it. */
  static async create(config: ResolvedConfig): Promise<RunFolder> {
    await RunFolder.check(config);
    return RunFolder.#locked(config, async (lock) => {
      // Another run may have come and gone between the look and the lock.
      refuseFull(config.out, await listFolder(config.out));
      await writeFileAtomic(join(config.out, configFile), toResolvedYaml(config));
      return new RunFolder(config, lock, false, undefined);
    });
  }

  /**
   * Continues the run in `out`, or starts one where nothing was begun.
   * @throws ConfigError (exit 2) naming the settings that differ from those the run began with.
   * @throws StoreError (exit 2) where the folder is not a run's, is damaged, or another run is writing it.
   */
  static async resume(config: ResolvedConfig): Promise<RunFolder> {
    if (!holdsRun(config.out, await listFolder(config.out))) return RunFolder.create(config);
    return RunFolder.#locked(config, async (lock) => {
      const manifest = await readManifest(config.out);
      refuseStore(config.out, manifest);
      await refuseOtherConfig(config);
      await removeLeftovers(config.out, manifest);
      return new RunFolder(config, lock, true, manifest);
    });
  }

  /** Opens a run for reading. @throws StoreError where there is no run. */
  static async open(folder: string): Promise<StoredRun> {
    const path = resolve(folder);
    const manifest = await readManifest(path);
    if (manifest !== undefined) return new StoredRun(path, manifest);
    throw new StoreError(`${folder}: no run there, and no store: ${manifestFile} is missing`, {
      hint: "Give the folder that a configuration calls out, e.g. runs/demo, or one that accrete init or learn began.",
    });
  }

  static async #locked(
    config: ResolvedConfig,
    enter: (lock: Lock) => Promise<RunFolder>,
  ): Promise<RunFolder> {
    try {
      await mkdir(config.out, { recursive: true });
    } catch (cause) {
      throw new StoreError(`${config.out}: the run folder cannot be made`, { cause });
    }
    const lock = await acquireLock(config.out);
    try {
      return await enter(lock);
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  get manifest(): Manifest | undefined {
    return this.#manifest;
  }

  /** Tasks that are complete, in the order in which they were learned. */
  get finishedTasks(): readonly ManifestTask[] {
    return this.#manifest?.tasks ?? [];
  }

  /**
   * Writes the manifest without tasks, or on resume checks that backbone, tokenizer, feature and data are those the run
   * began with (an engine or a Node of another version is let through: it is the caller's to warn of).
   * @throws CheckpointError or StoreError naming what changed.
   */
  async begin(header: Omit<ManifestHeader, "configHash" | "seed">): Promise<void> {
    if (this.#manifest === undefined) {
      const { seed } = this.#config;
      await this.#write({
        schemaVersion: 1,
        ...header,
        configHash: hashConfig(this.#config),
        seed,
        tasks: [],
      });
      return;
    }
    const before = this.#manifest;
    const checks = [
      ["the backbone", before.backbone.hash, header.backbone.hash],
      ["the tokenizer", before.backbone.tokenizerHash, header.backbone.tokenizerHash],
      ["the data", before.dataHash, header.dataHash],
      ["the pooling", JSON.stringify(before.feature), JSON.stringify(header.feature)],
    ] as const;
    for (const [what, then, now] of checks) {
      if (then === now) continue;
      throw new StoreError(`${this.path}: ${what} changed since this run began: ${then} then, ${now} now`, {
        hint: "Bring the old one back, or run anew into another folder with --out.",
      });
    }
  }

  /**
   * Saves a learned task: its adapter folder first, then the manifest that names it, each atomically, so that
   * whatever moment the process dies at, the folder is as before or holds the task whole.
   * @param files file name → bytes of the adapter folder
   * @param companions files of our own beside them. The adapter's id is none of their business: an adapter is the same
   *   one whoever chooses among adapters.
   */
  async commitTask(
    task: { readonly name: string; readonly labels: readonly string[] },
    files: ReadonlyMap<string, Uint8Array>,
    companions: ReadonlyMap<string, Uint8Array> = new Map(),
  ): Promise<ManifestTask> {
    const manifest = this.#manifest;
    if (manifest === undefined) throw new StoreError("commitTask before begin", { exitCode: 1 });
    if (manifest.tasks.some((other) => other.name === task.name)) {
      throw new StoreError(`${this.path}: task ${task.name} is there already`, { exitCode: 1 });
    }
    const slug = slugFor(task.name, new Set(manifest.tasks.map((other) => other.slug)));
    const folder = `adapters/${slug}`;
    await mkdir(join(this.path, "adapters"), { recursive: true });
    const all = new Map([...files, ...companions]);
    await writeFolderAtomic(join(this.path, folder), all);
    const hashesOf = (of: ReadonlyMap<string, Uint8Array>) =>
      Object.fromEntries([...of].map(([name, bytes]) => [name, sha256(bytes)] as const).sort(byName));
    const entry = {
      name: task.name,
      slug,
      labels: task.labels,
      adapter: { folder, id: adapterId(hashesOf(files)), files: hashesOf(all) },
    };
    await this.#write({ ...manifest, tasks: [...manifest.tasks, entry] });
    return entry;
  }

  /** Replaces files at the top of the folder, each atomically. */
  async writeFiles(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    for (const [name, bytes] of files) await writeFileAtomic(join(this.path, name), bytes);
  }

  /** As `StoredRun.adapterFolder`. */
  adapterFolder(task: ManifestTask): Promise<string> {
    return verifiedAdapterFolder(this.path, task);
  }

  async #write(manifest: Manifest): Promise<void> {
    await writeFileAtomic(join(this.path, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
    this.#manifest = manifest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

async function refuseOtherConfig(config: ResolvedConfig): Promise<void> {
  const stored = await loadConfig(join(config.out, configFile));
  const keys = differingKeys(stored.config, config);
  if (keys.length === 0) return;
  throw new ConfigError(
    `${config.out}: was begun with another configuration; different: ${keys.join(", ")}`,
    {
      hint: `Its settings lie in ${join(config.out, configFile)}. Restore them, or run anew with --out.`,
    },
  );
}

/** Removes only what `writeFolderAtomic` and `commitTask` can have left: temporary names, unnamed adapters. */
async function removeLeftovers(out: string, manifest: Manifest | undefined): Promise<void> {
  const adapters = join(out, "adapters");
  const named = new Set(manifest?.tasks.map((task) => task.adapter.folder) ?? []);
  const leftovers = [
    // A lock's temporary may belong to a process that is asking for the lock right now.
    ...(await listFolder(out)).filter((name) => temporary.test(name) && !name.startsWith(".tmp-lock")),
    ...(await listFolder(adapters)).map((name) => `adapters/${name}`).filter((path) => !named.has(path)),
  ];
  for (const leftover of leftovers) await rm(join(out, leftover), { recursive: true, force: true });
}
