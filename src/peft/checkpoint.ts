/**
 * Adapter folders that Hugging Face's peft reads and writes: `adapter_config.json` and `adapter_model.safetensors`,
 * the head inside where Hugging Face has that very head, else beside in `head.safetensors`; what peft has no place
 * for (labels, pooling, hashes) in `accrete.json`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, errorCode } from "../core/errors.ts";
import { float32, type HostTensor, isFloat32 } from "../core/tensor.ts";
import { checkFinite, decodeSafetensors, encodeSafetensors } from "../io/safetensors.ts";
import { poolingKinds, readsPooler } from "../nn/features.ts";
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
import {
  architectureOfHead,
  architectureOfPrefix,
  architectures,
  headedPrefixes,
  headPrefixes,
  innerHeadOf,
  innerHeadOfNames,
  parseFileKey,
  prefixOfKeys,
} from "./checkpointKeys.ts";
import type { AdapterKind, Architecture, Head, HeadKind, Pooling, SavedAdapter } from "./types.ts";

const configFile = "adapter_config.json";
const weightsFile = "adapter_model.safetensors";
const headFile = "head.safetensors";
const metadataFile = "accrete.json";
const pytorch = { format: "pt" };

const metadataSchema = z.object({
  schemaVersion: z.literal(1),
  /** The version of Accrete that wrote it. */
  accreteVersion: z.string().optional(),
  architecture: z.enum(architectures).optional(),
  prompt: z.string().optional(),
  /** Of an adapter whose head classifies every token. */
  level: z.literal("word").optional(),
  labels: z.array(z.string()),
  pooling: z.enum(poolingKinds),
  normalize: z.boolean(),
  head: z.enum(["linear", "cosine", "dense"]).nullable(),
  backboneHash: z.string(),
  tokenizerHash: z.string(),
});
type Metadata = z.infer<typeof metadataSchema>;

/** Whether the head is the one that Hugging Face has for the architecture. */
function isInner({ head, architecture, pooling, normalize, adapter, level }: SavedAdapter): boolean {
  const inner = innerHeadOf(architecture, level);
  if (inner === undefined || head?.kind !== inner.kind) return false;
  const hasBias = head.tensors.get("bias")?.data.some((value) => value !== 0) ?? false;
  return pooling === inner.pooling[adapter.kind] && !normalize && !(inner.biasFree && hasBias);
}

/** The task types that keep a head inside. */
const classifying = { sentence: "SEQ_CLS", word: "TOKEN_CLS" } as const;

function keepsHead(taskType: TaskType): boolean {
  return taskType === classifying.sentence || taskType === classifying.word;
}

