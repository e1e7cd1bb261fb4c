import { basename, join, resolve } from "node:path";
import { AdaptedBackbone, type LearnedTask } from "../continual/adaptedBackbone.ts";
import { CheckpointError, StoreError } from "../core/errors.ts";
import type { RunLevel } from "../core/record.ts";
import type { Example } from "../data/types.ts";
import { readPeftFolder } from "../peft/checkpoint.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { loadBackbone } from "./backbone.ts";
import { classify } from "./classify.ts";
import { loadConfig } from "./config.ts";
import { findEntities } from "./findEntities.ts";
import { configFile, RunFolder } from "./runFolder.ts";
import { fromSavedAdapter } from "./savedTask.ts";
import type {
  EntityOptions,
  LoadAdapterOptions,
  LoadedAdapter,
  OpenRunOptions,
  Prediction,
  PredictOptions,
  Predictor,
  TaggedText,
} from "./types.ts";

/** The method that answers at each level. */
const methods: { readonly [L in RunLevel]: "predict" | "findEntities" } = {
  sentence: "predict",
  word: "findEntities",
};

class TaskPredictor implements LoadedAdapter {
  readonly level: RunLevel;
  readonly tasks: readonly LearnedTask[];
  readonly notes: readonly string[];
  private readonly model: AdaptedBackbone;

  constructor(tasks: readonly LearnedTask[], model: AdaptedBackbone, notes: readonly string[] = []) {
    this.level = model.structure.level ?? "sentence";
    this.tasks = tasks;
    this.model = model;
    this.notes = notes;
  }

  async predict(examples: readonly Example[], options: PredictOptions = {}): Promise<Prediction[]> {
    this.checkLevel("sentence");
    return await classify(this.model, this.tasks, examples, options);
  }

  async findEntities(examples: readonly Example[], options: EntityOptions = {}): Promise<TaggedText[]> {
    this.checkLevel("word");
    return await findEntities(this.model, this.tasks, examples, options);
  }

  private checkLevel(asked: RunLevel): void {
    if (this.level === asked) return;
    throw new StoreError(`${methods[asked]}: this was learned at level ${this.level}`, {
      hint: `Use ${methods[this.level]}.`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}

/**
 * Opens a run or store folder for prediction. The folder and the backbone that it names are enough; the backbone
 * is checked by its hash, and may lie elsewhere now.
 * @throws StoreError if the folder is no run, or no task was learned yet
 * @throws CheckpointError if the backbone is another one, or an adapter is damaged
 */
export async function openRun(folder: string, options: OpenRunOptions = {}): Promise<Predictor> {
  const run = await RunFolder.open(folder);
  const { manifest, path } = run;
  if (manifest.tasks.length === 0)
    throw new StoreError(`${folder}: no task has been learned yet`, { hint: "finish the run with --resume" });
  const { source, revision, hash } = manifest.backbone;
  const place = options.backbone ?? source;
  const loaded = await loadBackbone(
    place,
    options.backbone === undefined ? revision : undefined,
    options.signal,
  );
  if (loaded.folder.hash !== hash)
    throw new CheckpointError(
      `${place}: is not the backbone of this run: hash ${loaded.folder.hash}, the run names ${hash}`,
      {
        hint: "give the folder of the backbone it was trained on with --backbone",
      },
    );
  const tasks: LearnedTask[] = [];
  let structure: AdaptedBackbone["structure"] | undefined;
  for (const entry of manifest.tasks) {
    const adapter = await run.adapterFolder(entry);
    const restored = fromSavedAdapter(entry.name, await readPeftFolder(adapter), loaded, adapter);
    tasks.push(restored.task);
    structure ??= restored.structure;
  }
  if (structure === undefined) throw new StoreError(`${folder}: no task has been learned yet`);
  const { config } = await loadConfig(join(path, configFile));
  const model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: config.training.maxLength,
    ...(config.threads === undefined ? {} : { threads: config.threads }),
  });
  return new TaskPredictor(tasks, model);
}

/**
 * Opens one adapter folder for prediction: ours, or one that Hugging Face's peft saved for a classifier.
 * @param folder holds `adapter_config.json`, `adapter_model.safetensors`, and a head inside or beside
 * @throws CheckpointError if the folder is damaged, has no head, is of a kind that Accrete does not have, or says that
 *   it belongs to another backbone
 */
export async function loadAdapter(folder: string, options: LoadAdapterOptions = {}): Promise<LoadedAdapter> {
  const { name = basename(resolve(folder)), maxLength, threads, signal, backbone, ...reading } = options;
  const saved = await readPeftFolder(folder, reading);
  const place = backbone ?? saved.baseModel;
  if (place === "")
    throw new CheckpointError(`${folder}: does not name its backbone`, {
      hint: "give its folder or hub id with the option `backbone`",
    });
  const loaded = await loadBackbone(place, undefined, signal);
  const { task, structure, notes } = fromSavedAdapter(name, saved, loaded, folder);
  const model = new AdaptedBackbone({
    structure,
    tokenizer: loaded.tokenizer,
    runtime: nodeRuntime,
    maxLength: maxLength ?? loaded.backbone.maxTokens,
    ...(threads === undefined ? {} : { threads }),
  });
  return new TaskPredictor([task], model, [...loaded.folder.notes, ...notes]);
}
