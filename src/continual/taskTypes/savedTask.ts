/** Between a learned task and the adapter folder that is written of it. */

import { CheckpointError } from "../../core/errors.ts";
import { packageVersion } from "../../core/packageInfo.ts";
import type { CausalStructure } from "../../generate/graphs.ts";
import { type FeatureSpec, missingPart } from "../../nn/features.ts";
import type { HeadSpec } from "../../nn/heads.ts";
import { adapterMethod } from "../../peft/adapters.ts";
import { checkAdapter } from "../../peft/checkpointFormats.ts";
import type { SavedAdapter } from "../../peft/types.ts";
import { adapterHost, type ModelStructure } from "../../train/graphs.ts";
import type { FedModel } from "../../train/trainer.ts";
import type { LearnedTask, LoadedBackbone } from "../types.ts";

/** What is written in the place of a feature where no head reads a text's vector. */
export const noFeature: FeatureSpec = { pooling: "cls", normalize: false };

/** The prompt as an adapter's files have it. */
export function promptOf({ prompt }: { readonly prompt: string | undefined }): Pick<SavedAdapter, "prompt"> {
  return prompt === undefined ? {} : { prompt };
}

/** What is written of a learned task: everything that is needed to predict with it. */
export function toSavedAdapter(
  task: LearnedTask,
  structure: FedModel & Pick<ModelStructure, "level">,
  loaded: LoadedBackbone,
  how: Pick<SavedAdapter, "causal" | "prompt"> = {},
): SavedAdapter {
  const { adapter, head, feature = noFeature, backbone, level } = structure;
  if (adapter === undefined) throw new CheckpointError(`task "${task.name}" has no adapter to save`);
  return {
    adapter: { ...adapter, tensors: task.adapter },
    ...(head && { head: { kind: head.kind, tensors: task.head } }),
    ...how,
    ...(level === "word" && { level }),
    labels: task.labels,
    pooling: feature.pooling,
    normalize: feature.normalize,
    architecture: loaded.backbone.config.architecture,
    depth: { layers: backbone.config.layers, heads: backbone.config.heads },
    baseModel: loaded.folder.source,
    backboneHash: loaded.folder.hash,
    tokenizerHash: loaded.tokenizer.hash,
    accreteVersion: packageVersion(),
  };
}

/**
 * An adapter made elsewhere does not say what it was trained on.
 * @returns what could not be checked, in words
 * @throws CheckpointError if the adapter says that it was trained on another backbone or tokenizer
 */
export function checkOrigin(saved: SavedAdapter, loaded: LoadedBackbone, where: string): string[] {
  const { architecture } = loaded.backbone.config;
  if (saved.architecture !== undefined && saved.architecture !== architecture)
    throw new CheckpointError(
      `${where}: is for ${saved.architecture}, ${loaded.folder.path} is ${architecture}`,
    );
  const unknown: string[] = [];
  const checks = [
    ["backbone", saved.backboneHash, loaded.folder.hash],
    ["tokenizer", saved.tokenizerHash, loaded.tokenizer.hash],
  ] as const;
  for (const [what, then, now] of checks) {
    if (then === "") unknown.push(what);
    else if (then !== now)
      throw new CheckpointError(
        `${where}: was trained on another ${what}: hash ${then} then, ${now} at ${loaded.folder.path}`,
        { hint: "Give the backbone it was trained on with --backbone." },
      );
  }
  if (unknown.length === 0) return [];
  return [`${where}: made elsewhere: whether it was trained on this ${unknown.join(" and ")} is not known`];
}

/** @throws CheckpointError if tables that were saved along cannot take the place of the backbone's */
function checkReplaced({ adapter }: SavedAdapter, { backbone, folder }: LoadedBackbone, where: string): void {
  if (adapter.kind !== "lora") return;
  const { config, wordEmbeddings, embeddingWidth } = backbone;
  for (const { name, dims } of adapter.spec.replaced ?? []) {
    const wide = name === wordEmbeddings ? embeddingWidth : config.width;
    if (dims.join() !== [config.vocabularySize, wide].join())
      throw new CheckpointError(
        `${where}: ${name} is (${dims.join(", ")}), ${folder.path} has (${config.vocabularySize}, ${wide})`,
        {
          hint: "Its words were added to or taken from: save the model with them, and give that as backbone.",
        },
      );
    if (name !== wordEmbeddings && backbone.kind === "decoder" && backbone.config.tiedHead)
      throw new CheckpointError(
        `${where}: saves ${name} apart, but the head of ${folder.path} is its word embeddings`,
        { hint: "Save the model with that head, and give it as backbone." },
      );
  }
}