/** @throws CheckpointError if nobody says what the model is, where its paths depend on it. */
function wrappedModel(saved: SavedAdapter, where: string): Wrapped {
  const { architecture, causal, level = "sentence" } = saved;
  if (causal === undefined && !isInner(saved)) return { taskType: "FEATURE_EXTRACTION", prefix: "" };
  if (architecture === undefined)
    throw new CheckpointError(`${where}: does not say which architecture it is for`);
  return {
    taskType: causal === undefined ? classifying[level] : "CAUSAL_LM",
    prefix: headedPrefixes[architecture],
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
  files.set(metadataFile, utf8.encode(`${JSON.stringify(metadataOf(saved, where), null, 2)}\n`));
  return files;
}

/** @throws CheckpointError where nobody could read it again */
function metadataOf(saved: SavedAdapter, where: string): Metadata {
  const parsed = metadataSchema.safeParse(describeSaved(saved));
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${where}: cannot be saved: ${z.prettifyError(parsed.error)}`);
}

function describeSaved(saved: SavedAdapter): Metadata {
  return {
    schemaVersion: 1,
    ...(saved.accreteVersion !== undefined && { accreteVersion: saved.accreteVersion }),
    ...(saved.architecture && { architecture: saved.architecture }),
    ...(saved.level && { level: saved.level }),
    labels: [...saved.labels],
    pooling: saved.pooling,
    normalize: saved.normalize,
    head: saved.head?.kind ?? null,
    ...(saved.prompt !== undefined && { prompt: saved.prompt }),
    backboneHash: saved.backboneHash,
    tokenizerHash: saved.tokenizerHash,
  };
}

export interface ReadPeftOptions {
  /** The backbone's layers: with them, missing, surplus and misshapen tensors are named. */
  readonly host?: AdapterHost;
  /** For adapters made elsewhere, which do not say; what the folder says goes first. */
  readonly architecture?: Architecture;
  readonly pooling?: Pooling;
  readonly normalize?: boolean;
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
  if (bytes === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new CheckpointError(`${path}: is not JSON`, { cause });
  }
  const parsed = metadataSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const version = z.looseObject({ schemaVersion: z.int() }).safeParse(json).data?.schemaVersion ?? 1;
  if (version > 1)
    throw new CheckpointError(
      `${path}: was written by a later version of Accrete: schema ${version}, this one reads up to 1`,
      { hint: "Update Accrete: npm install accrete-lm@latest." },
    );
  throw new CheckpointError(
    `${path}: is not what this version of Accrete writes:\n${z.prettifyError(parsed.error)}`,
  );
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

/** @param inside whether the configuration says that a head is inside */
function sortTensors(tensors: Tensors, kind: AdapterKind, inside: boolean, path: string): FileTensors {
  const adapter = new Map<string, HostTensor<"float32">>();
  const head = new Map<string, HostTensor<"float32">>();
  const unknown: string[] = [];
  for (const [key, tensor] of tensors) {
    const parsed = parseFileKey(key, kind);
    if (parsed.kind === "adapter") adapter.set(parsed.name, tensor);
    else if (parsed.kind === "head" && inside) head.set(parsed.name, tensor);
    else if (parsed.kind !== "copy") unknown.push(key);
  }
  if (unknown.length > 0)
    throw new CheckpointError(
      `${path}: tensors that are no part of a ${kindNames[kind]} adapter: ${listed(unknown)}`,
    );
  return { adapter, head };
}

function innerHead(
  tensors: Tensors,
  { kind, taskType }: Pick<AdapterConfig, "kind" | "taskType">,
  architecture: Architecture | undefined,
  path: string,
): Head & { readonly pooling: Pooling } {
  const level = taskType === "TOKEN_CLS" ? "word" : "sentence";
  const inner = innerHeadOf(architecture, level) ?? innerHeadOfNames(new Set(tensors.keys()), level);
  if (inner === undefined)
    throw new CheckpointError(`${path}: does not say which architecture it is for, nor does its head`, {
      hint: "Say so with the option `architecture`.",
    });
  const missing = [...inner.names.values()].filter((name) => !tensors.has(name));
  if (missing.length > 0)
    throw new CheckpointError(
      `${path}: task_type ${taskType} with ${architecture ?? "this head"} needs ${missing.map((name) => headPrefixes[kind] + name).join(", ")}`,
    );
  const ours = new Map([...inner.names].map(([name, theirs]) => [theirs, name]));
  const head = new Map([...tensors].map(([name, tensor]) => [ours.get(name) ?? name, tensor]));
  const classes = head.get("weight")?.dims[0] ?? 0;
  if (inner.biasFree && !head.has("bias")) head.set("bias", float32(new Float32Array(classes), [classes]));
  return { kind: inner.kind, tensors: head, pooling: inner.pooling[kind] };
}

function guessHeadKind(tensors: Tensors): HeadKind {
  if (tensors.has("scale")) return "cosine";
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

function architectureOf(
  config: AdapterConfig,
  prefix: string,
  options: ReadPeftOptions,
): Architecture | undefined {
  const byClass = /^(Bert|Roberta|XLMRoberta)/.exec(config.baseModelClass ?? "")?.[1];
  const named = byClass === undefined ? undefined : byClass === "Bert" ? "bert" : "roberta";
  return architectureOfPrefix(prefix) ?? named ?? options.architecture;
}

/** peft adapts and trains the pooler too where targets or `bias: all` reach it; no other pooling reads it. */
function dropUnusedPooler(tensors: Map<string, HostTensor<"float32">>, pooling: Pooling): void {
  if (readsPooler({ pooling })) return;
  for (const name of [...tensors.keys()]) if (name.startsWith("pooler.")) tensors.delete(name);
}

/**
 * Reads an adapter folder, ours or one that peft wrote. Without `accrete.json` labels are numbered `LABEL_0`, … as
 * Hugging Face does, and the hashes are empty: unknown.
 *
 * @param dir the folder
 * @throws CheckpointError if a file is missing or damaged, the adapter is of another kind (DoRA, prefix tuning …), or tensors are missing, surplus or misshapen: the message names them.
 */
export async function readPeftFolder(dir: string, options: ReadPeftOptions = {}): Promise<SavedAdapter> {
  const config = parseAdapterConfig(
    (await requireFile(dir, configFile)).toString("utf8"),
    join(dir, configFile),
  );
  const path = join(dir, weightsFile);
  const stored = decodeFloats(await requireFile(dir, weightsFile), path);
  const metadata = await readMetadata(dir);
  const inside = keepsHead(config.taskType);
  const level = config.taskType === "TOKEN_CLS" ? "word" : metadata?.level;
  const tensors = sortTensors(stored, config.kind, inside, path);
  const prefix = prefixOfKeys(stored.keys());
  const architecture =
    metadata?.architecture ??
    architectureOf(config, prefix, options) ??
    // A head over tokens has the same names everywhere.
    (level === "word" ? undefined : architectureOfHead(new Set(tensors.head.keys())));
  const inner = inside ? innerHead(tensors.head, config, architecture, path) : undefined;
  const head =
    inner === undefined ? await outerHead(dir, metadata) : { kind: inner.kind, tensors: inner.tensors };
  const ownPooling = inner?.pooling;
  const causal = config.taskType === "CAUSAL_LM";
  const defaultPooling = ownPooling ?? options.pooling ?? (causal ? "last" : "cls");
  const pooling = metadata?.pooling ?? defaultPooling;
  dropUnusedPooler(tensors.adapter, pooling);
  const adapter = config.toAdapter(tensors.adapter, prefix);
  checkAdapter(adapter, path, options.host);
  const classes = head === undefined ? 0 : checkHead(head, dir);
  const labels = metadata?.labels ?? Array.from({ length: classes }, (_, slot) => `LABEL_${slot}`);
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
