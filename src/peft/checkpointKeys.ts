/** The names of tensors in peft's `adapter_model.safetensors`, and ours. */
import { PROMPT_EMBEDDINGS } from "./promptTuning.ts";
import type { AdapterKind, Architecture, HeadKind, Pooling } from "./types.ts";

/** What peft's wrapper puts before the names of a model with adapted layers. */
const wrapperPrefix = "base_model.model.";

/** What stands before a head's names: prompt tuning wraps the model once, where LoRA does so twice. */
export const headPrefixes: { readonly [K in AdapterKind]: string } = {
  lora: wrapperPrefix,
  "prompt-tuning": "base_model.",
};

/** The classification head that Hugging Face has for an architecture, and the only case where a head goes inside. */
export interface InnerHead {
  readonly kind: HeadKind;
  /** The feature it reads, never normalised: position 0, which under prompt tuning is the first virtual token. */
  readonly pooling: { readonly [K in AdapterKind]: Pooling };
  /** Our name of a head's tensor → Hugging Face's. */
  readonly names: ReadonlyMap<string, string>;
}

export const innerHeads: { readonly [A in Architecture]: InnerHead } = {
  bert: {
    kind: "linear",
    pooling: { lora: "pooler", "prompt-tuning": "peft-first-pooler" },
    names: new Map([
      ["weight", "classifier.weight"],
      ["bias", "classifier.bias"],
    ]),
  },
  roberta: {
    kind: "dense",
    pooling: { lora: "cls", "prompt-tuning": "peft-first" },
    names: new Map([
      ["dense.weight", "classifier.dense.weight"],
      ["dense.bias", "classifier.dense.bias"],
      ["weight", "classifier.out_proj.weight"],
      ["bias", "classifier.out_proj.bias"],
    ]),
  },
};

const loraKey = /^(.+)\.(lora_A|lora_B)\.weight$/;

/** The site and the half that a LoRA tensor's name tells. */
export function parseLoraName(
  name: string,
): { readonly site: string; readonly half: "lora_A" | "lora_B" } | undefined {
  const [, site, half] = loraKey.exec(name) ?? [];
  return site !== undefined && (half === "lora_A" || half === "lora_B") ? { site, half } : undefined;
}

/**
 * Our adapter tensor's name → the file's. Biases of adapted layers lie in the wrapped layer, `….base_layer.bias`.
 *
 * @param prefix `bert.` or `roberta.` inside a model with a head, else empty
 */
export function fileKey(name: string, adapted: ReadonlySet<string>, prefix: string): string {
  const site = name.endsWith(".bias") ? name.slice(0, -".bias".length) : "";
  return wrapperPrefix + prefix + (adapted.has(site) ? `${site}.base_layer.bias` : name);
}

export type FileTensor =
  | { readonly kind: "adapter"; readonly name: string }
  | { readonly kind: "head"; readonly name: string }
  /** With `bias: all`, peft also writes its bookkeeping copies of the head's biases. */
  | { readonly kind: "copy" }
  | { readonly kind: "unknown" };

const copyKey = /\.(original_module|modules_to_save)\./;

/** Our name of an adapter's tensor, its architecture prefix dropped; undefined for what is none. */
const adapterNames: { readonly [K in AdapterKind]: (key: string) => string | undefined } = {
  lora: (key) => {
    if (!key.startsWith(wrapperPrefix)) return undefined;
    const name = key.slice(wrapperPrefix.length).replace(/^(bert|roberta)\./, "");
    if (parseLoraName(name) !== undefined) return name;
    return name.endsWith(".bias") ? name.replace(/\.base_layer\.bias$/, ".bias") : undefined;
  },
  "prompt-tuning": (key) => (key === PROMPT_EMBEDDINGS ? key : undefined),
};

/** What a file's tensor is in a file of that kind of adapter. */
export function parseFileKey(key: string, kind: AdapterKind): FileTensor {
  const prefix = headPrefixes[kind];
  if (key.startsWith(prefix)) {
    const inner = key.slice(prefix.length);
    if (copyKey.test(inner)) return { kind: "copy" };
    if (/^(classifier|score)\./.test(inner)) return { kind: "head", name: inner };
  }
  const name = adapterNames[kind](key);
  return name === undefined ? { kind: "unknown" } : { kind: "adapter", name };
}

/** The architecture that the keys tell, if one of them has its prefix. */
export function architectureOfKeys(keys: Iterable<string>): Architecture | undefined {
  for (const key of keys) {
    if (key.startsWith(`${wrapperPrefix}bert.`)) return "bert";
    if (key.startsWith(`${wrapperPrefix}roberta.`)) return "roberta";
  }
  return undefined;
}

/** A regex over AutoModel's paths, made to match the paths inside a model with a head. */
export function prefixPattern(pattern: string, architecture: Architecture): string {
  return `${architecture}\\.(?:${pattern})`;
}

/** The inverse of `prefixPattern`; undefined where the pattern was not made by it. */
export function unprefixPattern(pattern: string, architecture: Architecture): string | undefined {
  const start = `${architecture}\\.(?:`;
  return pattern.startsWith(start) && pattern.endsWith(")") ? pattern.slice(start.length, -1) : undefined;
}
