/**
 * Models from the Hugging Face hub, through the cache folder that Python's `huggingface_hub` shares:
 * `models--org--name/{refs/<revision>, blobs/<etag>, snapshots/<commit>/<file>}`, and `.no_exist/<commit>/<file>`
 * for files known not to exist. The hub library's own cache writer prints to standard output, which belongs to the
 * user's data; so this is ours, on its calls.
 */
import { createHash, randomBytes } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import {
  copyFile,
  mkdir,
  open,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  downloadFile,
  getHFHubCachePath,
  HUB_URL,
  HubApiError,
  type ListFileEntry,
  listFiles,
  modelInfo,
} from "@huggingface/hub";
import { CheckpointError, errorCode, messageOf } from "../../core/errors.ts";
import { nodeFileSystem } from "../atomic.ts";
import { readSafetensorsHeader } from "../safetensors.ts";
import { layerConfigs } from "./sentenceModules.ts";
import { findWeightFiles } from "./weightFiles.ts";

export interface HubOptions {
  /** Branch, tag or commit; `main` if absent. */
  readonly revision?: string;
  /** The hub's cache folder; HF_HOME and its relatives decide if absent. */
  readonly cacheDir?: string;
  readonly signal?: AbortSignal;
  readonly onDownload?: (file: string, sizeBytes: number) => void;
}

export interface HubSnapshot {
  readonly path: string;
  readonly commit: string;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

/** Files that a model may do without, but whose absence must be known: they decide the default pooling. */
const optionalFiles = ["modules.json", "1_Pooling/config.json"];
const wantedFiles =
  /^(config\.json|tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json)|merges\.txt|modules\.json|sentence_[\w-]+_config\.json|config_sentence_transformers\.json|[^/]+_(Pooling|Dense|LayerNorm|Normalize)\/(config\.json|model\.safetensors))$/;
const shardFiles = /^model(-\d+-of-\d+\.safetensors|\.safetensors\.index\.json)$/;
const commitHash = /^[0-9a-f]{40}$/;
const blobName = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/** `complete`: nothing is left to ask the hub. `usable`: the model can be loaded. */
type CacheState = "complete" | "usable" | "incomplete";

class HubModel {
  readonly id: string;
  readonly revision: string;
  readonly storage: string;
  readonly #options: HubOptions;
  /** Files of the snapshot that were found cut off or changed. */
  readonly #damaged = new Set<string>();

