/** The names of tensors in peft's `adapter_model.safetensors`, and ours. */
import { architectures, families, type OwnHead, ownHead } from "../nn/families.ts";
import { PROMPT_EMBEDDINGS } from "./promptTuning.ts";
import type { AdapterKind, Architecture, Pooling } from "./types.ts";

/** What peft's wrapper puts before the names of a model with adapted layers. */
const wrapperPrefix = "base_model.model.";

/** What stands before a head's names: prompt tuning wraps the model once, where LoRA does so twice. */
export const headPrefixes: { readonly [K in AdapterKind]: string } = {
  lora: wrapperPrefix,
  "prompt-tuning": "base_model.",
};

/** The classification head that Hugging Face has for a family, and the only case where a head goes inside. */
export interface InnerHead extends Omit<OwnHead, "pooling"> {
  /** The feature it reads, never normalised: an encoder's position 0, under prompt tuning the first virtual token. */
  readonly pooling: { readonly [K in AdapterKind]: Pooling };
}

/** What a head of Hugging Face's reads behind virtual tokens: the first of them, where it reads the first token. */
const behindPrompt: { readonly [P in OwnHead["pooling"]]: Pooling } = {
  cls: "peft-first",
  pooler: "peft-first-pooler",
  last: "last",
  mean: "mean",
};

/**
 * Hugging Face's own head of a family, for the task types that keep a head inside.
 * @param pooling what config.json says that the head reads, where it says so
 */
export function innerHeadOf(
  architecture: Architecture | undefined,
  level: Level = "sentence",
  pooling?: OwnHead["pooling"],
): InnerHead | undefined {
  if (architecture === undefined) return undefined;
  const own = ownHead(architecture, level);
  if (own === undefined) return undefined;
  // Over tokens nothing is pooled.
  if (level === "word") return { ...own, pooling: { lora: "cls", "prompt-tuning": "cls" } };
  const read = pooling ?? own.pooling;
  return { ...own, pooling: { lora: read, "prompt-tuning": behindPrompt[read] } };
}

export type Level = "sentence" | "word";

/** Every tensor of a head by Hugging Face's names, of a family or of all of them. */
export function headTensorNames(architecture: Architecture | undefined): ReadonlySet<string> {
  const of = architecture === undefined ? architectures : [architecture];
  const heads = of.flatMap((name) => [ownHead(name, "sentence"), ownHead(name, "word")]);
  return new Set(heads.flatMap((head) => [...(head?.names.values() ?? [])]));
}

/**
 * The families whose own head has tensors of exactly these names.
 * @param prefix what stands before AutoModel's paths in the file; empty where nothing tells
 */
export function familiesOfHead(
  names: ReadonlySet<string>,
  level: Level,
  prefix = "",
): readonly Architecture[] {
  return architectures.filter((architecture) => {
    if (prefix !== "" && families[architecture].prefix !== prefix) return false;
    const own = [...(ownHead(architecture, level)?.names.values() ?? [])];
    return own.length > 0 && own.length === names.size && own.every((name) => names.has(name));
  });
}