/** @throws CheckpointError if an adapter made elsewhere does not say which of its classes are which tags */
function checkTags({ labels, backboneHash }: SavedAdapter, where: string): void {
  const tags = labels.every((label) => label === "O" || /^[A-Z]-./.test(label));
  if (tags || backboneHash !== "") return;
  throw new CheckpointError(
    `${where}: its classes are called ${labels.slice(0, 3).join(", ")}${labels.length > 3 ? ", …" : ""}, which are no tags of words (O, B-…, I-…)`,
    {
      hint: "Name them in the order of the head: with the option `labels` (--labels), or as id2label in the backbone's config.json.",
    },
  );
}

export interface RestoredTask<S = ModelStructure> {
  readonly task: LearnedTask;
  readonly structure: S;
  /** What texts were put into; absent where they went in as they are. */
  readonly prompt: string | undefined;
  /** What a user should know but need not act on. */
  readonly notes: readonly string[];
}

/**
 * The inverse of `toSavedAdapter`, for a backbone that was loaded.
 * @param level what the head must give a label
 * @throws CheckpointError if the adapter was trained on another backbone or tokenizer, does not fit this one's
 *   layers, or has no head of that level
 */
export function fromSavedAdapter(
  name: string,
  saved: SavedAdapter,
  loaded: LoadedBackbone,
  where: string,
  level: NonNullable<ModelStructure["level"]> = saved.level ?? "sentence",
): RestoredTask {
  const notes = checkOrigin(saved, loaded, where);
  if (saved.head === undefined)
    throw new CheckpointError(`${where}: the adapter has no head, so it cannot classify`, {
      hint: "An adapter made elsewhere needs a head beside it, head.safetensors.",
    });
  if ((saved.level ?? "sentence") !== level)
    throw new CheckpointError(
      `${where}: its head labels ${level === "word" ? "texts, not words" : "words, not texts"}`,
    );
  if (level === "word") checkTags(saved, where);
  const head: HeadSpec = { kind: saved.head.kind, scale: 1, scaleLearnable: false };
  const feature = { pooling: saved.pooling, normalize: saved.normalize };
  const { backbone } = loaded;
  const missing = missingPart(backbone, feature);
  if (missing !== undefined)
    throw new CheckpointError(
      `${where}: reads ${feature.pooling}, but ${loaded.folder.path} has no ${missing}`,
    );
  checkReplaced(saved, loaded, where);
  checkAdapter(saved.adapter, where, adapterHost({ backbone, feature }));
  const { tensors, ...adapter } = saved.adapter;
  return {
    task: { name, labels: saved.labels, adapter: tensors, head: saved.head.tensors },
    structure: { backbone, adapter, feature, head, level },
    prompt: saved.prompt,
    notes,
  };
}

/**
 * The same for an adapter that answers in words.
 * @throws CheckpointError if it was trained on another backbone or tokenizer, does not fit this one's layers, or does
 *   not answer in words
 */
export function fromSavedAnswers(
  name: string,
  saved: SavedAdapter,
  loaded: LoadedBackbone,
  where: string,
): RestoredTask<CausalStructure> {
  const notes = checkOrigin(saved, loaded, where);
  const { backbone } = loaded;
  if (saved.causal === undefined || backbone.kind !== "decoder")
    throw new CheckpointError(`${where}: was not trained to answer in words`, {
      hint: "An adapter that answers in words has task_type CAUSAL_LM, and a decoder for its backbone.",
    });
  checkReplaced(saved, loaded, where);
  checkAdapter(saved.adapter, where, backbone);
  const { tensors, ...adapter } = saved.adapter;
  return {
    task: { name, labels: saved.labels, adapter: tensors, head: new Map() },
    structure: { backbone, adapter },
    prompt: saved.prompt,
    notes,
  };
}

type Facts = Readonly<Record<string, unknown>>;

/** How an adapter with a head is built. */
export function describeHeaded(structure: ModelStructure, prompt: string | undefined): Facts {
  return {
    ...adapterMethod(structure.adapter).describe(adapterHost(structure)),
    ...structure.feature,
    head: structure.head.kind,
    level: structure.level ?? "sentence",
    ...(prompt !== undefined && { prompt }),
  };
}

/** How an adapter that answers in words is built. */
export function describeAnswering({ adapter, backbone }: CausalStructure, prompt: string): Facts {
  return { ...adapterMethod(adapter).describe(backbone), head: "none", prompt };
}
