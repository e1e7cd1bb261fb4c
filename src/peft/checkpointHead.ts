/** What an adapter's files say of its head and of what it answers. */
import { CheckpointError } from "../core/errors.ts";
import { float32, type HostTensor, isFloat32 } from "../core/tensor.ts";
import { readTensor, type TensorEntry } from "../io/safetensors.ts";
import { type Architecture, families } from "../nn/families.ts";
import { listed, type Tensors } from "./checkpointChecks.ts";
import { moduleOf, type TaskType } from "./checkpointConfig.ts";
import type { AdapterConfig } from "./checkpointFormats.ts";
import {
  familiesOfHead,
  headPrefixes,
  type InnerHead,
  innerHeadOf,
  innerHeadOfNames,
  type Level,
} from "./checkpointKeys.ts";
import type { Head, Pooling } from "./types.ts";

/** The task types that keep a head inside. */
export const classifying: { readonly [L in Level]: TaskType } = { sentence: "SEQ_CLS", word: "TOKEN_CLS" };

export function keepsHead(taskType: TaskType): boolean {
  return taskType === classifying.sentence || taskType === classifying.word;
}

/** What of a backbone an adapter made elsewhere leaves open. */
export interface AdapterBackbone {
  readonly architecture: Architecture;
  /** The folder, for messages. */
  readonly where: string;
  /** Names of classes by slot, from `id2label` of config.json; absent where it says none. */
  readonly labels?: readonly string[];
  /** What Hugging Face's own head reads of a text, and why it cannot be run, where config.json says so. */
  readonly classifier?: { readonly pooling?: "cls" | "mean"; readonly refused?: string };
  /** A head's tensors that the model's files hold, by Hugging Face's names. */
  readonly headWeights: ReadonlyMap<string, TensorEntry>;
}

/** What a class of transformers is for, by the end of its name. */
const classEnds: readonly (readonly [string, TaskType])[] = [
  ["ForSequenceClassification", "SEQ_CLS"],
  ["ForTokenClassification", "TOKEN_CLS"],
  ["ForCausalLM", "CAUSAL_LM"],
  ["LMHeadModel", "CAUSAL_LM"],
  ["Model", "FEATURE_EXTRACTION"],
];

/** What is known of an adapter whose configuration names no task type. */
interface Untyped {
  readonly architecture: Architecture | undefined;
  /** What stands before AutoModel's paths in its keys. */
  readonly prefix: string;
  /** Names of tensors that are a head's. */
  readonly head: ReadonlySet<string>;
  readonly level: Level | undefined;
}

/**
 * What the adapter is for: as its configuration says, else by the class that it wraps, else by its tensors.
 * @throws CheckpointError if nothing tells
 */
export function taskTypeOf(
  config: Pick<AdapterConfig, "taskType" | "baseModelClass">,
  { architecture, prefix, head, level }: Untyped,
  path: string,
): TaskType {
  if (config.taskType !== undefined) return config.taskType;
  const byClass = classEnds.find(([end]) => config.baseModelClass?.endsWith(end))?.[1];
  if (byClass !== undefined) return byClass;
  if (head.size === 0)
    return prefix !== "" && architecture !== undefined && families[architecture].kind === "decoder"
      ? "CAUSAL_LM"
      : "FEATURE_EXTRACTION";
  if (level !== undefined) return classifying[level];
  const fits = (each: Level) => {
    const found = familiesOfHead(head, each, prefix);
    return architecture === undefined ? found.length > 0 : found.includes(architecture);
  };
  const [sentence, word] = [fits("sentence"), fits("word")];
  if (sentence !== word) return classifying[sentence ? "sentence" : "word"];
  throw new CheckpointError(
    `${path}: names no task_type, and its head (${listed([...head])}) may be one of texts or of words`,
    {
      hint: 'Say which with the option `level`: "sentence" or "word" (--level), or write task_type into it.',
    },
  );
}

function innerOf(
  names: ReadonlySet<string>,
  level: Level,
  { architecture, backbone, prefix, path }: HeadSource,
): InnerHead {
  const refused = backbone?.classifier?.refused;
  if (refused !== undefined)
    throw new CheckpointError(
      `${path}: its head cannot be run: ${backbone?.where ?? ""}: config.json has ${refused}`,
    );
  const inner =
    innerHeadOf(architecture, level, backbone?.classifier?.pooling) ?? innerHeadOfNames(names, level, prefix);
  if (inner !== undefined) return inner;
  throw new CheckpointError(`${path}: does not say which architecture it is for, nor does its head`, {
    hint: "Say so with the option `architecture`.",
  });
}

/** Parts of a head that peft left in the model. @throws CheckpointError if the model's files do not hold them either */
async function leftBehind(
  missing: readonly string[],
  backbone: AdapterBackbone | undefined,
  told: string,
): Promise<Map<string, HostTensor<"float32">>> {
  const found = new Map<string, HostTensor<"float32">>();
  const nowhere: string[] = [];
  for (const name of missing) {
    const entry = backbone?.headWeights.get(name);
    const tensor = entry === undefined ? undefined : await readTensor(entry);
    if (tensor !== undefined && isFloat32(tensor)) found.set(name, tensor);
    else nowhere.push(name);
  }
  if (nowhere.length === 0) return found;
  const modules = [...new Set(nowhere.map(moduleOf))];
  throw new CheckpointError(told, {
    hint:
      `peft leaves them in the model unless modules_to_save names them: save the adapter again with ` +
      `modules_to_save=${JSON.stringify(modules)}, or give the model it was trained on, which holds them, as backbone.`,
  });
}

/** Where the head of an adapter made elsewhere is looked for. */
export interface HeadSource {
  readonly config: Pick<AdapterConfig, "kind">;
  readonly taskType: TaskType;
  readonly architecture: Architecture | undefined;
  readonly backbone: AdapterBackbone | undefined;
  /** What stands before AutoModel's paths in the file's keys. */
  readonly prefix: string;
  readonly path: string;
}

/** The head inside an adapter's file, by our names, and what it reads. */
export async function innerHead(
  tensors: Tensors,
  source: HeadSource,
): Promise<Head & { readonly pooling: Pooling }> {
  const { taskType, architecture, backbone, path } = source;
  const { kind } = source.config;
  const level = taskType === "TOKEN_CLS" ? "word" : "sentence";
  const inner = innerOf(new Set(tensors.keys()), level, source);
  const missing = [...inner.names.values()].filter((name) => !tensors.has(name));
  const told = `${path}: task_type ${taskType} with ${architecture ?? "this head"} needs ${missing.map((name) => headPrefixes[kind] + name).join(", ")}`;
  const all =
    missing.length === 0 ? tensors : new Map([...tensors, ...(await leftBehind(missing, backbone, told))]);
  const ours = new Map([...inner.names].map(([name, theirs]) => [theirs, name]));
  const head = new Map([...all].map(([name, tensor]) => [ours.get(name) ?? name, tensor]));
  const classes = head.get("weight")?.dims[0] ?? 0;
  if (inner.biasFree && !head.has("bias")) head.set("bias", float32(new Float32Array(classes), [classes]));
  return { kind: inner.kind, tensors: head, pooling: inner.pooling[kind] };
}
