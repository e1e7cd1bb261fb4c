/** Opening what was learned, to answer with it. */
import { basename, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { readAdapterFor } from "../continual/taskTypes/foreignAdapter.ts";
import { fromSavedAdapter, fromSavedAnswers } from "../continual/taskTypes/savedTask.ts";
import { CheckpointError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import { Learner } from "../model/learner.ts";
import { openSavedModel } from "../model/openModel.ts";
import { loadBackbone } from "../model/settings/backbone.ts";
import type { Teachable } from "../model/teachable.ts";
import type { Pooling } from "../nn/features.ts";
import { readAdapterOrigin } from "../peft/checkpoint.ts";
import type { SavedAdapter } from "../peft/types.ts";
import type { OpenRunOptions } from "./opening.ts";
import { openStore } from "./store.ts";

/** What answers: everything of a {@link Teachable} that asks and does not teach. */
export type Predictor = Pick<
  Teachable,
  "taskType" | "level" | "tasks" | "classes" | "predict" | "findEntities" | "generate" | "embed" | "evaluate"
> &
  AsyncDisposable;

/**
 * Opens a run or store folder for prediction. The folder and the backbone that it names are enough; the backbone
 * is checked by its hash, and may lie elsewhere now.
 * @throws StoreError if the folder is no run
 * @throws CheckpointError if the backbone is another one, or an adapter is damaged
 */
export async function openRun(folder: string, options: OpenRunOptions = {}): Promise<Predictor> {
  checkArguments("openRun", { folder, options });
  return await openStore(folder, options);
}

/** How an adapter folder is opened. */
export interface LoadAdapterOptions {
  /** Folder or hub id of the backbone; default: the one that the adapter names. */
  readonly backbone?: string | undefined;
  /** What the task is to be called; default: the folder's name. */
  readonly name?: string | undefined;
  /** How the head's sentence vector is made, where the adapter does not say: a head beside it, made elsewhere. */
  readonly pooling?: Pooling | undefined;
  readonly normalize?: boolean | undefined;
  /** Names of the head's classes in its order, where the folder has none; default: `id2label` of the backbone's config.json. */
  readonly labels?: readonly string[] | undefined;
  /** What the head labels, where peft was told no task type and the head's names do not say. */
  readonly level?: RunLevel | undefined;
  /** Tokens a text may have; default: as many as the backbone takes. */
  readonly maxLength?: number | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A predictor with a single task. */
export interface LoadedAdapter extends Predictor {
  /** What a user should know but need not act on, such as an origin that cannot be checked. */
  readonly notes: readonly string[];
}

/**
 * Reads an adapter folder with what its backbone tells of it.
 * @throws CheckpointError if it is damaged, of a kind that Accrete does not have, or names no backbone and none is given
 */
export async function readSavedAdapter(
  folder: string,
  options: Pick<LoadAdapterOptions, "backbone" | "labels" | "level"> = {},
): Promise<SavedAdapter> {
  const { baseModel, backboneHash } = await readAdapterOrigin(folder);
  const loaded = await loadBackbone(options.backbone ?? baseModel, { learnedWith: backboneHash });
  return await readAdapterFor(loaded, folder, options);
}

/**
 * Opens one adapter folder for prediction: ours, or one that Hugging Face's peft saved for a classifier
 * or a language model.
 * @param folder holds `adapter_config.json`, `adapter_model.safetensors`, and a head inside or beside
 * @throws CheckpointError if the folder is damaged, has neither head nor labels, is of a kind that Accrete does not have, or says that
 *   it belongs to another backbone
 */
export async function loadAdapter(folder: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
  checkArguments("loadAdapter", { folder, options });
  const { name = basename(resolve(folder)), maxLength, threads, signal, backbone } = options;
  const { baseModel, backboneHash } = await readAdapterOrigin(folder);
  const place = backbone ?? baseModel;
  if (place === "")
    throw new CheckpointError(`${folder}: does not name its backbone`, {
      hint: "Give its folder or hub id with the option `backbone`.",
    });
  const loaded = await loadBackbone(place, { learnedWith: backboneHash, signal });
  const saved = await readAdapterFor(loaded, folder, options);
  const restored =
    saved.causal === undefined
      ? fromSavedAdapter(name, saved, loaded, folder)
      : fromSavedAnswers(name, saved, loaded, folder);
  if (restored.task.labels.length === 0)
    throw new CheckpointError(`${folder}: nothing beside the adapter says which labels it answers with`, {
      hint: "accrete generate continues texts with it.",
    });
  const model = await openSavedModel(saved, restored, loaded, {
    maxLength: maxLength ?? loaded.backbone.maxTokens,
    threads,
  });
  const { task } = restored;
  const state = { tasks: [{ name, labels: task.labels, saved, learned: task }] };
  return Object.assign(new Learner(model, state), { notes: [...loaded.folder.notes, ...restored.notes] });
}
