/**
 * Prompt tuning (Lester et al. 2021): n trained vectors stand before every text as if they were words.
 * Dimensions: B batch, T text tokens, n virtual tokens, D width, S stacked tasks.
 */
import { ConfigError } from "../core/errors.ts";
import type { Rng } from "../core/random.ts";
import { float32, type HostTensor, int64, sizeOf } from "../core/tensor.ts";
import * as op from "../graph/ops.ts";
import { multiplyDims } from "../graph/shape.ts";
import type { Value } from "../graph/types.ts";
import type { TokenBatch } from "../nn/features.ts";
import { noTransform } from "../nn/layers/layers.ts";
import type { AdaptedBatch, AdapterGraph, AdapterHost, AdapterMethod, InitSource } from "./adapterMethod.ts";
import type { PromptTuningSpec } from "./types.ts";

/** peft's name of the only tensor, (n, D). */
export const PROMPT_EMBEDDINGS = "prompt_embeddings";

const PROMPT_SLOTS = "prompt_slots";

/** What a task asks of a text, as far as it decides with which words a prompt begins. */
export type PromptTask = "sentence" | "intent" | "relation" | "topic" | "word" | "generation";

const autoTexts: { readonly [K in PromptTask]: string } = {
  sentence: "Classify this sentence:",
  intent: "Classify the intent of this sentence:",
  relation: "Classify the relation of the entities in this sentence:",
  topic: "Classify the topic of this sentence:",
  word: "Classify the entities in this sentence:",
  generation: "Answer the question about this sentence:",
};

/** The text from which `init: auto` takes the first values of a prompt. */
export function autoPromptText(kind: PromptTask): string {
  return autoTexts[kind];
}

/**
 * @param prompt (n, D), or the prompts of several tasks one below the other
 * @param first int64 (B·T), the row at which a text's own prompt begins; absent: 0
 */
function promptGraph(
  { virtualTokens }: PromptTuningSpec,
  host: AdapterHost,
  input: Value,
  prompt: Value,
  first?: Value,
): AdapterGraph {
  const slots = op.input(PROMPT_SLOTS, "int64", ["B", "T"]);
  const embed = (words: Value): Value => {
    const flat = op.reshape(slots, ["B*T"]);
    const own = op.maximum(flat, 0);
    const rows = op.gather(prompt, first === undefined ? own : op.add(first, own)); // (B·T, D)
    const virtual = op.reshape(op.greater(flat, -1), ["B*T", 1]);
    return op.where(virtual, rows, words);
  };
  return {
    inputs: new Map([[PROMPT_EMBEDDINGS, input]]),
    shapes: [{ name: PROMPT_EMBEDDINGS, dims: [virtualTokens, host.width] }],
    transform: noTransform,
    embed,
    overrides: new Map(),
  };
}

/** peft makes prompts as wide as the layers, whatever the words are. @throws ConfigError where the words are narrower */
function checkWidth({ width, embeddingWidth = width }: AdapterHost): void {
  if (embeddingWidth !== width)
    throw new ConfigError(
      `method.adapter: prompt-tuning: this backbone's words are ${embeddingWidth} wide and its layers ${width}`,
      { hint: "Set method.adapter to lora, or take a backbone whose words are as wide as its layers." },
    );
}

function buildPrompt(spec: PromptTuningSpec, host: AdapterHost): AdapterGraph {
  checkWidth(host);
  const prompt = op.input(PROMPT_EMBEDDINGS, "float32", [spec.virtualTokens, host.width]);
  return promptGraph(spec, host, prompt, prompt);
}

/** The prompts of S tasks, (S, n, D), of which each text takes its own task's. */
function buildStackedPrompts(spec: PromptTuningSpec, host: AdapterHost, taskOf: Value): AdapterGraph {
  const { virtualTokens: count } = spec;
  const stacked = op.input(PROMPT_EMBEDDINGS, "float32", ["S", count, host.width]);
  const rows = op.reshape(stacked, [multiplyDims(["S", count]), host.width]); // (S·n, D)
  const first = op.expand(op.reshape(op.mul(taskOf, count), ["B", 1]), ["B", "T"]);
  return promptGraph(spec, host, stacked, rows, op.reshape(first, ["B*T"]));
}

