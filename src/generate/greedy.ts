// Dimensions: B batch, T tokens, V vocabulary.
import { setImmediate as nextTick } from "node:timers/promises";
import { ConfigError, DataError, EngineError } from "../core/errors.ts";
import { type HostTensor, int64 } from "../core/tensor.ts";
import { collate, planEvaluationBatches } from "../data/encoding/batching.ts";
import type { Graph } from "../graph/types.ts";
import { type TokenBatch, tokenFeeds } from "../nn/features.ts";
import type { AdapterMethod } from "../peft/adapterMethod.ts";
import { adapterMethod } from "../peft/adapters.ts";
import type { CompileOptions, Executable, Runtime, Tensors } from "../runtime/types.ts";
import { lastTokenRows } from "./feeds.ts";
import { buildContinuationGraph, type CausalStructure } from "./graphs.ts";
import { KeyValueCache } from "./keyValueCache.ts";

/** A decoder whose continuation graph is compiled. Holds native memory: dispose of it. */
export interface CausalModel extends AsyncDisposable {
  readonly structure: CausalStructure;
  readonly continuation: Executable;
}

/**
 * Compiles a decoder for reading, continuing and scoring texts; the adapter's values are fed with each call.
 * @param build the graph; `buildMixedContinuationGraph` takes several adapters
 * @throws CheckpointError if the model has no language-modelling head
 */
export async function openCausalModel(
  structure: CausalStructure,
  runtime: Runtime,
  options: Pick<CompileOptions, "threads" | "spin"> = {},
  build: (structure: CausalStructure) => Graph = buildContinuationGraph,
): Promise<CausalModel> {
  const continuation = await runtime.compile(build(structure), options);
  return { structure, continuation, [Symbol.asyncDispose]: () => continuation[Symbol.asyncDispose]() };
}

export interface GreedyOptions {
  readonly maxNewTokens: number;
  /** Ids that end a text, such as the end-of-text token. */
  readonly stopIds: readonly number[];
  /** Texts read together; default 16. */
  readonly batchSize?: number;
  /** The adapter's parameters by input name. */
  readonly parameters?: Tensors;
  /** What is fed beside for some of the prompts, by their places: which adapter each goes through. */
  readonly perBatch?: (indices: readonly number[]) => Tensors;
  /** Tell how likely each continuation is. */
  readonly likelihoods?: boolean;
  /** Told the new tokens of a prompt so far, after each step that added one. */
  readonly onIds?: ((prompt: number, ids: readonly number[]) => void) | undefined;
  readonly signal?: AbortSignal;
}

export interface Likelihood {
  /** log p(continuation | prompt), the natural logarithm, the id that ended it included. */
  readonly logProbability: number;
  /** The id that ended the text. */
  readonly end?: number;
}

export interface Continuation {
  /** The new tokens, without the prompt and without the id that ended them. */
  readonly ids: readonly number[];
  /** Whether a stop id ended the text, rather than `maxNewTokens`. */
  readonly stopped: boolean;
  /** Where it was asked for. */
  readonly likelihood?: Likelihood;
}

const DEFAULT_BATCH = 16;

/** What can be told wrong before anything runs. */
export function checkPrompts(
  { backbone, adapter }: CausalStructure,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): void {
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1)
    throw new ConfigError(`maxNewTokens must be a whole number of at least 1, got ${maxNewTokens}`);
  const { vocabularySize } = backbone.config;
  const room = backbone.maxTokens - adapterMethod(adapter).virtualTokens;
  prompts.forEach((prompt, i) => {
    const where = `prompt ${i + 1}`;
    if (prompt.length === 0)
      throw new DataError(`${where} has no tokens`, {
        hint: "Begin it with the model's first token, or a word.",
      });
    if (prompt.length + maxNewTokens > room)
      throw new DataError(
        `${where}: ${prompt.length} tokens and ${maxNewTokens} new ones do not fit the model's ${room}`,
        { hint: "Shorten the prompt, or ask for fewer new tokens." },
      );
    const unknown = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
    if (unknown !== undefined)
      throw new DataError(`${where}: token ${unknown} is not among the model's ${vocabularySize}`, {
        hint: "The tokenizer belongs to another model.",
      });
  });
}

interface BestToken {
  readonly id: number;
  /** log p(token | text), where it was asked for. */
  readonly logProbability: number;
}

/** log softmax(row)[best], where `best` is the largest. */
function logProbabilityOf(row: Float32Array | Float64Array, best: number): number {
  const largest = row[best]!;
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i]! - largest);
  return -Math.log(sum);
}

/** The largest of each row's logits; the first of equals, as torch takes it. */
function bestTokens(logits: HostTensor | undefined, batch: number, likelihoods: boolean): BestToken[] {
  const data = logits?.data;
  if (!(data instanceof Float32Array || data instanceof Float64Array))
    throw new EngineError(`output "logits": expected floats, got ${logits?.dtype ?? "nothing"}`);
  const size = data.length / batch;
  return Array.from({ length: batch }, (_, number) => {
    const row = data.subarray(number * size, (number + 1) * size);
    let id = 0;
    for (let i = 1; i < size; i++) if (row[i]! > row[id]!) id = i;
    return { id, logProbability: likelihoods ? logProbabilityOf(row, id) : Number.NaN };
  });
}

/** A text as it grows. */
class GrowingText {
  readonly ids: number[] = [];
  private end: number | undefined;
  private logProbability = 0;

  get stopped(): boolean {
    return this.end !== undefined;
  }

