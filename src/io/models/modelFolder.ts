/** A Hugging Face model folder, local or from the hub: where its parts are, checked, and what they hash to. */
import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../core/errors.ts";
import { refuseQuantised } from "../../portable/quantised.ts";
import { sha256, sha256Listing } from "../hash.ts";
import { cachedFileHash } from "../hashCache.ts";
import { parseJson, readIfThere } from "../jsonFile.ts";
import { readSafetensorsHeader, type TensorEntry } from "../safetensors.ts";
import { fetchHubConfig, fetchHubModel, type HubOptions } from "./hubCache.ts";
import {
  readSentenceModules,
  readTransformerPath,
  type SentenceChain,
  type SentencePooling,
} from "./sentenceModules.ts";
import { indexFile, requireWeightFiles, type WeightFiles } from "./weightFiles.ts";

/** A model's folder that was found and hashed. */
export interface ModelFolder {
  /** As the user named it. */
  readonly source: string;
  /** Absolute; where sentence-transformers keeps the model in a folder of its own (`0_Transformer`), that one. */
  readonly path: string;
  /** The hub's commit, for a hub model. */
  readonly commit?: string;
  /** Parsed config.json. */
  readonly config: unknown;
  /** By the names in the files; `file` is the real file, no link, as ONNX Runtime wants it. */
  readonly weights: ReadonlyMap<string, TensorEntry>;
  /**
   * SHA-256 of what `sha256sum config.json <weight files>` prints, sorted by name, with a chain the files of that too: the
   * same wherever the folder lies.
   */
  readonly hash: string;
  readonly poolingConfig?: SentencePooling;
  /** What sentence-transformers puts over the model, where that is more than one pooling. */
  readonly chain?: SentenceChain;
  /** What sentence-transformers puts before every text unless a prompt is asked for. */
  readonly prefix?: string;
  readonly tokenizerPath: string;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

export type OpenModelOptions = HubOptions;

/** The small model that ships is known by its name, wherever the working directory is. */
export const SHIPPED_MODEL = "accrete-mini";
const shippedFolder = fileURLToPath(new URL(`../../../models/${SHIPPED_MODEL}`, import.meta.url));

/** Old versions of sentence-transformers keep the model in the folder of its Transformer module. */
async function transformerFolder(root: string, module: string): Promise<string> {
  const own = join(root, module);
  return (await isFolder(own)) ? own : root;
}

const hubId = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/;

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

interface Located {
  readonly path: string;
  readonly commit?: string;
  readonly notes: readonly string[];
}

async function locate(
  source: string,
  options: OpenModelOptions,
  fetchFromHub: typeof fetchHubModel = fetchHubModel,
): Promise<Located> {
  const path = resolve(/^~(\/|$)/.test(source) ? join(homedir(), source.slice(1)) : source);
  if (await isFolder(path)) return { path, notes: [] };
  if (source === SHIPPED_MODEL) return { path: shippedFolder, notes: [] };
  const isPath = /^[.~]/.test(source) || isAbsolute(source) || !hubId.test(source);
  if (!isPath) return fetchFromHub(source, options);
  const resolved = path === source ? "" : ` (${path})`;
  throw new CheckpointError(`${source}: no such model folder${resolved}`, {
    hint: "Give the path of a Hugging Face model folder, or a hub id like org/name.",
  });
}

async function requireFile(path: string, name: string, hint: string): Promise<Buffer> {
  const bytes = await readIfThere(join(path, name));
  if (bytes === undefined) throw new CheckpointError(`${path}: ${name} is missing`, { hint });
  return bytes;
}

async function readWeights(
  folder: string,
  files: WeightFiles,
  realPaths: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, TensorEntry>> {
  const weights = new Map<string, TensorEntry>();
  for (const [name, real] of realPaths) {
    for (const [tensor, entry] of (await readSafetensorsHeader(real)).tensors) {
      if (files.index === undefined || files.index.get(tensor) === name) weights.set(tensor, entry);
    }
  }
  for (const [tensor, name] of files.index ?? []) {
    if (!weights.has(tensor))
      throw new CheckpointError(`${folder}: ${indexFile} says that ${name} holds ${tensor}, but it does not`);
  }
  return weights;
}

async function hashModel(
  config: Uint8Array,
  realPaths: ReadonlyMap<string, string>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const digests = new Map([["config.json", sha256(config)]]);
  for (const [name, real] of realPaths) digests.set(name, await cachedFileHash(real, signal));
  return sha256Listing(digests);
}

/** Of each file the real one, no link. */
async function realPathsOf(folder: string, names: readonly string[]): Promise<Map<string, string>> {
  const paths = new Map<string, string>();
  for (const name of names) paths.set(name, await realpath(join(folder, name)));
  return paths;
}

/** What is parsed of config.json, and its bytes. */
async function readConfig(path: string): Promise<{ readonly config: unknown; readonly bytes: Buffer }> {
  const bytes = await requireFile(path, "config.json", "Is this the folder of a Hugging Face model?");
  return { config: parseJson(bytes, join(path, "config.json")), bytes };
}

/**
 * The parsed config.json of a model, without reading its weights; of a hub model it is fetched alone.
 * @param source as for {@link openModelFolder}
 * @throws CheckpointError if there is no such model, or its config.json is missing or damaged
 */
export async function readModelConfig(source: string, options: OpenModelOptions = {}): Promise<unknown> {
  const { path } = await locate(source, options, fetchHubConfig);
  const transformer = await readTransformerPath(path);
  return (await readConfig(await transformerFolder(path, transformer))).config;
}

/**
 * Opens a model folder: reads its config and the headers of its weights, and hashes it (once; the digest is cached).
 *
 * @param source a path (one that exists, or begins with `.`, `/` or `~`), `accrete-mini` for the model that ships, else
 *   a hub id like `org/name`, which is fetched into the hub's usual cache and needs no network after that
 * @throws CheckpointError if a file is missing or damaged, or the hub cannot be reached: the message names what was
 *   looked for, the hint what to do.
 */
export async function openModelFolder(source: string, options: OpenModelOptions = {}): Promise<ModelFolder> {
  const { path: root, commit, notes } = await locate(source, options);
  const { transformer, poolingConfig, chain, prefix, notes: moduleNotes } = await readSentenceModules(root);
  const path = await transformerFolder(root, transformer);
  const { config, bytes: configBytes } = await readConfig(path);
  refuseQuantised(config, path);
  const files = await requireWeightFiles(path);
  const tokenizerHint =
    "Make it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).";
  await requireFile(path, "tokenizer.json", tokenizerHint);
  const realPaths = await realPathsOf(path, files.names);
  const weights = await readWeights(path, files, realPaths);
  const beside = await realPathsOf(root, chain?.files ?? []);
  const hash = await hashModel(configBytes, new Map([...realPaths, ...beside]), options.signal);
  return {
    source,
    path,
    ...(commit !== undefined && { commit }),
    config,
    weights,
    hash,
    ...(poolingConfig && { poolingConfig }),
    ...(chain && { chain }),
    ...(prefix !== undefined && { prefix }),
    tokenizerPath: join(path, "tokenizer.json"),
    notes: [...notes, ...moduleNotes],
  };
}