  constructor(id: string, options: HubOptions) {
    this.id = id;
    this.revision = options.revision ?? "main";
    // It becomes part of a path in the cache.
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(this.revision) || this.revision.split("/").includes(".."))
      throw new CheckpointError(`${id}: ${JSON.stringify(this.revision)} is no branch, tag or commit`);
    this.storage = join(options.cacheDir ?? getHFHubCachePath(), `models--${id.replaceAll("/", "--")}`);
    this.#options = options;
  }

  snapshot(commit: string): string {
    return join(this.storage, "snapshots", commit);
  }

  async cachedCommit(): Promise<string | undefined> {
    if (commitHash.test(this.revision)) return this.revision;
    const text = await readFile(join(this.storage, "refs", this.revision), "utf8").catch(() => "");
    return commitHash.test(text.trim()) ? text.trim() : undefined;
  }

  async state(commit: string): Promise<CacheState> {
    const folder = this.snapshot(commit);
    const has = (name: string, below = folder) => existsSync(join(below, name));
    const weights = await findWeightFiles(folder);
    if (!has("config.json") || !has("tokenizer.json") || weights === undefined) return "incomplete";
    if (!(await this.areWhole(commit, ["config.json", "tokenizer.json", ...weights.names])))
      return "incomplete";
    // Fetched by what did not know what they are for.
    if (!(await layerConfigs(folder)).every((name) => has(name))) return "incomplete";
    const absent = join(this.storage, ".no_exist", commit);
    return optionalFiles.every((name) => has(name) || has(name, absent)) ? "complete" : "usable";
  }

  /** Whether cached files are as they were fetched; those that are not are fetched again. */
  async areWhole(commit: string, names: readonly string[]): Promise<boolean> {
    for (const name of names) {
      const path = join(this.snapshot(commit), name);
      if (!(await isWhole(path))) this.#damaged.add(path);
    }
    return this.#damaged.size === 0;
  }

  get #remote() {
    const { signal } = this.#options;
    const accessToken = process.env.HF_TOKEN;
    return {
      repo: { type: "model", name: this.id } as const,
      hubUrl: hubUrl(),
      ...(accessToken && { accessToken }),
      fetch: ((input, init) => fetch(input, { ...init, ...(signal && { signal }) })) satisfies typeof fetch,
    };
  }

  async download(choose: FileChoice): Promise<string> {
    const remote = this.#remote;
    const { sha: commit } = await modelInfo({
      ...remote,
      name: this.id,
      revision: this.revision,
      additionalFields: ["sha"],
    });
    if (!commitHash.test(commit))
      throw new CheckpointError(`${this.id}: the hub answered with commit ${commit}`);
    const files = new Map<string, ListFileEntry>();
    for await (const entry of listFiles({ ...remote, revision: commit, recursive: true }))
      if (entry.type === "file") files.set(entry.path, entry);
    for (const entry of choose(this.id, files)) await this.#downloadOne(commit, entry);
    for (const name of optionalFiles) {
      if (!files.has(name)) await writeMarker(join(this.storage, ".no_exist", commit, name), "");
    }
    if (this.revision !== commit) await writeMarker(join(this.storage, "refs", this.revision), commit);
    return commit;
  }

  async #downloadOne(commit: string, entry: ListFileEntry): Promise<void> {
    const pointer = join(this.snapshot(commit), entry.path);
    const damaged = this.#damaged.has(pointer);
    if (!damaged && (await sizeOf(pointer)) === entry.size) return;
    const etag = entry.lfs?.oid ?? entry.oid ?? "";
    if (!blobName.test(etag))
      throw new CheckpointError(`${this.id}: the hub names no hash for ${entry.path}`);
    const blob = join(this.storage, "blobs", etag);
    await mkdir(dirname(blob), { recursive: true });
    await mkdir(dirname(pointer), { recursive: true });
    // One of another length was cut off, or the disk was full.
    if (damaged || (await sizeOf(blob)) !== entry.size) {
      this.#options.onDownload?.(entry.path, entry.size);
      // Plain HTTP rather than the hub's chunk protocol: it passes proxies and mirrors.
      const content = await downloadFile({ ...this.#remote, path: entry.path, revision: commit, xet: false });
      if (content === null)
        throw new CheckpointError(`${this.id}: the hub lists ${entry.path} but has no such file`);
      await saveChecked(content, blob, entry, this.id, this.#options.signal);
    }
    await linkTo(blob, pointer);
  }
}

const hubUrl = () => process.env.HF_ENDPOINT || HUB_URL;
const isOffline = () => /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? "");

