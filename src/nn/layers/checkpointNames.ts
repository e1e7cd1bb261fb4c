/** The names that checkpoints give a model's tensors, and ours. */
import { CheckpointError } from "../../core/errors.ts";
import type { WeightSource } from "../../graph/types.ts";

export type Weights = ReadonlyMap<string, WeightSource>;

/** Names that wrappers put somewhere into a tensor's: torch.compile, FSDP, activation checkpointing. */
const insertions = /(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;

/** Names that wrappers put in front: DataParallel, training programs, sentence-transformers. */
const wrappers = ["module.", "model.", "0.auto_model.", "auto_model.", "base_model.", "0."];

/** Masks and frequencies that old checkpoints store beside the weights. */
const buffers = /\.(attn|attention)\.(masked_)?bias$|\.rotary_emb\.inv_freq$/;

function unwrapped(name: string): string {
  return name.replace(insertions, "").replace(/^\./, "");
}

/** Whether a text is made of the names of wrappers alone. */
function isWrapping(prefix: string): boolean {
  if (prefix === "") return true;
  return wrappers.some((wrapper) => prefix.startsWith(wrapper) && isWrapping(prefix.slice(wrapper.length)));
}

/** A model's tensors, sorted by what they belong to. */
export interface NamedWeights {
  /** The model's own, by AutoModel name. */
  readonly own: Weights;
  /** Those of a head, by Hugging Face's name in a model that has one: `lm_head.weight`, `classifier.weight`. */
  readonly heads: Weights;
  /** What the file puts in front of AutoModel's names. */
  readonly prefix: string;
}

/** What tells where a model's names begin. */
export interface Probe {
  /** A tensor that every checkpoint of the family has. */
  readonly tensor: string;
  /** What a model with a head puts in front of AutoModel's names. */
  readonly headedPrefix: string;
  /** A tensor of the head that may stand for the probe, where both are one. */
  readonly tied?: string;
}

interface Place {
  /** Names of wrappers, in front of everything. */
  readonly wrapping: string;
  /** Whether AutoModel's names have the prefix of a model with a head. */
  readonly headed: boolean;
}

function placeOf(prefix: string, headedPrefix: string): Place | undefined {
  const inner = prefix.endsWith(headedPrefix) ? prefix.slice(0, -headedPrefix.length) : undefined;
  if (inner !== undefined && isWrapping(inner)) return { wrapping: inner, headed: true };
  return isWrapping(prefix) ? { wrapping: prefix, headed: false } : undefined;
}

function isPlace(place: Place | undefined): place is Place {
  return place !== undefined;
}

/** Where a tensor of that name may stand, the least wrapped first. */
function placesOf(names: Iterable<string>, tensor: string, headedPrefix: string): Place[] {
  return [...names]
    .filter((name) => name === tensor || name.endsWith(`.${tensor}`))
    .map((name) => placeOf(name.slice(0, -tensor.length), headedPrefix))
    .filter(isPlace)
    .sort((a, b) => a.wrapping.length - b.wrapping.length);
}

function findPlace(all: Weights, { tensor, headedPrefix, tied }: Probe, where: string): Place {
  const [place] = placesOf(all.keys(), tensor, headedPrefix);
  if (place !== undefined) return place;
  const [head] = tied === undefined ? [] : placesOf(all.keys(), tied, headedPrefix);
  if (head !== undefined) return { wrapping: head.wrapping, headed: true };
  const near = [...all.keys()].find((name) => name.endsWith(tensor));
  const first = near ?? all.keys().next().value;
  throw new CheckpointError(
    `${where}: model.safetensors has no "${tensor}", bare or under "${headedPrefix}"`,
    {
      hint:
        first === undefined
          ? "the file holds no tensors"
          : `its names look like "${first}": the file does not hold this architecture's weights, or wraps them in a way that is not known`,
    },
  );
}

/**
 * Sorts a checkpoint's tensors by AutoModel's names, whatever wrapped the model when it was saved: torch.compile
 * (`_orig_mod.`), DataParallel (`module.`), a training program (`model.`), sentence-transformers (`0.auto_model.`).
 * @param where the model's folder, for messages
 * @throws CheckpointError if the probe is nowhere
 */
export function nameWeights(weights: Weights, probe: Probe, where: string): NamedWeights {
  const all = new Map([...weights].map(([name, source]) => [unwrapped(name), source]));
  const { wrapping, headed } = findPlace(all, probe, where);
  const prefix = headed ? wrapping + probe.headedPrefix : wrapping;
  const own = new Map<string, WeightSource>();
  const heads = new Map<string, WeightSource>();
  for (const [name, source] of all) {
    if (buffers.test(name)) continue;
    if (name.startsWith(prefix)) own.set(name.slice(prefix.length), source);
    else if (headed && name.startsWith(wrapping)) heads.set(name.slice(wrapping.length), source);
  }
  const tied = probe.tied === undefined ? undefined : heads.get(probe.tied);
  if (tied !== undefined && !own.has(probe.tensor)) own.set(probe.tensor, tied);
  return { own, heads, prefix };
}
