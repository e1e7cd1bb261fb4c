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
  /** The feature it reads, never normalised: an encoder's position 0, under prompt tuning the first virtual token. */
  readonly pooling: { readonly [K in AdapterKind]: Pooling };
  /** Our name of a head's tensor → Hugging Face's. */
  readonly names: ReadonlyMap<string, string>;
  /** Whether Hugging Face's head has no bias: ours, which has one, is that head where it is zero. */
  readonly biasFree?: true;
}

const classifier: ReadonlyMap<string, string> = new Map([
  ["weight", "classifier.weight"],
  ["bias", "classifier.bias"],
]);

/** Decoders share one head over the last token. peft's reads a prompt's text at its end, where no padding may stand. */
const score: InnerHead = {
  kind: "linear",
  pooling: { lora: "last", "prompt-tuning": "last" },
  names: new Map([["weight", "score.weight"]]),
  biasFree: true,
};

const innerHeads: { readonly [A in Architecture]: InnerHead } = {
  bert: {
    kind: "linear",
    pooling: { lora: "pooler", "prompt-tuning": "peft-first-pooler" },
    names: classifier,
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
  gpt2: score,
  gpt_neox: score,
  llama: score,
  mistral: score,
  qwen2: score,
};

/** A linear head over tokens; the pooling only says that nothing is pooled. */
function tokenHead(names: InnerHead["names"]): InnerHead {
  return { kind: "linear", pooling: { lora: "cls", "prompt-tuning": "cls" }, names };
}

const tokenClassifier = tokenHead(classifier);

const tokenScore = tokenHead(
  new Map([
    ["weight", "score.weight"],
    ["bias", "score.bias"],
  ]),
);

const tokenHeads: { readonly [A in Architecture]: InnerHead } = {
  bert: tokenClassifier,
  roberta: tokenClassifier,
  gpt2: tokenClassifier,
  gpt_neox: tokenClassifier,
  llama: tokenScore,
  mistral: tokenScore,
  qwen2: tokenScore,
};

/** Hugging Face's own head of an architecture, for the task types that keep a head inside. */
export function innerHeadOf(
  architecture: Architecture | undefined,
  level: "sentence" | "word" = "sentence",
): InnerHead | undefined {
  return architecture === undefined ? undefined : tables[level][architecture];
}

const tables = { sentence: innerHeads, word: tokenHeads };

/** The heads that have a tensor of one of these names, each once. */
function headsWith(names: ReadonlySet<string>, level: keyof typeof tables): InnerHead[] {
  const fitting = Object.values(tables[level]).filter((head) =>
    [...head.names.values()].some((name) => names.has(name)),
  );
  return [...new Set(fitting)];
}

/** Beside a prompt nothing but the names of Hugging Face's own heads tells the architecture, and decoders share theirs. */
export function architectureOfHead(names: ReadonlySet<string>): Architecture | undefined {
  const [head] = headsWith(names, "sentence");
  const fitting = architectures.filter(
    (architecture) => head !== undefined && innerHeads[architecture] === head,
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** The head that the names of its tensors tell, where they tell one alone. */
export function innerHeadOfNames(
  names: ReadonlySet<string>,
  level: "sentence" | "word",
): InnerHead | undefined {
  const fitting = headsWith(names, level);
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** What stands before AutoModel's paths in a model that has a head. */
export const headedPrefixes: { readonly [A in Architecture]: string } = {
  bert: "bert.",
  roberta: "roberta.",
  gpt2: "transformer.",
  gpt_neox: "gpt_neox.",
  llama: "model.",
  mistral: "model.",
  qwen2: "model.",
};

const prefixes = [...new Set(Object.values(headedPrefixes))];
const headed = new RegExp(`^(${prefixes.map(escaped).join("|")})`);

export const architectures: readonly Architecture[] = [
  "bert",
  "roberta",
  "gpt2",
  "gpt_neox",
  "llama",
  "mistral",
  "qwen2",
];

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
 * @param prefix `bert.`, `transformer.` … inside a model with a head, else empty
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
    const name = key.slice(wrapperPrefix.length).replace(headed, "");
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

/** What stands before AutoModel's paths in a file's keys: empty where the model that was wrapped has no head. */
export function prefixOfKeys(keys: Iterable<string>): string {
  for (const key of keys) {
    const found = prefixes.find((prefix) => key.startsWith(wrapperPrefix + prefix));
    if (found !== undefined) return found;
  }
  return "";
}

/** The architecture that a prefix tells, if it is that of only one. */
export function architectureOfPrefix(prefix: string): Architecture | undefined {
  const fitting = architectures.filter((architecture) => headedPrefixes[architecture] === prefix);
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