  append({ id, logProbability }: BestToken, stops: ReadonlySet<number>): void {
    if (this.stopped) return;
    this.logProbability += logProbability;
    if (stops.has(id)) this.end = id;
    else this.ids.push(id);
  }

  finish(likelihoods: boolean): Continuation {
    const { ids, stopped, logProbability, end } = this;
    if (!likelihoods) return { ids, stopped };
    return { ids, stopped, likelihood: { logProbability, ...(end !== undefined && { end }) } };
  }
}

/** One more token in every text: (B, 1). */
function nextTokens(ids: readonly number[]): TokenBatch {
  const dims = [ids.length, 1];
  return {
    inputIds: int64(BigInt64Array.from(ids, BigInt), dims),
    attentionMask: int64(new BigInt64Array(ids.length).fill(1n), dims),
    tokenTypeIds: int64(new BigInt64Array(ids.length), dims),
  };
}

/** (B, n + 1) → (B, 1): what an adapter feeds beside a token, less what it feeds for the places it puts before texts. */
function lastColumn(tensor: HostTensor): HostTensor {
  const [batch = 0, width = 0] = tensor.dims;
  if (tensor.dtype !== "int64" || tensor.dims.length !== 2)
    throw new EngineError(
      `an adapter feeds ${tensor.dtype} of ${tensor.dims.length} axes, not one id a token`,
    );
  const column = Array.from({ length: batch }, (_, b) => BigInt(tensor.data[(b + 1) * width - 1]!));
  return int64(BigInt64Array.from(column), [batch, 1]);
}

/** The feeds of one more token in every text. @param positions how many tokens each text has before it */
function nextFeeds(next: TokenBatch, positions: readonly number[], method: AdapterMethod, padId: number) {
  const fromAdapter = Object.entries(method.adapt(next, padId).feeds);
  return {
    input_ids: next.inputIds,
    attention_mask: next.attentionMask,
    position_ids: int64(BigInt64Array.from(positions, BigInt), [positions.length, 1]),
    ...lastTokenRows(next.attentionMask),
    ...Object.fromEntries(fromAdapter.map(([name, tensor]) => [name, lastColumn(tensor)])),
  };
}

/** Prompts as one batch, padded on the right, behind what the adapter puts before every text. */
function promptBatch(
  { structure }: CausalModel,
  method: AdapterMethod,
  prompts: readonly (readonly number[])[],
) {
  const { config } = structure.backbone;
  const encodings = prompts.map((ids) => ({ ids, typeIds: ids.map(() => 0), truncated: false }));
  const { batch, feeds } = method.adapt(collate(encodings, config.padId), config.padId);
  return { batch, feeds: { ...tokenFeeds(config, batch), ...feeds, ...lastTokenRows(batch.attentionMask) } };
}

async function continueBatch(
  model: CausalModel,
  prompts: readonly (readonly number[])[],
  beside: Tensors,
  options: GreedyOptions,
  onIds: (row: number, ids: readonly number[]) => void,
): Promise<Continuation[]> {
  const { backbone, adapter } = model.structure;
  const { maxNewTokens, parameters = {}, likelihoods = false } = options;
  const method = adapterMethod(adapter);
  const stops = new Set(options.stopIds);
  const texts = prompts.map(() => new GrowingText());
  let { batch, feeds }: { batch: TokenBatch; feeds: Tensors } = promptBatch(model, method, prompts);
  const [size = 0, length = 0] = batch.inputIds.dims;
  const cache = new KeyValueCache(backbone.config, size, length + maxNewTokens - 1);

  for (let step = 0; step < maxNewTokens; step++) {
    options.signal?.throwIfAborted();
    const outputs = await model.continuation.run({
      ...feeds,
      ...cache.feeds(batch.attentionMask),
      ...parameters,
      ...beside,
    });
    const best = bestTokens(outputs.logits, size, likelihoods);
    texts.forEach((text, row) => {
      text.append(best[row]!, stops);
      if (!text.stopped) onIds(row, text.ids);
    });
    if (step + 1 === maxNewTokens || texts.every(({ stopped }) => stopped)) break;
    cache.append(outputs, batch.attentionMask);
    batch = nextTokens(best.map(({ id }) => id));
    const positions = prompts.map((prompt) => method.virtualTokens + prompt.length + step);
    feeds = nextFeeds(batch, positions, method, backbone.config.padId);
    await nextTick();
  }
  return texts.map((text) => text.finish(likelihoods));
}

/**
 * Continues texts, each time by the token that the model finds most likely.
 *
 * A text's continuation does not depend on which others share its batch. Texts that ended are computed along until
 * their batch is done.
 * @param prompts token ids, special tokens included, of one text each
 * @returns one continuation a prompt, in their order
 * @throws DataError naming the prompt (counted from 1) that is empty, too long, or of another vocabulary
 */
export async function generateGreedy(
  model: CausalModel,
  prompts: readonly (readonly number[])[],
  options: GreedyOptions,
): Promise<Continuation[]> {
  checkPrompts(model.structure, prompts, options.maxNewTokens);
  const results: Continuation[] = [];
  const lengths = prompts.map(({ length }) => length);
  for (const indices of planEvaluationBatches(lengths, options.batchSize ?? DEFAULT_BATCH)) {
    const continued = await continueBatch(
      model,
      indices.map((index) => prompts[index]!),
      options.perBatch?.(indices) ?? {},
      options,
      (row, ids) => options.onIds?.(indices[row]!, ids),
    );
    indices.forEach((index, row) => {
      results[index] = continued[row]!;
    });
  }
  return results;
}