async function writeMarker(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

type FileChoice = (id: string, files: ReadonlyMap<string, ListFileEntry>) => ListFileEntry[];

function chooseConfig(id: string, files: ReadonlyMap<string, ListFileEntry>): ListFileEntry[] {
  const config = files.get("config.json");
  if (config === undefined) throw new CheckpointError(`${id}: has no config.json on the hub`);
  return [config];
}

/** Small files first: once the weights are there, everything is. */
function chooseFiles(id: string, files: ReadonlyMap<string, ListFileEntry>): ListFileEntry[] {
  const whole = files.has("model.safetensors");
  if (!whole && !files.has("model.safetensors.index.json")) {
    const pickled = files.has("pytorch_model.bin") || files.has("pytorch_model.bin.index.json");
    throw new CheckpointError(
      `${id}: has no model.safetensors on the hub${pickled ? ", only pytorch_model.bin" : ""}`,
      { hint: "Convert it with transformers (save_pretrained), and pass the path of that folder." },
    );
  }
  const isWeights = (path: string) => (whole ? path === "model.safetensors" : shardFiles.test(path));
  return [...files.values()]
    .filter(({ path }) => wantedFiles.test(path) || isWeights(path))
    .sort((a, b) => a.size - b.size);
}

/**
 * Whether a cached file is as it was fetched, as far as that costs little: of small ones the link's target is named by a
 * hash of its bytes, and the header of weights says how long they are.
 */
async function isWhole(path: string): Promise<boolean> {
  try {
    if (path.endsWith(".safetensors")) {
      await readSafetensorsHeader(path);
      return true;
    }
    const oid = basename(await realpath(path));
    if (!commitHash.test(oid)) return true;
    const bytes = await readFile(path);
    // As git names a file.
    return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex") === oid;
  } catch {
    return false;
  }
}

/** Bytes of a file, through links; undefined where there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Saves a download under its final name only when it is whole and, where the hub tells a SHA-256, the right bytes. */
async function saveChecked(
  content: Blob,
  path: string,
  entry: ListFileEntry,
  id: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const incomplete = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.incomplete`;
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const watch = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      yield chunk;
    }
  };
  try {
    await pipeline(
      Readable.from(content.stream()),
      watch,
      createWriteStream(incomplete),
      signal ? { signal } : {},
    );
    if (sizeBytes !== entry.size)
      throw new CheckpointError(`${id}: ${entry.path}: received ${sizeBytes} of ${entry.size} bytes`);
    if (entry.lfs !== undefined && hash.digest("hex") !== entry.lfs.oid)
      throw new CheckpointError(`${id}: ${entry.path}: the bytes received are not those the hub names`);
    await flush(incomplete);
    await rename(incomplete, path);
    await nodeFileSystem.flushFolder(dirname(path)).catch(() => {});
  } catch (error) {
    await rm(incomplete, { force: true });
    throw error;
  }
}

async function linkTo(blob: string, pointer: string): Promise<void> {
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    if (errorCode(error) === "EEXIST" && existsSync(pointer)) return;
    // Windows without the right to make links, or a dangling link from an earlier cache.
    await rm(pointer, { force: true });
    await copyFile(blob, pointer);
  }
}

function cannotFetch(model: HubModel, cause: unknown): CheckpointError {
  const where = `${model.id} (revision ${model.revision})`;
  const below = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : "";
  const reason = messageOf(cause) + below;
  const local = "pass the path of a local folder with config.json, model.safetensors and tokenizer.json";
  if (cause instanceof HubApiError && [401, 403, 404].includes(cause.statusCode))
    return new CheckpointError(
      `${where}: no such folder here, and ${hubUrl()} has no such model or wants a login (${cause.statusCode})`,
      { cause, hint: `Check the name; for a private model set HF_TOKEN; or ${local}.` },
    );
  return new CheckpointError(
    `${where}: no such folder here, not complete in the cache ${model.storage}, and ${hubUrl()} cannot be reached: ${reason}`,
    { cause, hint: `Connect to the network once; it is cached then. Or ${local}.` },
  );
}

/**
 * The local folder of a hub model; downloads what the cache lacks. A model that is complete in the cache costs no
 * network, so a branch stays at the commit it was first fetched at.
 * @param id `org/name`
 * @throws CheckpointError if the model is neither cached nor to be had, naming what was tried.
 */
export function fetchHubModel(id: string, options: HubOptions = {}): Promise<HubSnapshot> {
  return fetchSnapshot(id, options, chooseFiles, (model, commit) => model.state(commit));
}

/**
 * The local folder of a hub model with its config.json; downloads no other file.
 * @throws CheckpointError if it is neither cached nor to be had, naming what was tried.
 */
export function fetchHubConfig(id: string, options: HubOptions = {}): Promise<HubSnapshot> {
  return fetchSnapshot(id, options, chooseConfig, async (model, commit) =>
    existsSync(join(model.snapshot(commit), "config.json")) && (await model.areWhole(commit, ["config.json"]))
      ? "complete"
      : "incomplete",
  );
}

async function fetchSnapshot(
  id: string,
  options: HubOptions,
  choose: FileChoice,
  stateOf: (model: HubModel, commit: string) => Promise<CacheState>,
): Promise<HubSnapshot> {
  const model = new HubModel(id, options);
  const found = (commit: string, notes: readonly string[] = []) => ({
    path: model.snapshot(commit),
    commit,
    notes,
  });
  const cached = await model.cachedCommit();
  const state = cached === undefined ? "incomplete" : await stateOf(model, cached);
  if (cached !== undefined && state === "complete") return found(cached);
  try {
    if (isOffline()) throw new CheckpointError("HF_HUB_OFFLINE forbids the network");
    return found(await model.download(choose));
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (cached !== undefined && state === "usable")
      return found(cached, [
        `${id}: taken from the cache; the hub could not be asked whether it has ${optionalFiles.join(" or ")}, which decide the default pooling.`,
      ]);
    if (cause instanceof CheckpointError && !isOffline()) throw cause;
    throw cannotFetch(model, cause);
  }
}