/** Rows (B, T) of `tensor` behind n columns that `front` fills: (B, n + T). */
function prepend(
  tensor: HostTensor<"int64">,
  count: number,
  front: (column: number) => bigint,
): HostTensor<"int64"> {
  const [rows = 0, length = 0] = tensor.dims;
  const width = count + length;
  const data = new BigInt64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < count; column++) data[row * width + column] = front(column);
    data.set(tensor.data.subarray(row * length, (row + 1) * length), row * width + count);
  }
  return int64(data, [rows, width]);
}

/**
 * Puts n virtual positions before every text, as peft does: attention 1, token type 0, and positions counted over the
 * whole. peft drops the token types of a text without a head of Hugging Face's; here they always stay.
 *
 * @returns tensors of (B, n + T); `prompt_slots` is a virtual token's index, −1 at text and padding
 */
export function prependVirtualTokens(batch: TokenBatch, count: number, padId: number): AdaptedBatch {
  const text = new BigInt64Array(sizeOf(batch.inputIds.dims)).fill(-1n);
  return {
    batch: {
      inputIds: prepend(batch.inputIds, count, () => BigInt(padId)),
      attentionMask: prepend(batch.attentionMask, count, () => 1n),
      tokenTypeIds: prepend(batch.tokenTypeIds, count, () => 0n),
    },
    textMask: prepend(batch.attentionMask, count, () => 0n),
    feeds: { [PROMPT_SLOTS]: prepend(int64(text, batch.inputIds.dims), count, BigInt) },
  };
}

/**
 * The token ids that a prompt of n virtual tokens begins with, by peft's rule: the text's, repeated and cut to n.
 * @throws ConfigError if the text has no tokens
 */
export function promptTextIds(ids: readonly number[], virtualTokens: number): number[] {
  if (ids.length === 0) throw new ConfigError("method.init: the text of the prompt has no tokens");
  return Array.from({ length: virtualTokens }, (_, i) => ids[i % ids.length] ?? 0);
}

/** peft's three initialisations; `random` is torch's of an embedding table, N(0, 1). */
const initialisers: {
  readonly [K in PromptTuningSpec["init"]]: (
    spec: PromptTuningSpec,
    dims: readonly number[],
    rng: Rng,
    source: InitSource,
  ) => Promise<HostTensor<"float32">>;
} = {
  random: (_, dims, rng) =>
    Promise.resolve(
      float32(
        Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
        dims,
      ),
    ),
  vocab: ({ virtualTokens }, _, rng, source) =>
    source.readWords(Array.from({ length: virtualTokens }, () => rng.integer(source.vocabularySize))),
  text: ({ virtualTokens, text = "" }, _, _rng, source) =>
    source.readWords(promptTextIds(source.tokenize(text), virtualTokens)),
};

/** Prompt tuning as a kind of adapter. */
export function promptTuningMethod(spec: PromptTuningSpec): AdapterMethod {
  return {
    virtualTokens: spec.virtualTokens,
    build: (host) => buildPrompt(spec, host),
    buildStacked: (host, taskOf) => buildStackedPrompts(spec, host, taskOf),
    sharedLayers: () => 0,
    init: async (shapes, rng, source) => {
      const tensors = new Map<string, HostTensor<"float32">>();
      for (const { name, dims } of shapes)
        tensors.set(name, await initialisers[spec.init](spec, dims, rng.fork(name), source));
      return tensors;
    },
    adapt: (batch, padId) => prependVirtualTokens(batch, spec.virtualTokens, padId),
    describe: () => ({ promptTuning: { virtualTokens: spec.virtualTokens } }),
  };
}
