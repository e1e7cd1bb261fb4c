/**
 * Adapter folders that Hugging Face's peft reads and writes: `adapter_config.json` and `adapter_model.safetensors`,
 * the head inside where Hugging Face has that very head, else beside in `head.safetensors`; what peft has no place
 * for (labels, pooling, hashes) in `accrete.json`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, errorCode } from "../core/errors.ts";
import { type HostTensor, isFloat32 } from "../core/tensor.ts";
import { architectures, families } from "../nn/families.ts";
import { readsPooler } from "../nn/features.ts";
import { checkFinite, decodeSafetensors, encodeSafetensors } from "../portable/safetensors.ts";
import type { AdapterHost } from "./adapterMethod.ts";
import { checkHead, listed, type Tensors } from "./checkpointChecks.ts";
import type { TaskType } from "./checkpointConfig.ts";
import {
  type AdapterConfig,
  checkAdapter,
  encodeAdapter,
  parseAdapterConfig,
  type Wrapped,
} from "./checkpointFormats.ts";
import { type AdapterBackbone, classifying, innerHead, keepsHead, taskTypeOf } from "./checkpointHead.ts";
import {
  architectureOfHead,
  architectureOfPrefix,
  headPrefixes,
  headTensorNames,
  innerHeadOf,
  type Level,
  parseFileKey,
  plainNames,
  prefixOfKeys,
} from "./checkpointKeys.ts";
import { encodeMetadata, type Metadata, metadataFile, parseMetadata } from "./checkpointMetadata.ts";
import type { AdapterKind, Architecture, Head, HeadKind, Pooling, SavedAdapter } from "./types.ts";

export type { AdapterBackbone } from "./checkpointHead.ts";

const configFile = "adapter_config.json";
const weightsFile = "adapter_model.safetensors";
const headFile = "head.safetensors";
const pytorch = { format: "pt" };

/** Whether the head is the one that Hugging Face has for the architecture. */
export function hasOwnHead({
  head,
  architecture,
  pooling,
  normalize,
  adapter,
  level,
}: SavedAdapter): boolean {
  const inner = innerHeadOf(architecture, level);
  if (inner === undefined || head?.kind !== inner.kind) return false;
  const hasBias = head.tensors.get("bias")?.data.some((value) => value !== 0) ?? false;
  return pooling === inner.pooling[adapter.kind] && !normalize && !(inner.biasFree && hasBias);
}

/** @throws CheckpointError if nobody says what the model is, where its paths depend on it. */
function wrappedModel(saved: SavedAdapter, where: string): Wrapped {
  const { architecture, causal, level = "sentence" } = saved;
  if (causal === undefined && !hasOwnHead(saved)) return { taskType: "FEATURE_EXTRACTION", prefix: "" };
  if (architecture === undefined)
    throw new CheckpointError(`${where}: does not say which architecture it is for`);
  return {
    taskType: causal === undefined ? classifying[level] : "CAUSAL_LM",
    prefix: families[architecture].prefix,
  };
}

function checkLabels(labels: readonly string[], head: Head | undefined, where: string): void {
  const classes = head === undefined ? 0 : checkHead(head, `${where}: head`);
  if (head !== undefined && classes !== labels.length)
    throw new CheckpointError(
      `${where}: the head has ${classes} classes, but there are ${labels.length} labels`,
    );
}

/**
 * The files of an adapter folder that real peft loads, to be written by `writeFolderAtomic`. Equal input gives equal
 * bytes.
 *
 * @returns file name → bytes
 * @throws CheckpointError if tensors are missing, misshapen, or not as many labels as classes.
 */
