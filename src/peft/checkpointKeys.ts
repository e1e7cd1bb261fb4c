/** The names of tensors in peft's `adapter_model.safetensors`, and ours. */
import type { Architecture, HeadKind, Pooling } from "./types.ts";

/** What peft's wrapper puts before the model's own names. */
export const wrapperPrefix = "base_model.model.";

/** The classification head that Hugging Face has for an architecture, and the only case where a head goes inside. */
export interface InnerHead {
  readonly kind: HeadKind;
  /** The feature it reads, never normalised. */
  readonly pooling: Pooling;
  /** Our name of a head's tensor → Hugging Face's. */
  readonly names: ReadonlyMap<string, string>;
}

export const innerHeads: { readonly [A in Architecture]: InnerHead } = {
  bert: {
    kind: "linear",
    pooling: "pooler",
    names: new Map([
      ["weight", "classifier.weight"],
      ["bias", "classifier.bias"],
    ]),
  },
  roberta: {
    kind: "dense",
    pooling: "cls",
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

/** What a file's tensor is; its architecture prefix is dropped. */
export function parseFileKey(key: string): FileTensor {
  if (!key.startsWith(wrapperPrefix)) return { kind: "unknown" };
  const inner = key.slice(wrapperPrefix.length);
  if (copyKey.test(inner)) return { kind: "copy" };
  if (/^(classifier|score)\./.test(inner)) return { kind: "head", name: inner };
  const name = inner.replace(/^(bert|roberta)\./, "");
  if (parseLoraName(name) !== undefined) return { kind: "adapter", name };
  if (name.endsWith(".bias")) return { kind: "adapter", name: name.replace(/\.base_layer\.bias$/, ".bias") };
  return { kind: "unknown" };
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
