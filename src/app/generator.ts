import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, ConfigError, StoreError } from "../core/errors.ts";
import { openTextIds } from "../data/prompts.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { CausalStructure } from "../generate/graphs.ts";
import { type CausalModel, generateGreedy, openCausalModel } from "../generate/greedy.ts";
import { checkAdapter } from "../peft/checkpointFormats.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { Tensors } from "../runtime/types.ts";
import { type LoadedBackbone, loadBackbone } from "./backbone.ts";
import { findTask } from "./classify.ts";
import { endTokens } from "./endTokens.ts";
import { openPromptRouter, type PromptRouter } from "./generativeRouting.ts";
import { manifestFile } from "./manifest.ts";
import { readRun, type SavedTask } from "./openedRun.ts";
import { checkOrigin } from "./savedTask.ts";
import type { OpenRunOptions } from "./types.ts";

/** As transformers generates where it is not told. */
export const DEFAULT_NEW_TOKENS = 20;

export interface OpenGeneratorOptions extends OpenRunOptions {
  /** Of a run: the task whose adapter speaks. Default: the router's choice where one was learned, else the newest. */
  readonly task?: string;
  /** The newest task's adapter speaks, where a router was learned too; `task` comes first. */
  readonly exact?: boolean;
  readonly threads?: number;
}

export interface GenerateOptions {
  /** Default 20. */
  readonly maxNewTokens?: number;
  readonly signal?: AbortSignal;
}

/** What was said after a prompt. */
export interface Completion {
  /** What comes after the prompt, without it. */
  readonly completion: string;
  /** The task whose adapter spoke; absent for a bare model. */
  readonly task?: string;
}

/** Continues texts. Holds native memory: dispose of it. */
export interface TextGenerator extends AsyncDisposable {
  /** The task whose adapter speaks; undefined for a bare model, and where a router chooses one for each prompt. */
  readonly task: string | undefined;
  /** Whether a router chooses the adapter of each prompt. */
  readonly routed: boolean;
  /**
   * Continues each prompt by the token that the model finds most likely, until a text ends or is long enough.
   * @returns what comes after each prompt, without it
   * @throws DataError naming the prompt (counted from 1) that is empty or too long
   */
  generate(prompts: readonly string[], options?: GenerateOptions): Promise<string[]>;
  /** As `generate`, with the task whose adapter spoke. */
  complete(prompts: readonly string[], options?: GenerateOptions): Promise<Completion[]>;
}

/** What follows the prompt in the whole text: tokens by themselves would lose the space before their first word. */
function completionOf(tokenizer: Tokenizer, prompt: readonly number[], added: readonly number[]): string {
  const [before, whole] = [tokenizer.decode(prompt), tokenizer.decode([...prompt, ...added])];
  return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(added);
}

/** Who may speak: nobody's adapter, one task's, or of several the one that the router chooses. */
interface Voices {
  readonly loaded: LoadedBackbone;
  readonly tasks: readonly SavedTask[];
  readonly router?: PromptRouter;
}

/** @throws StoreError or ConfigError if the folder is no run, or has no such task */
async function voicesOfRun(folder: string, options: OpenGeneratorOptions): Promise<Voices> {
  const run = await readRun(folder, options);
  const { loaded, tasks } = run;
  if (options.task !== undefined) return { loaded, tasks: [findTask(tasks, options.task)] };
  if (tasks.length === 0)
    throw new StoreError(`${folder}: no task has an adapter that could speak`, {
      hint: "Learn one with its adapter.",
    });
  const router = options.exact === true ? undefined : await openPromptRouter(run);
  return router === undefined ? { loaded, tasks: tasks.slice(-1) } : { loaded, tasks, router };
}

async function voiceOfModel(source: string, options: OpenGeneratorOptions): Promise<Voices> {
  if (options.task !== undefined)
    throw new ConfigError(`${source} is a model, which has no task "${options.task}"`, {
      hint: "Give a run's folder, or leave the task out.",
    });
  return { loaded: await loadBackbone(source, undefined, options.signal), tasks: [] };
}

interface Speaker {
  readonly task?: string;
  readonly parameters: Tensors;
}