export function encodePeftFolder(saved: SavedAdapter): Map<string, Uint8Array> {
  const { adapter, head } = saved;
  const where = `adapter for ${saved.baseModel}`;
  checkAdapter(adapter, where);
  checkLabels(saved.labels, head, where);
  for (const [name, tensor] of [...adapter.tensors, ...(head?.tensors ?? [])])
    checkFinite(tensor, `${where}: ${name}`);
  const wrapped = wrappedModel(saved, where);
  const { config, tensors } = encodeAdapter(saved, adapter, wrapped);
  const files = new Map<string, Uint8Array>();
  if (head !== undefined && keepsHead(wrapped.taskType)) {
    for (const [name, theirs] of innerHeadOf(saved.architecture, saved.level)?.names ?? []) {
      const tensor = head.tensors.get(name);
      if (tensor !== undefined) tensors.set(headPrefixes[adapter.kind] + theirs, tensor);
    }
  } else if (head !== undefined) {
    files.set(headFile, encodeSafetensors(head.tensors, pytorch));
  }
  const utf8 = new TextEncoder();
  files.set(configFile, utf8.encode(config));
  files.set(weightsFile, encodeSafetensors(tensors, pytorch));
  files.set(metadataFile, utf8.encode(encodeMetadata(saved, where)));
  return files;
}

export interface ReadPeftOptions {
  /** The backbone's layers: with them, missing, surplus and misshapen tensors are named. */
  readonly host?: AdapterHost;
  /** The backbone that the adapter is for. */
  readonly backbone?: AdapterBackbone;
  /** For adapters made elsewhere, which do not say; what the folder says goes first. */
  readonly architecture?: Architecture;
  readonly pooling?: Pooling;
  readonly normalize?: boolean;
  /** What the head gives a label, where the folder does not say. */
  readonly level?: Level;
  /** Names of the classes by slot, where the folder has none. */
  readonly labels?: readonly string[];
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return undefined;
    throw new CheckpointError(`${path}: cannot be read`, { cause });
  }
}

async function requireFile(dir: string, name: string): Promise<Buffer> {
  const bytes = await readOptional(join(dir, name));
  if (bytes !== undefined) return bytes;
  const pickled = name === weightsFile && (await readOptional(join(dir, "adapter_model.bin"))) !== undefined;
  throw new CheckpointError(
    `${dir}: ${name} is missing${pickled ? "; there is only adapter_model.bin" : ""}`,
    {
      hint: pickled
        ? "Save the adapter with peft again: save_pretrained(folder, safe_serialization=True)."
        : "An adapter folder of peft holds adapter_config.json and adapter_model.safetensors.",
    },
  );
}

function decodeFloats(bytes: Uint8Array, path: string): Tensors {
  const floats = new Map<string, HostTensor<"float32">>();
  for (const [name, tensor] of decodeSafetensors(bytes, path).tensors) {
    if (!isFloat32(tensor))
      throw new CheckpointError(
        `${path}: ${name}: expected float32, float16 or bfloat16, got ${tensor.dtype}`,
      );
    floats.set(name, tensor);
  }
  return floats;
}

async function readMetadata(dir: string): Promise<Metadata | undefined> {
  const path = join(dir, metadataFile);
  const bytes = await readOptional(path);
  return bytes === undefined ? undefined : parseMetadata(bytes.toString("utf8"), path);
}

/** Every file that {@link encodePeftFolder} may give. */
const savedFiles: ReadonlySet<string> = new Set([configFile, weightsFile, headFile, metadataFile]);

/** Whether a folder with these names is an adapter that Accrete saved, and nothing else. */
export function isSavedAdapter(names: readonly string[]): boolean {
  return names.includes(metadataFile) && names.every((name) => savedFiles.has(name));
}

interface FileTensors {
  readonly adapter: Map<string, HostTensor<"float32">>;
  /** By Hugging Face's names. */
  readonly head: Map<string, HostTensor<"float32">>;
}

const kindNames: { readonly [K in AdapterKind]: string } = {
  lora: "LoRA",
  "prompt-tuning": "prompt tuning",
};

