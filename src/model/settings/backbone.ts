import { checkArguments } from "../../config/arguments.ts";
import type { LoadedBackbone } from "../../continual/types.ts";
import { CheckpointError } from "../../core/errors.ts";
import type { HostTensor } from "../../core/tensor.ts";
import type { Tokenizer } from "../../data/encoding/tokenizer.ts";
import { loadTokenizer } from "../../data/encoding/tokenizerFolder.ts";
import { type ModelFolder, openModelFolder, readModelConfig } from "../../io/models/modelFolder.ts";
import { readTensor } from "../../io/safetensors.ts";
import {
  type Architecture,
  architectureOf,
  type Backbone,
  createBackbone,
  withModules,
} from "../../nn/backbone.ts";
import type { FeatureSpec, Pooling } from "../../nn/features.ts";
import { quantizeBackbone, quantizedHash } from "./quantizedBackbone.ts";

export interface LoadBackboneOptions {
  /** Commit, branch or tag of a hub model. */
  readonly revision?: string | undefined;
  /** Of the frozen linear layers; default fp32. In int8 it is another backbone, with a hash of its own. */
  readonly precision?: "fp32" | "int8" | undefined;
  /** The hash of a backbone that something was learned with, which says the precision. */
  readonly learnedWith?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws CheckpointError if the tokenizer knows ids that the embedding table has no row for. */
function checkVocabulary({ folder, backbone, tokenizer }: LoadedBackbone): void {
  const rows = backbone.config.vocabularySize;
  if (tokenizer.vocabularySize <= rows) return;
  throw new CheckpointError(
    `${folder.path}: the tokenizer has ids up to ${tokenizer.vocabularySize - 1}, the model embeds only ${rows} tokens`,
    {
      hint: "tokenizer.json and model.safetensors do not belong together; a model with added tokens wants resize_token_embeddings before it is saved.",
    },
  );
}

/**
 * The architecture that a model's config.json names; nothing else of it is read or fetched.
 * @throws CheckpointError if there is no such model, or its architecture is unknown
 */
export async function readArchitecture(
  source: string,
  revision?: string,
  signal?: AbortSignal,
): Promise<Architecture> {
  const config = await readModelConfig(source, {
    ...(revision === undefined ? {} : { revision }),
    ...(signal === undefined ? {} : { signal }),
  });
  return architectureOf(config, source);
}

/**
 * Opens a Hugging Face model by folder or hub id: an encoder, or a decoder.
 * @throws CheckpointError if it is missing, damaged, unknown, or its tokenizer is another model's.
 */
export async function loadBackbone(
  source: string,
  options: LoadBackboneOptions = {},
): Promise<LoadedBackbone> {
  checkArguments("loadBackbone", { source, options });
  const { revision, signal, learnedWith } = options;
  const plain = await openModelFolder(source, {
    ...(revision === undefined ? {} : { revision }),
    ...(signal === undefined ? {} : { signal }),
  });
  const hash = quantizedHash(plain.hash);
  const int8 = learnedWith === undefined ? options.precision === "int8" : learnedWith === hash;
  const folder = int8 ? { ...plain, hash } : plain;
  const tokenizer = await loadTokenizer(folder.path);
  const { backbone, notes } = withinBounds(await openBackbone(folder, int8), tokenizer);
  const loaded = {
    folder: { ...folder, notes: [...folder.notes, ...tokenizer.notes, ...notes] },
    backbone,
    tokenizer,
  };
  checkVocabulary(loaded);
  return loaded;
}

async function openBackbone(
  { config, weights, path, chain, hash }: ModelFolder,
  int8: boolean,
): Promise<Backbone> {
  const plain = createBackbone(config, weights, path);
  const backbone = int8 ? await quantizeBackbone(plain, hash, path) : plain;
  if (chain === undefined) return backbone;
  const { poolings, layers } = chain;
  const tensors = new Map<string, HostTensor>();
  for (const layer of layers)
    for (const [name, entry] of layer.weights) tensors.set(name, await readTensor(entry));
  return withModules(backbone, { poolings, steps: layers.map(({ step }) => step) }, tensors, path);
}

/** An encoder takes no longer texts than its tokenizer's files allow; a decoder's bound holds what it generates too. */
function withinBounds(backbone: Backbone, { maxLength }: Tokenizer) {
  if (backbone.kind === "decoder" || maxLength === undefined || maxLength >= backbone.maxTokens)
    return { backbone, notes: [] };
  return {
    backbone: { ...backbone, maxTokens: maxLength },
    notes: [
      `Texts are cut at ${maxLength} tokens, as the files beside tokenizer.json say; the model has ${backbone.maxTokens} positions.`,
    ],
  };
}

/** A decoder's last token is the only one that has seen the whole text. */
const defaultPooling: { readonly [K in Backbone["kind"]]: Pooling } = { encoder: "cls", decoder: "last" };

/** What the config asks for, else what the model's own pooling file says, else [CLS] or a decoder's last token. */
export function resolveFeature(
  loaded: LoadedBackbone,
  asked: { readonly pooling?: Pooling | undefined; readonly normalize?: boolean | undefined },
): FeatureSpec {
  const own = loaded.folder.poolingConfig;
  return {
    pooling: asked.pooling ?? own?.pooling ?? defaultPooling[loaded.backbone.kind],
    normalize: asked.normalize ?? own?.normalize ?? false,
  };
}