/**
 * @returns the structure that all speakers share, and one speaker a task, for a bare model itself
 * @throws CheckpointError if the model continues no texts, or an adapter does not fit it
 */
function openSpeakers({ loaded, tasks }: Voices): {
  readonly structure: CausalStructure;
  readonly speakers: readonly Speaker[];
} {
  const { backbone, folder } = loaded;
  if (backbone.kind !== "decoder")
    throw new CheckpointError(
      `${folder.path}: ${backbone.config.architecture} is an encoder, which continues no text`,
      { hint: "Give a decoder such as GPT-2, GPT-NeoX or Llama, or a run on one." },
    );
  const speakers = tasks.map(({ name, saved, where }): Speaker => {
    checkOrigin(saved, loaded, where);
    checkAdapter(saved.adapter, where, backbone);
    return { task: name, parameters: Object.fromEntries(saved.adapter.tensors) };
  });
  const [first] = tasks;
  if (first === undefined) return { structure: { backbone }, speakers: [{ parameters: {} }] };
  const { tensors: _, ...adapter } = first.saved.adapter;
  return { structure: { backbone, adapter }, speakers };
}

class RunGenerator implements TextGenerator {
  readonly routed: boolean;
  private readonly model: CausalModel;
  private readonly tokenizer: Tokenizer;
  private readonly stopIds: readonly number[];
  private readonly speakers: readonly Speaker[];
  private readonly router: PromptRouter | undefined;

  constructor(
    model: CausalModel,
    speakers: readonly Speaker[],
    { loaded, router }: Voices,
    stopIds: readonly number[],
  ) {
    this.model = model;
    this.tokenizer = loaded.tokenizer;
    this.stopIds = stopIds;
    this.speakers = speakers;
    this.router = router;
    this.routed = router !== undefined;
  }

  get task(): string | undefined {
    return this.routed ? undefined : this.speakers[0]?.task;
  }

  async generate(prompts: readonly string[], options?: GenerateOptions): Promise<string[]> {
    return (await this.complete(prompts, options)).map(({ completion }) => completion);
  }

  async complete(
    prompts: readonly string[],
    { maxNewTokens = DEFAULT_NEW_TOKENS, signal }: GenerateOptions = {},
  ): Promise<Completion[]> {
    const ids = prompts.map((prompt) => openTextIds(this.tokenizer, prompt));
    const speakerOf = (await this.router?.choose(prompts, signal)) ?? prompts.map(() => 0);
    const completions: Completion[] = prompts.map(() => ({ completion: "" }));
    for (const [number, { task, parameters }] of this.speakers.entries()) {
      const own = [...prompts.keys()].filter((i) => speakerOf[i] === number);
      if (own.length === 0) continue;
      const continued = await generateGreedy(
        this.model,
        own.map((i) => ids[i]!),
        { maxNewTokens, stopIds: this.stopIds, parameters, ...(signal && { signal }) },
      );
      own.forEach((i, row) => {
        const completion = completionOf(this.tokenizer, ids[i]!, continued[row]?.ids ?? []);
        completions[i] = { completion, ...(task !== undefined && { task }) };
      });
    }
    return completions;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router?.[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
  }
}

/**
 * Opens a model, or a run's adapters on its backbone, to continue texts as they are given: no prompt is put around them.
 * Where the run answers in words and learned a router, it chooses the adapter of each prompt.
 * @param source folder of a run or a model, or a hub id
 * @throws CheckpointError if the model is an encoder, or was saved without its language-modelling head
 */
export async function openGenerator(
  source: string,
  options: OpenGeneratorOptions = {},
): Promise<TextGenerator> {
  const isRun = existsSync(join(source, manifestFile));
  const voices = await (isRun ? voicesOfRun : voiceOfModel)(source, options);
  try {
    const { structure, speakers } = openSpeakers(voices);
    const { stopIds } = await endTokens(voices.loaded);
    const threads = options.threads === undefined ? {} : { threads: options.threads };
    const model = await openCausalModel(structure, nodeRuntime, threads);
    return new RunGenerator(model, speakers, voices, stopIds);
  } catch (error) {
    await voices.router?.[Symbol.asyncDispose]();
    throw error;
  }
}