/** Beside a prompt nothing but the names of a head tells the family, and many share theirs. */
export function architectureOfHead(names: ReadonlySet<string>): Architecture | undefined {
  const fitting = familiesOfHead(names, "sentence");
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** Tensors of a family's own head that are not there; infinite where others are. */
function missingOf(names: ReadonlySet<string>, level: Level, architecture: Architecture): number {
  const own = new Set(ownHead(architecture, level)?.names.values());
  const surplus = [...names].some((name) => !own.has(name));
  return surplus || names.size === 0 ? Number.POSITIVE_INFINITY : own.size - names.size;
}

/**
 * The head that the names of its tensors tell: that of which the least is missing, where all families that have it agree.
 * @param prefix what stands before AutoModel's paths in the file; empty where nothing tells
 */
export function innerHeadOfNames(
  names: ReadonlySet<string>,
  level: Level,
  prefix: string,
): InnerHead | undefined {
  const candidates = architectures.filter((name) => prefix === "" || families[name].prefix === prefix);
  const least = Math.min(...candidates.map((name) => missingOf(names, level, name)));
  if (!Number.isFinite(least)) return undefined;
  const [first, ...more] = candidates
    .filter((name) => missingOf(names, level, name) === least)
    .map((name) => innerHeadOf(name, level));
  const same = (other: InnerHead | undefined) =>
    other?.kind === first?.kind && other?.pooling.lora === first?.pooling.lora;
  return more.every(same) ? first : undefined;
}

/** What stands before AutoModel's paths in a model that has a head, the longest first. */
const prefixes = [...new Set(Object.values(families).map(({ prefix }) => prefix))].sort(
  (a, b) => b.length - a.length,
);

const without = (name: string, prefix: string) =>
  name.startsWith(prefix) ? name.slice(prefix.length) : name;

const loraKey = /^(.+)\.(lora_A|lora_B)\.weight$/;
const magnitudeKey = /^(.+)\.lora_magnitude_vector$/;

/** The site and the part that a LoRA tensor's name tells. */
export function parseLoraName(
  name: string,
): { readonly site: string; readonly half: "lora_A" | "lora_B" | "magnitude" } | undefined {
  const [, site, half] = loraKey.exec(name) ?? [];
  if (site !== undefined && (half === "lora_A" || half === "lora_B")) return { site, half };
  const decomposed = magnitudeKey.exec(name)?.[1];
  return decomposed === undefined ? undefined : { site: decomposed, half: "magnitude" };
}

/** Tables that are saved whole: word embeddings, and the head over them. */
const tableKey =
  /(^|\.)(word_embeddings|tok_embeddings|embed_tokens|embed_in|wte|lm_head|embed_out)\.weight$/;

export function isTable(name: string): boolean {
  return tableKey.test(name);
}

/**
 * Our adapter tensor's name → the file's. Biases of adapted layers lie in the wrapped layer, `….base_layer.bias`.
 *
 * @param prefix `bert.`, `transformer.` … inside a model with a head, else empty
 */
export function fileKey(name: string, adapted: ReadonlySet<string>, prefix: string): string {
  const site = name.endsWith(".bias") ? name.slice(0, -".bias".length) : "";
  if (/^(lm_head|embed_out)\./.test(name)) return wrapperPrefix + name;
  return wrapperPrefix + prefix + (adapted.has(site) ? `${site}.base_layer.bias` : name);
}

export type FileTensor =
  | { readonly kind: "adapter"; readonly name: string }
  | { readonly kind: "head"; readonly name: string }
  /** A table that was trained or saved whole. */
  | { readonly kind: "table"; readonly name: string }
  | { readonly kind: "unknown" };

/**
 * A file's names as peft's `save_pretrained` writes them, whatever saved it: a state dict's have the adapter's name
 * (`lora_A.default.weight`) and peft's wrappers (`modules_to_save.default.`). With `bias: all` peft itself writes copies of
 * the head's biases under such names, and with others copies of what it replaced; those are dropped.
 */
export function plainNames<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  const plain = new Map<string, T>();
  const wrapped = new Map<string, T>();
  for (const [key, tensor] of tensors) {
    if (/\.original_module\./.test(key)) continue;
    const name = key
      .replace(/\.(lora_A|lora_B)\.[^.]+\.weight$/, ".$1.weight")
      .replace(/\.lora_magnitude_vector(\.[^.]+)?(\.weight)?$/, ".lora_magnitude_vector");
    const unwrapped = name.replace(/\.modules_to_save(\.default)?\./, ".");
    if (unwrapped === name) plain.set(name, tensor);
    else wrapped.set(unwrapped, tensor);
  }
  for (const [name, tensor] of wrapped) if (!plain.has(name)) plain.set(name, tensor);
  return plain;
}

/** Our name of an adapter's tensor, its architecture prefix dropped; undefined for what is none. */
const adapterNames: {
  readonly [K in AdapterKind]: (key: string, prefix: string) => string | undefined;
} = {
  lora: (key, prefix) => {
    if (!key.startsWith(wrapperPrefix)) return undefined;
    const name = without(key.slice(wrapperPrefix.length), prefix);
    if (parseLoraName(name) !== undefined) return name;
    return name.endsWith(".bias") ? name.replace(/\.base_layer\.bias$/, ".bias") : undefined;
  },
  "prompt-tuning": (key) => (key === PROMPT_EMBEDDINGS ? key : undefined),
};

/**
 * What a file's tensor is in a file of that kind of adapter.
 * @param heads names of tensors that a head may have, in a model that has one
 * @param prefix what stands before AutoModel's paths in this file
 */
export function parseFileKey(
  key: string,
  kind: AdapterKind,
  heads: ReadonlySet<string>,
  prefix: string,
): FileTensor {
  const wrapper = headPrefixes[kind];
  if (key.startsWith(wrapper)) {
    const inner = key.slice(wrapper.length);
    if (heads.has(inner)) return { kind: "head", name: inner };
    if (kind === "lora" && isTable(inner)) return { kind: "table", name: without(inner, prefix) };
  }
  const name = adapterNames[kind](key, prefix);
  return name === undefined ? { kind: "unknown" } : { kind: "adapter", name };
}

/** DistilBERT's own paths, which begin as GPT-2's do in a model with a head. */
const distilbertPath = `${wrapperPrefix}transformer.layer.`;

/** What stands before AutoModel's paths in a file's keys: empty where the model that was wrapped has no head. */
export function prefixOfKeys(keys: Iterable<string>): string {
  for (const key of keys) {
    if (key.startsWith(distilbertPath)) return "";
    const found = prefixes.find((prefix) => key.startsWith(wrapperPrefix + prefix));
    if (found !== undefined) return found;
  }
  return "";
}

/** The architecture that a prefix tells, if it is that of only one. */
export function architectureOfPrefix(prefix: string): Architecture | undefined {
  const fitting = architectures.filter((architecture) => families[architecture].prefix === prefix);
  return fitting.length === 1 ? fitting[0] : undefined;
}

function escaped(prefix: string): string {
  return prefix.replaceAll(".", "\\.");
}

/** A regex over AutoModel's paths, made to match the paths inside a model with a head. */
export function prefixPattern(pattern: string, prefix: string): string {
  return `${escaped(prefix)}(?:${pattern})`;
}

/** The inverse of `prefixPattern`; undefined where the pattern was not made by it. */
export function unprefixPattern(pattern: string, prefix: string): string | undefined {
  const start = `${escaped(prefix)}(?:`;
  return pattern.startsWith(start) && pattern.endsWith(")") ? pattern.slice(start.length, -1) : undefined;
}