/** @param heads names of tensors that a head inside may have @param prefix what stands before AutoModel's paths */
function sortTensors(
  tensors: Tensors,
  kind: AdapterKind,
  { heads, prefix }: { readonly heads: ReadonlySet<string>; readonly prefix: string },
  path: string,
): FileTensors {
  const adapter = new Map<string, HostTensor<"float32">>();
  const head = new Map<string, HostTensor<"float32">>();
  const unknown: string[] = [];
  for (const [key, tensor] of tensors) {
    const parsed = parseFileKey(key, kind, heads, prefix);
    if (parsed.kind === "adapter" || parsed.kind === "table") adapter.set(parsed.name, tensor);
    else if (parsed.kind === "head") head.set(parsed.name, tensor);
    else unknown.push(key);
  }
  if (unknown.some((key) => key.includes("lora_embedding_")))
    throw new CheckpointError(`${path}: not supported: LoRA on the word embeddings: ${listed(unknown)}`);
  if (unknown.length > 0)
    throw new CheckpointError(
      `${path}: tensors that are no part of a ${kindNames[kind]} adapter: ${listed(unknown)}`,
    );
  return { adapter, head };
}

function guessHeadKind(tensors: Tensors): HeadKind {
  if (tensors.has("scale")) return "cosine";
  if (tensors.has("norm.weight")) return "dense-gelu-norm";
  return tensors.has("dense.weight") ? "dense" : "linear";
}

async function outerHead(dir: string, metadata: Metadata | undefined): Promise<Head | undefined> {
  const path = join(dir, headFile);
  const bytes = await readOptional(path);
  const kind = metadata?.head ?? undefined;
  if (bytes === undefined) {
    if (kind !== undefined)
      throw new CheckpointError(
        `${dir}: ${metadataFile} tells of a ${kind} head, but ${headFile} is missing`,
      );
    return undefined;
  }
  const tensors = decodeFloats(bytes, path);
  return { kind: kind ?? guessHeadKind(tensors), tensors };
}

/** The families that transformers' classes begin with, the longest name first. */
const byClassName = [...architectures].sort(
  (a, b) => families[b].className.length - families[a].className.length,
);

function architectureOf(
  config: AdapterConfig,
  prefix: string,
  options: ReadPeftOptions,
): Architecture | undefined {
  const { baseModelClass } = config;
  const named = byClassName.find((name) => baseModelClass?.startsWith(families[name].className));
  const of = options.backbone?.architecture;
  // The backbone's family, where nothing in the file speaks against it.
  const fits = of !== undefined && (prefix === "" || families[of].prefix === prefix);
  return fits ? of : (architectureOfPrefix(prefix) ?? named ?? options.architecture);
}

/** peft adapts and trains the pooler too where targets or `bias: all` reach it; no other pooling reads it. */
function dropUnusedPooler(tensors: Map<string, HostTensor<"float32">>, pooling: Pooling): void {
  if (readsPooler({ pooling })) return;
  for (const name of [...tensors.keys()]) if (name.startsWith("pooler.")) tensors.delete(name);
}

/** Names of tensors that a head inside may have, in a file whose configuration says that. */
function headNames(config: AdapterConfig, architecture: Architecture | undefined): ReadonlySet<string> {
  const bare = config.taskType !== undefined && !keepsHead(config.taskType);
  return bare || config.baseModelClass?.endsWith("Model") === true
    ? new Set()
    : headTensorNames(architecture);
}

/** @throws CheckpointError if there are not as many as classes */
function labelsOf(
  classes: number,
  metadata: Metadata | undefined,
  { labels, backbone }: ReadPeftOptions,
  dir: string,
): readonly string[] {
  if (metadata !== undefined) return metadata.labels;
  if (labels !== undefined) {
    if (labels.length !== classes)
      throw new CheckpointError(
        `${dir}: its head has ${classes} classes, and ${labels.length} labels were given`,
      );
    return labels;
  }
  if (backbone?.labels?.length === classes) return backbone.labels;
  return Array.from({ length: classes }, (_, slot) => `LABEL_${slot}`);
}

/** The backbone that an adapter is for. */
export interface AdapterOrigin {
  /** As its maker named it: a path or a hub id; empty where it names none. */
  readonly baseModel: string;
  /** Absent of an adapter made elsewhere. */
  readonly backboneHash?: string;
}

