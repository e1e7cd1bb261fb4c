import type { LearnedTask } from "../continual/adaptedBackbone.ts";
import { CheckpointError } from "../core/errors.ts";
import type { HeadSpec } from "../nn/heads.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { ModelStructure } from "../train/graphs.ts";
import type { LoadedBackbone } from "./backbone.ts";

/** What is written of a learned task: everything that is needed to predict with it. */
export function toSavedAdapter(
  task: LearnedTask,
  structure: ModelStructure,
  loaded: LoadedBackbone,
): SavedAdapter {
  const { lora, head, feature, backbone } = structure;
  if (lora === undefined) throw new CheckpointError(`task "${task.name}" has no adapter to save`);
  return {
    adapter: { kind: "lora", spec: lora, tensors: task.adapter },
    head: { kind: head.kind, tensors: task.head },
    labels: task.labels,
    pooling: feature.pooling,
    normalize: feature.normalize,
    architecture: backbone.config.architecture,
    baseModel: loaded.folder.source,
    backboneHash: loaded.folder.hash,
    tokenizerHash: loaded.tokenizer.hash,
  };
}

function headSpecOf(
  saved: SavedAdapter,
  where: string,
): { readonly spec: HeadSpec; readonly tensors: LearnedTask["head"] } {
  if (saved.head === undefined)
    throw new CheckpointError(`${where}: the adapter has no head, so it cannot classify`, {
      hint: "an adapter made elsewhere needs a head beside it, head.safetensors",
    });
  return { spec: { kind: saved.head.kind, scale: 1, scaleLearnable: false }, tensors: saved.head.tensors };
}

/**
 * The inverse of `toSavedAdapter`, for a backbone that was loaded.
 * @throws CheckpointError if the adapter was trained on another backbone or tokenizer.
 */
export function fromSavedAdapter(
  name: string,
  saved: SavedAdapter,
  loaded: LoadedBackbone,
  where: string,
): { readonly task: LearnedTask; readonly structure: ModelStructure } {
  const checks = [
    ["backbone", saved.backboneHash, loaded.folder.hash],
    ["tokenizer", saved.tokenizerHash, loaded.tokenizer.hash],
  ] as const;
  for (const [what, then, now] of checks)
    if (then !== now)
      throw new CheckpointError(
        `${where}: was trained on another ${what}: hash ${then} then, ${now} at ${loaded.folder.path}`,
        {
          hint: "give the backbone it was trained on with --backbone",
        },
      );
  const head = headSpecOf(saved, where);
  const feature = { pooling: saved.pooling, normalize: saved.normalize };
  return {
    task: { name, labels: saved.labels, adapter: saved.adapter.tensors, head: head.tensors },
    structure: { backbone: loaded.backbone, lora: saved.adapter.spec, feature, head: head.spec },
  };
}
