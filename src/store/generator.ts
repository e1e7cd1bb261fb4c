/** Continuing texts with a run's adapters, or with a bare model. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { completionOf } from "../continual/taskTypes/textGeneration.ts";
import { CheckpointError, ConfigError, StoreError } from "../core/errors.ts";
import { openTextIds } from "../data/encoding/prompts.ts";
import { generateGreedy, openCausalModel } from "../generate/greedy.ts";
import { type Completion, DEFAULT_NEW_TOKENS, type GenerateOptions } from "../model/continualModel.ts";
import { loadBackbone } from "../model/settings/backbone.ts";
import { endTokens } from "../model/settings/endTokens.ts";
import { openDevice } from "../runtime/devices.ts";
import type { Device } from "../runtime/types.ts";
import { manifestFile } from "../workspace/manifest.ts";
import type { OpenRunOptions } from "./opening.ts";
import { openStore } from "./store.ts";

/** How a model, run or store is opened to continue texts. */
export interface OpenGeneratorOptions extends OpenRunOptions {
  readonly threads?: number | undefined;
  /** Of a model: `fp32` unless said. A run or store has its own. */
  readonly precision?: "fp32" | "int8" | undefined;
  /** Of a model: `cpu` unless said. A run or store has its own. */
  readonly device?: Device | undefined;
}

/** Continues texts. Holds native memory: dispose of it. */
export interface TextGenerator extends AsyncDisposable {
  /**
   * Continues each prompt by the token that the model finds most likely, until a text ends or is long enough.
   * @returns what comes after each prompt, without it, and the task whose adapter generated it
   * @throws DataError naming the prompt (counted from 1) that is empty or too long
   */
  generate(prompts: readonly string[], options?: GenerateOptions): Promise<Completion[]>;
}

/**
 * Opens a model, or a run's or store's adapters on its backbone, to continue texts as they are given: no prompt is put
 * around them. Where a router was learned, it chooses the adapter of each prompt.
 * @param source folder of a run, a store or a model, or a hub id
 * @throws CheckpointError if the model is an encoder, or was saved without its language-modelling head
 */
export async function openGenerator(
  source: string,
  options: OpenGeneratorOptions = {},
): Promise<TextGenerator> {
  checkArguments("openGenerator", { source, options });
  const { threads, precision, device, ...where } = options;
  if (existsSync(join(source, manifestFile))) {
    if (precision !== undefined || device !== undefined)
      throw new ConfigError(`${source} has a precision and a device of its own`, {
        hint: "Leave both out; `accrete set <store> device=webgpu` changes a store's device.",
      });
    return await openStore(source, where);
  }
  if (precision === "int8" && device === "webgpu")
    throw new ConfigError(
      "products of bytes are computed by the processor: with webgpu, precision must be fp32",
    );
  const loaded = await loadBackbone(source, { precision, signal: options.signal });
  const { backbone, folder, tokenizer } = loaded;
  if (backbone.kind !== "decoder")
    throw new CheckpointError(
      `${folder.path}: ${backbone.config.architecture} is an encoder, which continues no text`,
      { hint: "Give a decoder such as GPT-2, GPT-NeoX or Llama, or a run on one." },
    );
  const { stopIds } = await endTokens(loaded);
  const model = await openCausalModel(
    { backbone },
    await openDevice(device),
    threads === undefined ? {} : { threads },
  );
  let open = true;
  return {
    generate: async (prompts, options = {}) => {
      if (!open) throw new StoreError(`${source}: this generator was disposed of`);
      checkArguments("generate", { prompts, options });
      const { task, maxNewTokens = DEFAULT_NEW_TOKENS, onText, signal } = options;
      if (task !== undefined)
        throw new ConfigError(`${source} is a model, which has no task "${task}"`, {
          hint: "Give a run's folder, or leave the task out.",
        });
      const ids = prompts.map((prompt) => openTextIds(tokenizer, prompt));
      const textOf = (i: number, added: readonly number[]) => completionOf(tokenizer, ids[i]!, added);
      const onIds = onText && ((i: number, added: readonly number[]) => onText(i, textOf(i, added)));
      const how = { maxNewTokens, stopIds, parameters: {}, onIds, ...(signal && { signal }) };
      const continued = await generateGreedy(model, ids, how);
      return continued.map((added, i) => ({ completion: textOf(i, added.ids), tokens: added.ids.length }));
    },
    [Symbol.asyncDispose]: async () => {
      open = false;
      await model[Symbol.asyncDispose]();
    },
  };
}