/** @throws CheckpointError if the configuration is missing, damaged, or of a kind that Accrete does not have */
export async function readAdapterOrigin(dir: string): Promise<AdapterOrigin> {
  const path = join(dir, configFile);
  const { baseModel } = parseAdapterConfig((await requireFile(dir, configFile)).toString("utf8"), path);
  const metadata = await readMetadata(dir);
  return { baseModel, ...(metadata && { backboneHash: metadata.backboneHash }) };
}

/**
 * Reads an adapter folder, ours or one that peft wrote. Without `accrete.json` labels are those of the options, else of the
 * backbone's config.json, else numbered `LABEL_0`, … as Hugging Face does; and the hashes are empty: unknown.
 *
 * @param dir the folder
 * @throws CheckpointError if a file is missing or damaged, the adapter is of another kind (prefix tuning, LoRA of
 *   experts …), or tensors are missing, surplus or misshapen: the message names them.
 */
export async function readPeftFolder(dir: string, options: ReadPeftOptions = {}): Promise<SavedAdapter> {
  const config = parseAdapterConfig(
    (await requireFile(dir, configFile)).toString("utf8"),
    join(dir, configFile),
  );
  const path = join(dir, weightsFile);
  const stored = plainNames(decodeFloats(await requireFile(dir, weightsFile), path));
  const metadata = await readMetadata(dir);
  const prefix = prefixOfKeys(stored.keys());
  const known = metadata?.architecture ?? architectureOf(config, prefix, options);
  const tensors = sortTensors(stored, config.kind, { heads: headNames(config, known), prefix }, path);
  const names = new Set(tensors.head.keys());
  const untyped = { architecture: known, prefix, head: names, level: options.level };
  const taskType = taskTypeOf(config, untyped, path);
  const level = taskType === "TOKEN_CLS" ? "word" : (metadata?.level ?? besideLevel(taskType, options));
  // A head over tokens has the same names everywhere.
  const architecture = known ?? (level === "word" ? undefined : architectureOfHead(names));
  const inside = keepsHead(taskType);
  const { backbone } = options;
  const inner = inside
    ? await innerHead(tensors.head, { config, taskType, architecture, backbone, prefix, path })
    : undefined;
  const head =
    inner === undefined ? await outerHead(dir, metadata) : { kind: inner.kind, tensors: inner.tensors };
  const causal = taskType === "CAUSAL_LM";
  const defaultPooling = inner?.pooling ?? options.pooling ?? (causal ? "last" : "cls");
  const pooling = metadata?.pooling ?? defaultPooling;
  dropUnusedPooler(tensors.adapter, pooling);
  const adapter = config.toAdapter(tensors.adapter, prefix);
  checkAdapter(adapter, path, options.host);
  const classes = head === undefined ? 0 : checkHead(head, dir);
  const labels = labelsOf(classes, metadata, options, dir);
  checkLabels(labels, head, dir);
  return {
    adapter,
    ...(head && { head }),
    ...(level && { level }),
    ...(causal && { causal: true }),
    ...(metadata?.prompt !== undefined && { prompt: metadata.prompt }),
    labels,
    pooling,
    normalize: metadata?.normalize ?? (!inside && (options.normalize ?? false)),
    ...(architecture && { architecture }),
    ...(config.depth && { depth: config.depth }),
    baseModel: config.baseModel,
    backboneHash: metadata?.backboneHash ?? "",
    tokenizerHash: metadata?.tokenizerHash ?? "",
    ...(metadata?.accreteVersion !== undefined && { accreteVersion: metadata.accreteVersion }),
  };
}

/** A head in a file beside the adapter may be one of words, which nothing but the caller tells. */
function besideLevel(taskType: TaskType, { level }: ReadPeftOptions): "word" | undefined {
  return taskType === "FEATURE_EXTRACTION" && level === "word" ? "word" : undefined;
}
