import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { openTextIds } from "../data/prompts.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { type CausalModel, generateGreedy, openCausalModel } from "../generate/greedy.ts";
import { checkAdapter } from "../peft/checkpointFormats.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { Tensors } from "../runtime/types.ts";
import { type LoadedBackbone, loadBackbone } from "./backbone.ts";
import { endTokens } from "./endTokens.ts";
import { manifestFile } from "./manifest.ts";
import { readRun, type SavedTask } from "./openedRun.ts";
import { checkOrigin } from "./savedTask.ts";
import type { OpenRunOptions } from "./types.ts";

/** As transformers generates where it is not told. */
export const DEFAULT_NEW_TOKENS = 20;

export interface OpenGeneratorOptions extends OpenRunOptions {
  /** Of a run: the task whose adapter speaks; default: the newest. */
  readonly task?: string;
  readonly threads?: number;
}

export interface GenerateOptions {
  /** Default 20. */
  readonly maxNewTokens?: number;
  readonly signal?: AbortSignal;
}

/** Continues texts. Holds native memory: dispose of it. */
export interface TextGenerator extends AsyncDisposable {
  /** The task whose adapter speaks; undefined for a bare model. */
  readonly task: string | undefined;
  /**
   * Continues each prompt by the token that the model finds most likely, until a text ends or is long enough.
   * @returns what comes after each prompt, without it
   * @throws DataError naming the prompt (counted from 1) that is empty or too long
   */
  generate(prompts: readonly string[], options?: GenerateOptions): Promise<string[]>;
}

/** What follows the prompt in the whole text: tokens by themselves would lose the space before their first word. */
function completionOf(tokenizer: Tokenizer, prompt: readonly number[], added: readonly number[]): string {
  const [before, whole] = [tokenizer.decode(prompt), tokenizer.decode([...prompt, ...added])];
  return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(added);
}

interface Voice {
  readonly loaded: LoadedBackbone;
  readonly saved?: SavedTask;
}

/** @throws StoreError or ConfigError if the folder is no run, or has no such task */
async function voiceOfRun(folder: string, options: OpenGeneratorOptions): Promise<Voice> {
  const { loaded, tasks } = await readRun(folder, options);
  const { task } = options;
  const saved = task === undefined ? tasks.at(-1) : tasks.find(({ name }) => name === task);
  if (saved === undefined)
    throw new ConfigError(`no task is called "${task}"`, {
      hint: `tasks: ${tasks.map(({ name }) => name).join(", ")}`,
    });
  return { loaded, saved };
}

async function voiceOfModel(source: string, options: OpenGeneratorOptions): Promise<Voice> {
  if (options.task !== undefined)
    throw new ConfigError(`${source} is a model, which has no task "${options.task}"`, {
      hint: "Give a run's folder, or leave the task out.",
    });
  return { loaded: await loadBackbone(source, undefined, options.signal) };
}

/** @throws CheckpointError if the model continues no texts, or the adapter does not fit it */
function speak({ loaded, saved }: Voice): {
  readonly structure: CausalStructure;
  readonly parameters: Tensors;
} {
  const { backbone, folder } = loaded;
  if (backbone.kind !== "decoder")
    throw new CheckpointError(
      `${folder.path}: ${backbone.config.architecture} is an encoder, which continues no text`,
      { hint: "Give a decoder such as GPT-2, GPT-NeoX or Llama, or a run on one." },
    );
  if (saved === undefined) return { structure: { backbone }, parameters: {} };
  checkOrigin(saved.saved, loaded, saved.where);
  checkAdapter(saved.saved.adapter, saved.where, backbone);
  const { tensors, ...adapter } = saved.saved.adapter;
  return { structure: { backbone, adapter }, parameters: Object.fromEntries(tensors) };
}

/**
 * Opens a model, or a run's adapter on its backbone, to continue texts as they are given: no prompt is put around them.
 * @param source folder of a run or a model, or a hub id
 * @throws CheckpointError if the model is an encoder, or was saved without its language-modelling head
 */
export async function openGenerator(
  source: string,
  options: OpenGeneratorOptions = {},
): Promise<TextGenerator> {
  const isRun = existsSync(join(source, manifestFile));
  const voice = await (isRun ? voiceOfRun : voiceOfModel)(source, options);
  const { structure, parameters } = speak(voice);
  const { tokenizer } = voice.loaded;
  const { stopIds } = await endTokens(voice.loaded);
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const model: CausalModel = await openCausalModel(structure, nodeRuntime, threads);
  return {
    task: voice.saved?.name,
    generate: async (prompts, { maxNewTokens = DEFAULT_NEW_TOKENS, signal } = {}) => {
      const ids = prompts.map((prompt) => openTextIds(tokenizer, prompt));
      const abort = signal === undefined ? {} : { signal };
      const continued = await generateGreedy(model, ids, { maxNewTokens, stopIds, parameters, ...abort });
      return continued.map((each, i) => completionOf(tokenizer, ids[i] ?? [], each.ids));
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
